"""`keyrig outbox`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from keyrig.base.error_kinds import ExitCode
from keyrig.cli.shared_options import InstantType, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyrig.config.settings import Settings
    from keyrig.ledger.ledger import Ledger

target_option = click.option(
    "--target", metavar="NAME", help="Which upstream; needed where the settings have several."
)
reason_option = click.option(
    "--reason", required=True, metavar="TEXT", help="Why; it is kept with the event."
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def outbox(context: click.Context, *, as_json: bool) -> int:
    """Show what upstreams were not told yet, tell it, and take back what they refused.

    Without a command: of each upstream in the settings how many events wait, how many of them
    are parked, what went wrong last, and when it is tried next.
    """
    if context.invoked_subcommand is not None:
        return 0
    from keyrig.upstream.upstream_listing import outbox_document, outbox_lines

    with _opened() as (ledger, settings):
        document = outbox_document(ledger, settings)
    if as_json:
        click.echo(document.to_json())
        return 0
    for line in outbox_lines(document):
        click.echo(line)
    return 0


@outbox.command()
@click.argument("event", metavar="EVENT")
def show(event: str) -> int:
    """Print EVENT as it is told, and what came of it at each upstream, as JSON.

    EVENT is an event's id, or the beginning of it.
    """
    from keyrig.upstream.upstream_listing import event_document

    with _opened() as (ledger, settings):
        document = event_document(ledger, settings, ledger.outbox.find(event))
    click.echo(document.to_json(indent=2))
    return 0


@outbox.command()
@click.option("--target", metavar="NAME", help="Only this upstream.")
@click.option(
    "--wait",
    "within_s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For how long.",
)
@json_option
def deliver(target: str | None, within_s: float, *, as_json: bool) -> int:
    """Tell upstreams what waits, at once; exit code 5 says that something still does."""
    from keyrig.cli.watching import watching
    from keyrig.config.needed_extras import require_of_upstreams
    from keyrig.config.places import ledger_path
    from keyrig.config.settings import load_settings
    from keyrig.upstream.event_publisher import report_upstream

    settings = load_settings()
    require_of_upstreams(settings)
    only = None if target is None else frozenset({_named(settings, target)})
    with watching(as_json=as_json) as observe:
        is_reported = report_upstream(
            ledger_path(), settings, within_s, observe=observe, only=only, insist=True
        )
    return ExitCode.DONE if is_reported else ExitCode.NOT_REPORTED


@outbox.command()
@click.argument("event", required=False, metavar="[EVENT]")
@click.option("--target", metavar="NAME", help="Only this upstream.")
def retry(event: str | None, target: str | None) -> int:
    """Put what is parked back into line, or EVENT alone, and try upstreams without waiting."""
    with _opened() as (ledger, settings):
        names = list(settings.upstream) if target is None else [_named(settings, target)]
        found = None if event is None else ledger.outbox.find(event)
        for name in names:
            with ledger.transaction():
                count = ledger.event_queue.unpark(name, found)
                ledger.event_queue.make_due(name)
            click.echo(f"{name}: {count} parked events put back into line")
    return 0


@outbox.command()
@click.argument("event", metavar="EVENT")
@target_option
@reason_option
def park(event: str, target: str | None, reason: str) -> int:
    """Hold EVENT back from an upstream, and with it the later ones of its device."""
    from gbcs.printable import printable
    from keyrig.base.clock import utc_now

    with _opened() as (ledger, settings):
        name, found = _one(settings, target), ledger.outbox.find(event)
        ledger.event_queue.park(name, found, printable(reason), utc_now())
    click.echo(f"{name}: event {found.id} is parked")
    return 0


@outbox.command()
@click.argument("event", metavar="EVENT")
@target_option
@reason_option
def discard(event: str, target: str | None, reason: str) -> int:
    """Have an upstream never told the parked EVENT; what, when and why stays in the ledger."""
    from gbcs.printable import printable
    from keyrig.base.clock import utc_now

    with _opened() as (ledger, settings):
        name, found = _one(settings, target), ledger.outbox.find(event)
        ledger.event_queue.discard(name, found, printable(reason), utc_now())
    click.echo(f"{name}: event {found.id} is discarded")
    return 0


@outbox.command()
@target_option
@click.option("--since", type=InstantType(), help="Only events since then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(target: str | None, since: datetime | None, *, yes: bool) -> int:
    """Have an upstream told again what it was told already, under the same ids."""
    with _opened() as (ledger, settings):
        name = _one(settings, target)
        if not yes:
            click.confirm(f"{name} will be told events again. Go on?", abort=True, err=True)
        ledger.event_queue.replay(name, since)
        waiting = ledger.event_queue.standing(name, settings.upstream[name].since).waiting
    click.echo(f"{name}: {waiting} events wait")
    return 0


@contextmanager
def _opened() -> Iterator[tuple[Ledger, Settings]]:
    """Open the ledger, with every upstream of the settings known to it."""
    from keyrig.config.places import ledger_path
    from keyrig.config.settings import load_settings
    from keyrig.ledger.ledger import Ledger

    settings = load_settings()
    with Ledger(ledger_path(), create=False) as ledger:
        ledger.event_queue.register(settings.upstream)
        yield ledger, settings


def _named(settings: Settings, name: str) -> str:
    from gbcs.printable import printable
    from keyrig.base.errors import SettingsError

    if name not in settings.upstream:
        known = ", ".join(settings.upstream) or "none"
        raise SettingsError(
            f"upstream {printable(name)}", "is not in the settings", f"there are: {known}"
        )
    return name


def _one(settings: Settings, target: str | None) -> str:
    if target is not None:
        return _named(settings, target)
    if len(settings.upstream) != 1:
        known = ", ".join(settings.upstream) or "none"
        raise click.UsageError(f"name the upstream with --target; there are: {known}")
    return next(iter(settings.upstream))
