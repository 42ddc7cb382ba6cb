"""The MAC Header, the Grouping Header and what follows the content, as construct structures.

Source: GBCS v0.8.1, 7.2.5 (MAC Header) and 7.2.7 (Grouping Header); octets as in RTDS 4.5.0.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any, Final

from construct import (
    Byte,
    Const,
    Construct,
    ConstructError,
    GreedyBytes,
    Int64ub,
    StreamError,
    Struct,
    Terminated,
)

from gbcs.der import encode_length
from gbcs.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAC_OCTETS: Final = 12
SIGNATURE_OCTETS: Final = 64
DATE_TIME_OCTETS: Final = 12
MESSAGE_MAXIMUM_OCTETS: Final = 65_535
"""The longest message that is read; RTDS's longest has 3,986 octets."""

GENERAL_SIGNING: Final = 0xDF
GENERAL_CIPHERING: Final = 0xDD
SECURITY_HEADER: Final = bytes.fromhex("1100000000")
"""Security control octet (authenticated, suite 0) and an invocation counter of zero."""


class ExactOctets(Construct):  # type: ignore[misc]  # construct has no types
    """A fixed number of octets.

    Unlike `construct.Bytes`, which in compiled form gives what there is, it refuses fewer.
    """

    def __init__(self, size_octets: int) -> None:
        super().__init__()
        self.size_octets = size_octets

    def _parse(self, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - construct's signature
        return _exactly(stream, self.size_octets, path)

    def _build(self, value: bytes, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - as above
        if len(value) != self.size_octets:
            raise ConstructError(f"{len(value)} octets for {self.size_octets}", path=path)
        stream.write(value)
        return value


class CountedOctets(Construct):  # type: ignore[misc]  # construct has no types
    """Octets behind their definite length of one to three octets, written in as few as it needs.

    Source: DLMS UA 1000-2, encoding of the lengths in general-ciphering and general-signing.
    """

    def _parse(self, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - construct's signature
        length = _exactly(stream, 1, path)[0]
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 2:
                raise ConstructError(f"a length in {count} octets", path=path)
            length = int.from_bytes(_exactly(stream, count, path))
        return _exactly(stream, length, path)

    def _build(self, value: bytes, stream: io.BytesIO, context: object, path: str) -> bytes:  # noqa: ARG002 - as above
        stream.write(encode_length(len(value)))
        stream.write(value)
        return value


def _exactly(stream: io.BytesIO, size_octets: int, path: str) -> bytes:
    octets = stream.read(size_octets)
    if len(octets) != size_octets:
        raise ConstructError(
            f"cut short: {len(octets)} octets of {size_octets} are there", path=path
        )
    return octets


class Format:
    """A structure in its compiled form, which reports errors by the plain one's path."""

    def __init__(self, layer: str, structure: Struct) -> None:
        self.layer = layer
        self._plain = structure
        compiled = structure.compile()
        self._parse: Callable[[bytes], Mapping[str, Any]] = compiled.parse
        self._build: Callable[[Mapping[str, Any]], bytes] = compiled.build

    def parse(self, octets: bytes) -> Mapping[str, Any]:
        """Read `octets`, all of them.

        Raises:
            DecodeError: They have another form; names the field and the offset.
        """
        try:
            return self._parse(octets)
        except (ConstructError, struct.error):
            raise self._first_failure(octets) from None

    def _first_failure(self, octets: bytes) -> DecodeError:
        """Read field by field, for the compiled form does not say where it failed."""
        stream = io.BytesIO(octets)
        for field in self._plain.subcons:
            offset = stream.tell()
            try:
                field.parse_stream(stream)
            except ConstructError as error:
                return DecodeError(
                    _reason(error, field.subcon, octets[offset:]),
                    layer=self.layer,
                    field="" if field.subcon is Terminated else field.name,
                    offset=offset,
                    excerpt=octets[offset:],
                )
        return DecodeError("not of this form", layer=self.layer, excerpt=octets)

    def build(self, values: Mapping[str, Any]) -> bytes:
        """Write `values`; they are the caller's and already checked."""
        return self._build(values)


def _reason(error: ConstructError, field: Construct, found: bytes) -> str:
    """Say in one line why `field` cannot be read from the octets that were `found`."""
    if field is Terminated:
        return f"{len(found)} octets behind the end"
    if isinstance(field, Const) and found:
        return f"{found[0]:02X} where {field.value.hex().upper()} belongs"
    if isinstance(error, StreamError):
        return "missing or cut short"
    return str(error.args[0].splitlines()[-1])


def _struct(**fields: Any) -> Struct:
    return Struct(*(name / field for name, field in fields.items()))


MAC_HEADER: Final = Format(
    "MAC Header",
    _struct(
        general_ciphering=Const(bytes((GENERAL_CIPHERING,))),
        transaction_id=Const(b"\x00"),
        originator_system_title=Const(b"\x00"),
        recipient_system_title=Const(b"\x00"),
        date_time=Const(b"\x00"),
        other_information=Const(b"\x00"),
        key_info=Const(b"\x00"),
        ciphered_service=CountedOctets(),
        end=Terminated,
    ),
)

GROUPING_HEADER: Final = Format(
    "Grouping Header",
    _struct(
        general_signing=Const(bytes((GENERAL_SIGNING,))),
        transaction_id_length=Const(b"\x09"),
        cra_flag=Byte,
        originator_counter=Int64ub,
        originator_length=Const(b"\x08"),
        business_originator_id=ExactOctets(8),
        recipient_length=Const(b"\x08"),
        business_target_id=ExactOctets(8),
        date_time=CountedOctets(),
        other_information=CountedOctets(),
        content=CountedOctets(),
        trailer=GreedyBytes,
        end=Terminated,
    ),
)

MACED_TRAILER: Final = Format(
    "signature and MAC",
    _struct(signature=CountedOctets(), mac=ExactOctets(MAC_OCTETS), end=Terminated),
)

SIGNED_TRAILER: Final = Format(
    "signature",
    _struct(signature=CountedOctets(), end=Terminated),
)
