"""Errors of the whole project's base, split by who must act.

They stand with the protocols because imports point that way; links, ledger and
rigs add theirs in `keyrig.base.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from gbcs.printable import printable

PART_CHARACTERS: Final = 4000


class KeyrigError(Exception):
    """Base of every error that the project raises on purpose.

    A class declares its `code`, by which programs tell it from others, and the `mend` that holds
    where an error names none. Every part is made printable here, so that callers pass on what a
    file or a device said as it is.

    Args:
        reason: What is wrong, in one line.
        where: The file, device, link or field in which, or "" where the reason says it.
        mend: What a person can do about it; None for that of the class.
    """

    code: str = "internal-error"
    reason: str
    mend: str = ""

    def __init__(self, reason: str, *, where: str = "", mend: str | None = None) -> None:
        self._where = printable(where, PART_CHARACTERS)
        self.reason = printable(reason, PART_CHARACTERS)
        if mend is not None:
            self.mend = printable(mend, PART_CHARACTERS)

    @property
    def where(self) -> str:
        """The file, device, link or field in which something is wrong, or ""."""
        return self._where

    @property
    def finding(self) -> str:
        """What is wrong and where, in one line, without what to do about it."""
        return f"{self.where}: {self.reason}" if self.where else self.reason

    def __str__(self) -> str:
        """Return the one line that a technician reads."""
        return f"{self.finding}; {self.mend}" if self.mend else self.finding


class ProtocolError(KeyrigError):
    """Something about octets on a wire; raised only as one of its subclasses."""

    code = "protocol-error"


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the state or the format does not allow."""


EXCERPT_OCTETS = 32


@dataclass(eq=False)
class RemoteProtocolError(ProtocolError):
    """The peer sent something that breaks the protocol.

    Args:
        reason: What is wrong, in one line.
        layer: The layer that found it, such as "HDLC" or "GBCS grouping header".
        offset: Octets from the start of what that layer was given, or None.
        field: The name or path of the field, or "".
        clause: The clause that is broken, or "".
        excerpt: The offending octets; at most 32 are kept.
    """

    reason: str
    layer: str = ""
    offset: int | None = None
    field: str = ""
    clause: str = ""
    excerpt: bytes = b""

    def __post_init__(self) -> None:
        self.excerpt = self.excerpt[:EXCERPT_OCTETS]
        super().__init__(self.reason)

    @property
    def where(self) -> str:
        """The layer and the field, as far as they are known."""
        return printable(": ".join(filter(None, (self.layer, self.field))), PART_CHARACTERS)

    @property
    def finding(self) -> str:
        """What is wrong and where, with the offset, the octets and the clause."""
        offset = f", at octet {self.offset}" if self.offset is not None else ""
        octets = f" ({self.excerpt.hex().upper()})" if self.excerpt else ""
        clause = f" [{self.clause}]" if self.clause else ""
        return f"{super().finding}{offset}{octets}{clause}"


class DecodeError(RemoteProtocolError):
    """Octets do not decode as what they should be."""


class FramingError(RemoteProtocolError):
    """A frame's delimiters, length or form are wrong."""


class ChecksumError(RemoteProtocolError):
    """A frame's check sequence does not match its octets."""


class SequenceError(RemoteProtocolError):
    """A frame or block is out of order."""


class SecurityError(KeyrigError):
    """A protection failed; an incident, never line noise, and never retried as such."""

    code = "security-incident"


class MACMismatch(SecurityError):
    """A message's MAC is not the one its octets and the keys give."""


class SignatureMismatch(SecurityError):
    """A message's or certificate's signature does not verify."""


class ProtectionMissing(SecurityError):
    """A message lacks a protection that its use case demands."""


class CounterReplayed(SecurityError):
    """A counter is not greater than the last one accepted."""


class WrongEntity(SecurityError):
    """A message names another originator, recipient, use case or counter than was awaited."""


@dataclass(eq=False)
class CertificateRejected(SecurityError):
    """A certificate breaks a rule of its profile or of path validation.

    Args:
        rule: The rule's short stable name, such as "key-usage" or "issuer".
        reason: What is wrong, in one line.
        subject: Who the certificate says it is, or "".
    """

    kind: ClassVar[str] = "certificate"

    rule: str
    reason: str
    subject: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.reason)

    @property
    def where(self) -> str:
        """What is rejected, and by which rule."""
        of = f" of {self.subject}" if self.subject else ""
        return printable(f"{self.kind}{of} rejected ({self.rule})", PART_CHARACTERS)
