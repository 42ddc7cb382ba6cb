"""`keyrig radio`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keyrig.cli.shared_options import EntityType, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from gbcs.entity_identifier import EntityIdentifier

SCHEMA = 1
F = TypeVar("F", bound="Callable[..., Any]")


def radio_options(function: F) -> F:
    """Add the options for a rig and its radio, or for a port."""
    for option in (
        click.option("--port", metavar="URL", help="A radio that is in no rig file."),
        click.option("--radio", metavar="NAME", help="Which radio, where the rig has several."),
        click.option(
            "--rig",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The rig whose radio it is.",
        ),
    ):
        function = option(function)
    return function


@click.group()
def radio() -> None:
    """List, look at, open, back up and restore ZigBee radios."""


@radio.command("list")
@json_option
def list_(*, as_json: bool) -> int:
    """List the serial ports on USB, by USB identity; their names belong in rig files."""
    from dataclasses import asdict

    from keyrig.run.radio_inspection import usb_ports

    ports = usb_ports()
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "ports": [asdict(port) for port in ports]}))
        return 0
    for port in ports:
        click.echo(port.path)
        number = f", serial number {port.serial_number}" if port.serial_number else ""
        hint = f" ({port.hint})" if port.hint else ""
        identity = f"{port.vendor_id:04X}:{port.product_id:04X}"
        click.echo(f"  {port.manufacturer} {port.product}{number}, USB {identity}{hint}")
        if not port.has_stable_name:
            click.echo("  its name may change when it is plugged in elsewhere")
    if not ports:
        click.echo("no serial port on USB")
    return 0


@radio.command()
@radio_options
@json_option
def show(rig: Path | None, radio: str | None, port: str | None, *, as_json: bool) -> int:
    """Show what a radio is, its network, and whether it has Smart Energy security."""
    from keyrig.cli.watching import watching
    from keyrig.run.radio_inspection import look, radio_port

    with (
        watching(as_json=as_json) as observe,
        radio_port(rig=rig, radio=radio, port=port, observe=observe) as (found, _),
    ):
        facts = look(found)
        if as_json:
            observe(facts)
            return 0
    click.echo(f"{facts.manufacturer} {facts.board} at {facts.port}")
    click.echo(f"  EZSP {facts.ezsp_version}, firmware {facts.firmware}, EUI-64 {facts.eui64}")
    missing = f"no ({facts.smart_energy_status})"
    click.echo(f"  Smart Energy security: {'yes' if facts.smart_energy else missing}")
    if facts.channel is None:
        click.echo("  no network")
    else:
        click.echo(
            f"  channel {facts.channel}, PAN {facts.pan_id}, extended PAN {facts.extended_pan_id}"
        )
        click.echo(
            f"  network key {facts.network_key_sequence}, {facts.link_keys} link keys, "
            f"{facts.children} sleeping children"
        )
    return 0


@radio.command()
@click.argument("device", type=EntityType(), metavar="EUI")
@radio_options
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=1, max=240),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take.",
)
@json_option
def permit(
    device: EntityIdentifier,
    rig: Path | None,
    radio: str | None,
    port: str | None,
    seconds: float,
    *,
    as_json: bool,
) -> int:
    """Let the device EUI of the rig join by its install code, and no other."""
    from keyrig.base.errors import SettingsError
    from keyrig.cli.watching import watching
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import ZigBeeSettings
    from keyrig.run.radio_inspection import admit, radio_port

    with (
        watching(as_json=as_json) as observe,
        radio_port(rig=rig, radio=radio, port=port, observe=observe) as (found, opened),
    ):
        if opened is None:
            raise SettingsError(f"device {device}", "its install code is not known", "give --rig")
        opened.require([device])
        settings = next(each for each in opened.device if each.entity_id == device)
        if not isinstance(settings.link, ZigBeeSettings) or not settings.link.link_key:
            what = "has no install code in the rig file"
            raise SettingsError(f"device {device}", what, "add it to its link")
        admit(
            found,
            int.from_bytes(device, "big"),
            settings.link.link_key,
            sleeps=settings.sleeps,
            seconds=seconds,
            database=places_of(opened).radio_database(found.name),
            observe=observe,
        )
    return 0


@radio.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@radio_options
@click.option("--force", is_flag=True, help="Overwrite the file.")
def backup(
    file: Path, rig: Path | None, radio: str | None, port: str | None, *, force: bool
) -> int:
    """Write the radio's network to FILE in zigpy's open format; it holds the network's keys."""
    from keyrig.cli.watching import watching
    from keyrig.run.radio_inspection import back_up, radio_port

    with (
        watching(as_json=False) as observe,
        radio_port(rig=rig, radio=radio, port=port, observe=observe) as (found, _),
    ):
        back_up(found, file, overwrite=force)
    click.echo(f"{file}: written; it holds the network's keys, keep it as you keep those", err=True)
    return 0


@radio.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@radio_options
@click.option(
    "--counter-increment",
    type=click.IntRange(min=0, max=0xFFFF_FFFF),
    default=5000,
    show_default=True,
    help="How far frame counters are put ahead of the backup's.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(
    file: Path,
    rig: Path | None,
    radio: str | None,
    port: str | None,
    counter_increment: int,
    *,
    yes: bool,
) -> int:
    """Give the radio the network of the backup FILE, in place of its own."""
    from keyrig.cli.watching import watching
    from keyrig.run.radio_inspection import radio_port
    from keyrig.run.radio_inspection import restore as restore_radio

    if not yes:
        click.confirm("The radio's present network will be lost. Go on?", abort=True, err=True)
    with (
        watching(as_json=False) as observe,
        radio_port(rig=rig, radio=radio, port=port, observe=observe) as (found, _),
    ):
        restore_radio(found, file, counter_increment=counter_increment)
    click.echo(f"{file}: restored", err=True)
    return 0
