"""`keyrig status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyrig.cli.shared_options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier


@click.command()
@rig_argument
@device_option
@json_option
def status(rig: Path | None, device_texts: tuple[str, ...], *, as_json: bool) -> int:
    """Show the devices of RIG: every duty, done or not, deadlines and SMI Status."""
    return show(rig, parse_devices(device_texts), title="status", only_due=False, as_json=as_json)


def show(
    rig: Path | None,
    only: tuple[EntityIdentifier, ...],
    *,
    title: str,
    only_due: bool,
    as_json: bool,
) -> int:
    """Print a rig's duties; changes nothing."""
    from keyrig.base.clock import utc_now
    from keyrig.cli.watching import show_plan, showing
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import load_rig
    from keyrig.run.outlook import outlook_of
    from keyrig.run.radio_standings import read_standings, standing_event
    from keyrig.run.rig_locks import is_driven

    opened = load_rig(rig)
    opened.require(only)
    with showing(as_json=as_json) as observe:
        places = places_of(opened)
        outlook = outlook_of(places, now=utc_now(), only=only, observe=observe)
        standings = read_standings(places.radio_standings, is_driven=is_driven(places))
        for name, standing in standings.items():
            observe(standing_event(name, standing))
        show_plan(outlook, observe, title=f"{opened.name}: {title}", only_due=only_due)
    return 0
