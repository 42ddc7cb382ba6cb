"""Service requests that replace an organisation's certificates on a device.

Source: DUIS XML schema 5.4, the bodies of these names.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - read by whoever looks at the fields' types
from typing import ClassVar, Final

from duis.duis_enumerations import FLOOR_SEQ_NUMBER, MPXN, ROLE
from duis.service_references import CRITICAL, NON_CRITICAL
from duis.simple_types import BOOLEAN, INSTANT, OCTETS
from duis.xml_elements import Structure, element, elements, structure
from gbcs.roles import RemotePartyRole  # noqa: TC001 - as above

PATH_CERTIFICATES_MAXIMUM: Final = 3


@structure
class SupplierOrNetworkOperatorCertificates:
    """New certificates of a party; None leaves one in place."""

    digital_signing_certificate: bytes | None = element(
        "DigitalSigningCertificate", OCTETS, default=None
    )
    key_agreement_certificate: bytes | None = element(
        "KeyAgreementCertificate", OCTETS, default=None
    )
    key_agreement_top_up_certificate: bytes | None = element(
        "KeyAgreementTopUpCertificate", OCTETS, default=None
    )


@structure
class ReplacementCertificatesKRP:
    """The new certificates of a known remote party."""

    supplier_or_network_operator_certificates: SupplierOrNetworkOperatorCertificates = element(
        "SupplierOrNetworkOperatorCertificates", Structure(SupplierOrNetworkOperatorCertificates)
    )


@structure
class ReplacementCertificates:
    """The certificates of a party that takes over; None leaves one in place."""

    digital_signing_certificate: bytes = element("DigitalSigningCertificate", OCTETS)
    key_agreement_certificate: bytes | None = element(
        "KeyAgreementCertificate", OCTETS, default=None
    )
    key_agreement_top_up_certificate: bytes | None = element(
        "KeyAgreementTopUpCertificate", OCTETS, default=None
    )


@structure
class CertificationPathCertificates:
    """The certificates between the root and those that are new."""

    certificates: tuple[bytes, ...] = elements(
        "Certificate", OCTETS, at_most=PATH_CERTIFICATES_MAXIMUM
    )


@structure
class UpdateSecurityCredentialsKRP:
    """6.15.1: a known remote party replaces its own certificates."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.15.1"
    COMMAND_VARIANTS: ClassVar = CRITICAL

    execution_date_time: datetime | None = element("ExecutionDateTime", INSTANT, default=None)
    remote_party_role: RemotePartyRole = element("RemotePartyRole", ROLE)
    remote_party_floor_seq_number: int | None = element(
        "RemotePartyFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )
    remote_party_prepayment_top_up_floor_seq_number: int | None = element(
        "RemotePartyPrepaymentTopUpFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )
    replacement_certificates: ReplacementCertificatesKRP = element(
        "ReplacementCertificates", Structure(ReplacementCertificatesKRP)
    )
    certification_path_certificates: CertificationPathCertificates = element(
        "CertificationPathCertificates", Structure(CertificationPathCertificates)
    )
    apply_time_based_cpv_checks: bool = element("ApplyTimeBasedCPVChecks", BOOLEAN)


@structure
class RequestHandoverOfDCCControlledDevice:
    """6.21: the certificates that the DCC holds a place for are replaced by a party's."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.21"
    COMMAND_VARIANTS: ClassVar = NON_CRITICAL

    execution_date_time: datetime | None = element("ExecutionDateTime", INSTANT, default=None)
    remote_party_role: RemotePartyRole = element("RemotePartyRole", ROLE)
    remote_party_floor_seq_number: int | None = element(
        "RemotePartyFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )
    remote_party_prepayment_top_up_floor_seq_number: int | None = element(
        "RemotePartyPrepaymentTopUpFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )
    replacement_certificates: ReplacementCertificates = element(
        "ReplacementCertificates", Structure(ReplacementCertificates)
    )
    certification_path_certificates: CertificationPathCertificates = element(
        "CertificationPathCertificates", Structure(CertificationPathCertificates)
    )
    apply_time_based_cpv_checks: bool = element("ApplyTimeBasedCPVChecks", BOOLEAN)


@structure
class UpdateSecurityCredentialsCoS:
    """6.23: after a change of supplier, the old one's certificates are replaced."""

    SERVICE_REFERENCE_VARIANT: ClassVar = "6.23"
    COMMAND_VARIANTS: ClassVar = NON_CRITICAL

    execution_date_time: datetime | None = element("ExecutionDateTime", INSTANT, default=None)
    supplier_floor_seq_number: int = element("SupplierFloorSeqNumber", FLOOR_SEQ_NUMBER)
    supplier_prepayment_top_up_floor_seq_number: int | None = element(
        "SupplierPrepaymentTopUpFloorSeqNumber", FLOOR_SEQ_NUMBER, default=None
    )
    supplier_replacement_certificates: ReplacementCertificates = element(
        "SupplierReplacementCertificates", Structure(ReplacementCertificates)
    )
    certification_path_certificates: CertificationPathCertificates = element(
        "CertificationPathCertificates", Structure(CertificationPathCertificates)
    )
    apply_time_based_cpv_checks: bool = element("ApplyTimeBasedCPVChecks", BOOLEAN)
    import_mpxn: str = element("ImportMPxN", MPXN)
