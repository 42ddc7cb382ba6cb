"""GBCS messages as values: parsed with every offset checked, and composed octet for octet.

Source: GBCS v0.8.1, 7.2 and 13.3.3.1; the forms of other-information as in RTDS 4.5.0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from gbcs.der import encode_length
from gbcs.entity import ENTITY_IDENTIFIER_OCTETS, EntityIdentifier
from gbcs.errors import DecodeError, LocalProtocolError
from gbcs.headers import (
    DATE_TIME_OCTETS,
    GENERAL_CIPHERING,
    GENERAL_SIGNING,
    GROUPING_HEADER,
    MAC_HEADER,
    MAC_OCTETS,
    MACED_TRAILER,
    MESSAGE_MAXIMUM_OCTETS,
    SECURITY_HEADER,
    SIGNATURE_OCTETS,
    SIGNED_TRAILER,
)

COUNTER_MAXIMUM: Final = 2**64 - 1
PRE_COMMAND_MAXIMUM_OCTETS: Final = MESSAGE_MAXIMUM_OCTETS - (
    10 + len(SECURITY_HEADER) + 1 + SIGNATURE_OCTETS + MAC_OCTETS
)
"""Leaves room for the MAC Header with the longest length, the signature and the MAC."""
_GROUPING_FIXED_OCTETS: Final = 30
"""Tag, transaction id, both system titles and the length of the date-time."""


class CRAFlag(enum.IntEnum):
    """Whether a message is a command, a response or an alert.

    Source: GBCS v0.8.1, 7.2.7 (first octet of the transaction id).
    """

    COMMAND = 1
    RESPONSE = 2
    ALERT = 3


_CRA_FLAGS: Final = {int(flag): flag for flag in CRAFlag}


@dataclass(frozen=True, slots=True)
class OtherInformation:
    """The Message Code and what supplements it.

    Args:
        message_code: Which use case, 0..0xFFFF.
        supplementary_remote_party_id: On whose behalf (8 octets), or None.
        supplementary_remote_party_counter: That party's counter, or None.
        supplementary_originator_counter: The device's counter for encryption, or None.
        key_agreement_certificate: The Unknown Remote Party's certificate (DER), or b"".

    Source: GBCS v0.8.1, 7.2.7; the five forms as in RTDS 4.5.0.
    """

    message_code: int
    supplementary_remote_party_id: EntityIdentifier | None = None
    supplementary_remote_party_counter: int | None = None
    supplementary_originator_counter: int | None = None
    key_agreement_certificate: bytes = b""

    def __post_init__(self) -> None:
        """Refuse a combination that none of the forms has."""
        if not 0 <= self.message_code <= 0xFFFF:
            raise LocalProtocolError(f"message code {self.message_code:#x} is no 16-bit value")
        given = (
            self.supplementary_remote_party_id is not None,
            self.supplementary_remote_party_counter is not None,
            self.supplementary_originator_counter is not None,
            bool(self.key_agreement_certificate),
        )
        if given not in _FORMS:
            raise LocalProtocolError("other-information in a form that GBCS has not")
        for counter in (
            self.supplementary_remote_party_counter,
            self.supplementary_originator_counter,
        ):
            if counter is not None and not 0 <= counter <= COUNTER_MAXIMUM:
                raise LocalProtocolError(f"supplementary counter {counter} is no 64-bit value")

    def encode(self) -> bytes:
        """Encode the value octets, without their length."""
        octets = self.message_code.to_bytes(2)
        if self.supplementary_remote_party_id is None:
            return octets
        octets += self.supplementary_remote_party_id
        for counter in (
            self.supplementary_remote_party_counter,
            self.supplementary_originator_counter,
        ):
            if counter is not None:
                octets += counter.to_bytes(8)
        return octets + self.key_agreement_certificate

    @classmethod
    def decode(cls, octets: bytes) -> OtherInformation:
        """Decode the value octets.

        Raises:
            DecodeError: Their number fits none of the forms.
        """
        if len(octets) == 2:
            return _plain_other_information(octets)
        if len(octets) not in (10, 18, 26) and len(octets) < 27:
            raise DecodeError(
                f"{len(octets)} octets, where the forms have 2, 10, 18, 26 or more",
                layer="Grouping Header",
                field="other_information",
                excerpt=octets,
            )
        if len(octets) > 26 and octets[18] != 0x30:
            raise DecodeError(
                "what follows the supplementary counter is no certificate",
                layer="Grouping Header",
                field="other_information",
                offset=18,
                excerpt=octets[18:],
            )
        with_certificate = len(octets) > 26
        return cls(
            message_code=int.from_bytes(octets[:2]),
            supplementary_remote_party_id=EntityIdentifier(octets[2:10]),
            supplementary_remote_party_counter=(
                int.from_bytes(octets[10:18]) if len(octets) >= 18 else None
            ),
            supplementary_originator_counter=(
                int.from_bytes(octets[18:26]) if len(octets) == 26 else None
            ),
            key_agreement_certificate=octets[18:] if with_certificate else b"",
        )


_FORMS: Final = {
    (False, False, False, False),
    (True, False, False, False),
    (True, True, False, False),
    (True, True, True, False),
    (True, True, False, True),
}
_PLAIN: dict[bytes, OtherInformation] = {}


def _plain_other_information(octets: bytes) -> OtherInformation:
    """Give the shared value of the two-octet form; there are at most 65,536."""
    known = _PLAIN.get(octets)
    if known is None:
        known = _PLAIN[octets] = OtherInformation(int.from_bytes(octets))
    return known


@dataclass(frozen=True, slots=True)
class Header:
    """What the Grouping Header says, all but the content.

    Args:
        cra_flag: Command, response or alert.
        originator_counter: 0..2^64-1; a response repeats its command's.
        originator: Business Originator ID.
        recipient: Business Target ID.
        other_information: Message Code and supplements.
        date_time: 12 octets of COSEM date-time, or b"".

    Source: GBCS v0.8.1, 7.2.7.
    """

    cra_flag: CRAFlag
    originator_counter: int
    originator: EntityIdentifier
    recipient: EntityIdentifier
    other_information: OtherInformation
    date_time: bytes = b""

    def __post_init__(self) -> None:
        """Refuse values that have no place on the wire."""
        if not 0 <= self.originator_counter <= COUNTER_MAXIMUM:
            raise LocalProtocolError(f"counter {self.originator_counter} is no 64-bit value")
        if len(self.date_time) not in (0, DATE_TIME_OCTETS):
            raise LocalProtocolError(f"a date-time of {len(self.date_time)} octets")

    @property
    def message_code(self) -> int:
        """The Message Code."""
        return self.other_information.message_code

    def reply(self, *, date_time: bytes = b"") -> Header:
        """Give the header of the response to a command with this one."""
        return Header(
            cra_flag=CRAFlag.RESPONSE,
            originator_counter=self.originator_counter,
            originator=self.recipient,
            recipient=self.originator,
            other_information=self.other_information,
            date_time=date_time,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A message and the octets it was read from or composed as.

    Args:
        header: What the Grouping Header says.
        content: The payload octets.
        signature: 64 octets; b"" where the length octet is 0; None in a pre-command.
        mac: 12 octets, or None.
        octets: The whole message.
        grouping_offset: Where the Grouping Header starts in `octets`.
        content_end: Where the content ends in `octets`.
        lengths_not_minimal: Whether a length in a header took more octets than it needs.
    """

    header: Header
    content: bytes
    signature: bytes | None
    mac: bytes | None
    octets: bytes = field(repr=False)
    grouping_offset: int = field(repr=False)
    content_end: int = field(repr=False)
    lengths_not_minimal: bool = False

    @property
    def is_pre_command(self) -> bool:
        """Whether it is still to be signed and MACed."""
        return self.signature is None

    @property
    def grouping(self) -> bytes:
        """Grouping Header and content, as a pre-command has them."""
        return self.octets[self.grouping_offset : self.content_end]

    @property
    def signed_octets(self) -> bytes:
        """What the signature covers: the Grouping Header without its tag, and the content.

        Source: GBCS v0.8.1, 6.3.3; verified on 472 RTDS signatures.
        """
        return self.octets[self.grouping_offset + 1 : self.content_end]

    @property
    def authenticated_octets(self) -> bytes:
        """What the MAC covers besides the 6-octet prefix: all from the Grouping Header on.

        Source: GBCS v0.8.1, 6.2.3; verified on 811 RTDS MACs.
        """
        end = len(self.octets) - (MAC_OCTETS if self.mac is not None else 0)
        return self.octets[self.grouping_offset : end]

    @classmethod
    def parse(cls, octets: bytes, *, lenient_lengths: bool | None = None) -> Message:
        """Read one whole message.

        Args:
            octets: The message, nothing before or behind it.
            lenient_lengths: Whether header lengths may take more octets than they need;
                by default they may in responses and alerts, which devices make.

        Raises:
            DecodeError: `octets` are no GBCS message; names the field and the offset.
        """
        if len(octets) > MESSAGE_MAXIMUM_OCTETS:
            raise DecodeError(
                f"{len(octets)} octets, more than the {MESSAGE_MAXIMUM_OCTETS} that are read",
                layer="GBCS message",
            )
        grouping_offset, padded = _grouping_offset(octets)
        values = _parse_grouping(octets, grouping_offset)
        has_mac = grouping_offset > 0
        header = _header(values, grouping_offset)
        trailer: bytes = values["trailer"]
        content: bytes = values["content"]
        content_end = len(octets) - len(trailer)
        signature, mac = _trailer(trailer, header.cra_flag, content_end, has_mac=has_mac)
        padded = (
            padded
            or content_end - grouping_offset != _grouping_length(values)
            or len(trailer) != _trailer_length(signature, mac)
        )
        if padded and not (
            header.cra_flag is not CRAFlag.COMMAND if lenient_lengths is None else lenient_lengths
        ):
            raise _first_padded_length(octets, grouping_offset)
        return cls(header, content, signature, mac, octets, grouping_offset, content_end, padded)


def _grouping_offset(octets: bytes) -> tuple[int, bool]:
    """Find the Grouping Header; say whether the MAC Header's length is longer than it need be."""
    if not octets:
        raise DecodeError("no octets at all", layer="GBCS message", offset=0)
    if octets[0] == GENERAL_SIGNING:
        return 0, False
    if octets[0] != GENERAL_CIPHERING:
        raise DecodeError(
            f"starts with {octets[0]:02X}, where DD or DF belongs",
            layer="GBCS message",
            offset=0,
            excerpt=octets,
        )
    if octets[1:2] == b"\x09":
        raise DecodeError(
            "one block of a general block transfer, not a whole message",
            layer="GBCS message",
            offset=1,
            clause="GBCS 7.2.11",
        )
    service: bytes = MAC_HEADER.parse(octets)["ciphered_service"]
    start = len(octets) - len(service)
    if not service.startswith(SECURITY_HEADER):
        raise DecodeError(
            "the security header is not 11 00 00 00 00",
            layer="MAC Header",
            field="security_header",
            offset=start,
            excerpt=service[: len(SECURITY_HEADER)],
        )
    padded = start != 7 + len(encode_length(len(service)))
    return start + len(SECURITY_HEADER), padded


def _parse_grouping(octets: bytes, offset: int) -> Any:
    try:
        return GROUPING_HEADER.parse(octets[offset:] if offset else octets)
    except DecodeError as error:
        raise _shifted(error, offset) from None


def _shifted(error: DecodeError, offset: int) -> DecodeError:
    """Count an error's offset from the start of the message."""
    error.offset = (error.offset or 0) + offset
    return error


def _grouping_length(values: Any) -> int:
    other, content = values["other_information"], values["content"]
    return (
        _GROUPING_FIXED_OCTETS
        + len(values["date_time"])
        + len(encode_length(len(other)))
        + len(other)
        + len(encode_length(len(content)))
        + len(content)
    )


def _trailer_length(signature: bytes | None, mac: bytes | None) -> int:
    return 0 if signature is None else 1 + len(signature) + len(mac or b"")


def _first_padded_length(octets: bytes, grouping_offset: int) -> DecodeError:
    """Find the first length that is longer than it need be, in a message where there is one."""
    if grouping_offset and _is_padded(octets, 7):
        return _padded("MAC Header", "ciphered_service", 7)
    offset = grouping_offset + _GROUPING_FIXED_OCTETS - 1
    for name in ("date_time", "other_information", "content"):
        if _is_padded(octets, offset):
            return _padded("Grouping Header", name, offset)
        length, size = _length_at(octets, offset)
        offset += size + length
    return _padded("signature", "", offset)


def _padded(layer: str, name: str, offset: int) -> DecodeError:
    return DecodeError("a length that is not minimal", layer=layer, field=name, offset=offset)


def _is_padded(octets: bytes, offset: int) -> bool:
    length, size = _length_at(octets, offset)
    return size != len(encode_length(length))


def _length_at(octets: bytes, offset: int) -> tuple[int, int]:
    """Read the length at `offset`; give it and how many octets it takes."""
    first = octets[offset]
    size = 1 if first < 0x80 else 1 + (first & 0x7F)
    return (first if size == 1 else int.from_bytes(octets[offset + 1 : offset + size])), size


def _header(values: Any, grouping_offset: int) -> Header:
    cra_flag = _CRA_FLAGS.get(values["cra_flag"])
    if cra_flag is None:
        raise DecodeError(
            f"CRA flag {values['cra_flag']:02X} is neither command, response nor alert",
            layer="Grouping Header",
            field="cra_flag",
            offset=grouping_offset + 2,
        )
    date_time: bytes = values["date_time"]
    if len(date_time) not in (0, DATE_TIME_OCTETS):
        raise DecodeError(
            f"{len(date_time)} octets, where 0 or {DATE_TIME_OCTETS} belong",
            layer="Grouping Header",
            field="date_time",
            offset=grouping_offset + _GROUPING_FIXED_OCTETS - 1,
        )
    try:
        other_information = OtherInformation.decode(values["other_information"])
    except DecodeError as error:
        length = len(encode_length(len(values["other_information"])))
        raise _shifted(
            error, grouping_offset + _GROUPING_FIXED_OCTETS + len(date_time) + length
        ) from None
    return Header(
        cra_flag,
        values["originator_counter"],
        EntityIdentifier(values["business_originator_id"]),
        EntityIdentifier(values["business_target_id"]),
        other_information,
        date_time,
    )


def _trailer(
    trailer: bytes, cra_flag: CRAFlag, offset: int, *, has_mac: bool
) -> tuple[bytes | None, bytes | None]:
    """Read signature and MAC from what follows the content."""
    if not trailer and not has_mac:
        if cra_flag is not CRAFlag.COMMAND:
            raise DecodeError(
                "the signature's length octet is missing", layer="signature", offset=offset
            )
        return None, None
    try:
        values = (MACED_TRAILER if has_mac else SIGNED_TRAILER).parse(trailer)
    except DecodeError as error:
        raise _shifted(error, offset) from None
    signature: bytes = values["signature"]
    if len(signature) not in (0, SIGNATURE_OCTETS):
        raise DecodeError(
            f"a signature of {len(signature)} octets, where 0 or {SIGNATURE_OCTETS} belong",
            layer="signature",
            offset=offset,
        )
    return signature, values["mac"] if has_mac else None


def compose_pre_command(header: Header, content: bytes) -> Message:
    """Compose Grouping Header and content, still to be protected.

    Raises:
        LocalProtocolError: The message would be longer than any that is read.

    Source: GBCS v0.8.1, 7.2.7.
    """
    octets = GROUPING_HEADER.build(
        {
            "cra_flag": header.cra_flag.value,
            "originator_counter": header.originator_counter,
            "business_originator_id": header.originator,
            "business_target_id": header.recipient,
            "date_time": header.date_time,
            "other_information": header.other_information.encode(),
            "content": content,
            "trailer": b"",
        }
    )
    if len(octets) > PRE_COMMAND_MAXIMUM_OCTETS:
        raise LocalProtocolError(
            f"a message of {len(octets)} octets before protection, "
            f"more than the {PRE_COMMAND_MAXIMUM_OCTETS} that there may be"
        )
    return Message(header, content, None, None, octets, 0, len(octets))


def compose_protected(unprotected: Message, *, signature: bytes, mac: bytes | None) -> Message:
    """Compose the whole message from Grouping Header, content, signature and MAC.

    Args:
        unprotected: Has the header and the content; whatever protection it has is dropped.
        signature: 64 octets, or b"" for a signature length of 0.
        mac: 12 octets, or None for a message without MAC Header.

    Source: GBCS v0.8.1, 7.2.5, 13.3.3.1.
    """
    if len(signature) not in (0, SIGNATURE_OCTETS):
        raise LocalProtocolError(f"a signature of {len(signature)} octets")
    grouping = unprotected.grouping
    signed = grouping + bytes((len(signature),)) + signature
    if mac is None:
        octets, offset = signed, 0
    else:
        if len(mac) != MAC_OCTETS:
            raise LocalProtocolError(f"a MAC of {len(mac)} octets")
        octets = MAC_HEADER.build({"ciphered_service": SECURITY_HEADER + signed + mac})
        offset = len(octets) - len(signed) - MAC_OCTETS
    return Message(
        unprotected.header,
        unprotected.content,
        signature,
        mac,
        octets,
        offset,
        offset + len(grouping),
    )


assert ENTITY_IDENTIFIER_OCTETS * 2 + 2 + 1 + 10 + 1 == _GROUPING_FIXED_OCTETS
