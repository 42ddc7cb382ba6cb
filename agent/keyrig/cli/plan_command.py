"""`keyrig plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyrig.cli.shared_options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from pathlib import Path


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
    from keyrig.cli.status_command import show

    if sum(map(bool, (device_texts, explained, limit))) > 1 or (limit and rig):
        raise click.UsageError("--device, --explain and --next exclude each other; --next no RIG")
    if limit:
        return _show_next(limit, as_json=as_json)
    if explained:
        return _explain(rig, explained, as_json=as_json)
    return show(rig, parse_devices(device_texts), title="plan", only_due=True, as_json=as_json)


def _explain(rig: Path | None, texts: tuple[str, ...], *, as_json: bool) -> int:
    from keyrig.base.clock import utc_now
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import load_rig
    from keyrig.documents.plan_document import ExplanationDocument, explanations_of
    from keyrig.run.outlook import outlook_of

    opened = load_rig(rig)
    only = parse_devices(texts, option="--explain")
    opened.require(only)
    outlook = outlook_of(places_of(opened), now=utc_now(), only=only)
    if as_json:
        click.echo(ExplanationDocument.of(outlook).to_json())
        return 0
    from keyrig.cli.explanation_lines import explanation_lines

    for each in explanations_of(outlook):
        for line in explanation_lines(each):
            click.echo(line)
        click.echo()
    return 0


def _show_next(limit: int, *, as_json: bool) -> int:
    from keyrig.base.clock import utc_now
    from keyrig.config.places import ledger_path
    from keyrig.documents.plan_document import DueDocument
    from keyrig.ledger.ledger import Ledger

    with Ledger(ledger_path(), create=False) as ledger:
        document = DueDocument.of(ledger, utc_now(), limit)
    if as_json:
        click.echo(document.to_json())
        return 0
    for duty in document.duties:
        until = f"{duty.due_by:%Y-%m-%d %H:%M:%SZ}" if duty.due_by else "no deadline"
        late = "  overdue" if duty.overdue else ""
        click.echo(f"{until}  {duty.entity_id}  {duty.requirement:5} {duty.rig or '-'}{late}")
    click.echo(f"{len(document.duties)} of {document.open} open duties")
    return 0
