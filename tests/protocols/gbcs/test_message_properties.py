import contextlib
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import (
    CRAFlag,
    Header,
    Message,
    OtherInformation,
    compose_pre_command,
    compose_protected,
)
from gbcs.protocol_errors import DecodeError
from gbcs.use_cases import USE_CASES, decode_payload

LAWS = settings(max_examples=100, deadline=None)
COUNTERS = st.integers(0, 2**64 - 1)
ENTITIES = st.binary(min_size=8, max_size=8).map(EntityIdentifier)
MESSAGE_CODES = st.sampled_from(sorted(USE_CASES)) | st.integers(0, 0xFFFF)
OTHER_INFORMATION = st.one_of(
    st.builds(OtherInformation, MESSAGE_CODES),
    st.builds(OtherInformation, MESSAGE_CODES, ENTITIES),
    st.builds(OtherInformation, MESSAGE_CODES, ENTITIES, COUNTERS),
    st.builds(OtherInformation, MESSAGE_CODES, ENTITIES, COUNTERS, COUNTERS),
    st.builds(
        OtherInformation,
        MESSAGE_CODES,
        ENTITIES,
        COUNTERS,
        key_agreement_certificate=st.binary(min_size=8, max_size=400).map(lambda c: b"\x30" + c),
    ),
)
HEADERS = st.builds(
    Header,
    st.sampled_from(CRAFlag),
    COUNTERS,
    ENTITIES,
    ENTITIES,
    OTHER_INFORMATION,
    st.just(b"") | st.binary(min_size=12, max_size=12),
)
MESSAGES = st.builds(
    lambda header, content, signature, mac: compose_protected(
        compose_pre_command(header, content), signature=signature, mac=mac
    ),
    HEADERS,
    st.binary(max_size=400),
    st.just(b"") | st.binary(min_size=64, max_size=64),
    st.none() | st.binary(min_size=12, max_size=12),
)


@LAWS
@given(MESSAGES)
def test_what_is_composed_is_read_back(message: Message) -> None:
    assert Message.parse(message.octets) == message


@LAWS
@given(HEADERS, st.binary(max_size=300))
def test_pre_commands_are_read_back(header: Header, content: bytes) -> None:
    assume(header.cra_flag is CRAFlag.COMMAND)
    message = compose_pre_command(header, content)
    assert Message.parse(message.octets) == message


@LAWS
@given(MESSAGES, st.data())
def test_every_truncation_is_refused_or_is_the_pre_command(
    message: Message, data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, len(message.octets) - 1))
    try:
        cut = Message.parse(message.octets[:stop])
    except DecodeError as error:
        _within(error, stop)
        return
    assert cut.is_pre_command
    assert cut.octets == message.grouping


def _within(error: DecodeError, size: int) -> None:
    assert error.offset is not None
    assert 0 <= error.offset <= size


@LAWS
@given(MESSAGES, st.binary(min_size=1, max_size=80))
def test_octets_behind_the_end_are_refused(message: Message, more: bytes) -> None:
    parsed = None
    with contextlib.suppress(DecodeError):
        parsed = Message.parse(message.octets + more)
    assert parsed is None


@LAWS
@given(MESSAGES, st.data())
def test_changed_octets_are_refused_or_are_another_message(
    message: Message, data: st.DataObject
) -> None:
    octets = bytearray(message.octets)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    assume(bytes(octets) != message.octets)
    _parse_any(bytes(octets))


@LAWS
@given(
    st.binary(max_size=100)
    | st.binary(max_size=100).map(lambda octets: bytes.fromhex("DD000000000000") + octets)
    | st.binary(max_size=100).map(lambda octets: bytes.fromhex("DF0902") + octets)
)
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    _parse_any(octets)


def _parse_any(octets: bytes) -> Any:
    try:
        message = Message.parse(octets)
    except DecodeError:
        return
    assert message.octets == octets
    with contextlib.suppress(DecodeError):
        decode_payload(message)
    if not message.lengths_not_minimal:
        again = compose_pre_command(message.header, message.content)
        if message.signature is not None:
            again = compose_protected(again, signature=message.signature, mac=message.mac)
        assert again == message
