from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.smki_documents import (
    CertificateDataRequest,
    CertificateDataResponse,
    CertificateResponse,
    CertificateSearchRequest,
    CertificateSearchResponse,
    CertificateStatus,
    Result,
    SMKIDocument,
    build_smki,
    parse_smki,
)
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage

from .examples import DCC, METER, REQUESTS

RESULT = Result(
    certificate_serial="0F4889EF197D41E9016966F9D5AB0402",
    certificate_subject_name=DCC,
    certificate_status=CertificateStatus.IN_USE,
    certificate_role=137,
    certificate_usage=KeyUsage.DIGITAL_SIGNATURE,
    manufacturing_flag=False,
)
OF_DEVICE = Result(
    certificate_serial="1",
    certificate_subject_alt_name=METER,
    certificate_status=CertificateStatus.REVOKED,
    certificate_usage=KeyUsage.KEY_AGREEMENT,
)
DOCUMENTS: tuple[SMKIDocument, ...] = (
    CertificateSearchRequest(certificate_subject_name=DCC),
    CertificateSearchRequest(certificate_subject_alt_name=METER),
    CertificateSearchResponse(),
    CertificateSearchResponse(
        response_code="200",
        response_message="Success",
        audit_reference="1-a",
        results=(RESULT, OF_DEVICE),
    ),
    CertificateDataRequest(certificate_serial="0F48"),
    CertificateDataResponse(),
    CertificateDataResponse(
        response_code="200",
        certificate_response=CertificateResponse(
            certificate_subject_alt_name=METER,
            certificate_serial="0F48",
            certificate_status=CertificateStatus.IN_USE,
            certificate_body=b"\x30\x01",
            certificate_usage=KeyUsage.KEY_AGREEMENT,
        ),
    ),
)

# Written by hand after what DCC Boxed's public client sends and awaits.
SEARCH = (
    b"<?xml version='1.0' encoding='UTF-8'?>\n<CertificateSearchRequest><CertificateSubjectName>"
    b"90-B3-D5-1F-30-00-00-02</CertificateSubjectName></CertificateSearchRequest>"
)
FOUND = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<CertificateSearchResponse>
  <ResponseCode>200</ResponseCode>
  <ResponseMessage>Success</ResponseMessage>
  <Unheard>of</Unheard>
  <AuditReference>1-a</AuditReference>
  <Result>
    <CertificateUsage>DS</CertificateUsage>
    <Unheard><Of/></Unheard>
    <CertificateRole>137</CertificateRole>
    <CertificateStatus>I</CertificateStatus>
    <CertificateSubjectName>90-b3-d5-1f-30-00-00-02</CertificateSubjectName>
    <CertificateSerial>0F4889EF197D41E9016966F9D5AB0402</CertificateSerial>
    <ManufacturingFlag>false</ManufacturingFlag>
  </Result>
  <Result>
    <CertificateSerial>1</CertificateSerial>
    <CertificateSubjectAltName>00-DB-12-34-56-78-90-A0</CertificateSubjectAltName>
    <CertificateStatus>R</CertificateStatus>
    <CertificateUsage>KA</CertificateUsage>
  </Result>
</CertificateSearchResponse>"""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: type(each).__name__)
def test_document_is_read_back(document: Any) -> None:
    assert parse_smki(build_smki(document), "a.xml", type(document)) == document


def test_search_has_the_octets_that_the_interface_takes() -> None:
    assert build_smki(DOCUMENTS[0]) == SEARCH
    assert parse_smki(SEARCH, "a.xml", CertificateSearchRequest) == DOCUMENTS[0]


def test_answer_is_read_in_any_order_and_past_what_is_not_known() -> None:
    assert parse_smki(FOUND, "a.xml", CertificateSearchResponse) == DOCUMENTS[3]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"<CertificateUsage>DS</CertificateUsage>", b"", "CertificateUsage is missing"),
        (
            b"<CertificateUsage>DS</CertificateUsage>",
            b"<CertificateUsage>DS</CertificateUsage><CertificateUsage>KA</CertificateUsage>",
            "no element of this name belongs here",
        ),
        (b">DS<", b">XX<", "CertificateUsage, line 8: 'XX': not one of DS, KA"),
        (b">137<", b">256<", "256 is not within 0 to 255"),
        (b">0F48", b">0G48", "not of the form"),
        (b">90-b3", b">90b3", "not an Entity Identifier"),
        (
            b"<Unheard><Of/></Unheard>",
            b"<CertificateSubjectAltName>00-DB-12-34-56-78-90-A0</CertificateSubjectAltName>",
            "2 of CertificateSubjectName",
        ),
        (
            b"<CertificateSearchResponse>",
            b"<CertificateSearchResponse xmlns='urn:x'>",
            "it is {urn:x}",
        ),
        (b"<Result>", b"<Result a='b'>", "it has the attribute a"),
    ],
)
def test_answer_that_breaks_what_is_known_of_it_is_refused(
    old: bytes, new: bytes, told: str
) -> None:
    assert old in FOUND
    with pytest.raises(DocumentInvalid) as caught:
        parse_smki(FOUND.replace(old, new, 1), "a.xml", CertificateSearchResponse)
    assert told in str(caught.value)


def test_other_document_is_refused() -> None:
    with pytest.raises(DocumentInvalid, match="CertificateDataResponse is awaited"):
        parse_smki(FOUND, "a.xml", CertificateDataResponse)
    with pytest.raises(LocalProtocolError, match="no document of the SMKI interface"):
        build_smki(REQUESTS[0])  # type: ignore[arg-type]


def test_documents_have_no_name_space() -> None:
    root = etree.fromstring(build_smki(DOCUMENTS[3]))
    assert all(etree.QName(each).namespace is None for each in root.iter())
