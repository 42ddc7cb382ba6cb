"""Private keys from PEM text, behind interfaces that never reveal their octets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gbcs.key_holders import public_octets
from gbcs.roles import KeyUsage
from keyrig.base.errors import KeyLocked, KeyStoreError
from keyrig.base.outside_files import pem_of
from keyrig.keys.key_store import require_use

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from gbcs.certificate_profiles import GBCSCertificate

    Passphrase: TypeAlias = Callable[[str], bytes | None]
    """Called with the name of a key; returns its passphrase, or None."""

_SHA256: Final = hashes.SHA256()
_ECDSA_SHA256: Final = ec.ECDSA(_SHA256)
_ECDH: Final = ec.ECDH()


class _KeyHolder:
    """A private key that can be used but not read, copied or written."""

    __slots__ = ("_name", "_private_key", "_public_key")

    def __init__(self, private_key: ec.EllipticCurvePrivateKey, name: str) -> None:
        self._private_key = private_key
        self._public_key = private_key.public_key()
        self._name = name

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key that belongs to it."""
        return self._public_key

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = f"{self!r} holds a private key and is not copied"
        raise TypeError(msg)


class PEMSigner(_KeyHolder):
    """Signs messages with a private key from a PEM file.

    Source: GBCS v0.8.1, 4.3 (ECDSA on P-256 with SHA-256, plain form).
    """

    __slots__ = ()

    def sign(self, octets: bytes) -> bytes:
        """Sign `octets` by ECDSA on P-256 with SHA-256; returns 64 octets, r then s."""
        r, s = decode_dss_signature(self._private_key.sign(octets, _ECDSA_SHA256))
        return r.to_bytes(32) + s.to_bytes(32)


class PEMKeyAgreer(_KeyHolder):
    """Agrees secrets with a private key from a PEM file.

    Source: GBCS v0.8.1, 4.3.3 (static unified model, C(0e, 2s)).
    """

    __slots__ = ()

    def agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        """Compute the shared secret Z of 32 octets with `peer` by ECDH on P-256."""
        return self._private_key.exchange(_ECDH, peer)


class PEMCertificateSigner(_KeyHolder):
    """Signs certificates with an authority's private key from a PEM file."""

    __slots__ = ()

    def sign_certificate(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what `builder` holds by ECDSA on P-256 with SHA-256."""
        return builder.sign(self._private_key, _SHA256)


class PEMKey:
    """A private key in PEM text that is read, and unlocked, when it is first used.

    Args:
        read: Returns the PEM text, PKCS#8 or SEC 1.
        certificate: The certificate that it must belong to.
        name: Its name, for people and for the prompt for its passphrase.
        passphrase: Returns the passphrase, where the text is encrypted; None where nobody has it.
    """

    __slots__ = ("_agreer", "_certificate", "_name", "_passphrase", "_private_key", "_read")

    def __init__(
        self,
        read: Callable[[], bytes],
        *,
        certificate: GBCSCertificate,
        name: str,
        passphrase: Passphrase | None = None,
    ) -> None:
        self._read = read
        self._certificate = certificate
        self._name = name
        self._passphrase = passphrase
        self._private_key: ec.EllipticCurvePrivateKey | None = None
        self._agreer: PEMKeyAgreer | None = None

    @property
    def stays(self) -> bool:
        """False: its text may be copied, encrypted if it is."""
        return False

    def signer(self) -> PEMSigner:
        """Return it as a signer of messages.

        Raises:
            KeyStoreError: Its certificate is not for digitalSignature, or as `check`.
        """
        require_use(self._name, self._certificate, KeyUsage.DIGITAL_SIGNATURE)
        return PEMSigner(self._unlocked(), self._name)

    def agreer(self) -> PEMKeyAgreer:
        """Return it as a key agreer, the same one each time, as `SharedSecrets` requires.

        Raises:
            KeyStoreError: Its certificate is not for keyAgreement, or as `check`.
        """
        if self._agreer is None:
            require_use(self._name, self._certificate, KeyUsage.KEY_AGREEMENT)
            self._agreer = PEMKeyAgreer(self._unlocked(), self._name)
        return self._agreer

    def certificate_signer(self) -> PEMCertificateSigner:
        """Return it as a signer of certificates.

        Raises:
            KeyStoreError: Its certificate is not for keyCertSign, or as `check`.
        """
        require_use(self._name, self._certificate, KeyUsage.KEY_CERT_SIGN)
        return PEMCertificateSigner(self._unlocked(), self._name)

    def check(self) -> None:
        """Read and unlock it, and check that it belongs to its certificate.

        Raises:
            KeyLocked: It needs a passphrase, and none or a wrong one was given.
            KeyStoreError: It cannot be read, is not on P-256, or is another certificate's.
        """
        self._unlocked()

    def write_to(self, write: Callable[[bytes], None]) -> None:
        """Pass the PEM text, encrypted if it was, to `write` after `check`; for copying a store.

        Raises:
            KeyLocked: As `check`.
            KeyStoreError: As `check`.
        """
        self.check()
        write(self._text())

    def __repr__(self) -> str:
        return f"PEMKey({self._name})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = f"{self!r} holds a private key and is not copied"
        raise TypeError(msg)

    def _unlocked(self) -> ec.EllipticCurvePrivateKey:
        if self._private_key is None:
            private_key = self._load()
            if public_octets(private_key.public_key()) != public_octets(
                self._certificate.public_key
            ):
                raise KeyStoreError(
                    self._name,
                    "the key is not that of the certificate beside it",
                    "put the right key there",
                )
            self._private_key = private_key
        return self._private_key

    def _text(self) -> bytes:
        try:
            return self._read()
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise KeyStoreError(self._name, reason, "check the file's owner") from error

    def _load(self) -> ec.EllipticCurvePrivateKey:
        text = pem_of(self._text())
        is_encrypted = b"ENCRYPTED" in text
        password = None
        if is_encrypted:
            password = self._passphrase(self._name) if self._passphrase is not None else None
            if password is None:
                raise KeyLocked(self._name, "the private key")
        try:
            key = load_pem_private_key(text, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause is left out: its text may quote the key.
            if is_encrypted:
                raise KeyLocked(self._name, "the private key") from None
            raise KeyStoreError(
                self._name, "not a private key in PEM", "export it again as PKCS#8"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise KeyStoreError(
                self._name, "the key is not on P-256", "make one on P-256; GBCS has no other curve"
            )
        return key
