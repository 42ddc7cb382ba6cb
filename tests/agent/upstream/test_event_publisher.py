from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from agent.observed import Observed
from agent.upstream.brokers import Broker, Subscriber, running
from agent.upstream.outboxes import device, fill
from agent.upstream.servers import answer, web_server
from keyrig.base import events
from keyrig.base.clock import monotonic
from keyrig.config.settings import HTTPSUpstream, MQTTUpstream, NDJSONUpstream, Settings
from keyrig.upstream.event_publisher import EventPublisher, UpstreamLock
from patience import HANG_S

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from agent.upstream.servers import Request, WebServer
    from keyrig.ledger.ledger import Ledger


def settings(**upstreams: Any) -> Settings:
    return Settings(upstream=upstreams)


def to_file(name: str = "events.ndjson") -> NDJSONUpstream:
    return NDJSONUpstream(kind="ndjson", path=name)


def to_web(server: WebServer) -> HTTPSUpstream:
    return HTTPSUpstream(kind="https", url=server.url, batch_maximum=5, timeout_s=HANG_S)


def ids(ledger: Ledger) -> list[str]:
    return [str(event.id) for event in ledger.outbox.all()]


def told_to(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text("ascii").splitlines()]


def settle(publisher: EventPublisher) -> None:
    until = monotonic() + HANG_S
    assert publisher.wait_until_settled(until, until), publisher.standing()


def test_every_upstream_is_told_and_what_comes_later_too(ledger: Ledger, home: Path) -> None:
    fill(ledger, 1, 2, 1)
    with web_server() as server:
        both = settings(file=to_file(), web=to_web(server))
        with EventPublisher(ledger.path, both) as publisher:
            settle(publisher)
            fill(ledger, *range(20))
            publisher.wake()
            settle(publisher)
            standings = publisher.standing()
        assert server.told == told_to(home / "events.ndjson") == ids(ledger)
    assert {name: each.waiting for name, each in standings.items()} == {"file": 0, "web": 0}


def test_server_that_refuses_one_event_gets_all_others_and_that_one_once_it_is_put_back(
    ledger: Ledger,
) -> None:
    events = fill(ledger, *[n % 4 for n in range(60)])
    bad, of_its_device = str(events[9].id), [e for e in events if e.device == events[9].device]
    taken: list[str] = []

    def judge(request: Request) -> bytes:
        if bad in request.ids:
            return answer("400 Bad Request", body=b"not this one")
        taken.extend(request.ids)
        return answer("200 OK")

    with web_server() as server:
        server.judge = judge
        upstream = to_web(server).model_copy(update={"batch_maximum": 50})
        with EventPublisher(ledger.path, settings(web=upstream)) as publisher:
            settle(publisher)
            standing = publisher.standing()["web"]
            assert (standing.parked, standing.waiting) == (1, 13)
            bad = ""
            ledger.event_queue.unpark("web")
            publisher.wake()
            settle(publisher)
    assert sorted(taken) == sorted(ids(ledger))
    assert [each for each in taken if each in {str(e.id) for e in of_its_device}] == [
        str(event.id) for event in of_its_device
    ]


def test_upstream_that_is_down_holds_up_no_other_and_says_why(ledger: Ledger, home: Path) -> None:
    fill(ledger, 1)
    with web_server() as server:
        down = to_web(server)
    seen = Observed()
    with EventPublisher(ledger.path, settings(web=down, file=to_file()), observe=seen) as publisher:
        reason = seen.wait_for(events.UpstreamSetBack).reason
        until = monotonic() + HANG_S
        assert publisher._workers[1].wait_until_settled(until, until)
        standing = publisher.standing()["web"]
    assert reason.startswith("127.0.0.1: ")
    assert (standing.waiting, standing.upstream.last_error) == (1, reason)
    assert told_to(home / "events.ndjson") == ids(ledger)


def test_one_process_at_a_time_tells_an_upstream_and_the_next_goes_on_when_it_dies(
    ledger: Ledger, home: Path
) -> None:
    fill(ledger, 1, 2)
    script = (
        "import sys; from pathlib import Path; "
        "from keyrig.upstream.event_publisher import UpstreamLock; "
        "assert UpstreamLock(Path(sys.argv[1]), 'file').acquire(); print('held', flush=True); "
        "sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(ledger.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        soon = monotonic() + HANG_S
        with EventPublisher(ledger.path, settings(file=to_file()), until=soon) as publisher:
            assert not publisher.wait_until_settled(soon, monotonic() + 0.3)
            assert not (home / "events.ndjson").exists()
            holder.kill()
            settle(publisher)
    assert told_to(home / "events.ndjson") == ids(ledger)


def test_two_publishers_of_one_ledger_tell_everything_once(ledger: Ledger, home: Path) -> None:
    fill(ledger, *range(50))
    one = EventPublisher(ledger.path, settings(file=to_file()), until=monotonic() + HANG_S)
    two = EventPublisher(ledger.path, settings(file=to_file()), until=monotonic() + HANG_S)
    with one, two:
        settle(one)
        settle(two)
    assert told_to(home / "events.ndjson") == ids(ledger)


def test_lock_is_of_ledger_and_upstream(home: Path) -> None:
    locks = [UpstreamLock(home / "a.db", "x"), UpstreamLock(home / "a.db", "x")]
    others = [UpstreamLock(home / "a.db", "y"), UpstreamLock(home / "b.db", "x")]
    assert [lock.acquire() for lock in locks] == [True, False]
    assert all(lock.acquire() for lock in others)
    locks[0].release()
    assert locks[1].acquire()
    for lock in [*locks, *others]:
        lock.release()


def test_stopping_does_not_wait_for_a_server_that_says_nothing(ledger: Ledger) -> None:
    fill(ledger, 1)
    over, asked = threading.Event(), threading.Event()

    def wait(_: Any) -> bytes:
        asked.set()
        over.wait(HANG_S)
        return answer("204 No Content")

    with web_server() as server:
        server.answers.append(wait)
        publisher = EventPublisher(ledger.path, settings(web=to_web(server)))
        publisher.start()
        assert asked.wait(HANG_S)
        publisher.stop(within_s=0.1)
        # The server has not answered yet: nobody waited for it.
        assert any(worker.thread.is_alive() for worker in publisher._workers)
        over.set()
        for worker in publisher._workers:
            worker.thread.join(HANG_S)
    publisher.stop()


def test_ledger_that_another_process_locks_is_waited_for(
    ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrig.upstream.event_publisher.LOOK_EVERY_S", 0.05)
    fill(ledger, 1)
    seen = Observed()
    publisher = EventPublisher(ledger.path, settings(file=to_file()), observe=seen)
    publisher._ledger.database.busy_timeout_s = 0.01
    with ledger.transaction() as connection:
        connection.exec_driver_sql("UPDATE upstreams SET failures = failures")
        publisher.start()
        assert "ledger" in seen.wait_for(events.UpstreamSetBack).reason
    seen.wait_for(events.UpstreamTold)
    publisher.stop()
    # What was written and not recorded is told again: at least once.
    assert set(told_to(home / "events.ndjson")) == set(ids(ledger))


def test_fault_of_our_own_is_seen_and_does_not_end_the_thread(
    ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, 1)
    seen = Observed()
    with monkeypatch.context() as patch:
        patch.setattr("keyrig.upstream.event_publisher.outgoing", lambda *_: 1 / 0)
        with EventPublisher(ledger.path, settings(file=to_file()), observe=seen) as publisher:
            reason = seen.wait_for(events.UpstreamSetBack).reason
            settle(publisher)
    assert reason == "unexpected error: ZeroDivisionError: division by zero"
    upstream = ledger.event_queue.get("file")
    assert (upstream.last_error, upstream.stopped) == (reason, True)
    ledger.event_queue.make_due("file")
    with EventPublisher(ledger.path, settings(file=to_file())) as publisher:
        settle(publisher)
    assert told_to(home / "events.ndjson") == ids(ledger)


def test_broker_that_is_restarted_while_a_publisher_is_at_work_gets_everything(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrig.upstream.event_publisher.BACK_OFF_FIRST_S", 0.05)
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    upstream = MQTTUpstream(kind="mqtt", host="127.0.0.1", port=broker.port, tls=False)
    fill(ledger, 1, 2, 1)
    seen = Observed()
    with (
        running(broker),
        Subscriber(broker).listening() as subscriber,
        EventPublisher(ledger.path, settings(broker=upstream), observe=seen) as publisher,
    ):
        subscriber.wait_for(3)
        broker.stop()
        fill(ledger, *[n % 3 for n in range(30)])
        publisher.wake()
        seen.wait_for(events.UpstreamSetBack)
        broker.start()
        messages = subscriber.wait_for(33)
    read = [json.loads(message.payload) for message in messages]
    for n in range(3):
        of_device = [each["id"] for each in read if each["subject"] == str(device(n))]
        owed = [str(event.id) for event in ledger.outbox.all(device(n))]
        assert list(dict.fromkeys(of_device)) == owed
