"""XML signing as a purpose of its own, and roles that nobody here knows."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from authorities import DURING, SUPPLIER, Authorities, Remake, new_key
from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate, check_profile
from gbcs.path_validation import is_self_signed, validate_path
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import KeyUsage, RemotePartyRole, XMLSigningRole

AUTHORITIES = Authorities()


def xml_signing(role: XMLSigningRole = XMLSigningRole.XML_SIGN) -> Remake:
    """Make one as DCC Boxed's are: without an authorityKeyIdentifier."""
    return Remake(AUTHORITIES.organisation(role=role)).without(x509.AuthorityKeyIdentifier)


def with_unit(*units: str) -> GBCSCertificate:
    remade = Remake(AUTHORITIES.organisation())
    kept = [a for a in remade.subject if a.oid != NameOID.ORGANIZATIONAL_UNIT_NAME]
    added = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit, _type=_ASN1Type.UTF8String)
        for unit in units
    ]
    return remade.changing(subject=x509.Name([*added, *kept])).signed()


def test_roles_of_xml_signing_have_numbers_and_names() -> None:
    assert {int(role): role.gbcs_name for role in XMLSigningRole} == {
        0x87: "xmlSign",
        0x89: "dspXmlSign",
    }
    assert not {int(role) for role in XMLSigningRole} & {int(role) for role in RemotePartyRole}


@pytest.mark.parametrize("role", XMLSigningRole)
def test_certificate_for_signing_xml_needs_no_authority_key_identifier(
    role: XMLSigningRole,
) -> None:
    certificate = xml_signing(role).signed()
    check_profile(certificate)
    assert certificate.profile is CertificateProfile.ORGANISATION
    assert certificate.role is role
    assert certificate.signs_xml
    assert str(certificate) == f"{SUPPLIER} ({role.gbcs_name}, digitalSignature)"


def test_certificate_for_signing_xml_leads_to_the_root_by_its_issuers_name() -> None:
    signer = AUTHORITIES.issuing.signer
    remade = xml_signing()
    certificate = remade.signed(signer.key)  # type: ignore[attr-defined] # the tests' own signer
    arguments = {
        "path_certificates": [AUTHORITIES.issuing.certificate],
        "trust_anchors": [AUTHORITIES.root.certificate],
        "at": DURING,
    }
    assert validate_path(certificate, **arguments)[0] == certificate  # type: ignore[arg-type]
    with pytest.raises(CertificateRejected, match="its role is xmlSign, not supplier") as caught:
        validate_path(certificate, role=RemotePartyRole.SUPPLIER, **arguments)  # type: ignore[arg-type]
    assert caught.value.rule == "wrong-role"


def test_self_signed_certificate_is_told_as_such() -> None:
    key = new_key()
    remade = Remake(
        AUTHORITIES.organisation(role=XMLSigningRole.XML_SIGN, public_key=key.public_key())
    ).without(x509.AuthorityKeyIdentifier)
    itself, by_another = remade.signed(key), remade.signed()
    assert is_self_signed(itself)
    assert not is_self_signed(by_another)
    for certificate, reason in ((itself, "T1 .*, but by its own key"), (by_another, r"T1 \(.*\)$")):
        with pytest.raises(CertificateRejected, match=f"its signature is not that of {reason}"):
            validate_path(
                certificate,
                path_certificates=[AUTHORITIES.issuing.certificate],
                trust_anchors=[AUTHORITIES.root.certificate],
                at=DURING,
            )


def test_key_for_signing_xml_is_for_nothing_else() -> None:
    remade = Remake(AUTHORITIES.organisation(key_usage=KeyUsage.KEY_AGREEMENT)).changing(
        subject=xml_signing().subject
    )
    with pytest.raises(CertificateRejected, match="signs XML is for digitalSignature") as caught:
        check_profile(remade.signed())
    assert caught.value.rule == "key-usage"


def test_other_organisations_need_their_authority_key_identifier() -> None:
    remade = Remake(AUTHORITIES.organisation()).without(x509.AuthorityKeyIdentifier)
    with pytest.raises(CertificateRejected, match="no authorityKeyIdentifier"):
        check_profile(remade.signed())


@pytest.mark.parametrize(
    ("unit", "number", "shown"),
    [
        ("2A", 0x2A, "2A"),
        ("fe", 0xFE, "fe"),
        ("Sales", None, "Sales"),
        ("a\x1bb", None, "a\ufffdb"),
    ],
)
def test_role_that_is_not_known_is_told_as_unknown(
    unit: str, number: int | None, shown: str
) -> None:
    certificate = with_unit(unit)
    assert certificate.role is None
    assert certificate.role_number == number
    assert certificate.profile is CertificateProfile.ORGANISATION
    assert str(certificate) == (
        f"{SUPPLIER} (organisation of unknown role {shown}, digitalSignature)"
    )
    with pytest.raises(CertificateRejected) as caught:
        check_profile(certificate)
    assert caught.value.rule == "role"
    assert caught.value.reason == f"the role that its OU names ({shown}) is unknown here"


def test_organisation_without_a_role_is_no_device() -> None:
    certificate = with_unit()
    assert str(certificate) == f"{SUPPLIER} (organisation without a role, digitalSignature)"
    with pytest.raises(CertificateRejected, match="no OU with the role") as caught:
        check_profile(certificate)
    assert caught.value.rule == "role"
