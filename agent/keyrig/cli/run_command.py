"""`keyrig run`."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyrig.base.error_kinds import ExitCode
from keyrig.cli.shared_options import (
    InstantType,
    device_option,
    json_option,
    parse_devices,
    rig_argument,
)
from keyrig.domain.run_results import RunResult

if TYPE_CHECKING:
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.base.observing import Observer
    from keyrig.config.places import Places


@click.command()
@rig_argument
@device_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option(
    "--transcript",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append one JSON line to FILE for each message either way.",
)
@click.option(
    "--execute-at",
    type=InstantType(),
    help="Have devices replace their organisation certificate then, and tell by an alert.",
)
@click.option(
    "--accept-clock",
    is_flag=True,
    help="Go on although the clock disagrees with what is on record; it is right now.",
)
@click.option(
    "--all-or-nothing",
    is_flag=True,
    help="Reach no device where anything that a due duty needs is missing.",
)
@json_option
def run(
    rig: Path | None,
    device_texts: tuple[str, ...],
    transcript: Path | None,
    execute_at: datetime | None,
    *,
    dry_run: bool,
    accept_clock: bool,
    all_or_nothing: bool,
    as_json: bool,
) -> int:
    """Carry out every duty that is due on RIG; the emulated home without one.

    What is done is not done again; what an earlier run left open goes on. A duty that lacks
    something is not begun, and the others are carried out; `keyrig doctor` says beforehand what
    is lacking. With --json, each
    event is one JSON object on a line. Upstreams are told of it for after_run_s of the
    settings; exit code 5 says that the work is done and that one of them was not told all.
    """
    from keyrig.base.clock import utc_now
    from keyrig.cli.watching import watching
    from keyrig.config.needed_extras import require_of_upstreams
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import load_rig
    from keyrig.config.settings import load_settings
    from keyrig.run.rig_run import run as run_rig
    from keyrig.run.wiring import assembled
    from keyrig.session.transcript import TranscriptFile
    from keyrig.upstream.event_publisher import report_upstream

    if execute_at is not None and execute_at <= utc_now():
        raise click.BadParameter("it must lie ahead", param_hint="--execute-at")
    opened = load_rig(rig)
    only = parse_devices(device_texts)
    opened.require(only)
    settings = load_settings()
    require_of_upstreams(settings)
    with ExitStack() as stack:
        observe = stack.enter_context(watching(as_json=as_json))
        if dry_run:
            _show(places_of(opened), observe, "would be carried out", only)
            return 0
        record = stack.enter_context(TranscriptFile(transcript)) if transcript else None
        with assembled(
            opened, observe=observe, transcript=record, only=only, execute_at=execute_at
        ) as ready:
            result = run_rig(
                ready.bench,
                ready.devices,
                run_id=uuid.uuid4().hex,
                accept_clock=accept_clock,
                all_or_nothing=all_or_nothing,
            )
            _show(ready.places, observe, "after the run", ())
        is_reported = report_upstream(
            ready.places.ledger, settings, settings.outbox.after_run_s, observe=observe
        )
    return (
        ExitCode.NOT_REPORTED if result is RunResult.DONE and not is_reported else result.exit_code
    )


def _show(
    places: Places, observe: Observer, title: str, only: tuple[EntityIdentifier, ...]
) -> None:
    from keyrig.base.clock import utc_now
    from keyrig.cli.watching import show_plan
    from keyrig.run.outlook import outlook_of

    outlook = outlook_of(places, now=utc_now(), only=only, observe=observe)
    show_plan(outlook, observe, title=f"{places.rig.name}: {title}")
