"""Certification requests of a rig's devices, and the certificates issued for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Body

from gbcs.protocol_errors import CertificateRejected
from keyrig.api.access import KEYS, READ
from keyrig.api.api_documents import CertificatesTaken, WaitingRequestList
from keyrig.api.api_responses import problems
from keyrig.api.json_bodies import document_router
from keyrig.api.request_bodies import CERTIFICATE_EXAMPLE, IssuedCertificatesGiven
from keyrig.api.rig_routes import RigName, served_rig
from keyrig.base.errors import FileInvalid
from keyrig.documents.certification_document import TakenCertificate, WaitingRequestDocument
from keyrig.keys.given_certificates import certificates_in
from keyrig.keys.issued_certificates import IssuedCertificates
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.run.certificates_taken_in import TakenIn, take_in
from keyrig.run.waiting_requests import waiting_requests

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import APIRouter

    from keyrig.api.api_service import Service
    from keyrig.api.served_rigs import ServedRig
    from keyrig.config.rig_file import Rig
    from keyrig.keys.given_certificates import GivenCertificate
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.waiting_requests import WaitingRequest

_GIVEN: Final = "the certificates given"


def certification_routes(service: Service) -> APIRouter:
    """Return the routes of certification requests."""
    router = document_router(
        "/api/v1/rigs/{rig}/certification-requests",
        tag="certificates",
    )

    @router.get(
        "",
        operation_id="certification_requests",
        responses=problems(404),
        dependencies=[READ],
    )
    def certification_requests(rig: RigName) -> WaitingRequestList:
        """Return the requests of a rig's devices that wait for an authority, as PEM.

        They are those of `keyrig pki requests`. A request is public; it holds no private key.
        """
        return _listed(service, served_rig(service, rig))

    @router.post(
        "/certificates",
        operation_id="take_certificates",
        responses=problems(400, 404, 409),
        dependencies=[KEYS],
    )
    def take_certificates(
        rig: RigName,
        given: Annotated[IssuedCertificatesGiven, Body(examples=[CERTIFICATE_EXAMPLE])],
    ) -> CertificatesTaken:
        """Import what an authority issued for waiting requests, as `keyrig pki certified` does.

        Each certificate is checked by itself, against its request, its profile and its path to
        the root; the answer is 200 with the result for each, and a wrong one changes nothing.
        """
        return _taken(service, served_rig(service, rig), given.pem)

    return router


def _listed(service: Service, served: ServedRig) -> WaitingRequestList:
    requests = _waiting(service.ledgers.reading, served.usable(), service.clock())
    return WaitingRequestList(
        rig=served.name, requests=tuple(WaitingRequestDocument.of(each) for each in requests)
    )


def _waiting(ledger: Ledger, rig: Rig, now: datetime) -> tuple[WaitingRequest, ...]:
    return waiting_requests(ledger, now, [device.entity_id for device in rig.device])


def _taken(service: Service, served: ServedRig, pem: str) -> CertificatesTaken:
    rig, ledger, now = served.usable(), service.ledgers.writing, service.clock()
    given = _read(pem)
    issued = IssuedCertificates(open_rig_keystore(service.data_folder, rig.pki))
    strange = [_of_no_device(rig, each) for each in given]
    of_the_rig = [each for each, why in zip(given, strange, strict=True) if why is None]
    taken = iter(take_in(ledger, of_the_rig, issued, now))
    return CertificatesTaken(
        rig=served.name,
        certificates=tuple(TakenCertificate.model_validate(why or next(taken)) for why in strange),
        waiting=len(_waiting(ledger, rig, now)),
    )


def _read(pem: str) -> list[GivenCertificate]:
    if "PRIVATE KEY" in pem:
        raise FileInvalid(_GIVEN, "a private key is among them", "give the certificates alone")
    return certificates_in(pem.encode(), _GIVEN)


def _of_no_device(rig: Rig, given: GivenCertificate) -> TakenIn | None:
    """Return why a certificate is refused whose device is not on the rig; None if it is."""
    certificate = given.certificate
    try:
        if certificate.profile.is_authority:
            return None
        named = certificate.entity_id
    except CertificateRejected:
        # The import reports what is wrong with it.
        return None
    if named is None or any(device.entity_id == named for device in rig.device):
        return None
    return TakenIn(
        source=given.source,
        certificate=str(certificate),
        outcome=f"refused: {named} is no device of the rig {rig.name}",
        is_refused=True,
        rule="device-not-on-rig",
    )
