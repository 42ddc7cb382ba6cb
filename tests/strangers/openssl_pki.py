"""A PKI made by the openssl command line and nothing else, as another authority would make it.

No code of the product or of the library beneath it makes anything here. Names, identifiers,
policies and the order of extensions are other than those of the product's own test PKI.

    python openssl_pki.py make FOLDER
    python openssl_pki.py certify FOLDER < request > certificate
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Iterator

Use = Literal["ds", "ka"]

ORGANISATION_POLICY: Final = "1.3.6.1.4.1.32473.9.1"
DEVICE_POLICY: Final = "1.3.6.1.4.1.32473.9.2"
"""Of the arc for documentation (RFC 5612)."""
NEVER: Final = "99991231235959Z"
_POINT_OCTETS = 65
_USAGES: Final = {"ds": "digitalSignature", "ka": "keyAgreement"}


@dataclass(frozen=True)
class Organisation:
    """An organisation; `uses` are the stems of its files after its identifier."""

    entity: str
    role: str
    uses: tuple[str, ...] = ("ds", "ka")
    name: str | None = None

    @property
    def shown(self) -> str:
        return "-".join(self.entity[at : at + 2] for at in range(0, 16, 2)).upper()


RECOVERY: Final = Organisation("d8803900fe000a01", "01", ("ds",))
BROKER: Final = Organisation("d8803900fe000a02", "04")
TRANSITIONAL_COS: Final = Organisation("d8803900fe000a03", "05", ("ds",))
WAN_PROVIDER: Final = Organisation("d8803900fe000a04", "06")
SUPPLIER: Final = Organisation(
    "d8803900fe100000", "02", ("ds", "ka", "pp-ka"), "Bright & Söhne Energy"
)
NETWORK_OPERATOR: Final = Organisation("d8803900fe200000", "03", name="Wires North")
SECOND_SUPPLIER: Final = Organisation("d8803900fe300000", "02", ("ds", "ka", "pp-ka"))
ORGANISATIONS: Final = (
    RECOVERY,
    BROKER,
    TRANSITIONAL_COS,
    WAN_PROVIDER,
    SUPPLIER,
    NETWORK_OPERATOR,
    SECOND_SUPPLIER,
)

_CONFIGURATION: Final = """\
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
new_certs_dir = {folder}/issued
certificate = {folder}/own.pem
private_key = {folder}/own.key
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = {copied}
x509_extensions = extensions
[any]
commonName = optional
organizationalUnitName = optional
[extensions]
{extensions}
"""


def openssl(*arguments: str | Path, given: bytes | None = None) -> bytes:
    """Run openssl with `given` on its standard input, and return what it wrote.

    Raises:
        RuntimeError: It failed; carries what it said.
    """
    # Without a configuration of the machine's own.
    environment = {**os.environ, "OPENSSL_CONF": os.devnull}
    done = subprocess.run(
        ["openssl", *map(str, arguments)],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        check=False,
        timeout=HANG_S,
        env=environment,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"openssl {arguments[0]} exited {done.returncode}: {said}")
    return done.stdout


def key_identifier(key_info: bytes) -> str:
    """Compute the identifier of a SubjectPublicKeyInfo's key by RFC 5280 method (2), in hex."""
    return "4" + hashlib.sha1(key_info[-_POINT_OCTETS:]).hexdigest()[-15:]


class OpenSSLPKI:
    """A PKI in a folder: `agent/` is what an agent may have, `authorities/` what it must not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agent = folder / "agent"

    @classmethod
    def make(cls, folder: Path) -> OpenSSLPKI:
        """Make root, two issuing authorities and every organisation in a new folder."""
        folder.mkdir(parents=True)
        made = cls(folder)
        made.agent.mkdir(mode=0o700)
        made._make_root()
        made._make_issuing("issuing", "/OU=07/CN=Northern Issuing 4")
        made._make_issuing("device-issuing", "/CN=Northern Devices 9")
        for organisation in ORGANISATIONS:
            for use in organisation.uses:
                made.issue_organisation(organisation, use)
        return made

    def file(self, stem: str) -> Path:
        """Return the certificate of the agent's folder that has this stem."""
        return self.agent / f"{stem}.pem"

    def certificate(self, stem: str) -> bytes:
        """Return a certificate of the agent's folder, in DER."""
        return openssl("x509", "-in", self.file(stem), "-outform", "DER")

    def certify(
        self,
        request: bytes,
        *,
        start: datetime | None = None,
        authority: str = "device-issuing",
        policy: str = DEVICE_POLICY,
    ) -> bytes:
        """Certify a device's request (PEM or DER), as it asks; returns the certificate in DER.

        The request's keyUsage and subjectAltName are copied, whatever they say.
        """
        pem = request if b"-----BEGIN" in request else openssl(
            "req", "-inform", "DER", given=request
        )  # fmt: skip
        extensions = [
            f"subjectKeyIdentifier = {self._identifier_of(pem)}",
            f"certificatePolicies = critical,{policy}",
            "authorityKeyIdentifier = keyid:always",
        ]
        begin = start or datetime.now(UTC) - timedelta(minutes=3)
        return self._issue(authority, pem, extensions, begin, NEVER, copied="copy")

    def add_device(self, stem: str, certificate: bytes) -> None:
        """Put a device's certificate (DER) among those that the agent may have."""
        self.file(stem).write_bytes(openssl("x509", "-inform", "DER", given=certificate))

    def issue_organisation(
        self,
        organisation: Organisation,
        use: str,
        *,
        days: int = 1200,
        label: str = "",
    ) -> None:
        """Make an organisation's key and its certificate for so many days from now."""
        key = self.agent / f"{organisation.entity}-{use}{label}.key"
        self._new_key(key)
        request = self._organisation_request(organisation, key)
        # `openssl ca` refuses the BIT STRING in its subject.
        issuer = self.folder / "authorities" / "issuing"
        with tempfile.TemporaryDirectory() as scratch:
            extensions = Path(scratch) / "extensions.cnf"
            extensions.write_text(
                f"keyUsage = critical,{_USAGES[use[-2:]]}\n"
                f"subjectKeyIdentifier = {self._identifier_of(request)}\n"
                f"certificatePolicies = critical,{ORGANISATION_POLICY}\n"
                "authorityKeyIdentifier = keyid:always\n",
                encoding="utf-8",
            )
            serial = openssl("rand", "-hex", "12").decode().strip()
            pem = openssl(
                "x509", "-req", "-CA", issuer / "own.pem", "-CAkey", issuer / "own.key",
                "-set_serial", f"0x1{serial}", "-sha256", "-days", str(days),
                "-extfile", extensions, given=request,
            )  # fmt: skip
        self.file(key.name.removesuffix(".key")).write_bytes(pem)

    def _make_root(self) -> None:
        folder = self._authority_folder("root")
        request = self._authority_request(folder, "/OU=00/CN=Northern Root 2")
        extensions = [
            "keyUsage = critical,keyCertSign,cRLSign",
            "basicConstraints = critical,CA:TRUE",
            f"certificatePolicies = critical,{ORGANISATION_POLICY}",
            f"subjectKeyIdentifier = {self._identifier_of(request)}",
        ]
        self._keep_authority("root", self._issue_authority("root", request, extensions, own=True))

    def _make_issuing(self, name: str, subject: str) -> None:
        folder = self._authority_folder(name)
        request = self._authority_request(folder, subject)
        extensions = [
            "keyUsage = critical,keyCertSign,cRLSign",
            "basicConstraints = critical,CA:TRUE,pathlen:0",
            f"certificatePolicies = critical,{ORGANISATION_POLICY}",
            f"subjectKeyIdentifier = {self._identifier_of(request)}",
            "authorityKeyIdentifier = keyid:always",
        ]
        self._keep_authority(name, self._issue_authority("root", request, extensions, own=False))

    def _authority_folder(self, name: str) -> Path:
        folder = self.folder / "authorities" / name
        (folder / "issued").mkdir(mode=0o700, parents=True)
        (folder / "index.txt").touch()
        return folder

    def _authority_request(self, folder: Path, subject: str) -> bytes:
        self._new_key(folder / "own.key")
        configuration = folder / "request.cnf"
        # nombstr: PrintableString, as authorities' names have it.
        configuration.write_text(
            "[req]\ndistinguished_name = name\nstring_mask = nombstr\n[name]\n", encoding="utf-8"
        )
        return openssl(
            "req", "-new", "-config", configuration, "-key", folder / "own.key", "-subj", subject
        )

    def _issue_authority(
        self, issuer: str, request: bytes, extensions: list[str], *, own: bool
    ) -> bytes:
        start = datetime.now(UTC) - timedelta(days=400)
        end = f"{start + timedelta(days=9000):%Y%m%d%H%M%SZ}"
        return self._issue(issuer, request, extensions, start, end, is_own=own)

    def _keep_authority(self, name: str, der: bytes) -> None:
        pem = openssl("x509", "-inform", "DER", given=der)
        (self.folder / "authorities" / name / "own.pem").write_bytes(pem)
        self.file(name).write_bytes(pem)

    def _issue(
        self,
        issuer: str,
        request: bytes,
        extensions: list[str],
        start: datetime,
        end: str,
        *,
        copied: str = "none",
        is_own: bool = False,
    ) -> bytes:
        folder = self.folder / "authorities" / issuer
        with _locked(folder), tempfile.TemporaryDirectory() as scratch:
            configuration = Path(scratch) / "ca.cnf"
            configuration.write_text(
                _CONFIGURATION.format(
                    folder=folder, copied=copied, extensions="\n".join(extensions)
                ),
                encoding="utf-8",
            )
            asked, given = Path(scratch) / "request.pem", Path(scratch) / "certificate.pem"
            asked.write_bytes(request)
            own = ["-selfsign"] if is_own else []
            openssl(
                "ca", "-batch", "-notext", "-preserveDN", "-config", configuration,
                "-in", asked, "-out", given, "-startdate", f"{start:%Y%m%d%H%M%SZ}",
                "-enddate", end, *own,
            )  # fmt: skip
            return openssl("x509", "-in", given, "-outform", "DER")

    def _organisation_request(self, organisation: Organisation, key: Path) -> bytes:
        """Make a request whose subject has a BIT STRING, which `openssl req` cannot.

        `openssl asn1parse -genconf` writes its parts and `openssl dgst` signs them.
        """
        point = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")[-_POINT_OCTETS:]
        names = [] if organisation.name is None else [("2.5.4.3", f"UTF8:{organisation.name}")]
        names += [
            ("2.5.4.11", f"UTF8:{organisation.role}"),
            ("2.5.4.45", f"FORMAT:HEX,BITSTRING:{organisation.entity}"),
        ]
        parts = ["[subject]", *(f"{at} = SET:set{at}" for at in range(len(names)))]
        for at, (kind, value) in enumerate(names):
            parts += [
                f"[set{at}]", f"a = SEQUENCE:pair{at}",
                f"[pair{at}]", f"a = OID:{kind}", f"b = FORMAT:UTF8,{value}"
                if value.startswith("UTF8") else f"b = {value}",
            ]  # fmt: skip
        parts += [
            "[info]", "a = INTEGER:0", "b = SEQUENCE:subject", "c = SEQUENCE:key",
            "d = IMPLICIT:0C,SEQUENCE:none",
            "[none]",
            "[key]", "a = SEQUENCE:curve", f"b = FORMAT:HEX,BITSTRING:{point.hex()}",
            "[curve]", "a = OID:id-ecPublicKey", "b = OID:prime256v1",
        ]  # fmt: skip
        signed = _generate(["asn1 = SEQUENCE:info", *parts])
        signature = openssl("dgst", "-sha256", "-sign", key, given=signed)
        der = _generate(
            [
                "asn1 = SEQUENCE:request",
                "[request]", "a = SEQUENCE:info", "b = SEQUENCE:by",
                f"c = FORMAT:HEX,BITSTRING:{signature.hex()}",
                "[by]", "a = OID:ecdsa-with-SHA256",
                *parts,
            ]
        )  # fmt: skip
        return openssl("req", "-inform", "DER", given=der)

    def _identifier_of(self, request: bytes) -> str:
        public = openssl("req", "-noout", "-pubkey", given=request)
        return key_identifier(openssl("pkey", "-pubin", "-outform", "DER", given=public))

    def _new_key(self, path: Path) -> None:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)


def _generate(lines: list[str]) -> bytes:
    """Have openssl write the DER that a configuration describes."""
    with tempfile.TemporaryDirectory() as scratch:
        configuration, out = Path(scratch) / "asn1.cnf", Path(scratch) / "out.der"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        openssl("asn1parse", "-genconf", configuration, "-noout", "-out", out)
        return out.read_bytes()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """`openssl ca` keeps its index without a lock of its own."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_of(pki: OpenSSLPKI, folder: Path) -> OpenSSLPKI:
    """Copy a PKI, so that what a test issues is its own."""
    shutil.copytree(pki.folder, folder)
    return OpenSSLPKI(folder)


def main() -> None:
    """Make a PKI, or certify a device's request on standard input."""
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "make":
        OpenSSLPKI.make(folder)
    else:
        sys.stdout.buffer.write(OpenSSLPKI(folder).certify(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
