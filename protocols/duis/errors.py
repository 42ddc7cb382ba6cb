"""What is wrong with a document from outside."""

from __future__ import annotations

from dataclasses import dataclass

from gbcs.errors import RemoteProtocolError
from gbcs.printable import printable

FIELD_SHOWN_CHARACTERS = 200


@dataclass(eq=False, kw_only=True)
class DocumentInvalid(RemoteProtocolError):  # noqa: N818 - as its siblings in gbcs.errors
    """A document from outside cannot be read, or is not what it should be.

    Args:
        reason: What is wrong, in one line.
        source: The document's name, such as a path or "the response from serviceT".
        field: The path of the element, such as "Response/Header/ResponseCode", or "".
        line: The line of the element, counted from 1, or None.
        mend: What to do about it.
    """

    source: str
    line: int | None = None
    mend: str = "ask its sender for it anew"

    def __str__(self) -> str:
        """Compose the one line that a technician reads."""
        at = [printable(self.field, FIELD_SHOWN_CHARACTERS)] if self.field else []
        at += [f"line {self.line}"] if self.line is not None else []
        where = f"{', '.join(at)}: " if at else ""
        return f"{printable(self.source)}: {where}{self.reason}; {self.mend}"
