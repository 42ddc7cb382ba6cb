from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from authorities import DEVICE, DURING, SUPPLIER, Authorities, Remake, new_key
from duis.smki_documents import (
    CertificateDataRequest,
    CertificateDataResponse,
    CertificateResponse,
    CertificateSearchResponse,
    CertificateStatus,
    Result,
    build_smki,
    parse_smki,
)
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole, XMLSigningRole
from keyrig.base.errors import CertificateLookupFailed, KeyMissing
from keyrig.base.http_client import HTTPClient
from keyrig.keys.key_store import Authority, IndexedKeyStore, StoredCertificate
from keyrig.keys.rig_keys import RigKeys
from keyrig.transports.dcc.smki_client import SMKI
from keyrig.transports.dcc.smki_lookup import CertificateLookup

if TYPE_CHECKING:
    from gbcs.certificate_profiles import GBCSCertificate

DS, KA = KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT
XML = {"content-type": "application/xml"}


@dataclass
class Repository:
    """Answers searches with what it was given; `serials` are said in the place of the true ones."""

    certificates: list[tuple[GBCSCertificate, CertificateStatus]] = field(default_factory=list)
    is_device: bool = True
    said_serials: dict[int, int] = field(default_factory=dict)
    searches: int = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("certificatesearch"):
            self.searches += 1
            results = tuple(self._result(*each) for each in self.certificates)
            document = build_smki(CertificateSearchResponse(results=results))
            return httpx.Response(200, headers=XML, content=document)
        asked = parse_smki(request.content, "the request", CertificateDataRequest)
        for each, status in self.certificates:
            if self._serial(each) == asked.certificate_serial:
                found = self._result(each, status)
                response = CertificateResponse(
                    certificate_subject_name=found.certificate_subject_name,
                    certificate_subject_alt_name=found.certificate_subject_alt_name,
                    certificate_serial=found.certificate_serial,
                    certificate_status=status,
                    certificate_body=each.der,
                    certificate_usage=each.key_usage,
                )
                document = build_smki(CertificateDataResponse(certificate_response=response))
                return httpx.Response(200, headers=XML, content=document)
        return httpx.Response(402)

    def _serial(self, certificate: GBCSCertificate) -> str:
        return f"{self.said_serials.get(certificate.serial, certificate.serial):032X}"

    def _result(self, certificate: GBCSCertificate, status: CertificateStatus) -> Result:
        return Result(
            certificate_serial=self._serial(certificate),
            certificate_subject_name=None if self.is_device else SUPPLIER,
            certificate_subject_alt_name=DEVICE if self.is_device else None,
            certificate_status=status,
            certificate_usage=certificate.key_usage,
        )


@pytest.fixture
def authorities() -> Authorities:
    return Authorities()


def store_of(authorities: Authorities) -> IndexedKeyStore:
    kept = (
        (authorities.root.certificate, Authority.ROOT),
        (authorities.issuing.certificate, Authority.ISSUING),
        (authorities.device_issuing.certificate, Authority.DEVICE_ISSUING),
    )
    stored = [
        StoredCertificate(each, CellUsage.MANAGEMENT, "test", authority) for each, authority in kept
    ]
    return IndexedKeyStore("a store", stored, ())


def lookup_of(repository: Repository, authorities: Authorities) -> CertificateLookup:
    http = HTTPClient("http://box", timeout_s=5, transport=httpx.MockTransport(repository.answer))
    return CertificateLookup(SMKI(http), store_of(authorities))


def test_newest_certificate_in_use_that_leads_to_a_root_is_given(
    authorities: Authorities,
) -> None:
    old, new = authorities.device(serial=5), authorities.device(serial=6)
    pending, signing = authorities.device(serial=7), authorities.device(serial=8, key_usage=DS)
    repository = Repository(
        [
            (old, CertificateStatus.IN_USE),
            (pending, CertificateStatus.PENDING),
            (signing, CertificateStatus.IN_USE),
            (new, CertificateStatus.IN_USE),
        ]
    )
    lookup = lookup_of(repository, authorities)
    assert lookup.certificate(DEVICE, KA, is_device=True, at=DURING) == new
    assert lookup.certificate(DEVICE, DS, is_device=True, at=DURING) == signing


def test_what_signs_xml_is_in_use_and_never_for_messages(authorities: Authorities) -> None:
    gbcs = authorities.organisation()
    xml = authorities.organisation(role=XMLSigningRole.XML_SIGN, start=DURING - timedelta(days=1))
    repository = Repository(
        [(gbcs, CertificateStatus.IN_USE), (xml, CertificateStatus.IN_USE)], is_device=False
    )
    lookup = lookup_of(repository, authorities)
    assert lookup.in_use(SUPPLIER, is_device=False, at=DURING) == (xml, gbcs)
    assert lookup.certificate(SUPPLIER, DS, is_device=False, at=DURING) == gbcs
    repository.certificates.pop(0)
    with pytest.raises(KeyMissing):
        lookup.certificate(SUPPLIER, DS, is_device=False, at=DURING)


def test_what_signs_xml_and_itself_is_passed_over(authorities: Authorities) -> None:
    gbcs, key = authorities.organisation(), new_key()
    xml = Remake(
        authorities.organisation(role=XMLSigningRole.XML_SIGN, public_key=key.public_key())
    )
    repository = Repository(
        [(xml.signed(key), CertificateStatus.IN_USE), (gbcs, CertificateStatus.IN_USE)],
        is_device=False,
    )
    lookup = lookup_of(repository, authorities)
    assert lookup.in_use(SUPPLIER, is_device=False, at=DURING) == (gbcs,)
    repository.certificates[0] = (xml.signed(), CertificateStatus.IN_USE)
    with pytest.raises(CertificateLookupFailed, match="signature"):
        lookup.in_use(SUPPLIER, is_device=False, at=DURING)


def test_certificate_of_a_foreign_root_is_refused(authorities: Authorities) -> None:
    foreign = Authorities("F").device()
    lookup = lookup_of(Repository([(foreign, CertificateStatus.IN_USE)]), authorities)
    with pytest.raises(CertificateLookupFailed, match="no path leads to a trust anchor"):
        lookup.certificate(DEVICE, KA, is_device=True, at=DURING)


def test_certificate_of_somebody_else_is_refused(authorities: Authorities) -> None:
    foreign = authorities.device(entity_id=type(DEVICE).parse("00db1234567890a9"))
    lookup = lookup_of(Repository([(foreign, CertificateStatus.IN_USE)]), authorities)
    with pytest.raises(CertificateLookupFailed, match="does not identify"):
        lookup.certificate(DEVICE, KA, is_device=True, at=DURING)


def test_certificate_of_another_serial_number_is_refused(authorities: Authorities) -> None:
    certificate = authorities.device(serial=5)
    repository = Repository([(certificate, CertificateStatus.IN_USE)], said_serials={5: 6})
    with pytest.raises(CertificateLookupFailed, match="another serial number"):
        lookup_of(repository, authorities).certificate(DEVICE, KA, is_device=True, at=DURING)


def test_two_agreement_keys_of_an_organisation_are_not_guessed_apart(
    authorities: Authorities,
) -> None:
    both = [(authorities.organisation(key_usage=KA), CertificateStatus.IN_USE) for _ in range(2)]
    repository = Repository(both, is_device=False)
    with pytest.raises(CertificateLookupFailed, match="top-ups"):
        lookup_of(repository, authorities).certificate(SUPPLIER, KA, is_device=False, at=DURING)


def test_nothing_found_is_missing_in_both_places(authorities: Authorities) -> None:
    with pytest.raises(KeyMissing, match="a store and the SMKI repository"):
        lookup_of(Repository(), authorities).certificate(DEVICE, KA, is_device=True, at=DURING)


def test_keys_of_a_rig_look_up_once_what_the_store_lacks(authorities: Authorities) -> None:
    certificate = authorities.organisation()
    repository = Repository([(certificate, CertificateStatus.IN_USE)], is_device=False)
    lookup = lookup_of(repository, authorities)
    keys = RigKeys(
        store_of(authorities),
        lambda entity, usage: lookup.certificate(entity, usage, is_device=False, at=DURING),
    )
    for _ in range(2):
        assert keys.certificate(SUPPLIER, DS) == certificate
    assert repository.searches == 1
    assert keys.certification_path(certificate)
    with pytest.raises(KeyMissing):
        keys.certificate(SUPPLIER, DS, role=RemotePartyRole.NETWORK_OPERATOR)
    with pytest.raises(KeyMissing):
        keys.certificate(SUPPLIER, KA, cell_usage=CellUsage.PREPAYMENT_TOP_UP)


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (httpx.Response(401), "invalid"),
        (httpx.Response(403), "HTTP 403"),
        (httpx.Response(200, headers={"content-type": "text/html"}, content=b"<a/>"), "text/html"),
        (httpx.Response(200, headers=XML, content=b"<a"), "not XML"),
        (httpx.Response(200, headers=XML, content=b"<!DOCTYPE a><a/>"), "document type"),
        (httpx.Response(200, headers=XML, content=b"<Other/>"), "Other"),
    ],
)
def test_answer_that_is_none_is_told_for_what_it_is(response: httpx.Response, match: str) -> None:
    http = HTTPClient("http://box", timeout_s=5, transport=httpx.MockTransport(lambda _: response))
    with pytest.raises(CertificateLookupFailed, match=match):
        SMKI(http).search(DEVICE, is_device=True)
