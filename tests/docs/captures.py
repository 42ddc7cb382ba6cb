"""What the documents show of the program: written anew, or checked, by one command.

`make docs` writes the files that are made from the code; `make check-docs` says what is not true
any more, README's capture of a run included, which a person shortened and so has to write.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from keyrig.domain.states import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parents[2]
COLUMNS: Final = 80
_VARIES: Final = (
    (re.compile(r"[0-9A-F]{2}(?:-[0-9A-F]{2}){7}"), "<entity>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?Z?"), "<instant>"),
    (re.compile(r"/dev/pts/\d+"), "<port>"),
    (re.compile(r"\bkey [0-9a-f]{16}\b"), "key <identifier>"),
    (re.compile(r"\brun [0-9a-f]{8}\b"), "run <id>"),
    (re.compile(r"\bin \S+/pki\b"), "in <key store>"),
    (re.compile(r"\b\d+ octets\b"), "<count> octets"),
    (re.compile(r"[ ─━]{2,}"), " "),
)
"""What differs from run to run, and what stands for it when a capture is compared."""


def _openapi() -> str:
    from keyrig.api.application import openapi_text  # noqa: PLC0415 - each is made when asked for

    return openapi_text()


def _report_schema() -> str:
    from keyrig.documents.report_document import schema_text  # noqa: PLC0415 - as above

    return schema_text()


def _evidence_schema() -> str:
    from keyrig.documents.evidence_document import schema_text  # noqa: PLC0415 - as above

    return schema_text()


def _event_schema() -> str:
    from keyrig.documents.run_event_schema import schema_text  # noqa: PLC0415 - as above

    return schema_text()


def _commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield each command's path and the text of its help, groups before what is in them."""
    settings = {**command.context_settings, "terminal_width": COLUMNS}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _commands(found, below, context)


def _command_help() -> str:
    from keyrig.cli import cli  # noqa: PLC0415 - as above

    parts = ["# Commands", "What `--help` of each command says. `make docs` writes this page."]
    for path, text in _commands(cli, "keyrig"):
        parts.append(f"## {path}\n\n```\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _published_event(kind: EventType) -> str:
    from keyrig.upstream.event_data import schema_text  # noqa: PLC0415 - as above

    return schema_text(kind)


WRITTEN: Final[dict[str, Callable[[], str]]] = {
    "docs/openapi.json": _openapi,
    "docs/report.schema.json": _report_schema,
    "docs/evidence.schema.json": _evidence_schema,
    "docs/run-events.schema.json": _event_schema,
    "docs/commands.md": _command_help,
    **{
        f"docs/events/{kind.value}.v1.schema.json": partial(_published_event, kind)
        for kind in EventType
    },
}
"""Each file that is made from the code, and what makes it."""


def stale(name: str) -> bool:
    """True if a file is not what the code makes."""
    path = ROOT / name
    return not path.is_file() or path.read_text(encoding="utf-8") != WRITTEN[name]()


def normalised(line: str) -> str:
    """Return a line of the program without what differs from run to run."""
    for pattern, instead in _VARIES:
        line = pattern.sub(instead, line)
    return line.strip()


def untrue(captured: str, output: str) -> list[str]:
    """Return the lines of a capture that the program does not print, in that order.

    "…" stands for any number of lines.
    """
    printed = [normalised(line) for line in output.splitlines()]
    at, missing = 0, []
    for line in captured.splitlines():
        if line.strip() in {"", "…"}:
            continue
        try:
            at = printed.index(normalised(line), at) + 1
        except ValueError:
            missing.append(line)
    return missing


def readme_capture() -> str:
    """Return what README shows of a run."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"## What a run shows\n\n```\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def run_output() -> str:
    """Return what `keyrig run` prints of an emulated home that was never run."""
    from keyrig.cli import run_cli  # noqa: PLC0415 - as above

    os.environ["COLUMNS"] = "140"
    before = os.environ.get("KEYRIG_HOME")
    with (
        TemporaryDirectory(prefix="keyrig-capture-") as home,
        redirect_stdout(io.StringIO()) as out,
    ):
        os.environ["KEYRIG_HOME"] = home
        try:
            run_cli(["run"])
        finally:
            os.environ.pop("KEYRIG_HOME")
            if before is not None:
                os.environ["KEYRIG_HOME"] = before
    return out.getvalue()


def main() -> int:
    """Write the files, or say which are stale and what README shows that is not so."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="Change nothing; exit 1 if stale.")
    if not parser.parse_args().check:
        for name, made in WRITTEN.items():
            (ROOT / name).write_text(made(), encoding="utf-8")
            sys.stdout.write(f"{name}\n")
        return 0
    found = [f"{name}: not what the code makes; run `make docs`" for name in WRITTEN if stale(name)]
    missing = untrue(readme_capture(), run_output())
    found += [f"README.md: a run does not print {line.strip()!r}" for line in missing]
    sys.stdout.write("".join(f"{each}\n" for each in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
