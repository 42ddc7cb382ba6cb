"""Hosting a rig's emulated devices."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.base.clock import utc_now
from keyrig.base.errors import SettingsError
from keyrig.base.observing import Observer, unobserved
from keyrig.config.places import Places, make_home, places_of
from keyrig.keys.lab_pki import RegisteringAuthority, TestCertificationAuthority
from keyrig.run.emulation import EmulatedDevices
from keyrig.run.rig_locks import held
from keyrig.run.rig_organisations import keystore_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from keyrig.config.rig_file import Rig
    from keyrig.keys.key_store import KeyStore
    from keyrig.keys.lab_pki import CertificateAuthority
    from keyrig.run.emulation import Line


@contextmanager
def emulated_rig(
    rig: Rig,
    *,
    observe: Observer = unobserved,
    line: Line = "pty",
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[EmulatedDevices]:
    """Start a rig's emulated devices, for other programs to use.

    Raises:
        SettingsError: The rig has none.
    """
    if not rig.has_emulated_devices:
        raise SettingsError(f"rig {rig.name}", "has no emulated device", "name another rig")
    places = places_of(rig)
    make_home(places.home)
    store = keystore_of(places, observe, clock())
    authority = emulated_authority(store)
    with (
        held(places.emulation_lock, places, observe),
        hosted_devices(places, store, authority, observe, clock, line) as devices,
    ):
        yield devices


def hosted_devices(
    places: Places,
    store: KeyStore,
    authority: CertificateAuthority,
    observe: Observer,
    clock: Callable[[], datetime],
    line: Line = "pty",
) -> EmulatedDevices:
    """Return a rig's emulated devices, to be hosted while they are entered."""
    return EmulatedDevices(
        places.rig,
        directory=places.emulated,
        store=store,
        authority=authority,
        clock=clock,
        observe=observe,
        line=line,
    )


def emulated_authority(store: KeyStore) -> CertificateAuthority:
    """Return the test authority that certifies emulated devices in their factory.

    A folder also keeps what it issues.
    """
    authority = TestCertificationAuthority.of(store, os.urandom)
    if Path(store.location).is_dir():
        return RegisteringAuthority(authority, store)
    return authority
