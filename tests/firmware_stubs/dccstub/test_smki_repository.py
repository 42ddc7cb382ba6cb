from __future__ import annotations

from datetime import UTC, datetime

import pytest

from authorities import DEVICE
from dccstub.smki_repository import RETRIEVE_PATH, SEARCH_PATH
from dccstub.web_services import XML, HTTPReply
from duis.smki_documents import (
    CertificateDataRequest,
    CertificateDataResponse,
    CertificateSearchRequest,
    CertificateSearchResponse,
    CertificateStatus,
    build_smki,
    parse_smki,
)
from firmware_stubs.dccstub.bench import SUPPLIER, Role, StandInBench
from firmware_stubs.support import DS, KA
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage

NOBODY = EntityIdentifier.parse("90b3d51f30ffffff")


def answer(bench: StandInBench, path: str, body: bytes) -> HTTPReply:
    return bench.boxed.smki.answer(path, "stand-in", body, bench.clock.now)


def search(bench: StandInBench, **names: EntityIdentifier) -> HTTPReply:
    return answer(bench, SEARCH_PATH, build_smki(CertificateSearchRequest(**names)))


def results(reply: HTTPReply) -> CertificateSearchResponse:
    assert (reply.status, reply.content_type) == (200, XML)
    return parse_smki(reply.body, "answer", CertificateSearchResponse)


def test_search_for_a_device_gives_both_its_certificates() -> None:
    bench = StandInBench()
    found = results(search(bench, certificate_subject_alt_name=DEVICE))
    assert {each.certificate_usage for each in found.results} == {DS, KA}
    assert {each.certificate_role for each in found.results} == {None}
    assert {each.certificate_subject_alt_name for each in found.results} == {DEVICE}
    assert {each.certificate_status for each in found.results} == {CertificateStatus.IN_USE}


def test_search_for_an_organisation_gives_its_role() -> None:
    bench = StandInBench()
    found = results(search(bench, certificate_subject_name=SUPPLIER))
    assert [each.certificate_role for each in found.results] == [2, 2, 2]
    assert {each.certificate_subject_name for each in found.results} == {SUPPLIER}


def test_certificate_is_retrieved_by_the_serial_number_that_was_found() -> None:
    bench = StandInBench()
    expected = bench.credential(Role.SUPPLIER).certificate
    (serial,) = [
        each.certificate_serial
        for each in results(search(bench, certificate_subject_name=SUPPLIER)).results
        if int(each.certificate_serial, 16) == expected.serial
    ]
    asked = build_smki(CertificateDataRequest(certificate_serial=serial))
    reply = answer(bench, RETRIEVE_PATH, asked)
    found = parse_smki(reply.body, "answer", CertificateDataResponse).certificate_response
    assert found is not None
    assert found.certificate_body == expected.der
    assert found.certificate_subject_name == SUPPLIER
    assert found.certificate_usage is KeyUsage.DIGITAL_SIGNATURE


def test_nothing_found_is_402() -> None:
    bench = StandInBench()
    assert search(bench, certificate_subject_alt_name=NOBODY).status == 402
    assert search(bench, certificate_subject_name=DEVICE).status == 402
    asked = build_smki(CertificateDataRequest(certificate_serial="1F" * 16))
    assert answer(bench, RETRIEVE_PATH, asked).status == 402


def test_authorities_are_not_retrieved() -> None:
    bench = StandInBench()
    serial = bench.pki.authorities.issuing.certificate.serial
    assert bench.boxed.directory.by_serial(serial) is not None
    asked = build_smki(CertificateDataRequest(certificate_serial=f"{serial:032X}"))
    assert answer(bench, RETRIEVE_PATH, asked).status == 402


NO_ENTITY = "<CertificateSubjectName>x</CertificateSubjectName>"


@pytest.mark.parametrize("path", [SEARCH_PATH, RETRIEVE_PATH])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "<",
        "<Other/>",
        "<CertificateSearchRequest/>",
        f"<CertificateSearchRequest>{NO_ENTITY}</CertificateSearchRequest>",
        "<CertificateDataRequest><CertificateSerial>x</CertificateSerial></CertificateDataRequest>",
        '<!DOCTYPE a [<!ENTITY b "c">]><CertificateDataRequest/>',
    ],
)
def test_parameters_that_are_not_valid_are_401(path: str, body: str) -> None:
    assert answer(StandInBench(), path, body.encode()).status == 401


def test_expired_certificate_is_shown_as_expired() -> None:
    bench = StandInBench()
    bench.clock.now = datetime(2036, 1, 1, tzinfo=UTC)
    found = results(search(bench, certificate_subject_name=SUPPLIER))
    assert {each.certificate_status for each in found.results} == {CertificateStatus.EXPIRED}
    device = results(search(bench, certificate_subject_alt_name=DEVICE))
    assert {each.certificate_status for each in device.results} == {CertificateStatus.IN_USE}
