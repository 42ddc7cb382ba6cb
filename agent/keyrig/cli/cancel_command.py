"""`keyrig cancel`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import click

from keyrig.cli.shared_options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@rig_argument
@device_option
@json_option
def cancel(rig: Path | None, device_texts: tuple[str, ...], *, as_json: bool) -> int:
    """Have the devices of RIG forget the replacements that they hold for later.

    The duties are due again. What a device carried out before it was told stands.
    """
    from keyrig.cli.watching import watching
    from keyrig.config.rig_file import load_rig
    from keyrig.run.rig_run import run as run_rig
    from keyrig.run.wiring import assembled

    opened = load_rig(rig)
    only = parse_devices(device_texts)
    opened.require(only)
    with (
        watching(as_json=as_json) as observe,
        assembled(opened, observe=observe, only=only) as ready,
    ):
        result = run_rig(ready.bench, ready.devices, run_id=uuid.uuid4().hex, cancel=True)
        return result.exit_code
