"""PKCS#11 tokens of SoftHSM for tests, each in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gbcs.key_holders import public_octets
from programs import needed_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.certificate_profiles import GBCSCertificate

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
PIN = "a test's PIN"
SECURITY_OFFICER_PIN = "12345678"
_P256 = bytes.fromhex("06082a8648ce3d030107")


def softhsm_library() -> str:
    """Give SoftHSM's library; without it or its binding the test skips, and in CI it fails."""
    needed_program("softhsm2-util")
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    found = next((each for each in LIBRARIES if Path(each).exists()), None)
    if found is None:
        pytest.skip("SoftHSM's library is in none of its usual places")
    return found


class SoftTokens:
    """A folder of tokens, which the library reads when it is initialised the next time."""

    def __init__(self, folder: Path, library: str) -> None:
        self.library = library
        self.folder = folder / "tokens"
        self.folder.mkdir()
        self.settings = folder / "softhsm2.conf"
        self.configure()

    def configure(self, *lines: str) -> None:
        text = (f"directories.tokendir = {self.folder}", "objectstore.backend = file", *lines)
        self.settings.write_text("\n".join(text) + "\n", encoding="utf-8")

    def make(self, label: str) -> str:
        """Make a token, and give its serial number."""
        before = {token.serial for token in self._tokens()}
        self._util(
            "--init-token", "--free", "--label", label,
            "--pin", PIN, "--so-pin", SECURITY_OFFICER_PIN,
        )  # fmt: skip
        (serial,) = (t.serial for t in self._tokens() if t.serial not in before)
        return str(serial.decode("ascii").strip())

    def set_pin(self, label: str, pin: str) -> None:
        """Give a token another PIN, as its security officer may."""
        import pkcs11  # noqa: PLC0415 - only where it is installed

        module = pkcs11.lib(self.library)
        module.reinitialize()
        with module.get_token(token_label=label).open(rw=True, so_pin=SECURITY_OFFICER_PIN) as s:
            s.init_pin(pin)

    def put(
        self,
        label: str,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        certificate: GBCSCertificate | None = None,
        name: str = "a key",
        identifier: bytes | None = None,
        claims: ec.EllipticCurvePublicKey | None = None,
        has_public_half: bool = True,
        may: Mapping[str, bool] | None = None,
    ) -> None:
        """Put a private key, which then never leaves, or a certificate on a token.

        Args:
            label: The token's.
            key: The private key.
            certificate: The certificate.
            name: The objects' label.
            identifier: Their CKA_ID; the key's point without it.
            claims: The public key put beside it, where that is another's.
            has_public_half: Whether a public key object stands beside it.
            may: What the private key may be used for, where not for everything: sign, derive.
        """
        import pkcs11  # noqa: PLC0415 - only where it is installed
        from pkcs11 import Attribute as A  # noqa: N817, PLC0415 - as above

        module = pkcs11.lib(self.library)
        module.reinitialize()
        with module.get_token(token_label=label).open(rw=True, user_pin=PIN) as session:
            if key is not None:
                point = public_octets(claims or key.public_key())
                common: dict[A, Any] = {
                    A.KEY_TYPE: pkcs11.KeyType.EC,
                    A.TOKEN: True,
                    A.EC_PARAMS: _P256,
                    A.ID: point if identifier is None else identifier,
                    A.LABEL: name,
                }
                session.create_object(
                    common
                    | {
                        A.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
                        A.PRIVATE: True,
                        A.SENSITIVE: True,
                        A.EXTRACTABLE: False,
                        A.VALUE: key.private_numbers().private_value.to_bytes(32),
                        A.SIGN: True,
                        A.DERIVE: True,
                    }
                    | {A[each.upper()]: value for each, value in (may or {}).items()}
                )
                if has_public_half:
                    session.create_object(
                        common
                        | {
                            A.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
                            A.EC_POINT: bytes((4, len(point))) + point,
                        }
                    )
            if certificate is not None:
                session.create_object(
                    {
                        A.CLASS: pkcs11.ObjectClass.CERTIFICATE,
                        A.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                        A.TOKEN: True,
                        A.SUBJECT: certificate.subject.public_bytes(),
                        A.VALUE: certificate.der,
                        A.LABEL: name,
                    }
                )

    def objects(self, label: str, kind: str) -> list[Any]:
        """Give the token's objects of a class, by a session that the store has no part in."""
        import pkcs11  # noqa: PLC0415 - only where it is installed

        module = pkcs11.lib(self.library)
        session = module.get_token(token_label=label).open()
        return list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass[kind]}))

    def take_away(self, *, with_folder: bool) -> None:
        """Have every token gone, as if it was pulled out, perhaps with all that held it."""
        away = self.folder.with_name("elsewhere")
        self.folder.rename(away)
        if not with_folder:
            self.folder.mkdir()

    def bring_back(self) -> None:
        if self.folder.exists():
            self.folder.rmdir()
        self.folder.with_name("elsewhere").rename(self.folder)

    def _tokens(self) -> Iterator[Any]:
        import pkcs11  # noqa: PLC0415 - only where it is installed

        module = pkcs11.lib(self.library)
        module.reinitialize()
        return iter(list(module.get_tokens()))

    def _util(self, *arguments: str) -> None:
        subprocess.run(
            [needed_program("softhsm2-util"), "--module", self.library, *arguments],
            check=True,
            capture_output=True,
            env=os.environ | {"SOFTHSM2_CONF": str(self.settings)},
        )


def soft_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> SoftTokens:
    """Make a folder of tokens that the library of this process reads from then on."""
    library = softhsm_library()
    tokens = SoftTokens(folder, library)
    monkeypatch.setenv("SOFTHSM2_CONF", str(tokens.settings))
    return tokens
