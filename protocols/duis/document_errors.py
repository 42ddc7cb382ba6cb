"""What is wrong with a document from outside."""

from __future__ import annotations

from dataclasses import dataclass

from gbcs.printable import printable
from gbcs.protocol_errors import RemoteProtocolError

FIELD_SHOWN_CHARACTERS = 200


@dataclass(eq=False, kw_only=True)
class DocumentInvalid(RemoteProtocolError):
    """A document from outside cannot be read, or is not what it should be.

    Args:
        reason: What is wrong, in one line.
        source: The document's name, such as a path or "the response from serviceT".
        field: The path of the element, such as "Response/Header/ResponseCode", or "".
        line: The line of the element, counted from 1, or None.
        mend: What to do about it.
    """

    code = "document-invalid"

    source: str
    line: int | None = None
    mend: str = "ask its sender for it anew"

    @property
    def where(self) -> str:
        """The document, the path of the element and its line, as far as they are known."""
        at = [printable(self.field, FIELD_SHOWN_CHARACTERS)] if self.field else []
        at += [f"line {self.line}"] if self.line is not None else []
        return ": ".join(filter(None, (printable(self.source), ", ".join(at))))
