"""`keyrig doctor`."""

from __future__ import annotations

import json
import shutil
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from gbcs.printable import printable
from keyrig.base import events
from keyrig.base.clock import instant_text
from keyrig.cli.shared_options import device_option, json_option, parse_devices, rig_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.places import Places
    from keyrig.run.asking import Asked, HeldCell
    from keyrig.run.doctor import Finding

_SHOWN_EVENTS: Final = (
    events.Alert,
    events.Clock,
    events.CommandSent,
    events.DeviceFinished,
    events.InterruptionFound,
    events.NoResponse,
    events.NodeState,
    events.Noise,
    events.Preparing,
    events.Radio,
    events.SecurityIncident,
    events.WaitingForWake,
)
"""The events of the asking run that are shown; each device's result is printed at its end."""
_WIDTH_LEAST: Final = 40
_WHAT_WIDTH: Final = 9
_LONGEST_TEXT: Final = 2000


@click.command()
@rig_argument
@device_option
@click.option(
    "--ask",
    "is_asking",
    is_flag=True,
    help="Also ask each device which Trust Anchor Cells it holds; changes nothing on it.",
)
@json_option
def doctor(
    rig: Path | None, device_texts: tuple[str, ...], *, is_asking: bool, as_json: bool
) -> int:
    """Look at ports, radios, keys, ledger and clock for RIG; changes nothing.

    Ports are opened as a run opens them, and closed again. With --ask, one exchange is made
    with each device (CS02a), which uses an originator counter and is recorded in the ledger.

    Exits 4 if something needs a person.
    """
    from keyrig.base.clock import utc_now
    from keyrig.base.error_kinds import ExitCode
    from keyrig.config.places import places_of
    from keyrig.config.rig_file import load_rig
    from keyrig.run.doctor import Health, examine

    opened = load_rig(rig)
    only = parse_devices(device_texts)
    opened.require(only)
    places = places_of(opened)
    findings: list[Finding] = []
    asked: list[Asked] = []

    def found(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            _show_finding(finding)

    def told(came: Asked) -> None:
        asked.append(came)
        if not as_json:
            _show_asked(came)

    for finding in examine(places, utc_now(), only=only, is_asking=is_asking):
        found(finding)
    if is_asking:
        _ask(places, only, found=found, told=told, as_json=as_json)
    if as_json:
        click.echo(json.dumps(_document(findings, asked, is_asking=is_asking)))
    is_bad = any(finding.health is Health.BAD for finding in findings)
    is_good = not is_bad and all(came.is_good for came in asked)
    return ExitCode.DONE if is_good else ExitCode.NEEDS_PERSON


def _ask(
    places: Places,
    only: Collection[EntityIdentifier],
    *,
    found: Callable[[Finding], None],
    told: Callable[[Asked], None],
    as_json: bool,
) -> None:
    from gbcs.protocol_errors import KeyrigError
    from keyrig.base.error_kinds import ExitCode, kind_of
    from keyrig.cli.watching import watching
    from keyrig.run.asking import ask, askable, notice
    from keyrig.run.doctor import Finding, Health

    devices = askable(places.rig, only)
    if not devices:
        return
    # With --json, standard output is the program's; the notice goes to the person, on stderr.
    click.echo(textwrap.fill(notice(places.rig, devices), _width()), err=as_json)
    with ExitStack() as stack:
        display = stack.enter_context(watching(as_json=as_json))

        def observe(event: events.Event) -> None:
            if isinstance(event, _SHOWN_EVENTS) and not as_json:
                display(event)

        try:
            ask(places.rig, only=only, told=told, observe=observe)
        except KeyrigError as error:
            if kind_of(error).exit_code is not ExitCode.NEEDS_PERSON:
                raise
            found(Finding("ask", Health.BAD, str(error)))


def _width() -> int:
    return max(_WIDTH_LEAST, shutil.get_terminal_size().columns)


def _filled(text: str, first: str, then: str) -> str:
    """Return text wrapped to the terminal; paths and identifiers stay whole."""
    return textwrap.fill(
        printable(text, _LONGEST_TEXT),
        _width(),
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _show_finding(finding: Finding) -> None:
    head = f"{finding.health.value:5} {finding.what:{_WHAT_WIDTH}} "
    click.echo(_filled(finding.detail, head, " " * len(head)))


def _show_asked(asked: Asked) -> None:
    from keyrig.run.asking import framing_of

    device = asked.device
    who = f"{device.entity_id} ({device.type.value}) on {asked.link} ({framing_of(device)})"
    used = ", ".join(map(str, asked.counters))
    if asked.took_s is not None:
        came = f"{who} answered in {asked.took_s:.2f} s; counter {used}; {len(asked.cells)} cells"
    elif used:
        came = f"{who} gave no answer that verifies; counter {used}"
    else:
        came = f"{who} was not asked"
    head = f"{'good' if asked.is_good else 'bad':5} {'ask':{_WHAT_WIDTH}} "
    indent = " " * len(head)
    click.echo(_filled(came, head, indent))
    if asked.problem is not None:
        click.echo(_filled(asked.problem, indent, indent))
    for held in asked.cells:
        for line in _cell_lines(held):
            click.echo(line)


def _cell_lines(held: HeldCell) -> Iterator[str]:
    """Return the lines that describe a cell: which it is, and whose key is in it."""
    cell, known = held.cell, held.certificate
    key = cell.subject_key_identifier.hex().upper()
    which = f"{cell.role.gbcs_name} {cell.key_usage.gbcs_name}, {cell.cell_usage.gbcs_name}"
    yield _filled(f"{which}, key {key}", "  ", "    ")
    if known is None:
        whose = "no certificate of this key is in the key store"
    elif held.is_by_another:
        whose = f"but in the key store it is the key of {known.entity_id}"
    else:
        whose = f"the {_role_of(known)} of the key store"
    yield _filled(f"{cell.entity_id}, {whose}", "    ", "      ")


def _role_of(certificate: GBCSCertificate) -> str:
    return certificate.role.gbcs_name if certificate.role is not None else "organisation"


def _document(findings: list[Finding], asked: list[Asked], *, is_asking: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": 1,
        "findings": [
            {
                "what": each.what,
                "health": each.health.value,
                "detail": each.detail,
                "rule": each.rule or None,
                "duties": list(each.duties),
            }
            for each in findings
        ],
    }
    if is_asking:
        document["asked"] = [_asked_document(each) for each in asked]
    return document


def _asked_document(asked: Asked) -> dict[str, Any]:
    link = asked.device.link
    return {
        "device": str(asked.device.entity_id),
        "device_type": asked.device.type.value,
        "link": {
            "name": asked.link,
            "framing": getattr(link, "framing", None),
            "baud": getattr(link, "baud", None),
            "radio": getattr(link, "zigbee", None),
        },
        "answered": asked.took_s is not None,
        "took_s": asked.took_s,
        "counters": list(asked.counters),
        "cells": [_cell_document(held) for held in asked.cells],
        "problem": asked.problem,
    }


def _cell_document(held: HeldCell) -> dict[str, Any]:
    cell, known = held.cell, held.certificate
    return {
        "role": cell.role.gbcs_name,
        "key_usage": cell.key_usage.gbcs_name,
        "cell_usage": cell.cell_usage.gbcs_name,
        "entity_id": str(cell.entity_id),
        "key_identifier": cell.subject_key_identifier.hex().upper(),
        "certificate": None
        if known is None
        else {
            "entity_id": None if known.entity_id is None else str(known.entity_id),
            "role": None if known.role is None else known.role.gbcs_name,
            "not_after": instant_text(known.not_after),
        },
    }
