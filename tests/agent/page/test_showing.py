"""What the page shows: what is due, devices, explanations, upstreams."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from selenium.webdriver.support.select import Select

from agent.api.serving import ESME, HUB, RIG, serving
from gbcs.entity_identifier import EntityIdentifier
from keyrig.base.device_locks import holding
from keyrig.base.events import OperationFinished
from keyrig.config.rig_file import emulated_home_text
from keyrig.domain.api_tokens import Scope
from keyrig.ledger.operation_record import Operation, OperationEvent

if TYPE_CHECKING:
    from pathlib import Path

    from agent.api.serving import Serving
    from agent.page.browsing import Browser

THEN = datetime(2031, 5, 20, 12, tzinfo=UTC)
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>\'&quot;'


def commissioned(tmp_path: Path, **days: float) -> Path:
    """Write a rig whose meter and hub were commissioned so many days before THEN."""
    text = emulated_home_text()
    for name, entity in (("meter", ESME), ("hub", HUB)):
        at = THEN - timedelta(days=days[name])
        marker = f'entity_id = "{entity}"\n'
        text = text.replace(marker, f"{marker}commissioned_at = {at.isoformat()}\n")
    path = tmp_path / "rig.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_due_list_goes_by_the_agents_clock_the_overdue_first(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    rig = commissioned(tmp_path, meter=9.2, hub=2.5)
    with serving(home, rigs=[rig], clock=lambda: THEN) as served:
        browser.sign_in(served.url, served.token(Scope.READ))
        browser.says("5 overdue", ".verdict")
        rows = [row.text for row in browser.all("table.due tbody tr")]
        assert all(ESME in row.replace("\n", "") and "overdue" in row for row in rows[:5])
        assert all("2 days overdue" in row for row in rows[:5] if "7 days" in row)
        first_of_hub = next(row for row in rows if HUB in row.replace("\n", ""))
        assert rows.index(first_of_hub) == 5
        assert "in 4 days" in first_of_hub
        assert "2031-05-25 00:00 UTC" in first_of_hub
        assert "Sun 25 May 2031" in first_of_hub
        assert "H5.33(a)" in first_of_hub
        shown = browser.run(
            "return [...document.querySelectorAll('table.due time')].map((t) => t.dateTime)"
        )
        assert len(shown) == len(rows) == 19


def test_local_time_is_that_of_the_handheld(browser: Browser, served: Serving) -> None:
    browser.command("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    browser.sign_in(served.url, served.token(Scope.READ))
    local, utc = browser.find("table.due time").text.splitlines()
    assert int(local[-11:-9]) == (int(utc[11:13]) + 9) % 24
    assert (local[-5:], utc[-3:]) == ("local", "UTC")


def test_due_list_is_filtered_by_device(browser: Browser, served: Serving) -> None:
    browser.sign_in(served.url, served.token(Scope.READ))
    Select(browser.find("#due-filter")).select_by_value(ESME)
    devices = {row.text for row in browser.all("table.due tbody th")}
    assert {device.replace("\n", "") for device in devices} == {f"ESME {ESME}"}
    browser.says("19 duties to be done")


def test_failed_duty_is_shown_with_its_status_instruction_and_explanation(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    marker = f'entity_id = "{HUB}"\n'
    text = emulated_home_text().replace(marker, f'{marker}faults = ["fail-storage=1"]\n')
    rig = tmp_path / "rig.toml"
    rig.write_text(text, encoding="utf-8")
    with serving(home, rigs=[rig]) as served:
        run_id = served.start_run(devices=[HUB])
        assert served.finished(run_id)["state"] == "failed"
        browser.sign_in(served.url, served.token(Scope.READ), f"#/run/{run_id}")
        browser.says("Failed: a duty failed, or a device was refused.", ".result")
        left = browser.find("#run-title ~ div").text
        assert "R33a" in left
        browser.says("What is left")
        browser.show("devices")
        card = browser.find(".device")
        assert "Suspended under H5.34(a)" in card.text
        assert " since " in card.text
        assert "waiting for the inventory to show Suspended" in card.text
        assert "no request of DUIS 5.4 sets it" in card.text
        rows = [
            row.text for row in browser.find(".device").find_elements("css selector", "tbody tr")
        ]
        assert [("failed" in row, "in 6 days" in row) for row in rows] == [
            (True, True),
            (False, False),
            (False, False),
        ]
        browser.find(".device summary").click()
        explained = browser.find(".device .explained").text
        assert "Attempts" in explained
        assert "Would change it" in explained


def test_text_from_devices_is_never_read_as_markup(browser: Browser, served: Serving) -> None:
    said = {"name": "replaced", "value": False, "source": HOSTILE}
    answer = served.client.post(f"/api/v1/devices/{ESME}/facts", json=said)
    assert answer.status_code == 200, answer.text
    run_id = hostile_run(served)
    browser.sign_in(served.url, served.token(Scope.READ), f"#/run/{run_id}")
    browser.says("A person must act", ".result")
    shown = browser.text("main")
    assert shown.count(HOSTILE) >= 6
    browser.show("runs")
    browser.says(HOSTILE, "main .run")
    browser.show("devices")
    browser.run(
        "document.getElementById(arguments[0]).querySelector('summary').click()", f"explain-{ESME}"
    )
    browser.says(HOSTILE, f"[id='explain-{ESME}']")
    assert browser.run("return document.querySelectorAll('img, main script').length") == 0
    assert browser.run("return window.pwned ?? null") is None


def hostile_run(served: Serving) -> str:
    """Write down a run in which everything that came from elsewhere is hostile."""
    run_id, now = "c" * 32, served.service.clock()
    operations = served.service.ledgers.writing.operations
    operations.start(
        Operation(id=run_id, rig_name=RIG, requested_by=HOSTILE, requested_at=now, request={})
    )
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("run-started", {"duties": 1, "devices": 1, "edition": HOSTILE}),
        (
            "device-started",
            {"device": HOSTILE, "device_type": HOSTILE, "link": HOSTILE, "duties": [HOSTILE]},
        ),
        ("noise", {"device": HOSTILE, "reason": HOSTILE}),
        (HOSTILE, {"what": HOSTILE}),
        ("person-needed", {"device": HOSTILE, "reason": HOSTILE}),
    ]
    told = [
        OperationEvent(number=number, type=kind, at=now, body=body)
        for number, (kind, body) in enumerate(bodies, start=1)
        if "\n" not in kind
    ]
    operations.record(run_id, told)
    served.service.events.go_on_from(run_id, len(told))
    found = {"title": "t", "status": 503, "code": "c", "detail": HOSTILE, "hint": HOSTILE}
    served.service.events.tell(run_id, OperationFinished(result="needs-person", problem=found))
    served.service.events.flush(10)
    return run_id


UPSTREAM = {
    "name": "head-office",
    "kind": "https",
    "address": "https://events.example.org/keyrig",
    "waiting": 3,
    "parked": 1,
    "held_back": 1,
    "oldest_waiting_at": "2026-11-25T09:00:00+00:00",
    "last_told_at": None,
    "stopped": False,
    "failures": 4,
    "last_error": "answers 503",
    "last_error_at": "2026-11-25T10:00:00+00:00",
    "retry_at": "2026-11-25T10:05:00+00:00",
    "parked_events": [],
}


def test_upstream_view_says_what_waits_and_why(browser: Browser, served: Serving) -> None:
    browser.sign_in(served.url, served.token(Scope.READ), "#/upstream")
    shown: str = browser.module(
        "upstream_view",
        "const view = new it.UpstreamView({standing: {upstreams: given[0]}});"
        "document.body.append(view.section); view.update();"
        "const text = view.section.innerText; view.section.remove(); return text;",
        [UPSTREAM],
    )
    assert "waiting: 3 events to be told" in shown
    assert "answers 503 (4 times in a row)" in shown
    assert "1; see keyrig outbox" in shown
    assert "2026-11-25 10:05 UTC" in shown


def test_device_that_another_run_reaches_is_named_with_it(
    browser: Browser, served: Serving, home: Path
) -> None:
    with holding(home, [EntityIdentifier.parse(HUB)], wait_s=0, holder="a" * 32):
        browser.sign_in(served.url, served.token(Scope.READ), "#/devices")
        browser.says("run aaaaaaaa reaches it now", ".device")


def test_run_that_is_done_but_not_reported_says_so_and_what_waits(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    nowhere = {"kind": "ndjson", "path": str(tmp_path / "none" / "events.ndjson")}
    with serving(home, upstream={"head-office": nowhere}) as served:
        run_id = served.start_run(devices=[HUB])
        assert served.finished(run_id)["state"] == "done"
        browser.sign_in(served.url, served.token(Scope.READ), f"#/run/{run_id}")
        browser.says("Done, but not reported upstream yet.", ".result")
        browser.show("upstream")
        waiting = served.client.get("/api/v1/outbox").json()["upstreams"][0]["waiting"]
        assert waiting > 3
        browser.says(f"waiting: {waiting} events to be told", "main")
        assert "head-office" in browser.text("main h2")


def test_broken_rig_file_is_named_with_its_line_and_the_others_are_shown(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    good, broken = tmp_path / "good.toml", tmp_path / "bench-7.toml"
    good.write_text(emulated_home_text(), encoding="utf-8")
    broken.write_text('[rig]\nnmae = "bench-7"\n', encoding="utf-8")
    with serving(home, rigs=[good, broken]) as served:
        browser.sign_in(served.url, served.token(Scope.READ))
        browser.says("nmae", "main .problem")
        browser.says("19 duties to be done")
        browser.show("devices")
        browser.says("Broken rig file", "main")
        assert len(browser.all(".device")) == 6
