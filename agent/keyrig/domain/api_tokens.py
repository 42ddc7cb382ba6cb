"""Tokens of the API: their form, scopes and expiry."""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

SECRET_OCTETS: Final = 32
_ID_OCTETS: Final = 6
_TOKEN: Final = re.compile(r"keyrig_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_DURATION: Final = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>[mhdw])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NOBODY: Final = "0" * 64
"""Compared with where there is no such token, so that it takes as long."""


class Scope(enum.Enum):
    """What a token allows."""

    READ = "read"
    """Everything that is read only."""
    RUN = "run"
    """Starting and stopping runs, recording facts, deliveries."""
    KEYS = "keys"
    """Everything that concerns key material or certificates."""


class TokenFault(enum.Enum):
    """Why a token is refused."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the ledger keeps it: only the SHA-256 of its secret.

    A secret has 256 random bits, beyond any search, so that a hash that is slow on
    purpose, as passwords need it, would guard nothing more.

    Args:
        id: Its identifier; 12 hexadecimal digits that are part of its text.
        name: Its owner, for people.
        digest: The SHA-256 of its text, in hexadecimal.
        scopes: What it allows.
        created_at: When it was made.
        expires_at: The instant from which it is refused, or None.
        revoked_at: When it was revoked, or None.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None

    def fault(self, now: datetime) -> TokenFault | None:
        """Return why it is refused at `now`, or None where it is accepted."""
        if self.revoked_at is not None:
            return TokenFault.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return TokenFault.EXPIRED
        return None


def new_token(
    name: str,
    scopes: frozenset[Scope],
    *,
    now: datetime,
    lasts: timedelta | None,
    random: Callable[[int], bytes],
) -> tuple[Token, str]:
    """Make a token; return what is kept of it, and its text, which is shown once.

    Args:
        name: Whose it is.
        scopes: What it allows.
        now: The present instant.
        lasts: How long it is valid; None for ever.
        random: Returns the number of random octets asked for.
    """
    token_id = random(_ID_OCTETS).hex()
    secret = urlsafe_b64encode(random(SECRET_OCTETS)).rstrip(b"=").decode()
    text = f"keyrig_{token_id}_{secret}"
    token = Token(
        id=token_id,
        name=name,
        digest=_digest(text),
        scopes=scopes,
        created_at=now,
        expires_at=None if lasts is None else now + lasts,
    )
    return token, text


def token_id_of(text: str) -> str | None:
    """Return the id in a token's text, or None where the text is no token."""
    match = _TOKEN.fullmatch(text)
    return match["id"] if match else None


def is_text_of(text: str, token: Token | None) -> bool:
    """Return True if a text is that of a token, in constant time."""
    is_same = hmac.compare_digest(_digest(text), token.digest if token else _NOBODY)
    return is_same and token is not None


def read_duration(text: str) -> timedelta:
    """Read a duration such as 30d, 12h, 90m or 2w.

    Raises:
        ValueError: It has another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r:.40} is no duration such as 30d, 12h, 90m or 2w")
    return int(match["number"]) * _UNITS[match["unit"]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
