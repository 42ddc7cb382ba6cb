"""Making the target of an upstream from its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keyrig.config.settings import HTTPSUpstream, MQTTUpstream

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable
    from datetime import datetime

    from keyrig.config.settings import UpstreamSettings
    from keyrig.upstream.upstream_target import Target


def open_target(
    settings: UpstreamSettings,
    home: Path,
    *,
    ledger_identity: uuid.UUID,
    clock: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> Target:
    """Give the way to an upstream; nothing is opened yet.

    Args:
        settings: The upstream.
        home: What relative paths are below.
        ledger_identity: By what a broker keeps the session where the settings name nothing.
        clock: Gives the present instant.
        monotonic: Gives seconds that never go back.
    """
    if isinstance(settings, HTTPSUpstream):
        from keyrig.upstream.https_target import HTTPSTarget  # noqa: PLC0415 - httpx is not needed without

        return HTTPSTarget(settings, home, clock=clock, monotonic=monotonic)
    if isinstance(settings, MQTTUpstream):
        from keyrig.upstream.mqtt_target import MQTTTarget  # noqa: PLC0415 - nor is paho

        return MQTTTarget(
            settings, home, client_id=f"keyrig-{ledger_identity}", monotonic=monotonic
        )
    from keyrig.upstream.ndjson_target import NDJSONTarget  # noqa: PLC0415 - as above

    path = Path(settings.path).expanduser()
    return NDJSONTarget(home / path, make_folders=not path.is_absolute())


def address_of(settings: UpstreamSettings) -> str:
    """Say where an upstream is, without secrets."""
    if isinstance(settings, HTTPSUpstream):
        return settings.url
    if isinstance(settings, MQTTUpstream):
        return f"{settings.host}:{settings.port} {settings.topic}"
    return settings.path
