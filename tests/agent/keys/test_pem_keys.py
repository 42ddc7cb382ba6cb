"""Private keys behind their interfaces: what they do, refuse and never tell."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from authorities import Authorities, new_key
from gbcs.key_holders import public_octets
from gbcs.roles import KeyUsage
from keyrig.base.errors import KeyLocked, KeyStoreError
from keyrig.keys.pem_keys import PEMKey, PEMSigner

if TYPE_CHECKING:
    from gbcs.certificate_profiles import GBCSCertificate


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


def text_of(
    key: Any, *, passphrase: bytes | None = None, form: PrivateFormat = PrivateFormat.PKCS8
) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    octets: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return octets


def certificate_of(
    authorities: Authorities, key: ec.EllipticCurvePrivateKey, usage: KeyUsage
) -> GBCSCertificate:
    return authorities.organisation(public_key=key.public_key(), key_usage=usage)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_signature_is_sixty_four_octets_that_the_public_key_verifies(
    authorities: Authorities, form: PrivateFormat
) -> None:
    key = new_key()
    certificate = certificate_of(authorities, key, KeyUsage.DIGITAL_SIGNATURE)
    signer = PEMKey(lambda: text_of(key, form=form), certificate=certificate, name="k").signer()
    for number in range(40):
        octets = b"message %d" % number
        signature = signer.sign(octets)
        assert len(signature) == 64
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        certificate.public_key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(hashes.SHA256()))


def test_both_ends_agree_the_same_secret(authorities: Authorities) -> None:
    key, peer = new_key(), new_key()
    certificate = certificate_of(authorities, key, KeyUsage.KEY_AGREEMENT)
    agreer = PEMKey(lambda: text_of(key), certificate=certificate, name="k").agreer()
    assert agreer.agree(peer.public_key()) == peer.exchange(ec.ECDH(), key.public_key())
    assert public_octets(agreer.public_key) == public_octets(key.public_key())


@pytest.mark.parametrize("give", ["signer", "certificate_signer"])
def test_key_is_not_given_for_another_use(authorities: Authorities, give: str) -> None:
    key = new_key()
    certificate = certificate_of(authorities, key, KeyUsage.KEY_AGREEMENT)
    held = PEMKey(lambda: text_of(key), certificate=certificate, name="k")
    with pytest.raises(KeyStoreError, match="is not for"):
        getattr(held, give)()


def test_key_of_another_certificate_is_refused(authorities: Authorities) -> None:
    certificate = certificate_of(authorities, new_key(), KeyUsage.DIGITAL_SIGNATURE)
    held = PEMKey(lambda: text_of(new_key()), certificate=certificate, name="k")
    with pytest.raises(KeyStoreError, match="not that of the certificate"):
        held.signer()


def test_key_on_another_curve_is_refused(authorities: Authorities) -> None:
    certificate = certificate_of(authorities, new_key(), KeyUsage.DIGITAL_SIGNATURE)
    other = ec.generate_private_key(ec.SECP384R1())
    held = PEMKey(lambda: text_of(other), certificate=certificate, name="k")
    with pytest.raises(KeyStoreError, match="P-256"):
        held.check()


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\xff\x00"])
def test_text_that_is_no_key_is_refused_without_quoting_it(
    authorities: Authorities, text: bytes
) -> None:
    certificate = certificate_of(authorities, new_key(), KeyUsage.DIGITAL_SIGNATURE)
    with pytest.raises(KeyStoreError, match="not a private key in PEM") as caught:
        PEMKey(lambda: text, certificate=certificate, name="k").check()
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value, KeyLocked)


def test_encrypted_key_is_unlocked_once_and_only_when_used(authorities: Authorities) -> None:
    key = new_key()
    certificate = certificate_of(authorities, key, KeyUsage.DIGITAL_SIGNATURE)
    asked: list[str] = []

    def passphrase(name: str) -> bytes:
        asked.append(name)
        return b"correct horse"

    held = PEMKey(
        lambda: text_of(key, passphrase=b"correct horse"),
        certificate=certificate,
        name="supplier key",
        passphrase=passphrase,
    )
    assert asked == []
    held.signer()
    held.signer()
    assert asked == ["supplier key"]


@pytest.mark.parametrize("answer", [None, b"wrong"])
def test_encrypted_key_without_its_passphrase_stays_locked(
    authorities: Authorities, answer: bytes | None
) -> None:
    key = new_key()
    certificate = certificate_of(authorities, key, KeyUsage.DIGITAL_SIGNATURE)
    text = text_of(key, passphrase=b"correct horse")
    for passphrase in (None, lambda _: answer):
        held = PEMKey(lambda: text, certificate=certificate, name="k", passphrase=passphrase)
        with pytest.raises(KeyLocked, match="passphrase") as caught:
            held.signer()
        assert caught.value.__cause__ is None


def test_holder_neither_shows_nor_copies_its_key(authorities: Authorities) -> None:
    key = new_key()
    certificate = certificate_of(authorities, key, KeyUsage.DIGITAL_SIGNATURE)
    held = PEMKey(lambda: text_of(key), certificate=certificate, name="90b3-ds.key")
    signer = held.signer()
    assert repr(signer) == "PEMSigner(90b3-ds.key)"
    assert repr(held) == "PEMKey(90b3-ds.key)"
    assert not hasattr(signer, "__dict__")
    for holder in (signer, held):
        for copying in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not copied"):
                copying(holder)
    assert isinstance(signer, PEMSigner)
