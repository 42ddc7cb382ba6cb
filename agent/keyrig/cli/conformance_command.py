"""`keyrig conformance`: check a folder of reference messages against a key store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyrig.base.error_kinds import ExitCode
from keyrig.cli.shared_options import broker_option, json_option, parse_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from keyrig.session.conformance import MessageResult, Summary

_WRONG_SHOWN = 200


@click.command()
@click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--keystore",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Folder of <eui>-{ds,ka}.{pem,key}, or a DCC Boxed keystore.json.",
)
@broker_option
@json_option
def conformance(directory: Path, keystore: Path, acb: str, *, as_json: bool) -> None:
    """Check every .HEX file below DIR: signature, MAC, and the payload encoded again."""
    from keyrig.keys.store_opening import open_keystore
    from keyrig.session.conformance import Summary, Verifier, check_file, message_files

    (broker,) = parse_devices((acb,), "--acb")
    store = open_keystore(keystore)
    for problem in store.problems:
        click.echo(f"left out: {problem}", err=True)
    files = message_files(directory)
    if not files:
        raise click.BadParameter("no .HEX file in it or below", param_hint="DIR")
    verifier = Verifier(store, broker)
    summary = Summary()
    wrong: list[tuple[str, MessageResult]] = []
    for path in _with_progress(files):
        result = check_file(path, verifier)
        summary.add(result)
        name = path.relative_to(directory).as_posix()
        if as_json:
            _print_json("message", file=_printable_name(name), **result.as_json())
        elif result.is_wrong or result.reasons:
            wrong.append((name, result))
    if as_json:
        _print_json("summary", **summary.counts())
    else:
        _print_wrong(wrong)
        _print_summary(summary)
    click.get_current_context().exit(ExitCode.FAILED if summary.wrong else ExitCode.DONE)


def _with_progress(files: list[Path]) -> Iterator[Path]:
    """Yield the files, and show on a terminal how many are done."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        files,
        description="checking messages",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_json(kind: str, /, **fields: object) -> None:
    from keyrig.session.conformance import SCHEMA

    click.echo(json.dumps({"schema": SCHEMA, "type": kind, **fields}))


def _printable_name(name: str) -> str:
    from gbcs.printable import printable

    return printable(name, 1000)


def _print_wrong(results: Iterable[tuple[str, MessageResult]]) -> None:
    """Print one row for each message with something wrong or not checkable."""
    shown = list(results)
    for name, result in shown[:_WRONG_SHOWN]:
        code = "----" if result.message is None else f"{result.message.header.message_code:04X}"
        sign = "wrong        " if result.is_wrong else "not checkable"
        click.echo(f"{sign}  {code}  {_printable_name(name)}: {'; '.join(result.reasons)}")
    if len(shown) > _WRONG_SHOWN:
        click.echo(f"and {len(shown) - _WRONG_SHOWN} more; --json lists all")


def _print_summary(summary: Summary) -> None:
    width = max(len(name) for name in summary.counts())
    for name, count in summary.counts().items():
        click.echo(f"{name.replace('_', ' '):{width}}  {count:6}")
