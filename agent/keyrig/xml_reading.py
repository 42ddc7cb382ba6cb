"""Reading XML from outside, where it may be hostile."""

from __future__ import annotations

from typing import Final

from lxml import etree

from keyrig.errors import DocumentInvalid
from keyrig.printable import printable

OCTETS_MAXIMUM: Final = 4 * 1024 * 1024
DEPTH_MAXIMUM: Final = 64


def read_xml(octets: bytes, source: str) -> etree._Element:
    """Read an XML document; nothing outside of it is ever fetched.

    Args:
        octets: The document.
        source: Its name for errors, such as a path.

    Raises:
        DocumentInvalid: It is not XML, is too large or too deep, or declares a document type,
            by which entities come.
    """
    if len(octets) > OCTETS_MAXIMUM:
        raise DocumentInvalid(
            source,
            f"{len(octets)} octets, where {OCTETS_MAXIMUM} are allowed",
            "name the document itself",
        )
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(octets, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DocumentInvalid(
            source, f"not XML: {printable(str(error), 160)}", "name an XML document"
        ) from None
    if root.getroottree().docinfo.doctype:
        raise DocumentInvalid(source, "it declares a document type", "DUIS documents have none")
    if _is_deeper(root, DEPTH_MAXIMUM):
        raise DocumentInvalid(
            source, f"elements nest deeper than {DEPTH_MAXIMUM}", "name a DUIS document"
        )
    return root


def _is_deeper(element: etree._Element, depth: int) -> bool:
    level = [element]
    for _ in range(depth):
        level = [child for each in level for child in each]
        if not level:
            return False
    return True
