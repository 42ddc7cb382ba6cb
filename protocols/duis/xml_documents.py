"""What requests and responses have in common: root, version, Header, Body, Signature."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.xml_elements import Document
from duis.xml_reading import read_xml
from gbcs.printable import printable
from gbcs.protocol_errors import LocalProtocolError

NAMESPACE: Final = "http://www.dccinterface.co.uk/ServiceUserGateway"
SIGNATURE_NAMESPACE: Final = "http://www.w3.org/2000/09/xmldsig#"
SIGNATURE: Final = f"{{{SIGNATURE_NAMESPACE}}}Signature"
SCHEMA_VERSION: Final = "5.4"
PREFIX: Final = "sr"

_SCHEMA_LOCATION: Final = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_VERSION: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")


class Parts(NamedTuple):
    """A document that has been read down to its two parts."""

    schema_version: str
    header: etree._Element
    body: etree._Element
    document: Document


def named(name: str) -> str:
    """Return an element's name in the namespace of DUIS."""
    return f"{{{NAMESPACE}}}{name}"


def new_document(name: str, schema_version: str) -> tuple[etree._Element, etree._Element]:
    """Return the Header and the Body of a new document, both empty.

    Raises:
        LocalProtocolError: The schema version is no number.
    """
    if not _VERSION.fullmatch(schema_version):
        raise LocalProtocolError(f"{name}/schemaVersion: {schema_version[:20]!r} is no version")
    root = etree.Element(named(name), nsmap={PREFIX: NAMESPACE}, schemaVersion=schema_version)
    return etree.SubElement(root, named("Header")), etree.SubElement(root, named("Body"))


def octets_of(header: etree._Element) -> bytes:
    """Return the octets of the document that `header` belongs to, in UTF-8."""
    return etree.tostring(header.getroottree(), xml_declaration=True, encoding="UTF-8")


def read_document(octets: bytes, source: str, name: str) -> Parts:
    """Read a document down to its Header and Body, and leave its signature aside.

    Raises:
        DocumentInvalid: It is hostile, or is not a document of this name.
    """
    root = read_xml(octets, source)
    document = Document(source)
    if root.tag != named(name):
        raise DocumentInvalid(
            f"it is {printable(str(root.tag), 80)}",
            source=source,
            line=root.sourceline,
            mend=f"name a DUIS {name}",
        )
    version = _version(root, document)
    children = document.children(root)
    if children and children[-1].tag == SIGNATURE:
        children.pop()
    if [child.tag for child in children] != [named("Header"), named("Body")]:
        raise document.wrong(root, "Header, Body and at most a Signature belong here")
    header, body = children
    return Parts(version, header, body, document)


def _version(root: etree._Element, document: Document) -> str:
    attributes = {str(name): str(value) for name, value in root.attrib.items()}
    attributes.pop(_SCHEMA_LOCATION, None)
    version = attributes.pop("schemaVersion", "").strip()
    if attributes:
        raise document.wrong(root, f"it has the attribute {printable(next(iter(attributes)), 60)}")
    if not _VERSION.fullmatch(version):
        raise document.wrong(root, "its schemaVersion is missing or no version")
    return version
