"""GBCS messages as values: parsed with every offset checked, and composed octet for octet.

Source: GBCS v0.8.1, 7.2 and 13.3.3.1; the forms of other-information as in RTDS 4.5.0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from gbcs.entity_identifier import EntityIdentifier
from gbcs.message_headers import (
    DATE_TIME_OCTETS,
    GENERAL_CIPHERING,
    GENERAL_SIGNING,
    MAC_OCTETS,
    MESSAGE_MAXIMUM_OCTETS,
    PARTIES,
    SECURITY_HEADER,
    SIGNATURE_OCTETS,
    read_mac_header,
    read_trailer,
    write_mac_header,
)
from gbcs.octet_cursor import OctetCursor, with_length
from gbcs.protocol_errors import DecodeError, LocalProtocolError

COUNTER_MAXIMUM: Final = 2**64 - 1
PRE_COMMAND_MAXIMUM_OCTETS: Final = MESSAGE_MAXIMUM_OCTETS - (
    10 + len(SECURITY_HEADER) + 1 + SIGNATURE_OCTETS + MAC_OCTETS
)
"""Leaves room for the MAC Header with the longest length, the signature and the MAC."""
TRANSACTION_ID_OCTETS: Final = 9
"""CRA flag and originator counter."""
_GENERAL_SIGNING: Final = bytes((GENERAL_SIGNING,))
_TRANSACTION_ID_LENGTH: Final = bytes((TRANSACTION_ID_OCTETS,))


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
        """Raise an error for a combination that none of the forms has."""
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
    def decode(cls, octets: bytes, offset: int = 0) -> OtherInformation:
        """Decode the value octets.

        Args:
            octets: All of them.
            offset: Where they stand in the message, for errors.

        Raises:
            DecodeError: Their number fits none of the forms.
        """
        has_certificate = len(octets) > 26
        if len(octets) not in (2, 10, 18, 26) and not has_certificate:
            raise DecodeError(
                f"{len(octets)} octets, where the forms have 2, 10, 18, 26 or more",
                layer="Grouping Header",
                field="other_information",
                offset=offset,
                excerpt=octets,
            )
        if has_certificate and octets[18] != 0x30:
            raise DecodeError(
                "what follows the supplementary counter is no certificate",
                layer="Grouping Header",
                field="other_information",
                offset=offset + 18,
                excerpt=octets[18:],
            )
        message_code = int.from_bytes(octets[:2])
        if len(octets) == 2:
            return cls(message_code)
        return cls(
            message_code,
            supplementary_remote_party_id=EntityIdentifier(octets[2:10]),
            supplementary_remote_party_counter=(
                int.from_bytes(octets[10:18]) if len(octets) >= 18 else None
            ),
            supplementary_originator_counter=(
                int.from_bytes(octets[18:26]) if len(octets) == 26 else None
            ),
            key_agreement_certificate=octets[18:] if has_certificate else b"",
        )


_FORMS: Final = {
    (False, False, False, False),
    (True, False, False, False),
    (True, True, False, False),
    (True, True, True, False),
    (True, True, False, True),
}


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
        """Raise an error for values that have no place on the wire."""
        if not 0 <= self.originator_counter <= COUNTER_MAXIMUM:
            raise LocalProtocolError(f"counter {self.originator_counter} is no 64-bit value")
        if len(self.date_time) not in (0, DATE_TIME_OCTETS):
            raise LocalProtocolError(f"a date-time of {len(self.date_time)} octets")

    @property
    def message_code(self) -> int:
        """The Message Code."""
        return self.other_information.message_code

    def reply(self, *, date_time: bytes = b"") -> Header:
        """Return the header of the response to a command with this one."""
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
        """True if it is still to be signed and MACed."""
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
        cursor = OctetCursor(octets, "GBCS message")
        has_mac = _has_mac(octets)
        if has_mac:
            read_mac_header(cursor)
        grouping_offset = cursor.offset
        header, content = read_grouping_header(cursor)
        content_end = cursor.offset
        signature = mac = None
        if has_mac or not cursor.is_at_end:
            signature, mac = read_trailer(cursor, has_mac=has_mac)
        elif header.cra_flag is not CRAFlag.COMMAND:
            raise DecodeError(
                "the signature's length octet is missing", layer="signature", offset=content_end
            )
        if lenient_lengths is None:
            lenient_lengths = header.cra_flag is not CRAFlag.COMMAND
        if cursor.not_minimal and not lenient_lengths:
            raise cursor.not_minimal[0]
        return cls(
            header,
            content,
            signature,
            mac,
            octets,
            grouping_offset,
            content_end,
            bool(cursor.not_minimal),
        )


def _has_mac(octets: bytes) -> bool:
    """Return whether a message begins with a MAC Header; otherwise with a Grouping Header."""
    if not octets:
        raise DecodeError("no octets at all", layer="GBCS message", offset=0)
    if octets[0] == GENERAL_SIGNING:
        return False
    if octets[0] != GENERAL_CIPHERING:
        raise DecodeError(
            f"starts with {octets[0]:02X}, where DD or DF belongs",
            layer="GBCS message",
            offset=0,
            excerpt=octets,
        )
    if octets[1:2] == _TRANSACTION_ID_LENGTH:
        raise DecodeError(
            "one block of a general block transfer, not a whole message",
            layer="GBCS message",
            offset=1,
            clause="GBCS 7.2.11",
        )
    return True


def read_grouping_header(cursor: OctetCursor) -> tuple[Header, bytes]:
    """Read a Grouping Header and its content.

    Raises:
        DecodeError: They have another form.

    Source: GBCS v0.8.1, 7.2.7.
    """
    cursor.layer = "Grouping Header"
    cursor.constant(_GENERAL_SIGNING, "general_signing")
    cra_flag, originator_counter, originator, recipient = read_parties(cursor)
    date_time_at = cursor.offset
    date_time = cursor.counted("date_time")
    if len(date_time) not in (0, DATE_TIME_OCTETS):
        raise DecodeError(
            f"{len(date_time)} octets, where 0 or {DATE_TIME_OCTETS} belong",
            layer=cursor.layer,
            field="date_time",
            offset=date_time_at,
        )
    other_information = cursor.counted("other_information")
    header = Header(
        cra_flag,
        originator_counter,
        originator,
        recipient,
        OtherInformation.decode(other_information, cursor.offset - len(other_information)),
        date_time,
    )
    return header, cursor.counted("content")


def read_parties(
    cursor: OctetCursor,
) -> tuple[CRAFlag, int, EntityIdentifier, EntityIdentifier]:
    """Read transaction id and system titles, as the Grouping and the Message Routing Header begin.

    Returns:
        CRA flag, originator counter, Business Originator ID and Business Target ID.

    Raises:
        DecodeError: They have another form.

    Source: GBCS v0.8.1, 7.2.7 and 7.2.11.
    """
    start = cursor.offset
    fields = PARTIES.read(cursor)
    cra_flag = _CRA_FLAGS.get(fields.cra_flag)
    if cra_flag is None:
        raise DecodeError(
            f"CRA flag {fields.cra_flag:02X} is neither command, response nor alert",
            layer=cursor.layer,
            field="cra_flag",
            offset=start + 1,
        )
    return (
        cra_flag,
        fields.originator_counter,
        EntityIdentifier(fields.business_originator_id),
        EntityIdentifier(fields.business_target_id),
    )


def write_parties(
    cra_flag: CRAFlag,
    originator_counter: int,
    *,
    originator: EntityIdentifier,
    recipient: EntityIdentifier,
) -> bytes:
    """Write transaction id and system titles. Source: GBCS v0.8.1, 7.2.7 and 7.2.11."""
    return PARTIES.write(
        cra_flag=cra_flag,
        originator_counter=originator_counter,
        business_originator_id=originator,
        business_target_id=recipient,
    )


def compose_pre_command(header: Header, content: bytes) -> Message:
    """Compose Grouping Header and content, still to be protected.

    Raises:
        LocalProtocolError: The message would be longer than any that is read.

    Source: GBCS v0.8.1, 7.2.7.
    """
    parties = write_parties(
        header.cra_flag,
        header.originator_counter,
        originator=header.originator,
        recipient=header.recipient,
    )
    parts = (header.date_time, header.other_information.encode(), content)
    octets = _GENERAL_SIGNING + parties + b"".join([with_length(part) for part in parts])
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
        octets = write_mac_header(signed + mac)
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
