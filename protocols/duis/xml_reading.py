"""Reading XML from outside, where it may be hostile.

A document is read twice. The first reading keeps nothing and refuses what could do harm as soon
as it is met, entities before any is declared; the second makes the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lxml import etree

from duis.document_errors import DocumentInvalid
from gbcs.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

OCTETS_MAXIMUM: Final = 4 * 1024 * 1024
DEPTH_MAXIMUM: Final = 64
ELEMENTS_MAXIMUM: Final = 20_000
"""An inventory of 17 devices has some 400 elements."""

ATTRIBUTES_MAXIMUM: Final = 16
"""Of one element; DUIS has one, XML signatures have three at most."""

TEXT_MAXIMUM_CHARACTERS: Final = 1024 * 1024
"""Of one piece of text; the longest GBCS payload has some 90,000 characters of base64."""

ENCODINGS: Final = frozenset({"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII"})


class _Refused(Exception):
    """The first reading found something that is not allowed."""


@dataclass
class _Inspection:
    """What the parser of the first reading calls; it keeps counts and no content."""

    depth: int = 0
    elements: int = 0
    characters: int = 0

    def start(self, _tag: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        self.characters = 0
        if self.depth > DEPTH_MAXIMUM:
            raise _Refused(f"elements nest deeper than {DEPTH_MAXIMUM}")
        if self.elements > ELEMENTS_MAXIMUM:
            raise _Refused(f"more than {ELEMENTS_MAXIMUM} elements")
        if len(attributes) > ATTRIBUTES_MAXIMUM:
            raise _Refused(f"an element has more than {ATTRIBUTES_MAXIMUM} attributes")
        if any(len(value) > TEXT_MAXIMUM_CHARACTERS for value in attributes.values()):
            raise _Refused(f"an attribute of more than {TEXT_MAXIMUM_CHARACTERS} characters")

    def end(self, _tag: str) -> None:
        self.depth -= 1
        self.characters = 0

    def data(self, text: str) -> None:
        self.characters += len(text)
        if self.characters > TEXT_MAXIMUM_CHARACTERS:
            raise _Refused(f"a text of more than {TEXT_MAXIMUM_CHARACTERS} characters")

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise _Refused("it declares a document type")

    def pi(self, _target: str, _data: str | None) -> None:
        raise _Refused("it has a processing instruction")

    def close(self) -> None:
        pass


def read_xml(octets: bytes, source: str) -> etree._Element:
    """Read an XML document; nothing outside of it is ever fetched.

    Comments are left out, and the text around each is one text, as it is in what an XML
    signature covers.

    Args:
        octets: The document.
        source: Its name for errors, such as a path.

    Raises:
        DocumentInvalid: It is not XML in UTF-8 or UTF-16, is too large, too deep or too
            many-membered, declares a document type, by which entities come, or has a
            processing instruction.
    """
    if len(octets) > OCTETS_MAXIMUM:
        raise DocumentInvalid(
            f"{len(octets)} octets, where {OCTETS_MAXIMUM} are allowed",
            source=source,
            mend="name the document itself",
        )
    try:
        _inspect(octets)
        root = _tree(octets)
    except _Refused as refused:
        raise DocumentInvalid(
            str(refused), source=source, mend="DUIS documents have nothing of the kind"
        ) from None
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise DocumentInvalid(
            f"not XML: {printable(str(error), 160)}", source=source, mend="name an XML document"
        ) from None
    encoding = root.getroottree().docinfo.encoding or "UTF-8"
    if encoding.upper() not in ENCODINGS:
        raise DocumentInvalid(
            f"it is encoded in {printable(encoding, 20)}", source=source, mend="write it in UTF-8"
        )
    return root


def _inspect(octets: bytes) -> None:
    target: Any = _Inspection()
    parser = etree.XMLParser(
        target=target,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    etree.fromstring(octets, parser)


def _tree(octets: bytes) -> etree._Element:
    parser: etree.XMLParser[etree._Element] = etree.XMLParser(
        remove_comments=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    return etree.fromstring(octets, parser)
