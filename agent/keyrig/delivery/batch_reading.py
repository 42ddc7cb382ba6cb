"""Reading the commands that are handed over for local delivery, from files that may be hostile."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from duis.document_errors import DocumentInvalid
from duis.response_documents import (
    LocalCommand,
    PreCommand,
    Response,
    ResponseMessage,
    parse_response,
)
from gbcs.printable import printable
from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import Unreadable, read_octets, text_of, without_padding
from keyrig.session.message_inspection import messages_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from duis.document_headers import RequestIdentifier

FILE_MAXIMUM_OCTETS: Final = 1 << 20
"""A message has 65,535 octets at most; in base64 within XML, or as digits, that is far less."""
COMMANDS_MAXIMUM: Final = 500
"""The commands of one batch."""
SUFFIXES: Final = (".hex", ".xml")
"""The files of a folder that are taken, whatever their case."""

_DIGITS: Final = re.compile(r"(\d+)")
_MEND: Final = "give commands that the DCC made for local delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCommand:
    """A message that was handed over, not yet looked into.

    Args:
        source: Where it came in, for people.
        octets: The message.
        request_id: The DUIS RequestID that it belongs to, where it came in a DUIS response.
        responded_at: When the DCC made that response.
        document: The response itself, or b"".
    """

    source: str
    octets: bytes = field(repr=False)
    request_id: RequestIdentifier | None = None
    responded_at: datetime | None = None
    document: bytes = field(default=b"", repr=False)


def read_commands(paths: Iterable[Path]) -> tuple[GivenCommand, ...]:
    """Read files and folders in the order given.

    Of a folder, the files named *.hex and *.xml are taken in the order of their names, in which
    digits count as numbers.

    Raises:
        SettingsError: One cannot be read, is too large, or holds no commands.
        DocumentInvalid: One is XML, and no DUIS response with a local command.
    """
    found: list[GivenCommand] = []
    for path in paths:
        for file in _files(path):
            found += commands_in(_octets(file), str(file))
            if len(found) > COMMANDS_MAXIMUM:
                raise SettingsError(
                    str(file),
                    f"more than {COMMANDS_MAXIMUM} commands in one batch",
                    "deliver fewer at once",
                )
    return tuple(found)


def commands_in(octets: bytes, source: str) -> list[GivenCommand]:
    """Find the messages in a DUIS response, in hexadecimal text, or in a message itself.

    Args:
        octets: What was handed over.
        source: Its name for errors, such as a path.

    Raises:
        SettingsError: There is none in it.
        DocumentInvalid: It is XML, and no DUIS response with a local command.
    """
    if _is_xml(octets):
        return [command_in_response(without_padding(octets), source)]
    try:
        messages = messages_in(octets)
    except SettingsError as error:
        raise SettingsError(printable(source), error.reason, _MEND) from None
    several = len(messages) > 1
    return [
        GivenCommand(
            source=f"{printable(source)}, message {number}" if several else printable(source),
            octets=message,
        )
        for number, message in enumerate(messages, 1)
    ]


def _is_xml(octets: bytes) -> bool:
    if octets.lstrip().startswith(b"<"):
        return True
    try:
        return text_of(octets).lstrip().startswith("<")
    except Unreadable:
        return False


def command_in_response(octets: bytes, source: str) -> GivenCommand:
    """Return the local command of a DUIS response; its signature is not looked at.

    Raises:
        DocumentInvalid: It is none, or brings something else.
    """
    response = parse_response(octets, source)
    body = response.body
    if isinstance(body, LocalCommand):
        return GivenCommand(
            source=printable(source),
            octets=body.gbcs_payload,
            request_id=response.header.request_id,
            responded_at=response.header.response_date_time,
            document=octets,
        )
    raise DocumentInvalid(_what_instead(response), source=source, mend=_MEND)


def _what_instead(response: Response) -> str:
    """Return what a DUIS response brings that is no local command."""
    code, meaning = response.header.response_code, response.header.meaning
    match response.body:
        case PreCommand():
            return "it holds a pre-command, which its user has to sign first"
        case ResponseMessage():
            return "it holds a device's response, not a command"
        case None:
            told = f": {printable(meaning, 120)}" if meaning else ""
            return f"it holds no command, but response code {printable(code, 20)}{told}"
        case _:
            return "it holds no LocalCommand"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        held = [each for each in path.iterdir() if each.name.lower().endswith(SUFFIXES)]
    except OSError as error:
        raise _unreadable(path, error) from error
    if not held:
        raise SettingsError(str(path), "it holds no *.hex and no *.xml", _MEND)
    return sorted(held, key=lambda each: _natural(each.name))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return what names sort by, so that 10 comes after 9."""
    parts = _DIGITS.split(name.lower())
    return [
        (True, int(part), "") if part.isdecimal() else (False, 0, part) for part in parts if part
    ]


def _octets(path: Path) -> bytes:
    try:
        # A pipe or a device would be waited for without end.
        if path.exists() and not path.is_file():
            raise SettingsError(str(path), "it is no regular file", _MEND)
        return read_octets(path, maximum=FILE_MAXIMUM_OCTETS)
    except OSError as error:
        raise _unreadable(path, error) from error
    except Unreadable as error:
        mend = error.mend if error.is_missing else _MEND
        raise SettingsError(str(path), str(error), mend) from None


def _unreadable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        str(path), f"cannot be read: {error.strerror}", "name a file that is there"
    )
