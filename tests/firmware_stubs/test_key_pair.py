from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from meterstub.key_pair import KeyPair, generate_key


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def test_key_comes_back_from_its_pem_and_is_hashed_as_it_is_compared() -> None:
    pair = KeyPair(generate_key())
    again = KeyPair.from_pem(pair.pem)
    assert again == pair
    assert len({again, pair, KeyPair(generate_key())}) == 2


def test_key_on_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(ValueError, match="P-256, not secp384r1"):
        KeyPair(key)
    with pytest.raises(ValueError, match="P-256, not secp384r1"):
        KeyPair.from_pem(pem_of(key))


def test_text_that_is_no_such_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="not an elliptic curve private key"):
        KeyPair.from_pem(pem_of(ed25519.Ed25519PrivateKey.generate()))
    text = pem_of(generate_key())
    with pytest.raises(ValueError, match="not an unencrypted private key in PEM") as caught:
        KeyPair.from_pem(text[:90])
    assert text[40:60] not in str(caught.value)
