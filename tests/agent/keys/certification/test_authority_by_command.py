"""Programs that certify, refuse, hang, crash, lie and flood."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import Authorities, new_key
from gbcs.certification_request import build_certification_request
from keyrig.base.clock import monotonic
from keyrig.base.errors import AuthorityMistaken, AuthorityRefused, AuthorityUnavailable
from keyrig.keys.authority_by_command import CommandAuthority
from keyrig.keys.certification_order import CertificationOrder, Later
from patience import HANG_S

from .bench import DEVICE, DS, NOW, pem, private_pem

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = build_certification_request(new_key(), DS, DEVICE)
ORDER = CertificationOrder(DEVICE, DS, REQUEST, NOW)
CERTIFICATE = Authorities().device()


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    (tmp_path / "certificate.pem").write_bytes(pem(CERTIFICATE))
    (tmp_path / "request.pem").write_bytes(
        x509.load_der_x509_csr(REQUEST).public_bytes(Encoding.PEM)
    )
    (tmp_path / "key.pem").write_bytes(private_pem(new_key()))
    return tmp_path


def shell(
    folder: Path,
    script: str,
    *,
    timeout_s: float = HANG_S,
    clock: Callable[[], float] = monotonic,
) -> CommandAuthority:
    return CommandAuthority(
        ["/bin/sh", "-c", script, "sh"], timeout_s=timeout_s, folder=folder, monotonic=clock
    )


def over_once_written(pid: Path) -> Callable[[], float]:
    """Return a clock by which a program's time is over as soon as it has written its number.

    Its first reading, from which the time counts, is always 0.
    """
    readings = count()
    return lambda: (
        1000.0 if next(readings) and pid.exists() and pid.read_bytes().endswith(b"\n") else 0.0
    )


def end(pid: Path) -> None:
    """End a process that must be there still."""
    os.kill(int(pid.read_text(encoding="ascii")), signal.SIGKILL)


def has_ended(pid: Path) -> bool:
    """Return whether a process is gone, or ended and not reaped yet, once that has happened."""
    status = Path(f"/proc/{pid.read_text(encoding='ascii').strip()}/stat")
    deadline = monotonic() + HANG_S
    while monotonic() < deadline:
        try:
            if status.read_text(encoding="ascii").rpartition(")")[2].split()[0] in {"Z", "X"}:
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        os.sched_yield()
    return False


def certified(authority: CommandAuthority) -> list[bytes]:
    answer = authority.certify(ORDER, NOW)
    assert not isinstance(answer, Later)
    return [each.certificate.der for each in answer]


@pytest.mark.parametrize(
    "script",
    [
        'test "$1" = certify && cat certificate.pem',
        "cat >/dev/null; cat certificate.pem",
        "cmp - request.pem && cat certificate.pem",
        "exec 0<&-; cat certificate.pem; exec 1>&-; sleep 0.3",
        "cat certificate.pem; echo all is well >&2",
        "trap '' TERM HUP; cat certificate.pem",
        'test "$KEYRIG_DEVICE" = DEVICE && cat certificate.pem',
        'test "$KEYRIG_KEY_USAGE" = digitalSignature && cat certificate.pem',
        'test "$KEYRIG_KEY_IDENTIFIER" = IDENTIFIER && cat certificate.pem',
        'test "$KEYRIG_DUE_BY" = UNTIL && cat certificate.pem',
        'test -n "$PATH" && cat certificate.pem',
    ],
)
def test_certificate_on_standard_output_is_taken(folder: Path, script: str) -> None:
    values = {
        "= DEVICE": f"= {DEVICE}",
        "= IDENTIFIER": f"= {ORDER.key_identifier.hex()}",
        "= UNTIL": f"= {NOW:%Y-%m-%dT%H:%M:%SZ}",
    }
    for word, value in values.items():
        script = script.replace(word, value)
    assert certified(shell(folder, script)) == [CERTIFICATE.der]


def test_order_without_a_deadline_gives_an_empty_variable(folder: Path) -> None:
    order = CertificationOrder(DEVICE, DS, REQUEST, None)
    authority = shell(folder, 'test "${KEYRIG_DUE_BY-x}" = "" && cat certificate.pem')
    assert not isinstance(authority.certify(order, NOW), Later)


def test_what_a_program_leaves_running_with_its_pipes_does_not_hold_its_answer_up(
    folder: Path,
) -> None:
    """As ssh does with a master connection that persists."""
    authority = shell(folder, "sleep 3600 & echo $! >pid; cat certificate.pem")
    assert certified(authority) == [CERTIFICATE.der]
    end(folder / "pid")


def test_all_that_was_written_before_the_end_is_read(folder: Path) -> None:
    text = folder / "long.txt"
    text.write_bytes(b"x" * 3_000_000 + b"\n" + pem(CERTIFICATE))
    assert certified(shell(folder, "sleep 3600 & cat long.txt")) == [CERTIFICATE.der]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 75", "says later"),
        ("echo in a week >&2; exit 75", "says later: in a week"),
        ("cat certificate.pem; exit 75", "says later"),
    ],
)
def test_exit_75_is_later(folder: Path, script: str, said: str) -> None:
    answer = shell(folder, script).certify(ORDER, NOW)
    assert isinstance(answer, Later)
    assert answer.answer == f"command sh {said}"
    assert answer.folder is None


def test_exit_77_is_no_and_names_the_request_and_what_was_said(folder: Path) -> None:
    with pytest.raises(AuthorityRefused, match=r"no to the digitalSignature request .*: not known"):
        shell(folder, "echo not known >&2; exit 77").certify(ORDER, NOW)


@pytest.mark.parametrize("code", [1, 2, 64, 74, 76, 78, 126, 127, 128, 130, 137, 254, 255])
@pytest.mark.parametrize("call", ["probe", "certify"])
def test_any_other_exit_code_is_the_programs_fault(folder: Path, call: str, code: int) -> None:
    authority = shell(folder, f"cat certificate.pem; echo oops >&2; exit {code}")
    with pytest.raises(AuthorityUnavailable, match=f"{call} ends with {code}: oops"):
        _ = authority.probe() if call == "probe" else authority.certify(ORDER, NOW)


@pytest.mark.parametrize("code", [75, 77])
def test_probe_that_says_later_or_no_begins_nothing(folder: Path, code: int) -> None:
    with pytest.raises(AuthorityUnavailable, match=f"probe ends with {code}"):
        shell(folder, f"exit {code}").probe()


def test_probe_asks_for_nothing_and_gives_no_request(folder: Path) -> None:
    authority = shell(
        folder, 'test "$1" = probe || exit 9; test -z "$(cat)" || exit 8; echo yes >&2'
    )
    assert authority.probe() == "yes"
    assert shell(folder, "true").probe() == "ready"


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "ABRT"])
def test_program_that_is_ended_by_a_signal_is_told_so(folder: Path, name: str) -> None:
    number = signal.Signals[f"SIG{name}"].value
    with pytest.raises(AuthorityUnavailable, match=f"is ended by signal {number}"):
        shell(folder, f"cat certificate.pem; kill -{name} $$").certify(ORDER, NOW)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("true", "no certificate in it"),
        ("echo done", "no certificate in it"),
        ("cat", "a certification request"),
        ("head -c 300 certificate.pem", "without its end"),
        ("cat certificate.pem key.pem", "a private key is in it"),
    ],
)
def test_exit_0_without_a_certificate_is_the_authoritys_mistake(
    folder: Path, script: str, reason: str
) -> None:
    with pytest.raises(AuthorityMistaken, match=reason) as refused:
        shell(folder, script).certify(ORDER, NOW)
    assert "MIG" not in str(refused.value)


@pytest.mark.parametrize(
    "script",
    [
        "sleep 3600",
        "exec 1>&- 2>&-; sleep 3600",
        "trap '' TERM INT HUP; while :; do sleep 3600; done",
        "cat certificate.pem; while :; do echo x >&2; done",
        "sleep 3600 & wait",
    ],
)
def test_program_that_does_not_end_in_time_is_ended(folder: Path, script: str) -> None:
    pid = folder / "pid"
    authority = shell(
        folder, f"echo $$ >pid; {script}", timeout_s=0.5, clock=over_once_written(pid)
    )
    with pytest.raises(AuthorityUnavailable, match=r"has not ended within 0\.5 s"):
        authority.certify(ORDER, NOW)
    assert has_ended(pid)


def test_children_of_a_program_that_takes_too_long_are_ended_too(folder: Path) -> None:
    pid = folder / "pid"
    script = "sleep 3600 & echo $! >pid; wait"
    with pytest.raises(AuthorityUnavailable, match="has not ended"):
        shell(folder, script, timeout_s=0.5, clock=over_once_written(pid)).certify(ORDER, NOW)
    assert has_ended(pid)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_program_of_another_user_that_cannot_be_ended_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that sudo runs."""

    def may_not(_group: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", may_not)
    pid = folder / "pid"
    script = "echo $$ >pid; exec sleep 3600"
    with pytest.raises(AuthorityUnavailable, match="has not ended"):
        shell(folder, script, timeout_s=0.5, clock=over_once_written(pid)).certify(ORDER, NOW)
    end(pid)


def test_hundred_megabytes_of_output_are_not_kept(folder: Path) -> None:
    with pytest.raises(AuthorityUnavailable, match="certify writes more than"):
        shell(folder, "head -c 100000000 /dev/zero").certify(ORDER, NOW)


def test_hundred_megabytes_of_errors_are_read_and_not_kept(folder: Path) -> None:
    script = "head -c 100000000 /dev/zero | tr '\\0' x >&2; cat certificate.pem"
    assert certified(shell(folder, script)) == [CERTIFICATE.der]
    with pytest.raises(AuthorityUnavailable) as refused:
        shell(folder, f"{script}; exit 1").certify(ORDER, NOW)
    assert len(str(refused.value)) < 1000


def test_errors_are_shown_in_one_line_that_no_terminal_acts_on(folder: Path) -> None:
    script = "printf '\\033[2J\\033]0;x\\007a\\r\\nb\\0c\\377\\342\\200\\256d' >&2; exit 1"
    with pytest.raises(AuthorityUnavailable) as refused:
        shell(folder, script).certify(ORDER, NOW)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("script", ["cat key.pem", "head -c 150 key.pem", "cat key.pem key.pem"])
@pytest.mark.parametrize("code", [1, 75, 77])
def test_private_key_among_the_errors_is_left_out(folder: Path, script: str, code: int) -> None:
    secret = (folder / "key.pem").read_text(encoding="ascii").splitlines()[1]
    authority = shell(folder, f"(echo bad key; {script}) >&2; exit {code}")
    try:
        answer = authority.certify(ORDER, NOW)
    except (AuthorityUnavailable, AuthorityRefused) as error:
        said = str(error)
    else:
        assert isinstance(answer, Later)
        said = answer.answer
    assert "bad key (a private key, left out)" in said
    assert secret[:20] not in said


def test_certificate_of_another_request_is_read_and_left_to_the_check(folder: Path) -> None:
    assert certified(shell(folder, "cat certificate.pem certificate.pem")) == [CERTIFICATE.der] * 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/nonexistent/certify", "No such file"),
        ("certify-is-nowhere", "No such file"),
        ("bin/none", "No such file"),
        ("plain", None),
        ("./plain", "Permission denied"),
        (".", None),
        ("./folder", "Permission denied"),
        ("./broken", "Exec format error|No such file"),
    ],
)
def test_program_that_cannot_be_started_is_named(
    folder: Path, command: str, reason: str | None
) -> None:
    (folder / "plain").write_text("#!/bin/sh\n", encoding="ascii")
    (folder / "folder").mkdir()
    broken = folder / "broken"
    broken.write_bytes(b"\x7fELF oops")
    broken.chmod(0o755)
    authority = CommandAuthority([command], timeout_s=HANG_S, folder=folder, monotonic=monotonic)
    with pytest.raises(AuthorityUnavailable, match=reason or "cannot be started") as refused:
        authority.probe()
    assert "cannot be started" in str(refused.value)
    assert "correct command of [certification]" in str(refused.value)


def test_relative_path_is_below_the_folder_and_a_bare_name_is_looked_for(folder: Path) -> None:
    program = folder / "bin" / "certify"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$PWD $*" >&2\n', encoding="ascii")
    program.chmod(0o755)
    with_words = CommandAuthority(
        ["bin/certify", "a b", "$HOME"], timeout_s=HANG_S, folder=folder, monotonic=monotonic
    )
    assert with_words.probe() == f"{folder} a b $HOME probe"
    by_name = CommandAuthority(["true"], timeout_s=HANG_S, folder=folder, monotonic=monotonic)
    assert by_name.probe() == "ready"


def test_lack_of_room_for_the_request_is_told_and_no_crash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "gone"))
    with pytest.raises(AuthorityUnavailable, match="temporary file: No such file"):
        shell(folder, "true").probe()


def test_program_that_reads_nothing_is_given_a_large_request_all_the_same(folder: Path) -> None:
    """The pipe of one that reads nothing would take 64 KiB."""
    authority = shell(folder, "cat certificate.pem")
    assert authority._run("certify", b"x" * 1_000_000, {}).code == 0


def test_no_descriptor_stays_open(folder: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("counts by /proc")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as above
    for script in ("true", "exit 3", "sleep 3600 &"):
        authority = shell(folder, script, timeout_s=HANG_S)
        with pytest.raises((AuthorityMistaken, AuthorityUnavailable)):
            authority.certify(ORDER, NOW)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above
