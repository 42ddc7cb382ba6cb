"""Which exit code an error ends the program with."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The program's exit codes."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    FAILED = 3
    NEEDS_PERSON = 4
    NOT_REPORTED = 5
    STOPPED = 130


def exit_code(error: Exception) -> ExitCode | None:
    """Give the exit code of an error of the project's own; None for any other."""
    from duis.errors import DocumentInvalid  # noqa: PLC0415 - not for --help
    from gbcs.errors import KeyrigError, ProtocolError, SecurityError  # noqa: PLC0415 - as above
    from keyrig.base.errors import (  # noqa: PLC0415 - as above
        AuthorityError,
        EvidenceBroken,
        KeyStoreError,
        LedgerError,
        LinkError,
        RigError,
        RigFileInvalid,
        RulesInvalid,
        SettingsError,
    )

    if not isinstance(error, KeyrigError):
        return None
    if isinstance(error, (SettingsError, RigFileInvalid, RulesInvalid, DocumentInvalid)):
        return ExitCode.USAGE
    if isinstance(error, (RigError, LinkError, KeyStoreError, AuthorityError, LedgerError)):
        return ExitCode.NEEDS_PERSON
    if isinstance(error, (SecurityError, ProtocolError, EvidenceBroken)):
        return ExitCode.FAILED
    return ExitCode.UNEXPECTED
