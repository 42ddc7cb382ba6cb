from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lxml import etree

from authorities import needs
from duis.document_errors import DocumentInvalid
from duis.request_documents import Request, build_request, parse_request
from duis.xml_documents import SIGNATURE
from duis_schemas import TEMPLATES, assert_valid, duis_schema, templates

from .examples import REQUESTS

if TYPE_CHECKING:
    from pathlib import Path


def canonical(octets: bytes) -> bytes:
    """Give the infoset without the signature, comments, and the spaces of the layout."""
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True)
    root = etree.fromstring(octets, parser)
    for signature in root.findall(SIGNATURE):
        root.remove(signature)
    return etree.tostring(root, method="c14n", exclusive=True)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each.body).__name__)
def test_request_is_valid_and_read_back(request_: Request) -> None:
    octets = build_request(request_)
    assert_valid(octets)
    assert parse_request(octets, "a.xml") == request_


@needs(TEMPLATES)
@pytest.mark.reference
@pytest.mark.parametrize("template", templates(), ids=lambda path: path.stem)
def test_template_is_read_and_built_again_with_the_same_infoset(template: Path) -> None:
    octets = template.read_bytes()
    duis_schema().assertValid(etree.fromstring(octets))
    built = build_request(parse_request(octets, template.name))
    assert canonical(built) == canonical(octets)


def test_response_is_no_request() -> None:
    octets = build_request(REQUESTS[0]).replace(b"sr:Request", b"sr:Response")
    with pytest.raises(DocumentInvalid, match=r"a\.xml: line 2: it is \{http.*Response"):
        parse_request(octets, "a.xml")
