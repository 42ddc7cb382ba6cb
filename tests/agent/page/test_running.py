"""A run from the page: started, watched, interrupted, stopped, and its evidence saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys

from agent.api.serving import ESME, HUB, serving
from agent.page.holding_runs import run_held
from keyrig.config.rig_file import emulated_home_text
from keyrig.domain.api_tokens import Scope
from keyrig.evidence.evidence_check import check
from keyrig.evidence.evidence_file import read_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.api.serving import Serving
    from agent.page.browsing import Browser
    from keyrig.domain.api_tokens import Token

BOTH = (Scope.READ, Scope.RUN)


def test_home_is_carried_out_by_keyboard_alone_and_its_evidence_holds(
    browser: Browser, served: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    token = served.token(*BOTH, name="handheld")["Authorization"].removeprefix("Bearer ")
    with run_held(served.service, monkeypatch, after="command-sent", times=9) as let_go:
        browser.driver.get(served.url)
        browser.has_focus("token")
        browser.press(token, Keys.ENTER)
        browser.says("19 duties to be done")
        browser.tab_to("due-start")
        browser.press(Keys.ENTER)
        browser.says("Re-generating keys cannot be undone on the device.", "#start-warning")
        browser.says("on 4 devices", "#start-warning")
        browser.tab_to("start-yes")
        browser.press(Keys.ENTER)
        browser.says("Run ", "main h1")
        browser.has_focus("run-title")
        browser.says("verified CS02a", ".log")
        browser.says("R33a ✓ done", ".progress-list")
        browser.says("Waiting for the answer to", ".progress-list .waiting:not(:empty)")
        browser.says("of at most", ".progress-list .waiting:not(:empty)")
        browser.says("of 19 duties ended")
        let_go.set()
        browser.says("Done: all that was due is done.", ".result")
    browser.says("Nothing: no duty of this rig is still to be done.")
    browser.says("Run ended. Done", "#announcer")
    assert browser.text(".progress-list").count("finished") == 6
    run_id = browser.driver.current_url.rpartition("/")[2]
    assert served.client.get(f"/api/v1/runs/{run_id}").json()["requested_by"] == "handheld"
    save_by_keyboard(browser, "Evidence of run")
    browser.says("Saved as", ".downloads")
    browser.says("Sealed with the key of SHA-256", ".downloads")
    (saved,) = saved_as(browser, tmp_path, "evidence")
    assert saved.name.startswith("keyrig-emulated-home-20")
    assert saved.name.endswith(f"Z-{run_id[:8]}.evidence")
    verdict = check(read_evidence(saved.read_bytes(), saved.name), None)
    assert verdict.holds
    assert verdict.file.key in browser.text(".downloads")
    for name, suffix, start in (
        ("Report (HTML)", "html", b"<!DOCTYPE html>"),
        ("Report (JSON)", "json", b"{"),
        ("Report (JUnit)", "xml", b"<?xml"),
    ):
        save_by_keyboard(browser, name)
        browser.says(f".{suffix}.", ".downloads")
        (report,) = saved_as(browser, tmp_path, suffix)
        assert report.read_bytes().startswith(start)
    ours = (f"{served.url}/", f"blob:{served.url}/")
    asked_for = browser.asked_for()
    assert f"{served.url}/page/page.js" in asked_for
    assert [address for address in asked_for if not address.startswith(ours)] == []


def saved_as(browser: Browser, folder: Path, suffix: str) -> list[Path]:
    """Wait until a file was saved, and give what there is of its kind."""
    found: list[Path] = browser.until(
        lambda: list(folder.glob(f"keyrig-*.{suffix}")), "nothing was saved"
    )
    return found


def save_by_keyboard(browser: Browser, name: str) -> None:
    """Press the button of a download, found by Tab."""
    for _ in range(60):
        label = browser.run("return document.activeElement.getAttribute('aria-label') ?? ''")
        if name in label:
            browser.press(Keys.ENTER)
            return
        browser.press(Keys.TAB)
    pytest.fail(f"Tab does not come to {name}")


def test_reloaded_page_and_another_tab_find_the_run_under_way(
    browser: Browser, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_held(served.service, monkeypatch, after="command-sent", times=2) as let_go:
        run_id = served.start_run(devices=[HUB])
        browser.sign_in(served.url, served.token(*BOTH))
        browser.says("A run is under way on emulated-home.", "#notices")
        browser.find("#notices a").click()
        browser.says("sent CS02c", ".log")
        browser.driver.refresh()
        browser.says("The run is under way.", ".result")
        browser.says("sent CS02c", ".log")
        numbers = numbers_shown(browser)
        let_go.set()
        browser.says("Done: all that was due is done.", ".result")
    events = served.events(run_id)
    assert numbers == [number for number in numbers_of(events) if number <= numbers[-1]]
    assert numbers_shown(browser) == numbers_of(events)


def numbers_shown(browser: Browser) -> list[int]:
    """Give the numbers of the events that stand in the list of steps, in its order."""
    script = "return [...document.querySelectorAll('.log li')].map((li) => li.dataset.number)"
    return [int(number) for number in browser.run(script)]


def numbers_of(events: list[dict[str, Any]]) -> list[int]:
    """Give the numbers of the events that have a line of their own."""
    unsaid = {"device-finished", "operation-finished", "radio-standing"}
    return [event["number"] for event in events if event["type"] not in unsaid]


def test_run_is_stopped_from_the_page_and_escape_closes_the_question(
    browser: Browser, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_held(served.service, monkeypatch, after="command-sent", times=2) as let_go:
        run_id = served.start_run(devices=[HUB])
        browser.sign_in(served.url, served.token(*BOTH, name="handheld"), f"#/run/{run_id}")
        browser.says("sent CS02c", ".log")
        browser.tab_to("run-stop")
        browser.press(Keys.ENTER)
        browser.find("#stop-dialog")
        browser.press(Keys.ESCAPE)
        browser.until(lambda: not browser.all("#stop-dialog[open]"), "the question stays")
        assert browser.focused() == "run-stop"
        browser.press(Keys.ENTER)
        browser.tab_to("stop-yes")
        browser.press(Keys.ENTER)
        browser.says("The run stops before its next command.", ".result")
        browser.has_focus("run-title")
        let_go.set()
        browser.says("Stopped by token handheld. The next run goes on", ".result")
    browser.says("R33b", "main section > div")
    assert browser.text("main").count("○ due") > 2


def test_second_run_of_a_device_is_refused_with_a_way_to_the_first(
    browser: Browser, served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_held(served.service, monkeypatch, after="command-sent") as let_go:
        run_id = served.start_run(devices=[ESME])
        browser.sign_in(served.url, served.token(*BOTH))
        browser.find("#due-start").click()
        browser.find("#start-chosen").click()
        browser.find("#start-yes").click()
        browser.says("choose at least one device", "#start-dialog")
        browser.find(f"[id='start-{ESME}']").click()
        browser.says("on 1 device:", "#start-warning")
        browser.find("#start-yes").click()
        browser.says("wait for it or stop it", "#start-dialog")
        browser.find("#start-dialog a").click()
        browser.says(f"Run {run_id[:8]}", "main h1")
        assert not browser.all("dialog[open]")
        let_go.set()
        browser.says("Done: all that was due is done.", ".result")


def test_page_goes_on_when_the_server_was_killed_in_the_midst(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    rig = tmp_path / "rig.toml"
    marker = f'entity_id = "{HUB}"\n'
    text = emulated_home_text().replace(marker, f'{marker}faults = ["drop-responses=9"]\n')
    rig.write_text(text, encoding="utf-8")
    with serving(home, rigs=[rig]) as served:
        token = served.token(*BOTH)
    with killed_in_the_end(home, rig) as (url, kill):
        browser.sign_in(url, token)
        browser.find("#due-start").click()
        browser.find("#start-yes").click()
        browser.says("Waiting for the answer to CS02a", ".progress-list")
        kill()
        browser.says("Connection lost; trying again within", ".connection")
    with serving(home, rigs=[rig], listen=url.removeprefix("http://")) as served:
        browser.says("Interrupted before its end. The next run goes on where it stood.", ".result")
        assert browser.text(".connection") == ""
        run_id = browser.driver.current_url.rpartition("/")[2]
        assert numbers_shown(browser) == numbers_of(served.events(run_id))


@contextmanager
def killed_in_the_end(home: Path, rig: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve in a process of its own; give its address, and how to kill it."""
    command = [sys.executable, "-m", "keyrig", "serve", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        [*command, str(rig)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "KEYRIG_HOME": str(home)},
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], process.kill
        finally:
            process.kill()


def test_server_that_is_silent_is_said_to_be_until_it_is_heard_again(
    browser: Browser, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(home, heartbeat_s=0.2) as served,
        run_held(served.service, monkeypatch, after="command-sent") as let_go,
    ):
        beats = counted_beats(served, monkeypatch)
        run_id = served.start_run(devices=[HUB])
        browser.sign_in(served.url, served.token(*BOTH), f"#/run/{run_id}")
        before = len(beats)
        browser.until(lambda: len(beats) > before + 8, "there are no heartbeats")
        browser.run(
            "window.said = [];"
            "const told = document.querySelector('.connection');"
            "new MutationObserver(() => window.said.push(told.textContent))"
            ".observe(told, {childList: true, characterData: true, subtree: true});"
        )
        settings = served.service.settings
        quiet = settings.serve.model_copy(update={"heartbeat_s": 300.0})
        silent = settings.model_copy(update={"serve": quiet})
        monkeypatch.setattr(served.service, "settings", silent)
        browser.until(
            lambda: any(
                each.startswith("The server is silent since ")
                for each in browser.run("return window.said")
            ),
            "no word of it",
        )
        browser.until(lambda: browser.text(".connection") == "", "it is not heard again")
        let_go.set()
        browser.says("Done: all that was due is done.", ".result")


def counted_beats(served: Serving, patch: pytest.MonkeyPatch) -> list[str]:
    """Give a list that grows whenever a stream is about to say something or that it lives."""
    beats: list[str] = []
    holds = served.service.access.holds

    async def counting(token: Token) -> bool:
        beats.append(token.id)
        return await holds(token)

    patch.setattr(served.service.access, "holds", counting)
    return beats
