"""The extras that a rig file and the settings need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyrig.base.installed_extras import extra_missing, is_installed
from keyrig.config.rig_file import ServiceSettings, ZigBeeSettings
from keyrig.config.settings import HTTPSUpstream, MQTTUpstream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.errors import SettingsError
    from keyrig.config.rig_file import Rig
    from keyrig.config.settings import Settings


def lacks_of_rig(rig: Rig, only: Collection[EntityIdentifier] = ()) -> Iterator[SettingsError]:
    """Yield one error for each extra that a rig needs and that is not installed.

    Args:
        rig: The rig.
        only: The devices that will be used; all where empty.
    """
    needed: dict[str, str] = {}
    if rig.pki.token:
        needed["pkcs11"] = f"rig {rig.name}: token {rig.pki.token[0].token} of [[pki.token]]"
    for device in rig.device:
        if only and device.entity_id not in only:
            continue
        if isinstance(device.link, ZigBeeSettings):
            name = device.link.zigbee
            needed.setdefault(
                "zigbee", f"rig {rig.name}: device {device.entity_id} on radio {name}"
            )
        elif isinstance(device.link, ServiceSettings):
            way = device.link.service
            needed.setdefault("dcc", f"rig {rig.name}: device {device.entity_id} through {way}")
    yield from _missing(needed)


def require_of_rig(rig: Rig, only: Collection[EntityIdentifier] = ()) -> None:
    """Check that what a rig needs is installed.

    Raises:
        SettingsError: It is not; names the extra and what needs it.
    """
    for lack in lacks_of_rig(rig, only):
        raise lack


def require_of_upstreams(settings: Settings) -> None:
    """Check that what the upstreams need is installed.

    Raises:
        SettingsError: It is not; names the extra and the upstream.
    """
    for name, upstream in settings.upstream.items():
        if isinstance(upstream, (HTTPSUpstream, MQTTUpstream)):
            for lack in _missing({"upstream": f"upstream {name} of the settings"}):
                raise lack


def _missing(needed: dict[str, str]) -> Iterator[SettingsError]:
    for extra, what in needed.items():
        if not is_installed(extra):
            yield extra_missing(extra, what)
