"""A field agent that is killed at each write of the ledger, and goes on where it stood."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from agent.ledger.writer import kill_at_write
from firmware_stubs.support import Bench, Role, SettableClock
from homes.delivery_site import BATCHES, DS, KA, NOON, Site
from keyrig.delivery.returned_answers import answer_document, document_name
from keyrig.domain.states import BatchRule, LocalCommandState
from meterstub.device_memory import FileStorage

if TYPE_CHECKING:
    from pathlib import Path

State = LocalCommandState
WRITES = 19
"""One more than there are, so that the last case ends by itself and every write is covered."""


def site_in(home: Path) -> Site:
    bench = Bench(clock=SettableClock(NOON), storage=FileStorage(home / "device.json"))
    site = Site(home, bench=bench)
    site.know(site.supplier_certificate)
    receive_and_log(site)
    return site


def receive_and_log(site: Site) -> None:
    """Have each message that reaches the device written down, by whatever process sends it."""

    def receive(octets: bytes) -> list[bytes]:
        with (site.home / "sent").open("a", encoding="ascii") as file:
            file.write(octets.hex() + "\n")
        return site.bench.device.receive_message(octets)

    site.link.device = receive


def sent(site: Site) -> list[bytes]:
    path = site.home / "sent"
    return (
        [bytes.fromhex(line) for line in path.read_text("ascii").splitlines()]
        if path.exists()
        else []
    )


def deliver_and_die(site: Site, commands: tuple[bytes, ...], write: int) -> int:
    """Take in and deliver in a process that is killed just before its `write`th write."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        with site.ledger() as ledger:
            kill_at_write(ledger, write)
            site.deliver(ledger, site.take_in(ledger, site.given(*commands)))
        status = 0
    finally:
        os._exit(status)


@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_delivery_killed_at_any_write_goes_on_in_order_and_repeats_nothing_answered(
    tmp_path: Path, write: int
) -> None:
    site = site_in(tmp_path)
    commands = (
        site.bench.issue(11, DS),
        site.bench.provide(12, Role.ROOT),
        site.bench.read_certificate(13, KA),
    )
    status = deliver_and_die(site, commands, write)
    assert status == (-signal.SIGKILL if write < WRITES else 0)
    before = sent(site)
    site.bench.power_on()
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(*commands), batch_id=BATCHES[1])
        answered = {each.octets for each in ledger.local_commands.commands(batch.id) if each.answer}
        site.deliver(ledger, batch, BatchRule.GO_ON)
        kept = ledger.local_commands.commands(batch.id)
    after = sent(site)[len(before) :]
    assert not answered & set(after)
    assert list(dict.fromkeys(before + after)) == list(commands)
    lost = [each.octets for each in kept if each.state is State.UNANSWERED]
    # One alone can be lost: the device carried it out, and its answer was not written down.
    assert lost in ([], before[-1:])
    for each in kept:
        assert each.state in {State.ANSWERED, State.UNANSWERED}
        if each.answer:
            path = tmp_path / "answers" / document_name(each)
            assert path.read_bytes() == answer_document(each)
