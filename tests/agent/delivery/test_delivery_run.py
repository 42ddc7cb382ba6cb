from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from authorities import DEVICE
from firmware_stubs.support import Role
from gbcs.certification_request import CertificationRequest
from gbcs.message import Message
from gbcs.use_cases import decode_payload
from homes.delivery_site import BATCHES, DS, KA, NOON, Site
from keyrig.base import events
from keyrig.base.errors import LinkClosed
from keyrig.delivery.batch_validation import SIGNATURE_VERIFIED
from keyrig.domain.states import BatchRule, EventType, LocalCommandState, RunOutcome, Verification
from keyrig.run.bench import RunResult
from keyrig.upstream.event_data import data_of

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.ledger.ledger import Ledger

State = LocalCommandState


@pytest.fixture(name="site")
def fixture_site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def states(site: Site, batch_id: str = BATCHES[0]) -> list[LocalCommandState]:
    return [command.state for command in site.commands(batch_id)]


def test_commands_are_delivered_in_order_and_their_answers_kept(site: Site) -> None:
    site.know(site.supplier_certificate)
    commands = (
        site.bench.provide(10, Role.ROOT, Role.SUPPLIER),
        site.bench.issue(11, DS),
        site.bench.read_certificate(12, KA),
    )
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(*commands))
        assert site.deliver(ledger, batch) is RunResult.DONE
        assert ledger.local_commands.batch(batch.id).outcome is RunOutcome.DONE
    assert tuple(site.link.sent) == commands
    kept = site.commands()
    assert [each.state for each in kept] == [State.ANSWERED] * 3
    assert [each.verification for each in kept] == [
        Verification.NOT_VERIFIABLE_HERE,
        Verification.VERIFIED,
        Verification.VERIFIED,
    ]
    for command in kept:
        assert command.answer is not None
        header = Message.parse(command.answer).header
        assert header.originator == DEVICE
        assert header.originator_counter == command.counter


def test_same_commands_given_again_give_back_their_answers_and_send_nothing(site: Site) -> None:
    site.know()
    given = site.given(site.bench.issue(11, DS), site.bench.issue(12, KA))
    with site.ledger() as ledger:
        site.deliver(ledger, site.take_in(ledger, given))
        before = ledger.local_commands.commands(BATCHES[0])
        again = site.take_in(ledger, given, batch_id=BATCHES[1])
        assert again.id == BATCHES[0]
        for path in (site.home / "answers").iterdir():
            path.unlink()
        assert site.deliver(ledger, again) is RunResult.DONE
        assert ledger.local_commands.commands(BATCHES[0]) == before
    assert len(site.link.sent) == 2
    assert site.link.opened == 1
    assert len(list((site.home / "answers").iterdir())) == 2


def test_command_of_an_earlier_batch_is_replayed_from_the_ledger(site: Site) -> None:
    site.know()
    first, second = site.bench.issue(11, DS), site.bench.read_certificate(12, KA)
    with site.ledger() as ledger:
        site.deliver(ledger, site.take_in(ledger, site.given(first)))
        batch = site.take_in(ledger, site.given(first, second), batch_id=BATCHES[1])
        assert site.deliver(ledger, batch) is RunResult.DONE
    assert site.link.sent == [first, second]
    assert states(site, BATCHES[1]) == [State.REPLAYED, State.ANSWERED]
    (once,) = site.commands(BATCHES[0])
    replayed = site.commands(BATCHES[1])[0]
    assert (replayed.answer, replayed.return_id) == (once.answer, once.return_id)


def test_command_that_got_no_answer_is_sent_again_as_the_same_octets(site: Site) -> None:
    site.know()
    command = site.bench.issue(11, DS)
    power = iter([False, False, True])
    receive = site.bench.device.receive_message
    site.link.device = lambda octets: receive(octets) if next(power) else []
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(command, site.bench.issue(12, KA)))
        assert site.deliver(ledger, batch) is RunResult.NEEDS_PERSON
        assert states(site) == [State.UNANSWERED, State.WAITING]
        site.link.device = receive
        assert site.deliver(ledger, batch) is RunResult.DONE
    assert site.link.sent[:3] == [command] * 3
    assert states(site) == [State.ANSWERED, State.ANSWERED]


def test_later_commands_wait_behind_one_that_the_device_refuses(site: Site) -> None:
    site.know()
    # Nothing was generated that the certificate could be for.
    certificate = site.device_certificate().der
    given = site.given(site.bench.install(11, certificate), site.bench.issue(12, DS))
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given)
        assert site.deliver(ledger, batch) is RunResult.FAILED
        assert states(site) == [State.REFUSED, State.WAITING]
        (stopped,) = site.told.of(events.DeliveryStopped)
        assert stopped.position == 1
        assert stopped.waiting == 1
        assert site.deliver(ledger, batch) is RunResult.FAILED
        assert len(site.link.sent) == 1
        assert site.deliver(ledger, batch, BatchRule.GO_ON) is RunResult.FAILED
    assert states(site) == [State.REFUSED, State.ANSWERED]


def test_batch_that_goes_on_delivers_behind_an_unanswered_command(site: Site) -> None:
    site.know()
    site.link.lose = {1, 2}
    given = site.given(site.bench.issue(11, DS), site.bench.read_certificate(12, DS))
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given, rule=BatchRule.GO_ON)
        assert site.deliver(ledger, batch) is RunResult.NEEDS_PERSON
    assert states(site) == [State.UNANSWERED, State.ANSWERED]


def test_answer_that_comes_late_settles_its_own_command(site: Site) -> None:
    site.know()
    late: list[bytes] = []
    receive = site.bench.device.receive_message

    def slow(octets: bytes) -> list[bytes]:
        answers = receive(octets)
        if len(site.link.sent) < 3:
            late.extend(answers)
            return []
        return [*late, *answers]

    site.link.device = slow
    given = site.given(site.bench.issue(11, DS), site.bench.read_certificate(12, DS))
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given, rule=BatchRule.GO_ON)
        site.deliver(ledger, batch)
    assert states(site) == [State.ANSWERED, State.ANSWERED]


def test_expired_command_is_not_sent_and_says_so(site: Site) -> None:
    given = site.given(site.bench.issue(11, DS))
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given, expires_at=NOON + timedelta(hours=1))
        site.clock.now = NOON + timedelta(hours=1)
        assert site.deliver(ledger, batch) is RunResult.FAILED
    assert not site.link.sent
    assert not site.link.opened
    (command,) = site.commands()
    assert command.state is State.EXPIRED
    assert command.detail == "its time ended at 2026-11-25T13:00:00Z; it was never sent"


def test_command_that_expires_between_two_sendings_tells_that_it_was_sent(site: Site) -> None:
    site.link.lose = {1, 2}
    with site.ledger() as ledger:
        batch = site.take_in(
            ledger, site.given(site.bench.issue(11, DS)), expires_at=NOON + timedelta(hours=1)
        )
        site.deliver(ledger, batch)
        site.clock.now = NOON + timedelta(hours=2)
        assert site.deliver(ledger, batch) is RunResult.FAILED
    (command,) = site.commands()
    assert command.state is State.EXPIRED
    assert "it was sent, last at 2026-11-25T12:00:00Z, and no answer came" in command.detail


def test_answer_whose_signature_is_false_is_an_incident_and_never_asked_for_again(
    site: Site,
) -> None:
    site.know()
    site.link.change = lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,))
    given = site.given(site.bench.issue(11, DS), site.bench.issue(12, KA))
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given)
        assert site.deliver(ledger, batch) is RunResult.FAILED
        assert site.deliver(ledger, batch) is RunResult.FAILED
        (incident,) = ledger.outbox.all(DEVICE)
        assert incident.type is EventType.SECURITY_INCIDENT
        told = data_of(incident.type, incident.body)
        assert told["evidence"]["text"] == f"command 1 of delivery {BATCHES[0]}"
        assert "signature is by no key" in told["reason"]
    assert len(site.link.sent) == 1
    rejected, waiting = site.commands()
    assert rejected.state is State.REJECTED
    assert rejected.verification is Verification.FAILED
    assert waiting.state is State.WAITING
    # The DCC verifies by itself, so that it is given the answer all the same.
    assert len(list((site.home / "answers").iterdir())) == 1
    assert len(site.told.of(events.SecurityIncident)) == 1


def test_answer_without_the_signature_that_it_must_have_is_rejected(site: Site) -> None:
    site.know()
    receive = site.bench.device.receive_message

    def unsigned(octets: bytes) -> list[bytes]:
        return [answer[:-65] + b"\x00" for answer in receive(octets)]

    site.link.device = unsigned
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11, DS)))
        assert site.deliver(ledger, batch) is RunResult.FAILED
    assert states(site) == [State.REJECTED]


def test_answer_is_said_to_be_unverifiable_where_the_certificate_is_not_here(site: Site) -> None:
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11, DS)))
        assert site.deliver(ledger, batch) is RunResult.DONE
    (command,) = site.commands()
    assert command.verification is Verification.NOT_VERIFIABLE_HERE
    assert command.detail == "no digital signature certificate of the device is here"


def test_answers_to_other_commands_are_set_aside(site: Site) -> None:
    site.know()
    receive = site.bench.device.receive_message
    stray = receive(site.bench.issue(5, DS)) + receive(site.bench.provide(11, Role.ROOT))
    site.link.device = lambda octets: [*stray, *receive(octets)]
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11, DS)))
        assert site.deliver(ledger, batch) is RunResult.DONE
    (command,) = site.commands()
    assert command.answer not in stray
    assert len(site.told.of(events.Noise)) == 2


def test_another_device_on_the_line_needs_a_person(site: Site) -> None:
    stranger = Site(site.home / "elsewhere")
    answer = stranger.bench.device.receive_message(stranger.bench.issue(11, DS))[0]
    other = answer.replace(DEVICE, bytes.fromhex("00db1234567890ff"))
    site.link.device = lambda _: [other]
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11, DS)))
        assert site.deliver(ledger, batch) is RunResult.NEEDS_PERSON
    assert states(site) == [State.SENT]
    (told,) = site.told.of(events.PersonNeeded)
    assert "00-DB-12-34-56-78-90-FF answers" in told.reason


def test_line_that_is_lost_leaves_the_command_to_be_sent_again(site: Site) -> None:
    site.know()
    receive = site.bench.device.receive_message

    def lost(_: bytes) -> list[bytes]:
        raise LinkClosed("direct", "unplugged")

    site.link.device = lost
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11, DS)))
        assert site.deliver(ledger, batch) is RunResult.NEEDS_PERSON
        assert not site.link.is_open
        site.link.device = receive
        assert site.deliver(ledger, batch) is RunResult.DONE
    (command,) = site.commands()
    assert command.sendings == 2


def test_alerts_that_come_meanwhile_are_kept(site: Site) -> None:
    site.know()
    receive = site.bench.device.receive_message
    future = site.bench.supplier_by_supplier(11, at=NOON + timedelta(minutes=1))
    with site.ledger() as ledger:
        site.deliver(ledger, site.take_in(ledger, site.given(future)))
        site.bench.clock.now = site.clock.now = NOON + timedelta(hours=1)
        site.link.device = lambda octets: [*site.bench.device.poll(), *receive(octets)]
        again = site.given(site.bench.provide(12, Role.ROOT))
        site.deliver(ledger, site.take_in(ledger, again, batch_id=BATCHES[1]))
        (alert,) = ledger.exchanges.alerts_of(DEVICE)
    assert alert.alert_code == 0x8F66
    assert alert.verified
    assert states(site, BATCHES[1]) == [State.ANSWERED]


def generated(site: Site, ledger: Ledger, usage: object = DS) -> bytes:
    """Have the device generate a key pair by a delivered CS02c, and certify it."""
    assert usage in {DS, KA}
    batch = site.take_in(ledger, site.given(site.bench.issue(11, usage)), batch_id=BATCHES[5])  # type: ignore[arg-type] # seen above
    assert site.deliver(ledger, batch) is RunResult.DONE
    (command,) = ledger.local_commands.commands(BATCHES[5])
    assert command.answer is not None
    decoded = decode_payload(Message.parse(command.answer))
    assert decoded is not None
    assert CertificationRequest.from_der(decoded.value).key_usage == usage
    return site.bench.pki.certify(decoded.value)


def held(ledger: Ledger, usage: object = DS) -> list[tuple[bytes, bool]]:
    assert usage in {DS, KA}
    return [
        (each.certificate, each.certain)
        for each in ledger.key_changes.candidates(DEVICE, usage)  # type: ignore[arg-type] # seen above
    ]


def test_delivered_certificate_counts_as_the_devices_once_it_says_so(site: Site) -> None:
    site.know(site.supplier_certificate)
    with site.ledger() as ledger:
        certificate = generated(site, ledger)
        batch = site.take_in(ledger, site.given(site.bench.install(12, certificate)))
        assert site.deliver(ledger, batch) is RunResult.DONE
        assert held(ledger) == [(certificate, True)]


def test_certificate_whose_answer_was_lost_counts_as_possible(site: Site) -> None:
    site.know(site.supplier_certificate)
    with site.ledger() as ledger:
        certificate = generated(site, ledger, KA)
        site.link.lose = {2, 3}
        batch = site.take_in(ledger, site.given(site.bench.install(12, certificate)))
        assert site.deliver(ledger, batch) is RunResult.NEEDS_PERSON
        assert held(ledger, KA) == [(certificate, False)]


def test_certificate_that_the_device_refuses_is_no_candidate(site: Site) -> None:
    site.know(site.supplier_certificate)
    other = site.bench.pki.authorities.device(key_usage=DS).der
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.install(12, other)))
        assert site.deliver(ledger, batch) is RunResult.FAILED
        assert held(ledger) == []


def test_certificate_that_nobody_known_vouches_for_teaches_nothing(site: Site) -> None:
    with site.ledger() as ledger:
        certificate = generated(site, ledger)
        batch = site.take_in(ledger, site.given(site.bench.install(12, certificate)))
        assert site.deliver(ledger, batch) is RunResult.DONE
        assert held(ledger) == []
    (command,) = site.commands()
    assert command.verification is Verification.NOT_VERIFIABLE_HERE


def test_word_of_an_earlier_check_vouches_for_nothing(site: Site) -> None:
    site.know(site.supplier_certificate)
    with site.ledger() as ledger:
        certificate = generated(site, ledger, KA)
        site.link.lose = {2, 3}
        batch = site.take_in(ledger, site.given(site.bench.install(12, certificate)))
        site.know()
        site.deliver(ledger, batch)
        assert held(ledger, KA) == []
    (command,) = site.commands()
    assert SIGNATURE_VERIFIED in command.remarks


def test_authority_that_is_known_vouches_for_a_delivered_certificate(site: Site) -> None:
    authorities = site.bench.pki.authorities
    site.know(authorities.root.certificate, authorities.device_issuing.certificate)
    with site.ledger() as ledger:
        certificate = generated(site, ledger, KA)
        site.link.lose = {2, 3}
        site.deliver(ledger, site.take_in(ledger, site.given(site.bench.install(12, certificate))))
        assert held(ledger, KA) == [(certificate, False)]


def test_certificate_that_the_device_shows_counts_as_in_use(site: Site) -> None:
    site.know()
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.read_certificate(12, KA)))
        assert site.deliver(ledger, batch) is RunResult.DONE
        assert held(ledger, KA) == [(site.device_certificate(KA).der, True)]


def test_delivery_that_is_asked_to_stop_does_so_between_commands(site: Site) -> None:
    given = site.given(site.bench.issue(11, DS), site.bench.issue(12, KA))
    asked = iter([None, "the operator"])
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given)
        result = site.deliver(ledger, batch, should_stop=lambda: next(asked))
        assert result is RunResult.INTERRUPTED
        assert ledger.local_commands.batch(batch.id).outcome is RunOutcome.INTERRUPTED
    assert states(site) == [State.ANSWERED, State.WAITING]
