"""The emulated devices of a rig: made once, kept below KEYRIG_HOME, each on a line of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.roles import CellUsage, KeyUsage, RemotePartyRole
from keyrig.base import events
from keyrig.base.errors import SettingsError
from keyrig.base.private_files import make_folder
from keyrig.config.rig_file import LineSettings, ZigBeeSettings
from keyrig.keys.key_store import Authority, KeyStore, StoredCertificate
from keyrig.keys.lab_pki import TestCertificationAuthority
from keyrig.keys.store_copying import add_certificate
from keyrig_emulation.commissioning_mark import commissioned_at, mark_commissioned
from meterlink.hdlc.hdlc_address import HDLCAddress
from meterstub.device_factory import manufacture
from meterstub.device_faults import Faults
from meterstub.device_memory import DeviceMemory, FileStorage
from meterstub.emulated_device import EmulatedDevice
from meterstub.hosts.line_host import LineOptions
from meterstub.hosts.pty_host import PtyHost
from meterstub.hosts.tcp_host import TCPHost
from meterstub.trust_anchor_cells import CELLS, factory_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from keyrig.base.observing import Observer
    from keyrig.config.rig_file import DCCParties, RadioSettings, Rig, RigDevice
    from keyrig.run.emulation import Line
    from meterstub.device_state import DeviceState
    from meterstub.hosts.line_host import LineHost
    from meterstub.radio.neighbourhood import Neighbourhood


class EmulatedDevices:
    """The emulated devices of one rig, started and stopped together.

    Args:
        rig: The rig; those of its devices whose URL is `emulated:` are here.
        directory: Where their memories are kept.
        store: The key store with the certificates that their cells hold from the factory, and the
            issuing key that certifies their first keys; a folder keeps these certificates too.
        clock: Returns their time.
        observe: Called for each device that is made.
        line: What each is put on.

    Raises:
        KeyMissing: The store lacks that key.
        KeyLocked: It needs a passphrase that was not given.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        directory: Path,
        store: KeyStore,
        clock: Callable[[], datetime],
        observe: Observer,
        line: Line = "pty",
    ) -> None:
        self._rig = rig
        self._directory = directory
        self._store = store
        self._authority = TestCertificationAuthority.of(store, os.urandom)
        self._keeps_certificates = Path(store.location).is_dir()
        self._clock = clock
        self._observe = observe
        self._line = line
        self._stack = ExitStack()
        self.devices: dict[EntityIdentifier, EmulatedDevice] = {}
        self._hosts: dict[EntityIdentifier, LineHost] = {}
        self._radio_hosts: dict[str, LineHost] = {}
        self.neighbourhoods: dict[str, Neighbourhood] = {}

    @property
    def urls(self) -> Mapping[EntityIdentifier, str]:
        """Where each device is reached; known once they are started."""
        return {entity: host.url for entity, host in self._hosts.items()}

    @property
    def radio_urls(self) -> Mapping[str, str]:
        """Where each radio is reached, by name; known once they are started."""
        return {name: host.url for name, host in self._radio_hosts.items()}

    @property
    def commissioned_at(self) -> datetime:
        """When they were made, which counts as their Commissioning."""
        moment = commissioned_at(self._directory)
        assert moment is not None
        return moment

    def verify_running(self) -> None:
        """Check that every host still runs.

        Raises:
            HostFailed: One has ended; names it.
        """
        for host in (*self._hosts.values(), *self._radio_hosts.values()):
            host.verify_running()

    def make(self) -> None:
        """Make the devices that are not there yet, as from the factory, and remember when.

        A device is there before its certificates are kept, and they are looked for each time;
        so none is kept for a device whose making was interrupted, and none is missing.
        """
        make_folder(self._directory)
        if commissioned_at(self._directory) is None:
            mark_commissioned(self._directory, self._clock())
        for device in self._emulated():
            storage = FileStorage(self._path(device))
            if not self._path(device).exists():
                self._observe(
                    events.Preparing(
                        what=f"making an emulated {device.type.value} {device.entity_id}"
                    )
                )
                DeviceMemory.create(storage, self._manufactured(device))
            if self._keeps_certificates:
                for der in DeviceMemory(storage).state.certificates.values():
                    issued = GBCSCertificate.from_der(der)
                    add_certificate(
                        self._store,
                        StoredCertificate(issued, CellUsage.MANAGEMENT, source="issued"),
                    )

    def _emulated(self) -> list[RigDevice]:
        return [device for device in self._rig.device if self._rig.is_emulated(device)]

    def _path(self, device: RigDevice) -> Path:
        return self._directory / f"{device.entity_id.stem}.json"

    def _manufactured(self, device: RigDevice) -> DeviceState:
        def certify(request: bytes) -> bytes:
            usage = CertificationRequest.from_der(request).key_usage
            return self._authority.certify_device(
                request, entity=device.entity_id, key_usage=usage, now=self._clock()
            )

        return manufacture(
            device.type,
            device.entity_id,
            anchors={
                cell: factory_certificate(self._store, self._rig.dcc, cell).der
                for cell in CELLS[device.type]
            },
            certify=certify,
        )

    def __enter__(self) -> Self:
        self.make()
        with ExitStack() as starting:
            for settings in self._emulated():
                faults = Faults()
                for fault in settings.faults:
                    _inject(faults, settings, fault)
                device = EmulatedDevice(
                    DeviceMemory(FileStorage(self._path(settings))),
                    clock=self._clock,
                    faults=faults,
                )
                self.devices[settings.entity_id] = device
                if isinstance(settings.link, LineSettings):
                    self._hosts[settings.entity_id] = starting.enter_context(
                        self._host(settings, device)
                    )
            for name, radio in self._rig.radio.items():
                if radio.is_emulated:
                    self._radio_hosts[name] = starting.enter_context(self._radio_host(name, radio))
            self._stack = starting.pop_all()
        return self

    def _radio_host(self, name: str, settings: RadioSettings) -> LineHost:
        """Return the host of a radio with the devices on its air."""
        around = [
            device
            for device in self._emulated()
            if isinstance(device.link, ZigBeeSettings) and device.link.zigbee == name
        ]
        try:
            hood = self._neighbourhood(name, settings, around)
        except ValueError as error:
            raise SettingsError(f"radio {name}", str(error), "correct its faults") from None
        self.neighbourhoods[name] = hood
        options = LineOptions(connection=hood.connection)
        host: LineHost
        if self._line == "tcp":
            host = TCPHost(hood, options=options)
        else:
            host = PtyHost(hood, options=options, link=self._directory / f"radio-{name}.port")
        hood.unplug = host.unplug
        return host

    def _neighbourhood(
        self, name: str, settings: RadioSettings, around: Sequence[RigDevice]
    ) -> Neighbourhood:
        # zigpy takes a second to load, which rigs without a radio are spared.
        from keyrig_emulation.rig_air import (  # noqa: PLC0415 - as said
            NodeOnAir,
            emulated_neighbourhood,
        )

        return emulated_neighbourhood(
            settings.emulated,
            radio_memory=self._directory / f"radio-{name}.json",
            nodes=[
                NodeOnAir(
                    device.entity_id,
                    device.type,
                    self.devices[device.entity_id],
                    device.link.link_key,
                    device.sleeps,
                    self._path(device).with_suffix(".network.json"),
                )
                for device in around
                if isinstance(device.link, ZigBeeSettings)
            ],
            announces_reset=self._line == "tcp",
            hub=settings.hub if settings.role == "handheld" else None,
            channel=settings.channel,
        )

    def _host(self, settings: RigDevice, device: EmulatedDevice) -> LineHost:
        assert isinstance(settings.link, LineSettings)
        options = LineOptions(
            client=HDLCAddress.client(settings.link.hdlc.client),
            server=HDLCAddress.server(settings.link.hdlc.server),
        )
        framing = settings.link.framing
        if self._line == "tcp":
            return TCPHost(device, framing=framing, options=options)
        return PtyHost(device, framing=framing, options=options)

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()


def _inject(faults: Faults, device: RigDevice, text: str) -> None:
    try:
        faults.inject(text)
    except ValueError as error:
        where = f"device {device.entity_id}"
        raise SettingsError(where, str(error), "correct its faults") from None


def factory_certificate(
    store: KeyStore, dcc: DCCParties, cell: TrustAnchorCellIdentifier
) -> GBCSCertificate:
    """Return what a cell of a rig's device holds from the factory."""
    owner = factory_owner(cell)
    if owner is RemotePartyRole.ROOT:
        return store.authority_certificate(Authority.ROOT)
    parties = {
        RemotePartyRole.RECOVERY: dcc.recovery,
        RemotePartyRole.TRANSITIONAL_COS: dcc.transitional_cos,
        RemotePartyRole.WAN_PROVIDER: dcc.wan_provider,
        RemotePartyRole.ACCESS_CONTROL_BROKER: dcc.access_control_broker,
    }
    return store.certificate(parties[owner], key_usage=KeyUsage(cell.key_usage))
