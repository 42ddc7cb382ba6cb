"""Documents of DCC Boxed's SMKI interface: looking certificates up, and retrieving them.

They have no name space, and no schema is to hand. Whoever looks things up must cope with more
than is known here, so reading takes elements in any order and passes over those that it does
not know; what it knows may stand once.

Source: SEC Appendix M as DCC Boxed has it, by the DCC's public client for it; not tried live.
"""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.duis_enumerations import FREE_TEXT
from duis.simple_types import BOOLEAN, ENTITY, OCTETS, Enumerated, Integer, Named, String
from duis.xml_elements import (
    Document,
    Structure,
    alternative,
    element,
    elements,
    local_name,
    parts_of,
    structure,
)
from duis.xml_reading import read_xml
from gbcs.entity_identifier import EntityIdentifier  # noqa: TC001 - read by whoever looks at the fields' types
from gbcs.printable import printable
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage

T = TypeVar("T")

RESULTS_MAXIMUM: Final = 1000
"""How many certificates one answer may name; the limit is this project's."""

_SERIAL: Final = String(minimum=1, maximum=40, pattern="[0-9A-Fa-f]+")
_ROLE: Final = Integer(maximum=255)
_USAGE: Final = Named({"DS": KeyUsage.DIGITAL_SIGNATURE, "KA": KeyUsage.KEY_AGREEMENT})


class CertificateStatus(enum.Enum):
    """Status of a certificate in the repository."""

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"


_STATUS: Final = Enumerated(CertificateStatus)


class _Tolerant(Structure[T]):
    """A structure whose elements are read in any order, between others that are not known."""

    def read_children(
        self, element: etree._Element, children: list[etree._Element], document: Document
    ) -> T:
        known = [part.element for part in parts_of(self.cls)]
        mine = [child for child in children if child.tag in known]
        mine.sort(key=lambda child: known.index(local_name(child)))
        return super().read_children(element, mine, document)


@structure
class CertificateSearchRequest:
    """Asks for the certificates of an organisation, or of a device."""

    certificate_subject_name: EntityIdentifier | None = alternative(
        "CertificateSubjectName", ENTITY, default=None
    )
    certificate_subject_alt_name: EntityIdentifier | None = alternative(
        "CertificateSubjectAltName", ENTITY, default=None
    )


@structure
class Result:
    """A certificate that was found.

    An organisation's has a subject name and a role, a number that may be one GBCS does not
    have; a device's has an alternative name. The serial number is hexadecimal.
    """

    certificate_serial: str = element("CertificateSerial", _SERIAL)
    certificate_subject_name: EntityIdentifier | None = alternative(
        "CertificateSubjectName", ENTITY, default=None
    )
    certificate_subject_alt_name: EntityIdentifier | None = alternative(
        "CertificateSubjectAltName", ENTITY, default=None
    )
    certificate_status: CertificateStatus = element("CertificateStatus", _STATUS)
    certificate_role: int | None = element("CertificateRole", _ROLE, default=None)
    certificate_usage: KeyUsage = element("CertificateUsage", _USAGE)
    manufacturing_flag: bool | None = element("ManufacturingFlag", BOOLEAN, default=None)


@structure
class CertificateSearchResponse:
    """The certificates that were found, or none."""

    response_code: str | None = element("ResponseCode", FREE_TEXT, default=None)
    response_message: str | None = element("ResponseMessage", FREE_TEXT, default=None)
    audit_reference: str | None = element("AuditReference", FREE_TEXT, default=None)
    results: tuple[Result, ...] = elements(
        "Result", _Tolerant(Result), at_least=0, at_most=RESULTS_MAXIMUM, default=()
    )


@structure
class CertificateDataRequest:
    """Asks for one certificate by its serial number, in hexadecimal as a search gave it."""

    certificate_serial: str = element("CertificateSerial", _SERIAL)


@structure
class CertificateResponse:
    """A certificate, in DER, and what the repository says of it."""

    certificate_subject_name: EntityIdentifier | None = alternative(
        "CertificateSubjectName", ENTITY, default=None
    )
    certificate_subject_alt_name: EntityIdentifier | None = alternative(
        "CertificateSubjectAltName", ENTITY, default=None
    )
    certificate_serial: str = element("CertificateSerial", _SERIAL)
    certificate_status: CertificateStatus = element("CertificateStatus", _STATUS)
    certificate_body: bytes | None = element("CertificateBody", OCTETS, default=None)
    certificate_role: int | None = element("CertificateRole", _ROLE, default=None)
    certificate_usage: KeyUsage = element("CertificateUsage", _USAGE)
    manufacturing_flag: bool | None = element("ManufacturingFlag", BOOLEAN, default=None)


@structure
class CertificateDataResponse:
    """The certificate that was asked for, or none."""

    response_code: str | None = element("ResponseCode", FREE_TEXT, default=None)
    response_message: str | None = element("ResponseMessage", FREE_TEXT, default=None)
    audit_reference: str | None = element("AuditReference", FREE_TEXT, default=None)
    certificate_response: CertificateResponse | None = element(
        "CertificateResponse", _Tolerant(CertificateResponse), default=None
    )


SMKIDocument = (
    CertificateSearchRequest
    | CertificateSearchResponse
    | CertificateDataRequest
    | CertificateDataResponse
)
SMKIDocumentT = TypeVar(
    "SMKIDocumentT",
    CertificateSearchRequest,
    CertificateSearchResponse,
    CertificateDataRequest,
    CertificateDataResponse,
)
_CLASSES: Final = frozenset(SMKIDocument.__args__)


def build_smki(document: SMKIDocument) -> bytes:
    """Write a document as XML in UTF-8.

    Raises:
        LocalProtocolError: It is none of the four.
    """
    cls: type[Any] = type(document)
    if cls not in _CLASSES:
        raise LocalProtocolError(f"{cls.__name__} is no document of the SMKI interface")
    root = etree.Element(cls.__name__)
    Structure(cls).fill(root, document)
    return etree.tostring(root.getroottree(), xml_declaration=True, encoding="UTF-8")


def parse_smki(octets: bytes, source: str, cls: type[SMKIDocumentT]) -> SMKIDocumentT:
    """Read a document of one of the four classes.

    Args:
        octets: The document.
        source: Its name for errors.
        cls: Which it must be.

    Raises:
        DocumentInvalid: It is hostile, or is not such a document.
    """
    root = read_xml(octets, source)
    if root.tag != cls.__name__:
        raise DocumentInvalid(
            f"it is {printable(str(root.tag), 80)}, where {cls.__name__} is awaited",
            source=source,
            line=root.sourceline,
        )
    return _Tolerant(cls).read(root, Document(source))
