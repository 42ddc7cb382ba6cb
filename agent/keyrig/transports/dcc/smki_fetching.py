"""Fetching certificates and the key bundle of DCC Boxed on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import CertificateLookupFailed, KeyMissing
from keyrig.keys.key_bundle import BundleKeyStore
from keyrig.keys.key_store import StoredCertificate
from keyrig.keys.store_copying import CopyReport, add_certificate, import_store
from keyrig.keys.store_opening import open_keystore
from keyrig.transports.dcc.dcc_service import bundle_client, dcc_boxed_settings, smki_client
from keyrig.transports.dcc.smki_client import SMKI
from keyrig.transports.dcc.smki_lookup import SOURCE, CertificateLookup

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.keys.pem_keys import Passphrase

BUNDLE_PATH: Final = "/assets/crypto/org-crypto.zip"
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A certificate that was looked up.

    Args:
        certificate: The certificate; its path leads to a root of the key store.
        is_new: Whether it is new to the key store.
        refused: Why it was not added, or "".
    """

    certificate: GBCSCertificate
    is_new: bool
    refused: str = ""


def fetch_certificates(
    keystore: Path, data_folder: Path, entity: EntityIdentifier, *, at: datetime
) -> tuple[Fetched, ...]:
    """Look up a party's certificates in use, and add them to a key store that is a folder.

    Args:
        keystore: The key store; it has the authorities that are trusted.
        data_folder: The folder that relative paths in the settings start from.
        entity: An organisation or a device.
        at: When the certificates must be valid.

    Raises:
        SettingsError: The settings name no DCC Boxed.
        KeyMissing: The repository has none.
        CertificateLookupFailed: A service refuses, or returns a certificate that is not valid.
        DCCUnreachable: The services do not answer.
        KeyStoreError: The key store cannot be opened or written.
    """
    store = open_keystore(keystore)
    with smki_client(dcc_boxed_settings(), data_folder) as http:
        lookup = CertificateLookup(SMKI(http), store)
        is_device = False
        found = lookup.in_use(entity, is_device=False, at=at)
        if not found:
            is_device = True
            found = lookup.in_use(entity, is_device=True, at=at)
    if not found:
        raise KeyMissing(SOURCE, f"certificate in use of {entity}")
    agreement = [each for each in found if each.key_usage == KeyUsage.KEY_AGREEMENT]
    fetched = []
    for certificate in found:
        if not is_device and certificate in agreement and len(agreement) > 1:
            reason = (
                "which of several is for prepayment top-ups is not told; see `keyrig pki bundle`"
            )
            fetched.append(Fetched(certificate=certificate, is_new=False, refused=reason))
            continue
        stored = StoredCertificate(certificate, cell_usage=CellUsage.MANAGEMENT, source=SOURCE)
        is_new = add_certificate(store, stored)
        fetched.append(Fetched(certificate=certificate, is_new=is_new))
    return tuple(fetched)


def fetch_bundle(
    keystore: Path, data_folder: Path, passphrase: Passphrase | None = None
) -> CopyReport:
    """Fetch the bundle of organisations' keys, and copy it into a key store.

    It is held in memory alone; private keys are written for their owner alone.

    Args:
        keystore: The folder to copy into; made when it does not exist.
        data_folder: The folder that relative paths in the settings start from.
        passphrase: Returns the passphrase of an encrypted key; the copy stays encrypted.

    Raises:
        SettingsError: The settings name no DCC Boxed.
        CertificateLookupFailed: There is no bundle.
        DCCUnreachable: The server does not answer.
        KeyStoreError: What it returns is no bundle, or the folder cannot be written.
    """
    settings = dcc_boxed_settings()
    where = f"http://{settings.address}:{settings.bundle_port}{BUNDLE_PATH}"
    with bundle_client(settings, data_folder) as http:
        answer = http.get(BUNDLE_PATH)
    if answer.status != _OK:
        raise CertificateLookupFailed(where, f"the server answers HTTP {answer.status}")
    return import_store(BundleKeyStore(answer.octets, where, passphrase), keystore)
