"""A rig's key store, the organisations of the DCC around it, and what its duties need of both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gbcs.protocol_errors import CertificateRejected, DecodeError
from gbcs.roles import KeyUsage
from keyrig.base import events
from keyrig.base.errors import KeyMissing, KeyStoreError, RigFileInvalid
from keyrig.config.rig_file import ServiceSettings
from keyrig.keys.authority_choice import authority_of
from keyrig.keys.folder_store import read_certificate
from keyrig.keys.lab_pki import initialise
from keyrig.keys.rig_keys import RigKeys
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.run.preflight import Preflight
from keyrig.session.steps.step_context import Parties

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.base.observing import Observer
    from keyrig.config.places import Places
    from keyrig.keys.certificate_authority import CertificateAuthority
    from keyrig.keys.key_store import KeyStore
    from keyrig.ledger.ledger import Ledger


def keystore_of(places: Places, observe: Observer, now: datetime) -> KeyStore:
    """Open a rig's key store; the test PKI is made for a rig that has emulated devices.

    Raises:
        KeyStoreError: There is none and the rig is of real devices, or a part cannot be used.
    """
    if not places.keystore.exists():
        if not places.rig.has_emulated_devices:
            raise KeyStoreError(
                str(places.keystore),
                "no key store",
                "make one with `keyrig pki init` or import one with `keyrig pki import`",
            )
        observe(events.Preparing(what=f"making a test PKI in {places.keystore}"))
        initialise(places.keystore, now, os.urandom)
    return open_rig_keystore(places.data_folder, places.rig.pki)


def parties_of(places: Places, store: KeyStore) -> Parties:
    """Return the DCC's organisations of a rig; a Recovery Certificate that lacks is left out.

    Raises:
        RigFileInvalid: The file that the rig names for the Recovery Certificate cannot be read.
    """
    dcc, path = places.rig.dcc, places.rig.pki.recovery_certificate
    recovery: GBCSCertificate | None = None
    missing = ""
    if path is not None:
        try:
            recovery = read_certificate(places.data_folder / path)
        except (KeyStoreError, CertificateRejected, DecodeError) as error:
            raise RigFileInvalid(
                f"rig {places.rig.name}, recovery_certificate of [pki]",
                error.finding,
                "name the Recovery Certificate's file",
            ) from error
    else:
        try:
            recovery = store.certificate(dcc.recovery, key_usage=KeyUsage.DIGITAL_SIGNATURE)
        except KeyMissing as error:
            missing = f"{error.finding}, which is the Recovery Certificate"
    return Parties(
        access_control_broker=dcc.access_control_broker,
        transitional_cos=dcc.transitional_cos,
        recovery_certificate=recovery,
        recovery_missing=missing,
    )


def preflight_of(
    places: Places,
    store: KeyStore,
    ledger: Ledger | None,
    *,
    keys: RigKeys | None = None,
    parties: Parties | None = None,
    authority: CertificateAuthority | None = None,
) -> Preflight:
    """Return what says what a rig's duties need; nothing is looked at yet.

    Args:
        places: Where the rig keeps things.
        store: Its key store.
        ledger: The ledger, or None before the first run.
        keys: Finds keys and certificates, in the DCC too; the key store alone without.
        parties: The DCC's organisations, where they are known already.
        authority: The certificate authority, where it is made already.

    Raises:
        RigFileInvalid: The file that the rig names for the Recovery Certificate cannot be read.
    """
    return Preflight(
        store=store,
        keys=keys or RigKeys(store),
        parties=parties or parties_of(places, store),
        authority=authority or authority_of(places.rig, places.data_folder, store),
        ledger=ledger,
        through_dcc=[
            device.entity_id
            for device in places.rig.device
            if isinstance(device.link, ServiceSettings)
        ],
    )
