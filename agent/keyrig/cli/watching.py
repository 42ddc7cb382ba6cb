"""The observers of commands: the terminal's display, or JSON lines for a program."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from keyrig.base import events
from keyrig.base.clock import second_text, utc_now
from keyrig.cli.terminal_display import JSONLines, TerminalDisplay, plan_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyrig.base.observing import Observer
    from keyrig.run.outlook import Outlook


@contextmanager
def showing(*, as_json: bool) -> Iterator[Observer]:
    """Yield the observer that prints to standard output, for commands that only read."""
    if as_json:
        yield JSONLines(sys.stdout, utc_now)
        return
    display = TerminalDisplay(console())
    try:
        yield display
    finally:
        display.close()


@contextmanager
def watching(*, as_json: bool) -> Iterator[Observer]:
    """Yield the observer that prints to standard output; logs go to standard error."""
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Tracebacks are plain: the other forms show the values of variables, keys among them.
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with showing(as_json=as_json) as observe:
            yield observe
    finally:
        structlog.reset_defaults()


def console() -> Any:
    """Return the console of standard output; wide if it is no terminal, so that rows stay whole."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=160)


def show_plan(outlook: Outlook, observe: Observer, *, title: str, only_due: bool = False) -> None:
    """Print the table of a rig's plan with the waiting requests, or send it as the last event."""
    made = outlook.plan.only_due() if only_due else outlook.plan
    if isinstance(observe, JSONLines):
        # Imported here: building the models takes long, and only JSON needs them.
        from keyrig.documents.plan_document import PlanDocument

        document = PlanDocument.of(made, outlook.statuses, outlook.requests).fields()
        observe(
            events.Plan(
                edition=made.edition, made_at=made.made_at, devices=tuple(document["devices"])
            )
        )
        return
    console().print(plan_table(made, outlook.statuses, f"{title} ({made.edition})"))
    for request in outlook.requests:
        console().print(
            f"{request.order} waits since {second_text(request.since)}: {request.answer}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
