"""The SMKI repository's web interface: requests in, answers out.

Source: DCC Boxed's public key store client, which cites SEC Appendix M: the paths, the `apikey`,
402 for nothing found and 401 for parameters that are not valid. What a wrong `apikey` gets is
not known; it is 403 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dccstub.certificate_directory import status_at
from dccstub.web_services import XML, HTTPReply
from duis.document_errors import DocumentInvalid
from duis.smki_documents import (
    CertificateDataRequest,
    CertificateDataResponse,
    CertificateResponse,
    CertificateSearchRequest,
    CertificateSearchResponse,
    Result,
    build_smki,
    parse_smki,
)

if TYPE_CHECKING:
    from datetime import datetime

    from dccstub.certificate_directory import Directory, Entry
    from duis.smki_documents import SMKIDocument

SEARCH_PATH: Final = "/services/certificatesearch"
RETRIEVE_PATH: Final = "/services/retrievecertificate"
SOURCE: Final = "the SMKI request"


class SMKIRepository:
    """Answers searches and retrievals; authorities' certificates are in the bundle alone.

    Args:
        directory: The certificates.
        api_key: What each request must carry.
    """

    def __init__(self, directory: Directory, api_key: str) -> None:
        self._directory = directory
        self._api_key = api_key

    def answer(self, path: str, api_key: str, body: bytes, now: datetime) -> HTTPReply:
        """Answer one request.

        Args:
            path: Its path without query.
            api_key: The query's `apikey`, or "".
            body: Its body.
            now: The time, by which certificates expire.
        """
        handlers = {SEARCH_PATH: self._search, RETRIEVE_PATH: self._retrieve}
        if path not in handlers:
            return HTTPReply(404)
        if api_key != self._api_key:
            return HTTPReply(403)
        try:
            found = handlers[path](body, now)
        except DocumentInvalid:
            return HTTPReply(401)
        return HTTPReply(402) if found is None else HTTPReply(200, XML, build_smki(found))

    def _search(self, body: bytes, now: datetime) -> SMKIDocument | None:
        asked = parse_smki(body, SOURCE, CertificateSearchRequest)
        if asked.certificate_subject_alt_name is not None:
            found = self._directory.device(asked.certificate_subject_alt_name)
        else:
            assert asked.certificate_subject_name is not None, "one of two"
            found = self._directory.organisation(asked.certificate_subject_name)
        if not found:
            return None
        return CertificateSearchResponse(
            response_code="200",
            response_message="Success",
            results=tuple(_result(entry, now) for entry in found),
        )

    def _retrieve(self, body: bytes, now: datetime) -> SMKIDocument | None:
        asked = parse_smki(body, SOURCE, CertificateDataRequest)
        entry = self._directory.by_serial(int(asked.certificate_serial, 16))
        if entry is None or entry.owner is None:
            return None
        described = _result(entry, now)
        return CertificateDataResponse(
            response_code="200",
            response_message="Success",
            certificate_response=CertificateResponse(
                certificate_subject_name=described.certificate_subject_name,
                certificate_subject_alt_name=described.certificate_subject_alt_name,
                certificate_serial=described.certificate_serial,
                certificate_status=described.certificate_status,
                certificate_body=entry.certificate.der,
                certificate_role=described.certificate_role,
                certificate_usage=described.certificate_usage,
                manufacturing_flag=described.manufacturing_flag,
            ),
        )


def _result(entry: Entry, now: datetime) -> Result:
    is_device = entry.role is None
    return Result(
        certificate_serial=f"{entry.certificate.serial:032X}",
        certificate_subject_name=None if is_device else entry.owner,
        certificate_subject_alt_name=entry.owner if is_device else None,
        certificate_status=status_at(entry, now),
        certificate_role=entry.role,
        certificate_usage=entry.certificate.key_usage,
        manufacturing_flag=False,
    )
