"""Faults that the stand-in can be given, each for so many of the next documents."""

from __future__ import annotations

import enum
import re
from typing import Final

from gbcs.roles import KeyUsage
from gbcs.security_credentials import KeyUsageCommand, UpdateCredentialsCommand


class Fault(enum.Enum):
    """What can go wrong; the value is its name."""

    LOST_REPLY = "lost-reply"
    """The request is carried out, and its HTTP connection closed without an answer."""
    HTTP_ERROR = "http-error"
    """The request is answered with HTTP 500, and not carried out."""
    SLOW_REPLY = "slow-reply"
    """The HTTP answer is held back for the time that was asked for."""
    STATUS_INCOMPATIBLE = "status-incompatible"
    """The request is refused with E5."""
    DIFFERENT_PRE_COMMAND = "different-pre-command"
    """The pre-command does something else than the request asked for."""
    UNANSWERED = "unanswered"
    """The command does not reach the device, and nobody is told but by E21."""
    LOST_RESPONSE = "lost-response"
    """The asynchronous response is not sent."""
    DUPLICATE_RESPONSE = "duplicate-response"
    """The asynchronous response is sent twice."""
    LATE_RESPONSE = "late-response"
    """The asynchronous response is held back for the time that was asked for."""
    WRONG_COUNTER = "wrong-counter"
    """The asynchronous response is about a request that nobody made."""
    WRONG_SIGNATURE = "wrong-signature"
    """The XML signature of the next document does not verify."""
    ALTERED_PAYLOAD = "altered-payload"
    """A bit of the device's message is flipped before the response is signed."""
    MALFORMED = "malformed"
    """The next document breaks off."""
    ENTITY_BOMB = "entity-bomb"
    """The next document is one of entities that multiply."""


ENTITY_BOMB_OCTETS: Final = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (name, b"&%c;" % (name - 1) * 10) for name in b"bcdefghi")
    + b"]><r>&i;</r>"
)
_SIGNATURE_VALUE: Final = re.compile(rb"(SignatureValue>\s*)([A-Za-z0-9+/])")


class Faults:
    """The faults that wait; none at first."""

    def __init__(self) -> None:
        self._left: dict[Fault, int] = {}
        self.delay_s = 0.5
        """How long SLOW_REPLY and LATE_RESPONSE hold back."""

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Inject a fault that happens the next `times` times that it can.

        Raises:
            ValueError: `times` is less than 1.
        """
        if times < 1:
            msg = f"a fault happens at least once, not {times} times"
            raise ValueError(msg)
        self._left[fault] = self._left.get(fault, 0) + times

    def clear(self) -> None:
        """Clear the faults that have not happened yet."""
        self._left.clear()

    def takes_effect(self, fault: Fault) -> bool:
        """True if a fault happens now, which is counted."""
        left = self._left.get(fault, 0)
        if left:
            self._left[fault] = left - 1
        return left > 0

    def on_document(self, octets: bytes) -> bytes:
        """Return what becomes of a signed document on its way out."""
        if self.takes_effect(Fault.ENTITY_BOMB):
            return ENTITY_BOMB_OCTETS
        if self.takes_effect(Fault.MALFORMED):
            return octets[: len(octets) * 2 // 3]
        if self.takes_effect(Fault.WRONG_SIGNATURE):
            return _SIGNATURE_VALUE.sub(_other_digit, octets, count=1)
        return octets

    def on_payload(self, octets: bytes) -> bytes:
        """Return what becomes of a device's message on its way into a response."""
        if not self.takes_effect(Fault.ALTERED_PAYLOAD):
            return octets
        return octets[:-1] + bytes((octets[-1] ^ 1,))


def _other_digit(found: re.Match[bytes]) -> bytes:
    return found[1] + (b"B" if found[2] == b"A" else b"A")


def other_payload(payload: object) -> object | None:
    """Return a command's payload that does something else, or None where none is known."""
    if isinstance(payload, KeyUsageCommand):
        swapped = KeyUsage.DIGITAL_SIGNATURE | KeyUsage.KEY_AGREEMENT
        return KeyUsageCommand(key_usage=payload.key_usage ^ swapped)
    if isinstance(payload, UpdateCredentialsCommand):
        fewer = payload.replacements[1:] or payload.replacements * 2
        return UpdateCredentialsCommand(
            authorising_remote_party_control=payload.authorising_remote_party_control,
            replacements=fewer,
            certification_path_certificates=payload.certification_path_certificates,
            execution_date_time=payload.execution_date_time,
        )
    return None
