"""`keyrig doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from keyrig.cli.options import json_option, rig_argument

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@rig_argument
@json_option
def doctor(rig: Path | None, *, as_json: bool) -> int:
    """Look at ports, radios, keys, ledger and clock for RIG; changes nothing.

    Exits 4 if something needs a person.
    """
    from keyrig.assembly import places_of  # noqa: PLC0415 - not for --help
    from keyrig.cli.exit_codes import ExitCode  # noqa: PLC0415 - as above
    from keyrig.clock import utc_now  # noqa: PLC0415 - as above
    from keyrig.doctor import Health, examine  # noqa: PLC0415 - as above
    from keyrig.rig import load_rig  # noqa: PLC0415 - as above

    findings = list(examine(places_of(load_rig(rig)), utc_now()))
    if as_json:
        rows = [{"what": f.what, "health": f.health.value, "detail": f.detail} for f in findings]
        click.echo(json.dumps({"schema": 1, "findings": rows}))
    else:
        for finding in findings:
            click.echo(f"{finding.health.value:5} {finding.what:7} {finding.detail}")
    bad = any(finding.health is Health.BAD for finding in findings)
    return ExitCode.NEEDS_PERSON if bad else ExitCode.DONE
