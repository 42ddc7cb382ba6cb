"""`keyrig inspect`: decode GBCS messages and say whether they verify."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyrig.base.error_kinds import ExitCode
from keyrig.cli.shared_options import broker_option, json_option, parse_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyrig.session.conformance import Verifier
    from keyrig.session.message_inspection import Description

_HEXADECIMAL = re.compile(r"[0-9A-Fa-f\s:]+")


@click.command()
@click.argument("source", metavar="FILE|HEX|-")
@click.option(
    "--keystore",
    type=click.Path(exists=True, path_type=Path),
    help="Verify with the keys in this folder, or DCC Boxed keystore.json.",
)
@broker_option
@json_option
def inspect(source: str, keystore: Path | None, acb: str, *, as_json: bool) -> None:
    """Decode GBCS messages: a file of hex or octets, hex digits, or - for standard input."""
    from keyrig.session.message_inspection import SCHEMA, describe_message, messages_in

    messages = messages_in(_read(source))
    verifier = None if keystore is None else _verifier(keystore, acb)
    descriptions = [describe_message(octets, verifier) for octets in messages]
    if as_json:
        for description in descriptions:
            click.echo(json.dumps({"schema": SCHEMA, "type": "message", **description.fields}))
    else:
        _print(descriptions)
    click.get_current_context().exit(_exit_code(descriptions))


def _read(source: str) -> bytes:
    from keyrig.session.message_inspection import INPUT_MAXIMUM_OCTETS

    if source == "-":
        return sys.stdin.buffer.read(INPUT_MAXIMUM_OCTETS + 1)
    path = Path(source)
    try:
        if path.is_file():
            with path.open("rb") as stream:
                return stream.read(INPUT_MAXIMUM_OCTETS + 1)
    except (OSError, ValueError) as error:
        if not _HEXADECIMAL.fullmatch(source):
            reason = error.strerror if isinstance(error, OSError) else "cannot be read"
            raise click.BadParameter(f"{reason}", param_hint="FILE|HEX|-") from None
    if _HEXADECIMAL.fullmatch(source):
        return source.encode()
    raise click.BadParameter("neither a file nor hexadecimal digits", param_hint="FILE|HEX|-")


def _verifier(keystore: Path, acb: str) -> Verifier:
    from keyrig.keys.store_opening import open_keystore
    from keyrig.session.conformance import Verifier

    (broker,) = parse_devices((acb,), "--acb")
    return Verifier(open_keystore(keystore), broker)


def _print(descriptions: Sequence[Description]) -> None:
    from keyrig.session.message_inspection import as_lines

    for number, description in enumerate(descriptions):
        if number:
            click.echo()
        if "kind" in description.fields:
            for line in as_lines(
                {name: value for name, value in description.fields.items() if name != "error"}
            ):
                click.echo(line)
        if description.error:
            click.echo(f"keyrig: {description.error}", err=True)


def _exit_code(descriptions: Sequence[Description]) -> ExitCode:
    if any(description.error for description in descriptions):
        return ExitCode.USAGE
    if any(description.is_invalid for description in descriptions):
        return ExitCode.FAILED
    return ExitCode.DONE
