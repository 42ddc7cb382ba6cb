"""`keyrig plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyrig.cli.options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@rig_argument
@device_option
@json_option
def plan(rig: Path | None, device_texts: tuple[str, ...], *, as_json: bool) -> int:
    """Show which duties of RIG are due, why, and until when; touches no device."""
    from keyrig.cli.status import show  # noqa: PLC0415 - not for --help

    return show(rig, parse_devices(device_texts), title="plan", only_due=True, as_json=as_json)
