"""A process that is killed between any two writes to the ledger and to files."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from keyrig.config.places import ledger_path
from keyrig.domain.key_changes import KeyChangeState
from keyrig.keys.authority_by_hand import LIST_FILE, ByHandAuthority
from keyrig.ledger.ledger import Ledger
from keyrig.run.certificates_taken_in import take_in
from keyrig.run.certification_requests import record_issued, submit, void
from keyrig.run.waiting_requests import waiting_requests

from .bench import DS, KA, LATER, NOW, CertificationBench, given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from gbcs.certificate_profiles import GBCSCertificate

# One more than there are, so that the last case ends by itself and every write is covered.
ASKING, TAKING, GIVING_UP = 35, 32, 12


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYRIG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(name="reopened")
def fixture_reopened(home: Path) -> Iterator[Callable[[], CertificationBench]]:
    opened: list[Ledger] = []

    def reopen() -> CertificationBench:
        opened.append(Ledger(ledger_path()))
        return CertificationBench(home, opened[-1])

    yield reopen
    for ledger in opened:
        ledger.close()


def die_at(ledger: Ledger, number: int) -> None:
    """Have this process killed before its `number`th write, commit, or change of a file's name."""
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            count()

    with ledger.reading() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "commit", lambda _connection: count())
    for name in ("replace", "unlink", "rename", "link"):
        real = getattr(os, name)

        def counted(*arguments: Any, _real: Any = real, **named: Any) -> Any:
            count()
            return _real(*arguments, **named)

        setattr(os, name, counted)


def killed(number: int, do: Callable[[CertificationBench], object], home: Path) -> int:
    """Do it in a process that is killed at its `number`th write; return how that ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        with Ledger(ledger_path()) as ledger:
            die_at(ledger, number)
            do(CertificationBench(home, ledger))
        status = 0
    finally:
        os._exit(status)


def files(bench: CertificationBench) -> set[str]:
    return {p.name for p in bench.requests_folder.iterdir() if p.name[0] != "."}


def files_of(bench: CertificationBench) -> set[str]:
    """Return the files of what waits, as they should be."""
    stems = [each.order.stem for each in waiting_requests(bench.ledger, LATER)]
    return {LIST_FILE, *(f"{stem}.csr.{form}" for stem in stems for form in ("pem", "der"))}


def told(bench: CertificationBench) -> list[str]:
    return [each["state"] for each in bench.events()]


@pytest.mark.parametrize("write", range(1, ASKING + 1))
def test_asking_by_hand_goes_on_where_it_was_killed(
    home: Path, reopened: Callable[[], CertificationBench], write: int
) -> None:
    bench = reopened()
    changes = [bench.received(usage) for usage in (DS, KA)]
    keys = bench.keys
    bench.ledger.close()

    def ask(at: CertificationBench) -> None:
        for change in changes:
            authority = ByHandAuthority(at.requests_folder)
            submit(at.ledger, at.again(change), authority, at.issued, lambda: NOW)

    status = killed(write, ask, home)
    assert status == (-signal.SIGKILL if write < ASKING else 0)
    bench = reopened()
    bench.keys = keys
    # What a person finds in the folder by now is taken, whatever the ledger had got to.
    ask(bench)
    assert told(bench) == ["waiting", "waiting"]
    assert len(waiting_requests(bench.ledger, NOW)) == 2
    assert files(bench) == files_of(bench)
    listed = (bench.requests_folder / LIST_FILE).read_text(encoding="utf-8").splitlines()
    assert len(listed) == 2


@pytest.mark.parametrize("write", range(1, TAKING + 1))
def test_taking_in_goes_on_where_it_was_killed(
    home: Path, reopened: Callable[[], CertificationBench], write: int
) -> None:
    bench = reopened()
    authority = ByHandAuthority(bench.requests_folder)
    changes = [bench.submitted(authority, usage) for usage in (DS, KA)]
    certificates: list[GBCSCertificate] = [bench.certified(usage) for usage in (DS, KA)]
    bench.ledger.close()

    def take(at: CertificationBench) -> None:
        list(take_in(at.ledger, given(*certificates), at.issued, LATER))

    status = killed(write, take, home)
    assert status == (-signal.SIGKILL if write < TAKING else 0)
    bench = reopened()
    for change, certificate in zip(changes, certificates, strict=True):
        # Either all of it is recorded, or it waits on.
        standing = bench.again(change)
        assert standing.certificate in {None, certificate.der}
        assert (standing.certificate is None) == (
            standing.state is KeyChangeState.WAITING_FOR_AUTHORITY
        )
    take(bench)
    assert [bench.again(change).certificate for change in changes] == [
        certificate.der for certificate in certificates
    ]
    assert told(bench) == ["waiting", "waiting", "certified", "certified"]
    assert files(bench) == {LIST_FILE}
    kept = bench.issued._store.certificates()
    assert all(certificate in kept for certificate in certificates)


@pytest.mark.parametrize("write", range(1, GIVING_UP + 1))
def test_giving_up_is_done_or_not_where_it_was_killed(
    home: Path, reopened: Callable[[], CertificationBench], write: int
) -> None:
    bench = reopened()
    authority = ByHandAuthority(bench.requests_folder)
    change = bench.submitted(authority)
    bench.ledger.close()

    def give_up(at: CertificationBench) -> None:
        for request in waiting_requests(at.ledger, LATER):
            void(at.ledger, request, "lost", LATER)

    assert killed(write, give_up, home) == (-signal.SIGKILL if write < GIVING_UP else 0)
    bench = reopened()
    give_up(bench)
    assert bench.again(change).state is KeyChangeState.ABANDONED
    assert told(bench) == ["waiting", "void"]
    # The device's next request finds nothing of the old one beside it.
    renewed = bench.submitted(authority)
    assert files(bench) == files_of(bench)
    record_issued(
        bench.ledger, renewed, bench.certified(), bench.issued, LATER, authority="by hand"
    )
    assert files(bench) == {LIST_FILE}
