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
)

from gbcs.errors import DecodeError
from gbcs.octet_fields import CountedOctets, End, ExactOctets, FlatStruct

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


_Context = dict[str, None]
_NO_CONTEXT: Final[_Context] = {"_params": None}
"""What construct's generated code asks of its caller; none of the structures uses it."""


class Format:
    """A structure in its compiled form, which reports errors by the plain one's path."""

    def __init__(self, layer: str, structure: FlatStruct) -> None:
        self.layer = layer
        self._plain = structure
        compiled = structure.compile()
        # Called as they are, the compiled functions spare a context object a message.
        self._parse: Callable[[io.BytesIO, _Context], Mapping[str, Any]] = compiled.parsefunc
        self._build: Callable[[Mapping[str, Any], io.BytesIO, _Context], object] = (
            compiled.buildfunc
        )

    def parse(self, octets: bytes) -> Mapping[str, Any]:
        """Read `octets`, all of them.

        Raises:
            DecodeError: They have another form; names the field and the offset.
        """
        try:
            return self._parse(io.BytesIO(octets), _NO_CONTEXT)
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
                    field="" if isinstance(field.subcon, End) else field.name,
                    offset=offset,
                    excerpt=octets[offset:],
                )
        return DecodeError("not of this form", layer=self.layer, excerpt=octets)

    def build(self, values: Mapping[str, Any]) -> bytes:
        """Write `values`; they are the caller's and already checked."""
        stream = io.BytesIO()
        self._build(values, stream, _NO_CONTEXT)
        return stream.getvalue()


def _reason(error: ConstructError, field: Construct, found: bytes) -> str:
    """Say in one line why `field` cannot be read from the octets that were `found`."""
    if isinstance(field, End):
        return f"{len(found)} octets behind the end"
    if isinstance(field, Const) and found:
        return f"{found[0]:02X} where {field.value.hex().upper()} belongs"
    if isinstance(error, StreamError):
        return "missing or cut short"
    return str(error.args[0].splitlines()[-1])


def _struct(**fields: Any) -> FlatStruct:
    return FlatStruct(*(name / field for name, field in fields.items()))


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
        end=End(),
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
    ),
)

MACED_TRAILER: Final = Format(
    "signature and MAC",
    _struct(signature=CountedOctets(), mac=ExactOctets(MAC_OCTETS), end=End()),
)

SIGNED_TRAILER: Final = Format(
    "signature",
    _struct(signature=CountedOctets(), end=End()),
)
