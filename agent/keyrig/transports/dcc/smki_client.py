"""The client of the SMKI search and retrieval services of DCC Boxed.

Source: SEC Appendix M, as far as the DCC's public clients for DCC Boxed show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from duis.document_errors import DocumentInvalid
from duis.smki_documents import (
    CertificateDataRequest,
    CertificateDataResponse,
    CertificateSearchRequest,
    CertificateSearchResponse,
    build_smki,
    parse_smki,
)
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.printable import printable
from gbcs.protocol_errors import CertificateRejected, DecodeError
from keyrig.base.errors import CertificateLookupFailed

if TYPE_CHECKING:
    from duis.smki_documents import Result, SMKIDocument
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.http_client import HTTPClient

SEARCH_PATH: Final = "/services/certificatesearch"
RETRIEVE_PATH: Final = "/services/retrievecertificate"
API_KEY_PARAMETER: Final = "apikey"
"""The query parameter for the services' key."""

_FOUND, _INVALID_PARAMETERS, _NOTHING_FOUND, _FORBIDDEN = 200, 401, 402, 403
_MEND_KEY: Final = "correct dcc_boxed.smki_api_key in the settings"
_SOURCE: Final = "the answer of the SMKI service"

AnswerT = TypeVar("AnswerT", CertificateSearchResponse, CertificateDataResponse)


class SMKI:
    """The search and retrieval services.

    Args:
        http: Reaches them, with their key.
    """

    def __init__(self, http: HTTPClient) -> None:
        self._http = http

    def search(self, entity: EntityIdentifier, *, is_device: bool) -> tuple[Result, ...]:
        """Return the repository's entries of an organisation or device, in its order.

        Args:
            entity: The party.
            is_device: Devices are named by another element than organisations.

        Raises:
            CertificateLookupFailed: The service refuses, or its answer cannot be read.
            DCCUnreachable: It does not answer.
        """
        request = (
            CertificateSearchRequest(certificate_subject_alt_name=entity)
            if is_device
            else CertificateSearchRequest(certificate_subject_name=entity)
        )
        what = f"certificates of {entity}"
        answer = self._ask(SEARCH_PATH, request, CertificateSearchResponse, what)
        return () if answer is None else answer.results

    def retrieve(self, serial: str) -> GBCSCertificate | None:
        """Return the certificate of a serial number from a search, or None.

        It is only parsed: the caller validates its path.

        Raises:
            CertificateLookupFailed: The service refuses, or returns no certificate.
            DCCUnreachable: It does not answer.
        """
        what = f"certificate {printable(serial, 40)}"
        request = CertificateDataRequest(certificate_serial=serial)
        answer = self._ask(RETRIEVE_PATH, request, CertificateDataResponse, what)
        if answer is None or answer.certificate_response is None:
            return None
        der = answer.certificate_response.certificate_body
        if der is None:
            return None
        try:
            return GBCSCertificate.from_der(der)
        except (CertificateRejected, DecodeError) as error:
            raise CertificateLookupFailed(what, str(error)) from error

    def _ask(
        self, path: str, request: SMKIDocument, expected: type[AnswerT], what: str
    ) -> AnswerT | None:
        """Call a service; return None where it found nothing."""
        answer = self._http.post(path, build_smki(request))
        if answer.status == _NOTHING_FOUND:
            return None
        if answer.status == _INVALID_PARAMETERS:
            raise CertificateLookupFailed(
                what,
                "the service calls the search parameters, or its key, invalid (401)",
                _MEND_KEY,
            )
        if answer.status == _FORBIDDEN:
            raise CertificateLookupFailed(what, "the service answers HTTP 403", _MEND_KEY)
        if answer.status != _FOUND:
            raise CertificateLookupFailed(what, f"the service answers HTTP {answer.status}")
        if answer.content_type != "application/xml":
            found = printable(answer.content_type, 40) or "nothing"
            raise CertificateLookupFailed(what, f"the service gives {found}, where XML is expected")
        try:
            return parse_smki(answer.octets.strip(), _SOURCE, expected)
        except DocumentInvalid as error:
            raise CertificateLookupFailed(what, str(error)) from error
