"""Public certificates of a rig's key store. No route returns a private key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Body

from gbcs.path_validation import validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage
from keyrig.api.access import KEYS, READ
from keyrig.api.api_documents import CertificateAdded, CertificateList
from keyrig.api.api_responses import problems
from keyrig.api.json_bodies import document_router
from keyrig.api.request_bodies import CERTIFICATE_EXAMPLE, CertificateGiven
from keyrig.api.rig_routes import RigName, served_rig
from keyrig.base.errors import FileInvalid, KeyStoreError
from keyrig.base.outside_files import pem_of
from keyrig.documents.certificate_document import CertificateDocument
from keyrig.keys.folder_store import certificate_in
from keyrig.keys.key_store import Authority, StoredCertificate
from keyrig.keys.store_copying import add_certificate
from keyrig.keys.store_opening import open_keystore, open_rig_keystore

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import APIRouter

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.api.api_service import Service
    from keyrig.api.served_rigs import ServedRig
    from keyrig.keys.key_store import KeyStore

_GIVEN = "the certificate given"
_MEND = "give one certificate in PEM, of an authority that the key store knows"


def certificate_routes(service: Service) -> APIRouter:
    """Return the routes of certificates."""
    router = document_router("/api/v1/rigs/{rig}/certificates", tag="certificates")

    @router.get(
        "",
        operation_id="certificates",
        responses=problems(404),
        dependencies=[READ],
    )
    def certificates(rig: RigName) -> CertificateList:
        """Return the public certificates of a rig's key store, as `keyrig pki show` does."""
        return _listed(service, served_rig(service, rig))

    @router.post(
        "",
        operation_id="add_certificate",
        responses=problems(400, 404),
        dependencies=[KEYS],
    )
    def add(
        rig: RigName,
        given: Annotated[CertificateGiven, Body(examples=[CERTIFICATE_EXAMPLE])],
    ) -> CertificateAdded:
        """Add a public certificate that an authority of the key store issued."""
        return _added(served_rig(service, rig), given.pem, service.clock())

    return router


def _listed(service: Service, served: ServedRig) -> CertificateList:
    rig = served.usable()
    if not served.places().keystore.exists():
        return CertificateList(rig=served.name, certificates=(), left_out=())
    store = open_rig_keystore(service.data_folder, rig.pki)
    return CertificateList(
        rig=served.name,
        certificates=tuple(CertificateDocument.of(stored) for stored in store.stored()),
        left_out=tuple(map(str, store.problems)),
    )


def _added(served: ServedRig, pem: str, now: datetime) -> CertificateAdded:
    store = open_keystore(served.places().keystore)
    certificate = _read(pem)
    _check_path(store, certificate, now)
    add_certificate(store, StoredCertificate(certificate, CellUsage.MANAGEMENT, source=_GIVEN))
    kept = open_keystore(served.places().keystore)
    stored = next(each for each in kept.stored() if each.certificate == certificate)
    return CertificateAdded(certificate=CertificateDocument.of(stored))


def _read(pem: str) -> GBCSCertificate:
    if "PRIVATE KEY" in pem:
        raise FileInvalid(_GIVEN, "it comes with a private key", "give the certificate alone")
    try:
        return certificate_in(pem_of(pem.encode("ascii")), _GIVEN)
    except UnicodeEncodeError:
        raise FileInvalid(_GIVEN, "not PEM", _MEND) from None
    except (KeyStoreError, CertificateRejected) as error:
        raise FileInvalid(_GIVEN, str(error), _MEND) from None


def _check_path(store: KeyStore, certificate: GBCSCertificate, now: datetime) -> None:
    """Check that a certificate's path leads to an authority of the key store.

    Raises:
        FileInvalid: It leads to none, or is out of its profile or validity.
    """
    authorities = [each.certificate for each in store.stored() if each.authority is not None]
    roots = [e.certificate for e in store.stored() if e.authority is Authority.ROOT]
    try:
        if certificate.entity_id is None:
            raise FileInvalid(_GIVEN, "it identifies nobody", "give one of an organisation")
        validate_path(
            certificate, path_certificates=authorities, trust_anchors=roots or authorities, at=now
        )
    except CertificateRejected as error:
        raise FileInvalid(_GIVEN, str(error), _MEND) from None
