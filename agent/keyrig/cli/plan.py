"""`keyrig plan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from keyrig.cli.options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


@click.command()
@rig_argument
@device_option
@click.option(
    "--explain",
    "explained",
    multiple=True,
    metavar="EUI",
    help="Say of each duty of this device which rule applies, from which facts, and what would "
    "change it; may be given several times.",
)
@click.option(
    "--next",
    "limit",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="The N duties due next over all devices of the ledger, whatever their rig.",
)
@json_option
def plan(
    rig: Path | None,
    device_texts: tuple[str, ...],
    explained: tuple[str, ...],
    limit: int | None,
    *,
    as_json: bool,
) -> int:
    """Show which duties of RIG are due, why, and until when; touches no device."""
    from keyrig.cli.status import show  # noqa: PLC0415 - not for --help

    if sum(map(bool, (device_texts, explained, limit))) > 1 or (limit and rig):
        raise click.UsageError("--device, --explain and --next exclude each other; --next no RIG")
    if limit:
        return _show_next(limit, as_json=as_json)
    if explained:
        return _explain(rig, explained, as_json=as_json)
    return show(rig, parse_devices(device_texts), title="plan", only_due=True, as_json=as_json)


def _explain(rig: Path | None, texts: tuple[str, ...], *, as_json: bool) -> int:
    from keyrig.assembly import outlook_of, places_of  # noqa: PLC0415 - not for --help
    from keyrig.clock import utc_now  # noqa: PLC0415 - as above
    from keyrig.duties.explain import explain  # noqa: PLC0415 - as above
    from keyrig.explanations import explanation_document, explanation_lines  # noqa: PLC0415
    from keyrig.rig import load_rig  # noqa: PLC0415 - as above

    opened = load_rig(rig)
    only = parse_devices(texts, option="--explain")
    opened.require(only)
    outlook = outlook_of(places_of(opened), now=utc_now(), only=only)
    explanations = [
        explain(
            outlook.rules,
            duty,
            outlook.records[duty.device],
            outlook.attempts.of(duty.device, duty.requirement),
            outlook.statuses[duty.device],
        )
        for duty in outlook.plan.duties
    ]
    if as_json:
        duties = [explanation_document(each) for each in explanations]
        edition = outlook.rules.edition
        click.echo(json.dumps({"schema": SCHEMA, "edition": edition, "duties": duties}))
        return 0
    for each in explanations:
        for line in explanation_lines(each):
            click.echo(line)
        click.echo()
    return 0


def _show_next(limit: int, *, as_json: bool) -> int:
    from keyrig.clock import utc_now  # noqa: PLC0415 - not for --help
    from keyrig.home import ledger_path  # noqa: PLC0415 - as above
    from keyrig.ledger import Ledger  # noqa: PLC0415 - as above

    now = utc_now()
    with Ledger(ledger_path(), create=False) as ledger:
        due = ledger.open_duties.next_due(now, limit)
        total = ledger.open_duties.count()
    if as_json:
        rows = [
            {
                "entity_id": str(duty.device),
                "requirement": duty.requirement,
                "due_by": duty.due_by.isoformat() if duty.due_by else None,
                "overdue": duty.due_by is not None and now > duty.due_by,
                "rig": duty.rig_name or None,
            }
            for duty in due
        ]
        click.echo(json.dumps({"schema": SCHEMA, "open": total, "duties": rows}))
        return 0
    for duty in due:
        until = f"{duty.due_by:%Y-%m-%d %H:%M:%SZ}" if duty.due_by else "no deadline"
        late = "  overdue" if duty.due_by is not None and now > duty.due_by else ""
        click.echo(f"{until}  {duty.device}  {duty.requirement:5} {duty.rig_name or '-'}{late}")
    click.echo(f"{len(due)} of {total} open duties")
    return 0
