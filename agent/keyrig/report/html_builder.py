"""Building HTML and SVG; all text is escaped, unless it was built here."""

from __future__ import annotations

import html
from typing import Final

from gbcs.printable import printable
from keyrig.documents.document_model import LONGEST_TEXT

VOID: Final = frozenset({"br", "hr", "link", "meta", "wbr"})
"""Elements of HTML that have no content and no end tag."""


class Markup(str):
    """Text that is markup already; every other text is escaped where it is inserted."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: str | float | None) -> Markup:
    """Return an HTML or SVG element.

    Args:
        name: The element's name.
        content: `Markup` goes in as it is; iterables item by item; None not at all; the rest
            as text, escaped.
        attributes: By name, `_` standing for `-` and a last `_` left off; None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: object) -> Markup:
    """Return contents joined as in `element`."""
    return Markup("".join(_written(part) for part in content))


def escaped(text: str) -> str:
    """Return text escaped for an element or a quoted attribute, unprintable characters replaced."""
    return html.escape(printable(text, LONGEST_TEXT), quote=True)


def _written(part: object) -> str:
    if part is None:
        return ""
    if isinstance(part, Markup):
        return part
    if isinstance(part, (list, tuple)):
        return "".join(_written(each) for each in part)
    return escaped(str(part))
