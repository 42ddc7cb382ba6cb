"""The ways to a rig's devices: lines and radios, not yet open."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyrig.base.clock import utc_now
from keyrig.config.needed_extras import require_of_rig
from keyrig.config.rig_file import LineSettings, ServiceSettings, ZigBeeSettings
from keyrig.run.hosting import hosted_devices
from keyrig.run.radio_standings import RadioStandings
from keyrig.transports.line.line_links import GFILink, HDLCLink
from meterlink.hdlc.hdlc_address import HDLCAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.config.places import Places
    from keyrig.config.rig_file import Rig, RigDevice
    from keyrig.session.link import Link
    from keyrig.transports.zigbee.radio_role import RadioRole
    from keyrig.transports.zigbee.radio_thread import Radio


@dataclass(frozen=True, slots=True, kw_only=True)
class WayToDevice:
    """How a device of a rig is reached.

    Args:
        device: The device, as the rig file has it.
        link: The line to it, not open.
        timeout_s: How long one sending of a command is waited for, in seconds.
    """

    device: RigDevice
    link: Link
    timeout_s: float


@contextmanager
def ways_to_devices(
    places: Places,
    *,
    observe: Observer,
    only: Collection[EntityIdentifier] = (),
    clock: Callable[[], datetime] = utc_now,
) -> Iterator[dict[EntityIdentifier, WayToDevice]]:
    """Make the lines to a rig's devices, emulated ones started; keys are for those alone.

    Devices that are reached by service requests have none.

    The caller holds `reserved`, and the home folder is there.

    Args:
        places: Where the rig keeps things.
        observe: Is told what happens.
        only: The devices to reach; all where empty.
        clock: Gives the present instant.

    Raises:
        SettingsError: What a way needs is not installed.
    """
    rig = places.rig
    require_of_rig(rig, only)
    with ExitStack() as stack:
        urls: Mapping[EntityIdentifier, str] = {}
        radio_urls: Mapping[str, str] = {}
        if rig.has_emulated_devices:
            devices = stack.enter_context(hosted_devices(places, observe, clock))
            urls, radio_urls = devices.urls, devices.radio_urls
        radios = _radios(places, radio_urls, observe, stack)
        yield {
            device.entity_id: WayToDevice(
                device=device,
                link=_zigbee_link(rig, device, radios, observe)
                if isinstance(device.link, ZigBeeSettings)
                else link_to(device, urls),
                timeout_s=_answer_timeout_s(rig, device),
            )
            for device in rig.device
            if not isinstance(device.link, ServiceSettings)
            and (not only or device.entity_id in only)
        }


def link_to(device: RigDevice, urls: Mapping[EntityIdentifier, str]) -> GFILink | HDLCLink:
    """Make the link to a device, not open; emulated ones are reached where `urls` says."""
    settings = device.link
    assert isinstance(settings, LineSettings)
    url = urls.get(device.entity_id, settings.url)
    if settings.framing == "gfi":
        return GFILink(url, baud=settings.baud)
    return HDLCLink(
        url,
        baud=settings.baud,
        client=HDLCAddress.client(settings.hdlc.client),
        server=HDLCAddress.server(settings.hdlc.server),
    )


def _answer_timeout_s(rig: Rig, device: RigDevice) -> float:
    """Return how long an answer of a device may take once the link has its command."""
    link = device.link
    assert not isinstance(link, ServiceSettings)
    is_relayed = isinstance(link, ZigBeeSettings) and rig.radio[link.zigbee].role == "handheld"
    if isinstance(link, ZigBeeSettings) and is_relayed and device.sleeps:
        return link.wakes_within_s
    return link.timeout_s


def _zigbee_link(
    rig: Rig, device: RigDevice, radios: Mapping[str, Radio], observe: Observer
) -> Link:
    settings = device.link
    assert isinstance(settings, ZigBeeSettings)
    from keyrig.transports.zigbee.zigbee_link import ZigBeeLink  # noqa: PLC0415 - for rigs with a radio alone

    is_relayed = rig.radio[settings.zigbee].role == "handheld"
    return ZigBeeLink(
        radios[settings.zigbee],
        device.entity_id,
        link_key=settings.link_key,
        # A hub that relays takes messages for a device that sleeps at once.
        sleeps=device.sleeps and not is_relayed,
        timeout_s=settings.join_timeout_s,
        wakes_within_s=settings.wakes_within_s,
        send_timeout_s=settings.timeout_s,
        observe=observe,
    )


def _radios(
    places: Places, urls: Mapping[str, str], observe: Observer, stack: ExitStack
) -> dict[str, Radio]:
    """Make the rig's radios; each is started when the first of its devices is reached."""
    radios: dict[str, Radio] = {}
    if not places.rig.radio:
        return radios
    # bellows and zigpy take a second to load, which rigs without a radio are spared.
    from keyrig.transports.zigbee.handheld_terminal import Handheld, HandheldSettings  # noqa: PLC0415 - of the extra zigbee
    from keyrig.transports.zigbee.hub_radio import Hub  # noqa: PLC0415 - of the extra zigbee
    from keyrig.transports.zigbee.radio_role import RoleSettings  # noqa: PLC0415 - of the extra zigbee
    from keyrig.transports.zigbee.radio_thread import Radio  # noqa: PLC0415 - of the extra zigbee

    standings = RadioStandings(places.radio_standings, observe, utc_now)
    for name, settings in places.rig.radio.items():
        common = RoleSettings(
            name=name,
            url=urls.get(name, settings.url),
            baud=settings.baud,
            flow_control=settings.flow_control,
            channel=settings.channel,
            database=places.radio_database(name),
        )
        role: RadioRole
        if settings.role == "handheld" and settings.hub and settings.install_code:
            joining = HandheldSettings(
                hub=int.from_bytes(settings.hub, "big"),
                install_code=bytes.fromhex(settings.install_code),
            )
            role = Handheld(common, joining, standings)
        else:
            role = Hub(common, standings)
        radio = radios[name] = Radio(role)
        stack.callback(radio.stop)
    return radios
