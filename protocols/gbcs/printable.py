"""Making text that came from outside safe to print."""

from __future__ import annotations

from typing import Final

SHOWN_CHARACTERS: Final = 400


def printable(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return `text` without anything that a terminal acts on, in one line, cut at `limit`."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown + ("…" if len(text) > limit else "")
