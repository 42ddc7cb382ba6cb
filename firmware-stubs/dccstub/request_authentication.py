"""Who sent a request: it is valid, and signed by its originator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dccstub import stand_in_options as codes
from dccstub.request_admission import ROLES
from dccstub.stand_in_options import Refused
from duis import xml_signatures
from duis.document_errors import DocumentInvalid
from duis.document_headers import RequestHeader
from duis.request_documents import Request, parse_request
from duis.service_references import COMMAND_VARIANTS, Referenced
from duis.xml_documents import read_document
from duis.xml_elements import Document
from gbcs.protocol_errors import SecurityError

if TYPE_CHECKING:
    from dccstub.key_folder import KeyFolder

SOURCE: Final = "the request"
_HEADER: Final = Referenced(RequestHeader)


class RefusedByHeader(Refused):
    """A request is refused for what its header says, before its body is read."""

    def __init__(self, header: RequestHeader, response_code: str, reason: str) -> None:
        super().__init__(response_code, reason)
        self.header = header


class Authentication:
    """Verifies requests.

    Whether a signer's certificate is valid now is not looked at: those of the reference test
    data set have expired.

    Args:
        keys: Has the certificates by which each party signs XML.
    """

    def __init__(self, keys: KeyFolder) -> None:
        self._keys = keys

    def authentic(self, octets: bytes) -> Request:
        """Verify and read a request.

        Raises:
            DocumentInvalid: It is hostile or not valid.
            SecurityError: It is not signed, or not by any party that is known.
            RefusedByHeader: It is signed, but by another than its originator, of whom nobody
                may know; or its header alone says that it cannot be carried out.
        """
        every = [each.certificate for each in self._keys.held if each.signs_xml]
        covered = xml_signatures.verify(octets, xml_signatures.among(every), SOURCE)
        parts = read_document(covered, SOURCE, "Request")
        header = _HEADER.read(parts.header, Document(SOURCE))
        originator = header.request_id.originator
        try:
            xml_signatures.verify(
                octets, xml_signatures.among(self._keys.signs_xml_for(originator)), SOURCE
            )
        except SecurityError as error:
            raise RefusedByHeader(header, "E1", str(error)) from error
        try:
            return parse_request(covered, SOURCE)
        except DocumentInvalid as error:
            code = _refusal(header)
            if code is None:
                raise
            raise RefusedByHeader(header, code, str(error)) from error


def _refusal(header: RequestHeader) -> str | None:
    """Return the response code for a header that no request can have, or None."""
    variant = header.service_reference_variant
    if header.command_variant not in COMMAND_VARIANTS[variant]:
        return "E12"
    return None if variant in ROLES else codes.UNSUPPORTED
