"""Errors of the whole project's base, split by who must act.

They stand with the protocols because imports point that way; links, ledger and
rigs add theirs in `keyrig.base.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass


class KeyrigError(Exception):
    """Base of every error that the project raises on purpose."""


class ProtocolError(KeyrigError):
    """Something about octets on a wire; raised only as one of its subclasses."""


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
        super().__init__(str(self))

    def __str__(self) -> str:
        """Compose the one line that a technician reads."""
        parts = [f"{self.layer}: " if self.layer else ""]
        if self.field:
            parts.append(f"{self.field}: ")
        parts.append(self.reason)
        if self.offset is not None:
            parts.append(f", at octet {self.offset}")
        if self.excerpt:
            parts.append(f" ({self.excerpt.hex().upper()})")
        if self.clause:
            parts.append(f" [{self.clause}]")
        return "".join(parts)


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


class MACMismatch(SecurityError):  # noqa: N818 - the field's word; the base says it is an error
    """A message's MAC is not the one its octets and the keys give."""


class SignatureMismatch(SecurityError):  # noqa: N818 - as above
    """A message's or certificate's signature does not verify."""


class ProtectionMissing(SecurityError):  # noqa: N818 - as above
    """A message lacks a protection that its use case demands."""


class CounterReplayed(SecurityError):  # noqa: N818 - as above
    """A counter is not greater than the last one accepted."""


class WrongEntity(SecurityError):  # noqa: N818 - as above
    """A message names another originator, recipient, use case or counter than was awaited."""


@dataclass(eq=False)
class CertificateRejected(SecurityError):  # noqa: N818 - as above
    """A certificate breaks a rule of its profile or of path validation.

    Args:
        rule: The rule's short stable name, such as "key-usage" or "issuer".
        reason: What is wrong, in one line.
        subject: Who the certificate says it is, or "".
    """

    rule: str
    reason: str
    subject: str = ""

    def __post_init__(self) -> None:
        super().__init__(str(self))

    def __str__(self) -> str:
        """Compose the one line that a technician reads."""
        of = f" of {self.subject}" if self.subject else ""
        return f"certificate{of} rejected ({self.rule}): {self.reason}"
