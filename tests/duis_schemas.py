"""The DUIS schema beside the checkout, where it is there."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lxml import etree

from authorities import SHARED

if TYPE_CHECKING:
    from pathlib import Path

DUIS = SHARED / "duis"
TEMPLATES = DUIS / "templates"
XS = "{http://www.w3.org/2001/XMLSchema}"
RESPONSE_AND_ALERT = "http://www.dccinterface.co.uk/ResponseAndAlert"


@lru_cache(maxsize=1)
def duis_schema() -> etree.XMLSchema:
    """Compile it; three types of the MMC schema, for SMETS1 devices alone, are left open."""
    tree = etree.parse(DUIS / "DUIS Schema V5.4.xsd")
    root = tree.getroot()
    for each in root.findall(f"{XS}import[@namespace='{RESPONSE_AND_ALERT}']"):
        root.remove(each)
    left_open = 0
    for each in root.iter(f"{XS}element"):
        if str(each.get("type", "")).startswith("ra:"):
            each.set("type", "xs:anyType")
            left_open += 1
    assert left_open == 3
    return etree.XMLSchema(tree)


def templates() -> list[Path]:
    return sorted(TEMPLATES.glob("*.XML"))


def assert_valid(octets: bytes) -> None:
    """Check a document against the schema, where that is there."""
    if DUIS.is_dir():
        duis_schema().assertValid(etree.fromstring(octets))
