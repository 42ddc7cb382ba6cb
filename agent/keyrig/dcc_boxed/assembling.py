"""Putting the ways by service requests together, from the settings and the rig file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from keyrig.dcc_boxed.certificate_lookup import CertificateLookup
from keyrig.dcc_boxed.link import ServiceLink
from keyrig.dcc_boxed.service import OpenService, http_client
from keyrig.dcc_boxed.service_requests import Users
from keyrig.dcc_boxed.smki import SMKI
from keyrig.errors import SettingsError
from keyrig.rig import ServiceSettings
from keyrig.rig_keys import RigKeys
from keyrig.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from gbcs.certificates import GBCSCertificate
    from gbcs.entity import EntityIdentifier
    from gbcs.roles import KeyUsage
    from keyrig.duties.facts import DeviceFacts
    from keyrig.keystore.base import KeyStore
    from keyrig.ledger.ledger import Ledger
    from keyrig.observing import Observer
    from keyrig.rig import RigDevice
    from keyrig.settings import DCCBoxedSettings
    from keyrig.steps.context import Parties


@contextmanager
def service_links(
    home: Path,
    store: KeyStore,
    ledger: Ledger,
    devices: Mapping[RigDevice, DeviceFacts],
    parties: Parties,
    *,
    clock: Callable[[], datetime],
    observe: Observer,
) -> Iterator[tuple[RigKeys, dict[EntityIdentifier, ServiceLink]]]:
    """Open the DCC's interface for the devices that are reached through it.

    Args:
        home: What relative paths in the settings are below.
        store: The key store.
        ledger: Keeps the documents.
        devices: The devices, each with what is known of it.
        parties: The DCC's organisations.
        clock: Gives the present instant.
        observe: Is told where answers are received.

    Yields:
        The keys, which look up what the store lacks, and a way to each device.

    Raises:
        SettingsError: The settings name no DCC Boxed, or a secret or file that cannot be had.
        ReceiverUnusable: The port for its answers cannot be had.
    """
    settings = dcc_boxed_settings()
    is_device = {device.entity_id for device in devices}
    with ExitStack() as stack:
        smki = stack.enter_context(
            http_client(settings, settings.smki_port, home, with_api_key=True)
        )
        lookup = CertificateLookup(SMKI(smki), store)

        def look_up(entity: EntityIdentifier, key_usage: KeyUsage) -> GBCSCertificate:
            return lookup.certificate(entity, key_usage, is_device=entity in is_device, at=clock())

        keys = RigKeys(store, look_up)
        broker = parties.access_control_broker
        opened = stack.enter_context(
            OpenService(settings, home, ledger=ledger, keys=keys, broker=broker, clock=clock)
        )
        observe("receiving", address=opened.receiver.address, path=settings.receive_path)
        links = {}
        for device, facts in devices.items():
            way = device.link
            assert isinstance(way, ServiceSettings)
            users = Users(
                supplier=facts.lead_supplier,
                access_control_broker=broker,
                transitional_cos=parties.transitional_cos,
                import_mpxn=way.mpxn,
            )
            links[device.entity_id] = ServiceLink(
                device=device.entity_id,
                service=opened.service,
                users=users,
                timeout_s=way.timeout_s or settings.response_timeout_s,
            )
        yield keys, links


def dcc_boxed_settings() -> DCCBoxedSettings:
    """Give the settings of DCC Boxed.

    Raises:
        SettingsError: There are none, or they cannot be read.
    """
    settings = load_settings().dcc_boxed
    if settings is None:
        raise SettingsError(
            "the settings", "they name no DCC Boxed", "give [dcc_boxed] address = … there"
        )
    return settings
