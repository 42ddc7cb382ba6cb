from __future__ import annotations

from authorities import DURING
from firmware_stubs.support import Bench
from meterstub.command_execution import EventCode, log_event
from meterstub.device_options import DeviceOptions


def test_log_keeps_the_newest_entries() -> None:
    bench = Bench(options=DeviceOptions(security_log_entries=3))
    for _ in range(5):
        bench.device.receive_message(b"noise")
    bench.device.receive_message(bench.issue(0))
    assert [entry.code for entry in bench.state.log] == [0x8F1E, 0x8F1E, 0x8F3E]
    assert bench.state.log[-1].at == DURING


def test_log_may_keep_nothing() -> None:
    bench = Bench(options=DeviceOptions(security_log_entries=0))
    bench.device.receive_message(b"noise")
    assert bench.state.log == ()


def test_entry_is_one_line_of_printable_characters() -> None:
    code = EventCode.INTEGRITY_CHECK_FAILED
    state = log_event(Bench().state, code, DURING, "a\x1b[2J\nb" + "c" * 400, maximum_entries=5)
    (entry,) = state.log
    assert entry.what.startswith("a?[2J?b")
    assert len(entry.what) == 300
