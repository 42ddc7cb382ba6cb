import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gbcs.der import Encoded, decode, with_minimal_lengths
from gbcs.protocol_errors import DecodeError
from vectors.payload_strategies import DOCUMENTS, PAYLOADS

LAWS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY_PAYLOAD = st.sampled_from(sorted(PAYLOADS)).flatmap(
    lambda name: PAYLOADS[name][1].map(lambda value: (PAYLOADS[name][0], value))
)


def with_padded_lengths(octets: bytes, extra: int) -> bytes:
    """Write every element again with a length in `extra` octets more than it needs."""
    parts = []
    at = 0
    while at < len(octets):
        tag = octets[at]
        size = 1 if octets[at + 1] < 0x80 else 1 + octets[at + 1] - 0x80
        length = octets[at + 1] if size == 1 else int.from_bytes(octets[at + 2 : at + 1 + size])
        start = at + 1 + size
        contents = octets[start : start + length]
        if tag & 0x20:
            contents = with_padded_lengths(contents, extra)
        needed = max(1, (len(contents).bit_length() + 7) // 8)
        parts.append(
            bytes((tag, 0x80 | (needed + extra)))
            + len(contents).to_bytes(needed + extra)
            + contents
        )
        at = start + length
    return b"".join(parts)


@LAWS
@given(ANY_PAYLOAD)
def test_what_is_written_is_read_back(case: tuple[Any, Any]) -> None:
    codec, value = case
    assert decode(codec, codec.encode(value)).value == value


@LAWS
@given(ANY_PAYLOAD, st.integers(0, 1))
def test_padded_lengths_are_refused_strictly_and_undone_by_the_minimal_form(
    case: tuple[Any, Any], extra: int
) -> None:
    codec, value = case
    octets = codec.encode(value)
    padded = with_padded_lengths(octets, extra)
    assert with_minimal_lengths(padded) == octets
    if padded != octets:
        strict_refuses(codec, padded, value)


def strict_refuses(codec: Any, padded: bytes, value: Any) -> None:
    lenient = decode(codec, padded, lenient_lengths=True)
    if lenient.lengths_not_minimal:
        with pytest.raises(DecodeError, match="a length that is not minimal"):
            decode(codec, padded)
    if not _holds_documents(value):
        assert lenient.value == value


def _holds_documents(value: Any) -> bool:
    if isinstance(value, bytes):
        return True
    return dataclasses.is_dataclass(value) and hasattr(value, "replacements")


@LAWS
@given(ANY_PAYLOAD, st.data())
def test_every_truncation_is_refused(case: tuple[Any, Any], data: st.DataObject) -> None:
    codec, value = case
    octets = codec.encode(value)
    stop = data.draw(st.integers(0, len(octets) - 1))
    for lenient in (False, True):
        with pytest.raises(DecodeError):
            decode(codec, octets[:stop], lenient_lengths=lenient)


@LAWS
@given(ANY_PAYLOAD, st.binary(min_size=1, max_size=5))
def test_octets_behind_the_end_are_refused(case: tuple[Any, Any], more: bytes) -> None:
    codec, value = case
    with pytest.raises(DecodeError, match="octets behind the end"):
        decode(codec, codec.encode(value) + more, lenient_lengths=True)


@LAWS
@given(ANY_PAYLOAD, st.data())
def test_changed_octets_are_refused_or_are_the_der_of_another_value(
    case: tuple[Any, Any], data: st.DataObject
) -> None:
    codec, value = case
    octets = bytearray(codec.encode(value))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = bytes(octets)
    offset = None
    try:
        other = decode(codec, changed).value
    except DecodeError as error:
        offset = error.offset
        other = None
    if other is None:
        assert offset is not None
        assert 0 <= offset <= len(changed)
        return
    assert codec.encode(other) == changed


@LAWS
@given(st.sampled_from(sorted(PAYLOADS)), st.binary(max_size=60), st.booleans())
def test_any_octets_decode_or_are_refused(name: str, octets: bytes, lenient: bool) -> None:  # noqa: FBT001 - drawn
    codec = PAYLOADS[name][0]
    try:
        decoded = decode(codec, octets, lenient_lengths=lenient)
    except DecodeError:
        return
    again = codec.encode(decoded.value)
    assert decode(codec, again).value == decoded.value
    if not decoded.lengths_not_minimal:
        assert again == octets


@LAWS
@given(st.binary(max_size=80))
def test_minimal_lengths_of_any_octets_are_stable_or_refused(octets: bytes) -> None:
    try:
        minimal = with_minimal_lengths(octets)
    except DecodeError:
        return
    assert with_minimal_lengths(minimal) == minimal
    assert len(minimal) <= len(octets)


@LAWS
@given(DOCUMENTS, st.integers(0, 2))
def test_documents_are_kept_whatever_their_own_length_looks_like(octets: bytes, extra: int) -> None:
    start = len(octets) - _contents_length(octets)
    length = (len(octets) - start).to_bytes(2 + extra)
    padded = bytes((0x30, 0x80 | len(length))) + length + octets[start:]
    assert decode(Encoded(), octets).value == octets
    assert decode(Encoded(), padded, lenient_lengths=True).value == octets


def _contents_length(octets: bytes) -> int:
    return octets[1] if octets[1] < 0x80 else int.from_bytes(octets[2 : octets[1] - 0x80 + 2])
