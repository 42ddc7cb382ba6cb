"""`keyrig facts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keyrig.cli.shared_options import (
    EntityType,
    InstantType,
    device_option,
    json_option,
    parse_devices,
)
from keyrig.run.outside_facts import learn_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.documents.fact_document import DeviceFactsDocument
    from keyrig.domain.known_facts import FactName


entity_argument = click.argument("device", type=EntityType(), metavar="EUI")
source_option = click.option(
    "--source",
    default="keyrig facts",
    show_default=True,
    help="Who says so: a person, a ticket, a system.",
)


@click.group()
def facts() -> None:
    """Show and record what is known of devices; nothing recorded is ever overwritten."""


@facts.command("list")
@device_option
@click.option("--history", is_flag=True, help="All that was ever said, in the order of recording.")
@json_option
def list_(device_texts: tuple[str, ...], *, history: bool, as_json: bool) -> int:
    """Show what holds of each device, who said it and when."""
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.documents.fact_document import DeviceFactsDocument, FactsDocument
    from keyrig.ledger.ledger import Ledger

    only = parse_devices(device_texts)
    now = utc_now()
    with Ledger(ledger_path(), create=False) as ledger:
        documents = tuple(
            DeviceFactsDocument.of(ledger, device, now, history=history)
            for device in only or ledger.device_facts.devices()
        )
    if as_json:
        click.echo(FactsDocument(devices=documents).to_json())
        return 0
    for document in documents:
        for line in _device_lines(document):
            click.echo(line)
    if not documents:
        click.echo("nothing is known of any device; a run, `facts set` or `facts import` tells it")
    return 0


@facts.command("set")
@entity_argument
@click.argument("name")
@click.argument("value", required=False)
@click.option("--take-back", is_flag=True, help="Take back what the same source said before.")
@click.option("--at", type=InstantType(), help="From when on it holds; may lie ahead.")
@source_option
def set_(
    device: EntityIdentifier,
    name: str,
    value: str | None,
    at: datetime | None,
    source: str,
    *,
    take_back: bool,
) -> int:
    """Say one thing of a device, such as: facts set 00-DB-…-A0 lead_supplier 90-B3-…-00.

    NAME is one of those that `keyrig facts names` shows.
    """
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.domain.known_facts import KnownFact, read_value
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.outside_facts import record_fact

    fact = _fact_name(name)
    if take_back == (value is not None):
        raise click.UsageError("give a VALUE, or --take-back")
    try:
        read = None if value is None else read_value(fact, value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="VALUE") from None
    now = utc_now()
    with Ledger(ledger_path(make=True)) as ledger:
        known = KnownFact(name=fact, value=read, at=at, source=source, recorded_at=now)
        click.echo(record_fact(ledger, device, known, now))
    return 0


@facts.command()
def names() -> int:
    """Show the names of the facts, and how each value is written."""
    from keyrig.domain.known_facts import FactName, form_of

    for name in FactName:
        click.echo(f"{name.value:62} {form_of(name)}")
    return 0


@facts.command()
@entity_argument
@click.argument("value", metavar="STATUS")
@click.option("--at", type=InstantType(), help="Since when it holds; now without it.")
@source_option
def status(device: EntityIdentifier, value: str, at: datetime | None, source: str) -> int:
    """Record an SMI Status that was set elsewhere."""
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.domain.smi_status import SMIStatus
    from keyrig.ledger.ledger import Ledger

    known = {each.value.lower(): each for each in SMIStatus}
    if value.lower() not in known:
        names = ", ".join(each.value for each in SMIStatus)
        raise click.BadParameter(f"{value!r} is no SMI Status; write one of {names}")
    new, now = known[value.lower()], utc_now()
    if at is not None and at > now:
        raise click.BadParameter("a status that is yet to come cannot be held", param_hint="--at")
    with Ledger(ledger_path(make=True)) as ledger:
        told = learn_status(ledger, device, new, at=at or now, source=source, now=now)
    click.echo(f"{device}: {new.value}" if told else f"{device}: {new.value} already")
    return 0


@facts.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def import_(file: Path, *, as_json: bool) -> int:
    """Take types, dates of Commissioning and SMI Status from a DUIS Read Inventory answer."""
    from keyrig.base.clock import utc_now
    from keyrig.base.errors import FileInvalid
    from keyrig.base.outside_files import Unreadable, read_octets
    from keyrig.config.places import ledger_path
    from keyrig.ledger.ledger import Ledger
    from keyrig.run.inventory_facts import read_inventory, take_in

    try:
        octets = read_octets(file)
    except Unreadable as error:
        raise FileInvalid(str(file), str(error), error.mend) from None
    inventory = read_inventory(octets, str(file))
    with Ledger(ledger_path(make=True)) as ledger:
        taken = take_in(ledger, inventory, utc_now())
    _show_taken(taken, as_json=as_json)
    return 0


@facts.command()
@click.argument("rig", type=click.Path(dir_okay=False, path_type=Path))
@device_option
@json_option
def fetch(rig: Path, device_texts: tuple[str, ...], *, as_json: bool) -> int:
    """Read the inventory through the DCC for the devices of RIG, and take in what it says."""
    from keyrig.base.clock import utc_now
    from keyrig.config.rig_file import load_rig
    from keyrig.run.inventory_requests import fetch_inventory

    opened = load_rig(rig)
    only = parse_devices(device_texts)
    opened.require(only)
    _show_taken(fetch_inventory(opened, only, utc_now), as_json=as_json)
    return 0


def _device_lines(document: DeviceFactsDocument) -> Iterator[str]:
    """Return a device's facts as text, line by line."""
    from gbcs.printable import printable
    from keyrig.base.clock import second_text

    yield document.entity_id
    for fact in document.facts:
        since = f", from {second_text(fact.holds_from)}" if fact.holds_from else ""
        value = fact.value
        text = ", ".join(value) if isinstance(value, list) else str(value)
        told = f"{printable(fact.source, 60)}, recorded {second_text(fact.recorded_at)}{since}"
        yield f"  {fact.name.value}: {'taken back' if value is None else text}  ({told})"
    for held in document.smi_status:
        why = printable(held.source, 100)
        yield f"  SMI Status: {held.status.value}  (since {second_text(held.at)}, {why})"


def _show_taken(taken: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        from keyrig.documents.fact_document import InventoryDocument

        click.echo(InventoryDocument.model_validate(taken).to_json())
        return
    for device in taken["devices"]:
        news = ", ".join(device["news"]) or "nothing new"
        click.echo(f"{device['entity_id']} {device['type']:7} {news}")
    for device in taken["without_duties"]:
        click.echo(f"{device} Type 2, owes nothing; left out")


def _fact_name(text: str) -> FactName:
    import difflib

    from keyrig.domain.known_facts import FactName

    known = [name.value for name in FactName]
    wanted = text.replace("-", "_").lower()
    if wanted in known:
        return FactName(wanted)
    near = difflib.get_close_matches(wanted, known, n=1)
    mend = f"did you mean {near[0]}?" if near else "`keyrig facts names` shows them"
    raise click.BadParameter(f"{text!r} is no fact; {mend}", param_hint="NAME")
