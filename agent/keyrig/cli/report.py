"""`keyrig report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyrig.report.document import Report
    from keyrig.report.record import RunRecord

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
    from keyrig.clock import utc_now  # noqa: PLC0415 - not for --help
    from keyrig.home import ledger_path  # noqa: PLC0415 - as above
    from keyrig.ledger.ledger import Ledger  # noqa: PLC0415 - as above
    from keyrig.report.record import gather  # noqa: PLC0415 - as above
    from keyrig.whole_files import write_whole  # noqa: PLC0415 - as above

    with Ledger(ledger_path(), create=False) as ledger:
        record = gather(ledger, ledger.runs.named(run).id)
        octets = _octets(form, record, utc_now())
    if str(output) == "-":
        click.echo(octets, nl=False)
    else:
        write_whole(output, octets, "the report")
    return 0


def _evidence(record: RunRecord, now: datetime) -> bytes:
    from keyrig.home import home_directory  # noqa: PLC0415 - not for --help
    from keyrig.report.evidence import evidence  # noqa: PLC0415 - as above
    from keyrig.report.evidence_key import evidence_key, fingerprint  # noqa: PLC0415 - as above

    key = evidence_key(home_directory() / "rigs", record.run.rig_name)
    octets = evidence(record, key, now)
    click.echo(f"sealed by the rig's key {fingerprint(key.public_der)}", err=True)
    return octets


def _octets(form: str, record: RunRecord, now: datetime) -> bytes:
    from keyrig.report.composing import compose  # noqa: PLC0415 - not for --help

    if form == "evidence":
        return _evidence(record, now)
    return _writer(form)(compose(record, now)).encode()


def _writer(form: str) -> Callable[[Report], str]:
    from keyrig.report.document import Report  # noqa: PLC0415 - not for --help
    from keyrig.report.html import html_report  # noqa: PLC0415 - as above
    from keyrig.report.junit import junit_report  # noqa: PLC0415 - as above

    return {"html": html_report, "json": Report.to_json, "junit": junit_report}[form]
