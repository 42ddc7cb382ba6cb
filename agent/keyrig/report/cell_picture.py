"""The picture of a device's trust anchor cells: a box for each, split where it was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyrig.documents.report_document import CellChange
from keyrig.report.html_builder import Markup, element
from keyrig.report.html_formatting import NONE, code, moment, sign, table

if TYPE_CHECKING:
    from keyrig.documents.report_document import CellContents, CellPart, DevicePart

_SAID: Final = {
    CellChange.CHANGED: ("◆", "changed"),
    CellChange.REPLACED_BY_SAME: ("◈", "replaced by the same"),
    CellChange.UNCHANGED: ("◇", "unchanged"),
    CellChange.FIRST_READ: ("◇", "first read in this run"),
}


def cell_picture(device: DevicePart) -> Markup:
    """Return a drawing of the known cells: a row for each role, a column for each usage."""
    heading = element("h3", "Trust anchor cells, before and after")
    if not device.cells:
        return element("div", heading, element("p", "No cell was read or replaced in the run."))
    usages = sorted({_usage(cell) for cell in device.cells}, key=_order)
    by_place = {(cell.role, _usage(cell)): cell for cell in device.cells}
    rows = [
        [
            role,
            *(
                _box(by_place[role, usage]) if (role, usage) in by_place else NONE
                for usage in usages
            ),
        ]
        for role in dict.fromkeys(cell.role for cell in device.cells)
    ]
    caption = (
        "Whose certificate each cell holds, and the identifier of its key. A box in two halves "
        "was replaced in the run: above before, below after."
    )
    return element("div", heading, table(caption, ["role", *usages], rows, class_="cells"))


def _usage(cell: CellPart) -> str:
    return cell.key_usage if cell.cell_usage == "management" else f"{cell.key_usage}, top-up"


def _order(usage: str) -> tuple[bool, bool, str]:
    return (not usage.startswith("digitalSignature"), "," in usage, usage)


def _box(cell: CellPart) -> Markup:
    signs, words = _SAID[cell.change]
    replaced = cell.change in {CellChange.CHANGED, CellChange.REPLACED_BY_SAME}
    halves = [_half("before", cell.before)] if replaced and cell.before else []
    return element(
        "div",
        halves,
        _half("after" if replaced else "held", cell.after),
        element("p", sign(signs), " ", words, class_="change"),
        class_=f"cell cell-{cell.change.value}",
    )


def _half(when: str, contents: CellContents) -> Markup:
    return element(
        "div",
        element("p", when, " ", moment(contents.at), class_="when"),
        element("p", contents.holder.name, class_="party"),
        element("p", code(contents.holder.entity_id)),
        element("p", "key ", code(_grouped(contents.key_identifier))),
        class_="half",
    )


def _grouped(identifier: str) -> str:
    """Return octets in hexadecimal pairs with hyphens, as Entity Identifiers are written."""
    return "-".join(identifier[place : place + 4] for place in range(0, len(identifier), 4))
