from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duis.alert_messages import DCCAlertMessage, DeviceAlertMessage
from duis.document_errors import DocumentInvalid
from duis.document_headers import ResponseHeader
from duis.dsp_inventory import DSPInventory
from duis.request_documents import RequestBody, build_request, parse_request, request_of
from duis.response_documents import (
    FutureDatedDeviceAlertMessage,
    LocalCommand,
    PreCommand,
    Response,
    ResponseMessage,
    build_response,
    parse_response,
)
from duis.service_references import COMMAND_VARIANTS
from duis.smki_documents import CertificateSearchResponse, build_smki, parse_smki
from duis.xml_signatures import verify
from duis_schemas import assert_valid
from gbcs.protocol_errors import SecurityError

from .examples import REQUESTS, RESPONSES
from .strategies import IDENTIFIERS, instances
from .test_xml_signatures import KNOWN, SIGNED

LAWS = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FRAGMENTS = (b"</", b"/>", b"<!--", b"<a/>", b"&#0;", b"&lt;", b"<![CDATA[", b"9" * 5000)
ANY_BODY = st.sampled_from(RequestBody.__args__).flatmap(instances)
PAYLOADS = (PreCommand, LocalCommand, ResponseMessage, DSPInventory, FutureDatedDeviceAlertMessage)
ANSWERS = st.none() | st.sampled_from(PAYLOADS).flatmap(instances)
ALERTS = st.sampled_from((DeviceAlertMessage, DCCAlertMessage)).flatmap(instances)
DOCUMENTS = st.sampled_from(
    [*map(build_request, REQUESTS), *map(build_response, RESPONSES), SIGNED]
)


@pytest.mark.sweep
@LAWS
@given(st.data(), ANY_BODY, IDENTIFIERS)
def test_whatever_request_can_be_made_is_valid_and_read_back(
    data: st.DataObject, body: Any, identifier: Any
) -> None:
    reference = getattr(body, "SERVICE_REFERENCE_VARIANT", "6.15.1")
    allowed = sorted(body.COMMAND_VARIANTS & COMMAND_VARIANTS[reference])
    request = request_of(body, identifier, data.draw(st.sampled_from(allowed)), reference)
    octets = build_request(request)
    assert_valid(octets)
    assert parse_request(octets, "a.xml") == request


@pytest.mark.sweep
@LAWS
@given(instances(ResponseHeader), ANSWERS, st.sampled_from(sorted(COMMAND_VARIANTS)))
def test_whatever_response_can_be_made_is_valid_and_read_back(
    header: Any, body: Any, reference: str
) -> None:
    response = Response(header=header, body=body, service_reference_variant=reference)
    octets = build_response(response)
    assert_valid(octets)
    assert parse_response(octets, "a.xml") == response


@pytest.mark.sweep
@LAWS
@given(instances(ResponseHeader), ALERTS)
def test_whatever_alert_can_be_made_is_valid_and_read_back(header: Any, alert: Any) -> None:
    response = Response(header=header, body=alert)
    octets = build_response(response)
    assert_valid(octets)
    assert parse_response(octets, "a.xml") == response


@pytest.mark.sweep
@LAWS
@given(instances(CertificateSearchResponse))
def test_whatever_search_response_can_be_made_is_read_back(answer: Any) -> None:
    assert parse_smki(build_smki(answer), "a.xml", CertificateSearchResponse) == answer


def read_all(octets: bytes) -> None:
    """Read octets as everything; nothing but the named errors may come of it."""
    for read in (parse_request, parse_response):
        try:
            read(octets, "a.xml")
        except DocumentInvalid as error:
            assert "\n" not in str(error)  # noqa: PT017 - the error is not awaited
            assert str(error).isprintable()  # noqa: PT017 - as above
    with contextlib.suppress(DocumentInvalid):
        parse_smki(octets, "a.xml", CertificateSearchResponse)
    try:
        verify(octets, KNOWN, "a.xml")
    except (DocumentInvalid, SecurityError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - as above


@pytest.mark.sweep
@LAWS
@given(
    st.binary(max_size=200)
    | st.text(alphabet="<>/&;!?-[]'\"= axml:\x00é", max_size=80).map(str.encode)
)
def test_whatever_octets_come_the_named_errors_come(octets: bytes) -> None:
    read_all(octets)


@pytest.mark.sweep
@settings(LAWS, max_examples=400)
@given(st.data(), DOCUMENTS)
def test_whatever_is_done_to_a_document_the_named_errors_come(
    data: st.DataObject, octets: bytes
) -> None:
    changed = bytearray(octets)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        gone = data.draw(st.integers(0, 12))
        put = data.draw(
            st.binary(max_size=3)
            | st.sampled_from(
                [b"</", b"/>", b"<!--", b"<a/>", b"&#0;", b"&lt;", b"<![CDATA[", b"9" * 5000]
            )
        )
        changed[at : at + gone] = put
    read_all(bytes(changed))


@pytest.mark.sweep
@settings(LAWS, max_examples=400)
@given(st.integers(0, len(SIGNED) - 1), st.binary(max_size=2))
def test_change_of_a_signed_document_is_refused_or_changes_nothing_that_counts(
    at: int, put: bytes
) -> None:
    changed = SIGNED[:at] + put + SIGNED[at + 1 :]
    try:
        verified = verify(changed, KNOWN, "a.xml")
    except (DocumentInvalid, SecurityError):
        return
    assert verified == verify(SIGNED, KNOWN, "a.xml")


@pytest.mark.parametrize("cut", range(0, len(SIGNED), 97))
def test_document_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DocumentInvalid, match="not XML"):
        parse_request(SIGNED[:cut], "a.xml")
