"""`keyrig report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from datetime import datetime

    from keyrig.ledger.run_record import RunRecord

FORMATS: Final = ("html", "json", "junit", "evidence")


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    required=True,
    help="html for people, json for programs, junit for test systems, evidence to prove it.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    default="-",
    help="Where to write it; standard output by default.",
)
def report(run: str, form: str, output: Path) -> int:
    """Write a report of RUN: its id, the beginning of its id, or `last`.

    It is made from the ledger, touches no device, and may be made at any time, also while the
    run goes on.
    """
    from keyrig.base.clock import utc_now
    from keyrig.base.private_files import write_whole
    from keyrig.config.places import ledger_path
    from keyrig.ledger.ledger import Ledger
    from keyrig.ledger.run_record import gather

    with Ledger(ledger_path(), create=False) as ledger:
        record = gather(ledger, ledger.runs.named(run).id)
        octets = _octets(form, record, utc_now())
    if str(output) == "-":
        click.echo(octets, nl=False)
    else:
        write_whole(output, octets, "the report")
    return 0


def _octets(form: str, record: RunRecord, now: datetime) -> bytes:
    from keyrig.config.places import find_data_folder
    from keyrig.report.report_formats import report_octets, sealed_evidence

    if form != "evidence":
        return report_octets(form, record, now)
    octets, key = sealed_evidence(record, find_data_folder(), now)
    click.echo(f"sealed by the rig's key {key}", err=True)
    return octets
