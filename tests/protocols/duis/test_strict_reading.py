"""What breaks the schema is refused, with the path and the line of the element."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.request_documents import (
    CommissionDeviceSynchroniseClock,
    UpdateInventory,
    build_request,
    parse_request,
    request_of,
)
from duis.response_codes import Outcome
from duis.response_documents import parse_response
from duis_schemas import DUIS, assert_valid, duis_schema

from .examples import METER, TO_DCC

REQUEST = """<?xml version="1.0" encoding="UTF-8"?>
<d:Request xmlns:d="http://www.dccinterface.co.uk/ServiceUserGateway"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.dccinterface.co.uk/ServiceUserGateway duis.xsd"
  schemaVersion=" 5.4 ">
  <d:Header>
    <d:RequestID>
90-b3-d5-1f-30-01-00-00:00-db-12-34-56-78-90-a0:18446744073709551615 </d:RequestID>
    <d:FirstInSequence>1</d:FirstInSequence>
    <d:CommandVariant>+4</d:CommandVariant>
    <d:ServiceReference>8.1</d:ServiceReference>
    <d:ServiceReferenceVariant>8.1.1</d:ServiceReferenceVariant>
  </d:Header>
  <d:Body>
    <d:CommissionDeviceSynchroniseClock>
      <d:CurrentDateTime>2026-11-24T09:00:00+01:00</d:CurrentDateTime>
      <d:TolerancePeriod>0010</d:TolerancePeriod>
    </d:CommissionDeviceSynchroniseClock>
  </d:Body>
</d:Request>
"""
RESPONSE = """<r:Response xmlns:r="http://www.dccinterface.co.uk/ServiceUserGateway"
schemaVersion="5.4">
<r:Header>
<r:ResponseCode>I0</r:ResponseCode>
<r:ResponseDateTime>2026-11-24T08:00:00Z</r:ResponseDateTime>
</r:Header>
<r:Body>
<r:ResponseMessage>
<r:ServiceReference>6.17</r:ServiceReference>
<r:ServiceReferenceVariant>6.17</r:ServiceReferenceVariant>
<r:GBCSPayload> 3w
 k= </r:GBCSPayload>
</r:ResponseMessage>
</r:Body>
</r:Response>
"""


def test_forms_that_the_schema_allows_are_read() -> None:
    text = REQUEST.replace("+4", "4")
    assert_valid(text.encode())
    request = parse_request(text.encode(), "a.xml")
    assert request.header.request_id.counter == 2**64 - 1
    assert request.header.first_in_sequence is True
    assert request.body == CommissionDeviceSynchroniseClock(
        current_date_time=datetime(2026, 11, 24, 8, tzinfo=UTC), tolerance_period_s=10
    )
    assert_valid(RESPONSE.encode())
    assert parse_response(RESPONSE.encode(), "b.xml").service_reference == "6.17"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('ServiceUserGateway"', 'ServiceUserGateway/"', "it is {http"),
        ("d:Request ", "d:Response ", "not XML"),
        (' schemaVersion=" 5.4 "', "", "Request, line 5: its schemaVersion is missing"),
        ('=" 5.4 "', '="5,4"', "its schemaVersion is missing or no version"),
        ('=" 5.4 "', '="5.4" a="b"', "Request, line 5: it has the attribute a"),
        ("<d:Body>", "<d:Body/><d:Body>", "Header, Body and at most a Signature"),
        ("<d:Body>", "x<d:Body>", "Request, line 5: text where elements belong: x"),
        ("<d:CommandVariant>+4</d:CommandVariant>", "", "Request/Header, line 6: CommandVariant"),
        (">+4<", ">9<", "Request/Header/CommandVariant, line 10: '9': not one of 1, 2"),
        (">+4<", "><", "'': not one of"),
        (">+4<", ">1<", "1, where CommissionDeviceSynchroniseClock of 8.1.1 may have 4"),
        (">8.1<", ">8.2<", "it is not that of the ServiceReferenceVariant"),
        (">8.1.1<", ">8.1<", "8.1': no service reference variant of DUIS 5.4"),
        ("<d:ServiceReference>8.1</d:ServiceReference>", "", "ServiceReference is missing"),
        (">1</d:First", ">yes</d:First", "'yes': neither true nor false"),
        (":18446744073709551615", ":18446744073709551616", "an originator counter is 0 to"),
        (":18446744073709551615", ":01", "not a request identifier"),
        ("90-b3", "90b3", "not a request identifier"),
        ("0010", "86401", "TolerancePeriod, line 17: '86401': 86401 is not within 0 to 86400"),
        ("0010", "1e1", "not a whole number"),
        ("0010", "9" * 60, "not a whole number"),
        ("0010", "1<d:A/>", "an element where text belongs"),
        ("<d:Tol", "<d:Tol a='b'", "not XML"),
        ("<d:TolerancePeriod>", "<d:TolerancePeriod a='b'>", "it has the attribute a"),
        ("<d:TolerancePeriod>", "<d:TolerancePeriod xsi:nil='true'>", "it has the attribute {http"),
        ("2026-11-24T09", "2026-13-24T09", "month must be in 1..12"),
        ("2026-11-24T09", "20261124T09", "not a date and time"),
        ("2026-11-24T09:00:00+01:00", "0001-01-01T00:00:00+01:00", "a year beyond"),
        ("<d:Body>", "<d:Body><d:ReadInventory/>", "2 elements, where one belongs"),
        ("d:CommissionDeviceSynchroniseClock", "d:SynchroniseClock", "none of Update"),
        ("<d:CurrentDateTime>", "<CurrentDateTime xmlns='urn:x'/><d:CurrentDateTime>", "missing"),
        (
            "<d:TolerancePeriod>",
            "<d:TolerancePeriod>1</d:TolerancePeriod><d:TolerancePeriod>",
            "Request/Body/CommissionDeviceSynchroniseClock/TolerancePeriod, line 17: no element",
        ),
    ],
)
def test_request_that_breaks_the_schema_is_refused(old: str, new: str, told: str) -> None:
    good = REQUEST.replace("+4", "4") if ">+4<" not in old and "+4" not in old else REQUEST
    assert old in good
    octets = good.replace(old, new).encode()
    with pytest.raises(DocumentInvalid) as caught:
        parse_request(octets, "a.xml")
    assert str(caught.value).startswith("a.xml: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("I0", "X0", "Response/Header/ResponseCode, line 4: 'X0': not a response code"),
        ("<r:ResponseCode>I0</r:ResponseCode>", "", "ResponseCode is missing"),
        ("08:00:00Z", "25:00:00Z", "hour must be in 0..23"),
        ("k=", "l=", "bits are left over"),
        ("k=", "k", "not base64"),
        ("<r:GBCSPayload>", "<r:LocalCommand/><r:GBCSPayload>", "one payload belongs here"),
        ("</r:ResponseMessage>", "</r:ResponseMessage><r:ResponseMessage/>", "2 elements"),
        ("<r:Body>", "<r:Body a='b'>", "it has the attribute a"),
        ("<r:ResponseMessage>", "<r:ResponseMessage a='b'>", "it has the attribute a"),
        (
            "<r:ServiceReferenceVariant>6.17</r:ServiceReferenceVariant>",
            "",
            "ServiceReferenceVariant does not follow it",
        ),
    ],
)
def test_response_that_breaks_the_schema_is_refused(old: str, new: str, told: str) -> None:
    assert old in RESPONSE
    octets = RESPONSE.replace(old, new).encode()
    with pytest.raises(DocumentInvalid) as caught:
        parse_response(octets, "a.xml")
    assert told in str(caught.value)
    if DUIS.is_dir():
        assert not duis_schema().validate(etree.fromstring(octets))


@pytest.mark.parametrize(("new", "told"), [("3wk=é", "not base64"), (" ", "no octets")])
def test_payload_that_no_device_sent_is_refused(new: str, told: str) -> None:
    with pytest.raises(DocumentInvalid, match=told):
        parse_response(RESPONSE.replace(" 3w\n k= ", new).encode(), "a.xml")


def test_nothing_stands_in_an_element_that_is_empty() -> None:
    inventory = build_request(
        request_of(UpdateInventory(device_id=METER, delete_device=True), TO_DCC)
    )
    within = inventory.replace(b"<sr:DeleteDevice/>", b"<sr:DeleteDevice><sr:A/></sr:DeleteDevice>")
    with pytest.raises(DocumentInvalid, match="UpdateInventory/DeleteDevice/A, line 2: no element"):
        parse_request(within, "a.xml")


def test_code_of_a_later_version_is_read() -> None:
    later = RESPONSE.replace("I0", "E061599")
    header = parse_response(later.encode(), "a.xml").header
    assert header.outcome is Outcome.ERROR
    assert header.meaning == "error particular to service reference 6.15"


def test_unsafe_characters_of_a_document_are_not_printed() -> None:
    hostile = RESPONSE.replace("I0", "\u202eevil\u2028")
    with pytest.raises(DocumentInvalid) as caught:
        parse_response(hostile.encode(), "a\nb.xml")
    assert str(caught.value).isprintable()
