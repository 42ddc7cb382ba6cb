from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyrig.base import errors

if TYPE_CHECKING:
    from gbcs.errors import KeyrigError

EXAMPLES: list[tuple[KeyrigError, type[KeyrigError]]] = [
    (errors.LinkClosed("port"), errors.LinkError),
    (errors.LinkTimeout(1.25, where="port"), errors.LinkError),
    (errors.LedgerLocked("file", "pid 1"), errors.LedgerError),
    (errors.LedgerCorrupt("file", "a row is missing"), errors.LedgerError),
    (errors.LedgerForeign("file", "version 9"), errors.LedgerError),
    (errors.RigFileInvalid("rig.toml: name", "empty", "give it a name"), errors.RigError),
    (errors.DeviceUnavailable("port", "silent"), errors.RigError),
    (errors.WrongDevice("port", expected="00", found="01"), errors.RigError),
    (errors.PortBusy("port"), errors.RigError),
    (errors.PortMissing("port"), errors.RigError),
    (errors.KeyMissing("pki", "supplier DS key"), errors.KeyStoreError),
    (errors.KeyLocked("pki", "supplier DS key"), errors.KeyStoreError),
    (errors.SettingsError("--port", "not a number", "write digits"), errors.SettingsError),
]


@pytest.mark.parametrize(("error", "base"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_message_is_one_line_of_where_what_and_what_to_do(
    error: KeyrigError, base: type[KeyrigError]
) -> None:
    assert isinstance(error, base)
    text = str(error)
    assert "\n" not in text
    assert text.startswith(f"{getattr(error, 'where', '')}: ")
    assert "; " in text
