"""The `keystore.json` that DCC Boxed's tools keep."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyStoreError
from keyrig.base.outside_files import Unreadable, parse_json, pem_of, read_octets
from keyrig.keys.folder_store import certificate_in
from keyrig.keys.key_store import IndexedKeyStore, LeftOut, StoredCertificate
from keyrig.keys.pem_keys import PEMKey

if TYPE_CHECKING:
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.pem_keys import Passphrase

TOP_UP_NAME: Final = re.compile(
    r"(?:^|[^a-z])(?:pp|pre-?pay(?:ment)?|top-?up)(?:[^a-z]|$)", re.IGNORECASE
)
"""Entry names that mark a prepayment top-up key: the format has no field for it."""

_USES = {"digitalSignature": KeyUsage.DIGITAL_SIGNATURE, "keyAgreement": KeyUsage.KEY_AGREEMENT}


class _Entry(BaseModel):
    """One certificate, perhaps with its key; its text is kept out of every repr."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    certificate: str
    private_key: str | None = Field(default=None, alias="privateKey", repr=False)
    role: int | None = None
    name: str | None = None


_DOCUMENT: Final = TypeAdapter(
    dict[str, dict[str, dict[str, _Entry]]], config=ConfigDict(hide_input_in_errors=True)
)


class DCCBoxedKeyStore(IndexedKeyStore):
    """A `keystore.json`: by Entity Identifier, use and decimal serial number.

    An entry that cannot be used, or whose certificate contradicts its place, is left out and
    named in `problems`. A key agreement entry whose name has the word pp, prepay, prepayment or
    top-up serves prepayment top-ups; every other serves management.

    Args:
        path: The file.
        passphrase: Returns the passphrase of an encrypted key; called when it is first used.

    Raises:
        KeyStoreError: The file cannot be read or has another form.

    Source: JSON schema of dccboxed-keystore 0.4.2.
    """

    def __init__(self, path: Path, passphrase: Passphrase | None = None) -> None:
        stored, problems = [], []
        for eui, uses in _read(path).items():
            for use, entries in uses.items():
                for serial, entry in entries.items():
                    place = f"{eui}/{use}/{serial}"
                    try:
                        stored.append(_stored(place, entry, passphrase))
                    except (KeyStoreError, CertificateRejected, ValueError) as error:
                        problems.append(LeftOut.by(place, error))
        super().__init__(str(path), stored, problems)


def _read(path: Path) -> dict[str, dict[str, dict[str, _Entry]]]:
    try:
        return _DOCUMENT.validate_python(parse_json(read_octets(path)))
    except Unreadable as error:
        raise KeyStoreError(str(path), f"no DCC Boxed keystore.json: {error}", error.mend) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        at = "/".join(str(part) for part in first["loc"]) or "the top"
        raise KeyStoreError(
            str(path), f"no DCC Boxed keystore.json: {at}: {first['msg']}", "export it again"
        ) from None


def _stored(place: str, entry: _Entry, passphrase: Passphrase | None) -> StoredCertificate:
    certificate = certificate_in(pem_of(entry.certificate.encode()), place)
    contradiction = _contradiction(place, entry, certificate)
    if contradiction is not None:
        raise KeyStoreError(place, contradiction, "export it again, or leave it out")
    key = None
    if entry.private_key is not None:
        key = PEMKey(
            entry.private_key.encode, certificate=certificate, name=place, passphrase=passphrase
        )
    is_top_up = (
        certificate.key_usage == KeyUsage.KEY_AGREEMENT
        and entry.name is not None
        and TOP_UP_NAME.search(entry.name) is not None
    )
    cell_usage = CellUsage.PREPAYMENT_TOP_UP if is_top_up else CellUsage.MANAGEMENT
    return StoredCertificate(certificate, cell_usage=cell_usage, source=place, key=key)


def _contradiction(place: str, entry: _Entry, certificate: GBCSCertificate) -> str | None:
    eui, use, serial = place.split("/")
    if use not in _USES:
        return "its use is neither digitalSignature nor keyAgreement"
    if certificate.entity_id != EntityIdentifier.parse(eui) or certificate.key_usage != _USES[use]:
        return f"holds the certificate of {certificate}"
    if str(certificate.serial) != serial:
        return "its certificate has another serial number"
    role = certificate.role_number
    if entry.role is not None and entry.role != role:
        says = "none" if role is None else f"role {role}"
        return f"says role {entry.role}, its certificate says {says}"
    return None


class DCCBoxedDocument:
    """A `keystore.json` in the making; see `DCCBoxedKeyStore`."""

    def __init__(self) -> None:
        self._uses: dict[str, dict[str, dict[str, _Entry]]] = {}

    def add(self, stored: StoredCertificate, private_key: str | None = None) -> str:
        """Add a certificate, and return its place: Entity Identifier, use and serial number.

        Args:
            stored: An organisation's or device's.
            private_key: Its private key, PEM that is not encrypted; None leaves it out.

        Raises:
            KeyStoreError: It identifies no party, is for another use than the form has, or has
                the serial number of another of the same party and use.
        """
        certificate = stored.certificate
        use = next((name for name, usage in _USES.items() if usage == certificate.key_usage), None)
        if certificate.entity_id is None or use is None:
            raise KeyStoreError(
                stored.source, f"{certificate} has no place in a keystore.json", "leave it out"
            )
        party, serial = certificate.entity_id.stem, str(certificate.serial)
        entries = self._uses.setdefault(party, {}).setdefault(use, {})
        if serial in entries:
            raise KeyStoreError(
                stored.source,
                f"another certificate of {certificate} has serial number {serial}, by which "
                "a keystore.json tells them apart",
                "leave one out",
            )
        entries[serial] = _Entry(
            certificate=certificate.decoded.public_bytes(Encoding.PEM).decode("ascii"),
            privateKey=private_key,
            role=certificate.role_number,
            name=_name(stored),
        )
        return f"{party}/{use}/{serial}"

    def octets(self) -> bytes:
        """Return the document, JSON in UTF-8."""
        return _DOCUMENT.dump_json(self._uses, indent=2, by_alias=True, exclude_none=True) + b"\n"


def _name(stored: StoredCertificate) -> str:
    """Return the entry's name, which marks top-up keys and no others."""
    role = stored.certificate.role
    who = "device" if role is None else role.gbcs_name
    top_up = "-pp" if stored.cell_usage is CellUsage.PREPAYMENT_TOP_UP else ""
    use = "ds" if stored.certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE else "ka"
    return f"{who}{top_up}-{use}"
