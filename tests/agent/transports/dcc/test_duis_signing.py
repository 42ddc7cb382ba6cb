"""By which key a service request is signed, and by which certificates an answer is believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree

from authorities import START, SUPPLIER, Authorities, Remake, new_key
from duis.document_headers import RequestIdentifier
from duis.request_documents import DecommissionDevice, build_request, request_of
from duis.xml_documents import SIGNATURE_NAMESPACE
from duis.xml_signatures import among, sign, verify
from gbcs.certificate_profiles import GBCSCertificate, subject_key_identifier_of
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole, XMLSigningRole
from homes import boxed_home
from homes.boxed_home import ESME, NOW, BoxedHome
from keyrig.base import events
from keyrig.base.errors import KeyStoreError, SettingsError
from keyrig.config.settings import Settings, load_settings
from keyrig.domain.run_results import RunResult
from keyrig.evidence.evidence_check import Proof, check
from keyrig.evidence.evidence_file import read_evidence
from keyrig.evidence.evidence_key import evidence_key
from keyrig.evidence.evidence_writer import evidence
from keyrig.keys.key_store import IndexedKeyStore, StoredCertificate
from keyrig.keys.lab_pki import ACCESS_CONTROL_BROKER, initialise
from keyrig.keys.pem_keys import PEMKey
from keyrig.keys.rig_keys import RigKeys
from keyrig.ledger.run_record import gather
from keyrig.transports.dcc.duis_signing import (
    RequestSigner,
    ResponseVerifier,
    response_certificates,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from keyrig.keys.folder_store import FolderKeyStore

AUTHORITIES = Authorities()
BROKER = ACCESS_CONTROL_BROKER.entity_id
DSP = EntityIdentifier.parse("90b3d51f30000009")
OTHER = EntityIdentifier.parse("90b3d51f30020000")
DOCUMENT = build_request(
    request_of(DecommissionDevice(device_id=ESME), RequestIdentifier(SUPPLIER, BROKER, 1000))
)


def held(*, has_key: bool = True, **changes: Any) -> StoredCertificate:
    key = new_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = AUTHORITIES.organisation(public_key=key.public_key(), **changes)
    return StoredCertificate(
        certificate,
        cell_usage=CellUsage.MANAGEMENT,
        source="test",
        key=PEMKey(lambda: pem, certificate=certificate, name="test") if has_key else None,
    )


def xml(**changes: Any) -> StoredCertificate:
    return held(role=XMLSigningRole.XML_SIGN, **changes)


def signed_by(
    *stored: StoredCertificate, named: dict[EntityIdentifier, int] | None = None
) -> GBCSCertificate:
    """Sign, and give the one certificate under which the signature verifies."""
    keys = RigKeys(IndexedKeyStore("a store", stored, ()))
    octets = RequestSigner(keys, named=named or {}).sign(DOCUMENT, SUPPLIER)
    serial = etree.fromstring(octets).findtext(f".//{{{SIGNATURE_NAMESPACE}}}X509SerialNumber")
    (found,) = [each for each in stored if str(each.certificate.serial) == serial]
    verify(octets, among([found.certificate]), "a.xml")
    return found.certificate


@pytest.mark.parametrize("days", [-60, 0, 60])
def test_request_is_signed_by_the_xml_key_whatever_its_age(days: int) -> None:
    own = xml(start=START + timedelta(days=100 + days))
    gbcs = held(start=START + timedelta(days=100))
    assert signed_by(gbcs, own) == own.certificate
    assert signed_by(own, gbcs, named={SUPPLIER: gbcs.certificate.serial}) == own.certificate


def test_without_an_xml_key_the_one_that_is_named_signs_and_not_the_newest() -> None:
    old, new = held(), held(start=START + timedelta(days=60))
    named = {SUPPLIER: old.certificate.serial}
    assert signed_by(old, new, named=named) == old.certificate
    public = xml(has_key=False)
    assert signed_by(old, new, public, named=named) == old.certificate


def test_without_an_xml_key_nothing_is_guessed() -> None:
    one = held()
    serial = f"{one.certificate.serial:x}"
    with pytest.raises(KeyStoreError) as caught:
        signed_by(one)
    assert str(caught.value) == (
        f"a store: {SUPPLIER} has no XML-signing key; import one, or name a certificate by its "
        f"serial number in duis.signing_certificates ({serial})"
    )
    with pytest.raises(KeyStoreError, match="and no key with serial number fff; import one"):
        signed_by(one, named={SUPPLIER: 0xFFF})
    with pytest.raises(KeyStoreError, match="no XML-signing key; import one with"):
        signed_by(held(entity_id=OTHER))
    with pytest.raises(KeyStoreError, match="no XML-signing key; import one with"):
        signed_by(held(key_usage=KeyUsage.KEY_AGREEMENT))


def test_of_several_xml_keys_the_one_that_is_named_signs() -> None:
    first, second = xml(), xml(start=START + timedelta(days=60))
    with pytest.raises(KeyStoreError, match="has 2 XML-signing keys; name a certificate") as caught:
        signed_by(first, second, held())
    for each in (first, second):
        assert f"{each.certificate.serial:x}" in str(caught.value)
        assert signed_by(first, second, named={SUPPLIER: each.certificate.serial}) == (
            each.certificate
        )
    gbcs = held()
    with pytest.raises(KeyStoreError, match="2 XML-signing keys and no key with serial"):
        signed_by(first, second, gbcs, named={SUPPLIER: gbcs.certificate.serial})


def test_serial_number_that_two_issuers_gave_names_no_key() -> None:
    one = held()
    elsewhere = Authorities(name="U", serial=one.certificate.serial - 2)
    key = new_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _ = elsewhere.issuing
    elsewhere.serial = one.certificate.serial - 1
    twin = elsewhere.organisation(public_key=key.public_key())
    assert twin.serial == one.certificate.serial
    other = replace(one, certificate=twin, key=PEMKey(lambda: pem, certificate=twin, name="test"))
    with pytest.raises(KeyStoreError, match="two keys with serial number"):
        signed_by(one, other, named={SUPPLIER: twin.serial})


def test_who_signs_instead_signs_by_its_own_key() -> None:
    own, of_other = xml(), xml(entity_id=OTHER)
    keys = RigKeys(IndexedKeyStore("a store", [own, of_other], ()))
    octets = RequestSigner(keys, OTHER).sign(DOCUMENT, SUPPLIER)
    verify(octets, among([of_other.certificate]), "a.xml")
    with pytest.raises(CertificateRejected):
        verify(octets, among([own.certificate]), "a.xml")


def test_answers_are_believed_by_the_dccs_xml_keys_and_its_broker() -> None:
    broker: dict[str, Any] = {"entity_id": BROKER, "role": RemotePartyRole.ACCESS_CONTROL_BROKER}
    believed = [
        held(**broker),
        held(entity_id=BROKER, role=XMLSigningRole.DSP_XML_SIGN),
        held(entity_id=DSP, role=XMLSigningRole.DSP_XML_SIGN),
    ]
    others = [
        held(**broker, key_usage=KeyUsage.KEY_AGREEMENT),
        held(),
        xml(),
        held(entity_id=OTHER, role=RemotePartyRole.NETWORK_OPERATOR),
    ]
    known = [each.certificate for each in (*believed, *others)]
    certificates = response_certificates(None, BROKER, known)
    assert list(certificates) == [each.certificate for each in believed]
    verifier = ResponseVerifier(certificates=certificates)
    for each in believed:
        assert each.key is not None
        octets = sign(DOCUMENT, each.key.signer(), each.certificate)
        assert verifier.verify(octets, "a.xml").signer == str(each.certificate)
    assert others[2].key is not None
    with pytest.raises(CertificateRejected):
        verifier.verify(sign(DOCUMENT, others[2].key.signer(), others[2].certificate), "a.xml")


def test_run_through_the_dcc_signs_and_believes_by_xml_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        assert home.run() is RunResult.DONE
        documents = [each for exchange in home.exchanges() for each in home.documents(exchange)]
        received = [each for each in documents if not each.is_sent]
        assert {each.signer for each in received} == {f"{BROKER} (dspXmlSign, digitalSignature)"}


def self_signed(directory: Path, now: datetime, random: Callable[[int], bytes]) -> FolderKeyStore:
    """Make the test PKI with the supplier's XML-signing pair as DCC Boxed has it."""
    store = initialise(directory, now, random)
    key = new_key()
    path = directory / f"{SUPPLIER.stem}-xml.pem"
    remade = Remake(GBCSCertificate.all_from_pem(path.read_bytes())[0])
    remade.changing(public_key=key.public_key()).without(x509.AuthorityKeyIdentifier)
    remade.replacing(x509.SubjectKeyIdentifier(subject_key_identifier_of(key.public_key())))
    path.write_bytes(remade.signed(key).decoded.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.with_suffix(".key").write_bytes(pem)
    return store


def test_evidence_holds_of_commands_that_a_self_signed_xml_key_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxed_home, "initialise", self_signed)
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        assert home.run(run_id="1" * 32) is RunResult.DONE
        with home.ledger() as ledger:
            record = gather(ledger, "1" * 32)
    file = read_evidence(evidence(record, evidence_key(tmp_path, "boxed"), NOW), "evidence")
    verdict = check(file)
    assert verdict.holds
    assert {each.proof for each in verdict.duties} == {Proof.SIGNED, Proof.MACED}


def test_run_without_an_xml_key_sends_nothing_and_says_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoxedHome(tmp_path, monkeypatch, entities=[ESME]) as home:
        for path in (tmp_path / "pki").glob(f"{SUPPLIER.stem}-xml.*"):
            path.unlink()
        assert home.run() is RunResult.NEEDS_PERSON
        assert "duis.signing_certificates" in home.told.of(events.PersonNeeded)[0].reason
        assert not home.told.of(events.CommandSent)


@pytest.mark.parametrize("text", ["4a:07:BC:01", "004A07BC01", "4a07bc01"])
def test_serial_number_is_read_as_programs_write_it(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text).duis.serials == {SUPPLIER: 0x4A07BC01}


@pytest.mark.parametrize("text", ["", "0x12", "12 34", "f" * 41])
def test_serial_number_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="a serial number is hexadecimal"):
        settings(tmp_path, text)


def settings(home: Path, serial: str) -> Settings:
    text = f'[duis.signing_certificates]\n"{SUPPLIER}" = "{serial}"\n'
    (home / "keyrig.toml").write_text(text, encoding="utf-8")
    return load_settings({"KEYRIG_HOME": str(home)})
