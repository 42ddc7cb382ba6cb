"""Looking at ZigBee radios: which there are, what they are, and their networks' backups."""

# zigpy gives much of what it has without annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zigpy.backups
import zigpy.exceptions
from serial.tools import list_ports

from gbcs.printable import printable
from keyrig.base.errors import RadioLacksSmartEnergy, RadioUnusable, SettingsError
from keyrig.base.events import RadioFacts
from keyrig.base.observing import Observer, unobserved
from keyrig.base.outside_files import Unreadable, parse_json, read_octets
from keyrig.base.private_files import open_private
from keyrig.config.rig_file import load_rig
from keyrig.run.hosting import emulated_rig
from keyrig.transports.zigbee.hub_radio import Hub
from keyrig.transports.zigbee.radio_role import FAULTS, RoleSettings, dashed, reason_of
from keyrig.transports.zigbee.radio_thread import Radio
from keyrig.transports.zigbee.zigpy_application import SmartEnergyApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from keyrig.config.rig_file import Rig

BY_ID: Final = Path("/dev/serial/by-id")
OPEN_TIMEOUT_S: Final = 40.0
COUNTER_INCREMENT: Final = 5000
"""What a restored frame counter is ahead of the backup's, so that none comes twice."""
_BRIDGES: Final = {
    (0x10C4, 0xEA60): "a CP210x bridge, as on many EZSP radios",
    (0x1A86, 0x55D4): "a CH9102 bridge, as on some EZSP radios",
    (0x303A, 0x831A): "a ZBT-2",
    (0x1CF1, 0x0030): "a ConBee, which is no EZSP radio",
}
"""What is known of ports by their USB identity; a hint, no more."""


@dataclass(frozen=True, slots=True)
class USBPort:
    """A serial port on USB.

    Args:
        path: What belongs in a rig file: its name by USB identity where the system gives one.
        has_stable_name: Whether that name stays when the port is plugged in elsewhere.
        vendor_id: USB vendor.
        product_id: USB product.
        manufacturer: What the device calls its maker, or "".
        product: What it calls itself, or "".
        serial_number: Its own, or "".
        hint: What it may be, or "".
    """

    path: str
    has_stable_name: bool
    vendor_id: int
    product_id: int
    manufacturer: str
    product: str
    serial_number: str
    hint: str


def usb_ports(by_id: Path = BY_ID) -> list[USBPort]:
    """Return the serial ports on USB, by what they are and not by where they are plugged in."""
    names = {str(link.resolve()): str(link) for link in sorted(by_id.glob("*"))}
    found = []
    for port in list_ports.comports():
        if port.vid is None or port.pid is None:
            continue
        found.append(
            USBPort(
                path=names.get(port.device, port.device),
                has_stable_name=port.device in names,
                vendor_id=port.vid,
                product_id=port.pid,
                manufacturer=printable(port.manufacturer or ""),
                product=printable(port.product or ""),
                serial_number=printable(port.serial_number or ""),
                hint=_BRIDGES.get((port.vid, port.pid), ""),
            )
        )
    return sorted(found, key=lambda port: (port.product, port.serial_number, port.path))


@dataclass(frozen=True, slots=True)
class RadioPort:
    """A radio that a command is to look at.

    Args:
        name: What errors call it.
        url: Its port.
        baud: Bits per second.
        flow_control: "hardware", "software" or None.
        channel: The channel of a network that is formed.
    """

    name: str
    url: str
    baud: int = 115_200
    flow_control: str | None = None
    channel: int = 15

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"radio {self.name} on {self.url}"


@contextmanager
def radio_port(
    *,
    rig: Path | None,
    radio: str | None,
    port: str | None,
    observe: Observer = unobserved,
) -> Iterator[tuple[RadioPort, Rig | None]]:
    """Return a radio of a rig, emulated ones started, or the one on a port.

    Raises:
        SettingsError: Neither or both are named, or the rig has no such radio.
    """
    if (rig is None) == (port is None):
        raise SettingsError("radio", "name a rig or a port", "give --rig FILE or --port URL")
    if port is not None:
        yield RadioPort("port", port), None
        return
    opened = load_rig(rig)
    name = _name_of(opened, radio)
    settings = opened.radio[name]
    found = RadioPort(name, settings.url, settings.baud, settings.flow_control, settings.channel)
    if not settings.is_emulated:
        yield found, opened
        return
    with emulated_rig(opened, observe=observe) as hosted:
        yield RadioPort(name, hosted.radio_urls[name], channel=settings.channel), opened


def _name_of(rig: Rig, radio: str | None) -> str:
    where = f"rig {rig.name}"
    if radio is not None and radio not in rig.radio:
        raise SettingsError(where, f"has no radio {radio}", "name one of its radios")
    if radio is None and len(rig.radio) != 1:
        what = f"has {len(rig.radio)} radios"
        raise SettingsError(where, what, "name one with --radio" if rig.radio else "add one")
    return radio or next(iter(rig.radio))


class _Nobody:
    """Listens to a radio that is only looked at."""

    def packet_received(
        self, eui64: int, cluster: int, endpoint: int, octets: bytes, *, is_encrypted: bool
    ) -> None:
        """Ignore a frame."""

    def node_joined(self, eui64: int, *, denied: bool) -> None:
        """Ignore who joins."""

    def node_left(self, eui64: int) -> None:
        """Ignore who leaves."""

    def network_key_switched(self, sequence: int) -> None:
        """Ignore a switch of keys."""

    def radio_lost(self, reason: str) -> None:
        """Ignore a loss, which the caller meets itself."""


@asynccontextmanager
async def _opened(port: RadioPort) -> AsyncIterator[SmartEnergyApplication]:
    """Connect a radio, without starting its network."""
    application = SmartEnergyApplication(
        {
            "device": {
                "path": port.url,
                "baudrate": port.baud,
                "flow_control": port.flow_control,
            },
            "database_path": None,
            "backup_enabled": False,
            "startup_energy_scan": False,
            "use_thread": False,
        },
        _Nobody(),
    )
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await application.connect()
    except FAULTS as error:
        raise RadioUnusable(port.where, reason_of(error)) from error
    try:
        yield application
    finally:
        application.detach()
        await application.disconnect()


def look(port: RadioPort) -> RadioFacts:
    """Ask a radio what it is.

    Raises:
        RadioUnusable: It does not answer.
    """
    facts: RadioFacts = _run(port, _look(port))
    return facts


async def _look(port: RadioPort) -> RadioFacts:
    async with _opened(port) as application:
        ezsp = application._ezsp  # noqa: SLF001 - zigpy gives a radio's own facts nowhere else
        manufacturer, board, version = await ezsp.get_board_info()
        (eui64,) = await ezsp.getEui64()
        status = ""
        try:
            await application.smart_energy.own_certificate()
        except RadioLacksSmartEnergy as error:
            status = error.status
        network: dict[str, Any] = {}
        try:
            await application.load_network_info(load_devices=True)
        except zigpy.exceptions.NetworkNotFormed:
            pass
        else:
            info = application.state.network_info
            network = {
                "channel": int(info.channel),
                "pan_id": f"{int(info.pan_id):04X}",
                "extended_pan_id": dashed(_number(info.extended_pan_id)),
                "network_key_sequence": int(info.network_key.seq),
                "link_keys": len(info.key_table),
                "children": len(info.children),
            }
        return RadioFacts(
            port=port.url,
            ezsp_version=int(ezsp.ezsp_version),
            firmware=printable(str(version or "")),
            manufacturer=printable(manufacturer or ""),
            board=printable(board or ""),
            eui64=dashed(_number(eui64)),
            smart_energy=not status,
            smart_energy_status=status,
            **network,
        )


def back_up(port: RadioPort, path: Path, *, overwrite: bool) -> None:
    """Write a radio's network to a file in zigpy's open format, readable by its owner only.

    Raises:
        RadioUnusable: The radio does not answer, or has no network.
        SettingsError: The file is there already, or cannot be written.
    """
    document = _run(port, _backup(port))
    flags = os.O_WRONLY | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        with os.fdopen(open_private(path, flags), "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
    except FileExistsError:
        raise SettingsError(
            str(path), "is there already", "name another file, or give --force"
        ) from None
    except OSError as error:
        raise SettingsError(
            str(path), f"cannot be written: {error.strerror}", "name another file"
        ) from None


async def _backup(port: RadioPort) -> dict[str, Any]:
    async with _opened(port) as application:
        try:
            backup = await application.backups.create_backup(load_devices=True)
        except zigpy.exceptions.NetworkNotFormed as error:
            raise RadioUnusable(port.where, "it has no network to back up") from error
        document: dict[str, Any] = backup.as_open_coordinator_json()
        return document


def restore(port: RadioPort, path: Path, *, counter_increment: int = COUNTER_INCREMENT) -> None:
    """Write the network of a backup into a radio, in place of its own.

    Raises:
        SettingsError: The file is no such backup.
        RadioUnusable: The radio does not answer, or does not take it.
    """
    try:
        document = parse_json(read_octets(path))
        if document["metadata"]["format"] != "zigpy/open-coordinator-backup":
            raise ValueError(document["metadata"]["format"])  # noqa: TRY301 - as the others below
        backup = zigpy.backups.NetworkBackup.from_open_coordinator_json(document)
    except Unreadable as error:
        raise SettingsError(str(path), str(error), error.mend) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(
            str(path), "no network backup in zigpy's open format", "name another file"
        ) from None
    _run(port, _restore(port, backup, counter_increment))


async def _restore(port: RadioPort, backup: Any, counter_increment: int) -> None:
    async with _opened(port) as application:
        await application.backups.restore_backup(backup, counter_increment=counter_increment)


def admit(
    port: RadioPort,
    device: int,
    link_key: bytes,
    *,
    sleeps: bool,
    seconds: float,
    database: Path | None,
    observe: Observer,
) -> None:
    """Admit one device by its install code's key, and no other, and wait until it has joined.

    Raises:
        RadioUnusable: The radio does not start.
        NodeUnreachable: It did not come in time; says how far it came.
    """
    settings = RoleSettings(
        name=port.name,
        url=port.url,
        baud=port.baud,
        flow_control=port.flow_control,
        channel=port.channel,
        database=database,
    )
    radio = Radio(Hub(settings, observe))
    try:
        radio.start()
        session = radio.session(device, name=dashed(device), sleeps=sleeps)
        radio.reach(device, link_key, session, seconds)
    finally:
        radio.stop()


def _run(port: RadioPort, work: Coroutine[Any, Any, Any]) -> Any:
    """Do something with a radio in an event loop of its own."""
    try:
        return asyncio.run(work)
    except FAULTS as error:
        raise RadioUnusable(port.where, reason_of(error)) from error


def _number(address: Any) -> int:
    return int.from_bytes(address.serialize(), "little")
