"""Every error of every package: its parts, its line, and what follows of it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dccstub
import duis
import gbcs
import keyrig
import meterlink
import meterstub
import zse
from duis.document_errors import DocumentInvalid
from gbcs.protocol_errors import CertificateRejected, DecodeError, KeyrigError, LocalProtocolError
from keyrig.base import errors
from keyrig.base.error_kinds import KINDS, ExitCode, Fault, kind_of, mend_of
from keyrig.domain.device_facts import Cause, cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = Path(keyrig.__file__).parent

EXAMPLES: list[tuple[KeyrigError, type[KeyrigError]]] = [
    (errors.LinkClosed("port"), errors.LinkError),
    (errors.LinkTimeout(1.25, where="port"), errors.LinkError),
    (errors.RadioLost("radio hub", "unplugged"), errors.RadioError),
    (errors.DCCUnreachable("box", "refused", may_have_arrived=False), errors.LinkError),
    (errors.LedgerLocked("file", "pid 1"), errors.LedgerError),
    (errors.LedgerCorrupt("file", "a row is missing"), errors.LedgerError),
    (errors.LedgerForeign("file", "version 9"), errors.LedgerError),
    (errors.LedgerTooNew("file", found=9, known=8), errors.LedgerError),
    (errors.LedgerRefused("run 1", "it has ended"), errors.LedgerError),
    (errors.RigFileInvalid("rig.toml: name", "empty", "give it a name"), errors.RigError),
    (errors.DeviceUnavailable("port", "silent"), errors.RigError),
    (errors.WrongDevice("port", expected="00", found="01"), errors.RigError),
    (errors.PortBusy("port"), errors.RigError),
    (errors.PortMissing("port"), errors.RigError),
    (errors.RigBusy("bench", "operation"), errors.RigError),
    (errors.DeviceBusy("00"), errors.RigError),
    (errors.RunStopped("a person"), KeyrigError),
    (
        errors.ServiceRefused("CS02c", response_code="E4", reason="no", mend="see"),
        errors.RigError,
    ),
    (errors.KeyMissing("pki", "supplier DS key"), errors.KeyStoreError),
    (errors.KeyLocked("pki", "supplier DS key"), errors.KeyStoreError),
    (errors.AuthorityRefused("authority", "says no", "ask it why"), errors.AuthorityError),
    (errors.SettingsError("--port", "not a number", "write digits"), errors.SettingsError),
    (errors.EvidenceBroken("file", 3, "no seal"), KeyrigError),
    (DocumentInvalid("empty", source="a file", field="Response", line=2), KeyrigError),
]


def every_class() -> Iterator[type[KeyrigError]]:
    """Yield each error class of the agent, the protocols and the stubs, bases first."""
    for package in (keyrig, gbcs, meterlink, zse, duis, meterstub, dccstub):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = [KeyrigError], [KeyrigError]
    while waiting:
        below = [each for of in waiting for each in of.__subclasses__()]
        # Errors that tests declare are not the product's.
        waiting = [each for each in below if not each.__module__.startswith(("tests", "agent"))]
        found += waiting
    yield from found


@pytest.mark.parametrize(("error", "base"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_message_is_one_line_of_where_what_and_what_to_do(
    error: KeyrigError, base: type[KeyrigError]
) -> None:
    assert isinstance(error, base)
    assert all((error.where, error.reason, error.mend))
    assert str(error) == f"{error.where}: {error.reason}; {error.mend}"
    assert error.finding == f"{error.where}: {error.reason}"
    assert str(error).isprintable()


def test_every_error_has_a_code_with_a_kind_and_an_exit_code() -> None:
    declared: dict[str, set[str]] = {}
    for each in every_class():
        kind = KINDS[each.code]
        assert isinstance(kind.exit_code, ExitCode), each
        assert kind.exit_code is not ExitCode.DONE, each
        assert kind.title, each
        assert 400 <= kind.status <= 599, each
        if "code" in vars(each):
            declared.setdefault(each.code, set()).add(each.__name__)
    shared = {code: names for code, names in declared.items() if len(names) > 1}
    assert shared == {"document-invalid": {"DocumentInvalid", "FileInvalid"}}


def test_only_what_the_program_does_not_foresee_and_the_stubs_have_no_code_of_their_own() -> None:
    without = {e.__name__ for e in every_class() if e.code == KeyrigError.code}
    of_stubs = {
        each.__name__
        for each in every_class()
        if each.__module__.startswith(("meterstub", "dccstub"))
    }
    assert without - of_stubs == {
        "AgentError",
        "KeyrigError",
        "RequestRefused",  # each has one of its own
    }


def test_every_raise_of_an_error_without_a_usual_mend_names_one() -> None:
    lacking = {
        name: each
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.AgentError) and not each.mend
    }
    assert {"SettingsError", "AuthorityRefused"} <= set(lacking)
    bare = [
        f"{path.relative_to(AGENT)}:{node.lineno}"
        for path in AGENT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in lacking
        and len(node.args) + len(node.keywords) < 3
    ]
    assert bare == []


def test_what_to_do_is_never_to_look_where_nothing_is_written() -> None:
    for each in every_class():
        assert each.mend or KINDS[each.code].mend or issubclass(each, errors.AgentError), each
    assert mend_of(LocalProtocolError("no such state")) == KINDS["protocol-error"].mend


def test_text_from_outside_is_made_printable_in_every_part() -> None:
    error = errors.RigFileInvalid("a\nfile", "says \x1b[2J", "mend\tit")
    assert str(error) == "a\ufffdfile: says \ufffd[2J; mend\ufffdit"
    assert str(LocalProtocolError("\x07")) == "\ufffd"
    decoded = DecodeError("bad \x1b", layer="XML\n", field="a\r")
    assert str(decoded) == "XML\ufffd: a\ufffd: bad \ufffd"
    rejected = CertificateRejected("issuer", "of \x1b", "CN=\n")
    assert str(rejected) == "certificate of CN=\ufffd rejected (issuer): of \ufffd"


def test_parts_of_a_protocol_error_come_from_its_layer_field_and_offset() -> None:
    error = DecodeError("too long", layer="DER", field="payload", offset=7, excerpt=b"\x81")
    assert (error.where, error.reason, error.mend) == ("DER: payload", "too long", "")
    error.field, error.offset = "inner.payload", 9
    assert error.where == "DER: inner.payload"
    assert str(error) == error.finding == "DER: inner.payload: too long, at octet 9 (81)"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.KeyLocked("pki", "the key"), Cause.KEYS),
        (errors.PortMissing("/dev/ttyUSB0"), Cause.LINE),
        (errors.RadioLost("radio", "gone"), Cause.LINE),
        (errors.RigFileInvalid("rig.toml", "no", "mend it"), Cause.RIG),
        (errors.ClockWrong("this machine", "never set", "set it"), Cause.RIG),
        (errors.AuthorityRefused("authority", "no", "ask"), Cause.AUTHORITY),
    ],
)
def test_whose_fault_an_error_is_follows_from_its_kind(error: KeyrigError, cause: Cause) -> None:
    assert cause_of(error) is cause


def test_only_a_failed_step_is_the_devices_fault() -> None:
    of_device = {code for code, kind in KINDS.items() if kind.fault is Fault.DEVICE}
    assert of_device == {"step-failed"}
    assert kind_of(errors.KeyMissing("pki", "x")).fault is Fault.KEYS
    assert kind_of(errors.RunStopped("a person")).exit_code is ExitCode.STOPPED
