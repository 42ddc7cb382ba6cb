"""The page on a small screen, in the dark, by keyboard, read aloud and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from agent.api.serving import HUB
from agent.page.looking import (
    accessible,
    assert_fits,
    assert_is_told,
    assert_reads_well,
)
from gbcs.entity_identifier import EntityIdentifier
from keyrig.domain.api_tokens import Scope

if TYPE_CHECKING:
    from agent.api.serving import Serving
    from agent.page.browsing import Browser

GPF = "00-DB-12-34-56-78-90-A3"
BOTH = (Scope.READ, Scope.RUN)


def look(browser: Browser) -> None:
    assert_fits(browser)
    assert_reads_well(browser)
    assert_is_told(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_320_pixels_reads_well_and_is_told(
    browser: Browser, served: Serving, scheme: str
) -> None:
    browser.resize(320, 568)
    schemes = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.command("Emulation.setEmulatedMedia", media="", features=schemes)
    browser.driver.get(served.url)
    browser.find("#token").send_keys("wrong", Keys.ENTER)
    browser.says("Wrong token")
    look(browser)
    served.service.ledgers.writing.smi_statuses.suspend(
        EntityIdentifier.parse(GPF), "H5.34(a)", "a reason", served.service.clock(), failed=["R33a"]
    )
    run_id = served.start_run(devices=[HUB])
    assert served.finished(run_id)["state"] == "done"
    browser.sign_in(served.url, served.token(*BOTH))
    look(browser)
    browser.find("#due-start").click()
    browser.find("#start-chosen").click()
    browser.find("#start-dialog summary").click()
    browser.find("#start-yes").click()
    browser.says("Nothing chosen", "#start-dialog")
    look(browser)
    browser.press(Keys.ESCAPE)
    browser.show("devices")
    browser.find("summary").click()
    browser.find(".explained")
    look(browser)
    browser.show("runs")
    browser.find(".run")
    look(browser)
    browser.find(".run h2 a").click()
    browser.says("Done: all that was due is done.", ".result")
    browser.find(".downloads button").click()
    browser.says("Saved as", ".downloads")
    look(browser)
    browser.show("upstream")
    look(browser)


def test_tab_goes_through_the_page_in_its_order_and_the_focus_is_seen(
    browser: Browser, served: Serving
) -> None:
    browser.sign_in(served.url, served.token(*BOTH))
    browser.driver.refresh()
    browser.find("#due-start")
    seen = []
    for _ in range(8):
        browser.press(Keys.TAB)
        said, outline = browser.run(
            "const {activeElement: at} = document; const style = getComputedStyle(at);"
            "return [at.id || at.textContent, `${style.outlineStyle} ${style.outlineWidth}`];"
        )
        assert outline == "solid 3px", said
        seen.append(said)
    views = ["Due", "Devices", "Runs", "Upstream"]
    assert seen == ["skip", "forget", *views, "due-filter", "due-start"]


def test_skip_link_leads_past_the_navigation(browser: Browser, served: Serving) -> None:
    browser.sign_in(served.url, served.token(*BOTH), "#/devices")
    browser.driver.refresh()
    browser.find("#devices-title")
    browser.press(Keys.TAB, Keys.ENTER)
    assert browser.focused() == "main"
    browser.press(Keys.TAB)
    assert browser.run("return document.getElementById('main').contains(document.activeElement)")
    assert browser.driver.current_url.endswith("#/devices")


def test_landmarks_live_regions_and_tables_are_told(browser: Browser, served: Serving) -> None:
    browser.sign_in(served.url, served.token(*BOTH))
    nodes = accessible(browser)
    roles = {node["role"] for node in nodes}
    assert {"banner", "navigation", "main", "contentinfo", "status"} <= roles
    headers = [node["name"] for node in nodes if node["role"] == "columnheader"]
    assert headers == ["device", "duty", "state", "by", "why"]
    assert sum(node["role"] == "row" for node in nodes) == 20
    assert browser.run("return document.documentElement.lang") == "en-GB"
    assert browser.driver.title == "keyrig: Due"


def test_focus_goes_to_the_heading_of_a_view_that_is_gone_to(
    browser: Browser, served: Serving
) -> None:
    browser.sign_in(served.url, served.token(*BOTH))
    for view in ("devices", "runs", "upstream", "due"):
        browser.show(view)
        browser.has_focus(f"{view}-title")
        assert browser.find("nav [aria-current]").text.lower() == view
    browser.driver.back()
    browser.find("#upstream-title")


def test_paper_has_the_list_and_none_of_the_controls(browser: Browser, served: Serving) -> None:
    browser.resize(1280, 800)
    browser.sign_in(served.url, served.token(*BOTH))
    browser.command("Emulation.setEmulatedMedia", media="print", features=[])
    shown = browser.text()
    assert "H5.33(a)" in shown
    assert "Start a run" not in shown
    assert "Forget token" not in shown
    assert_reads_well(browser)


def test_nothing_moves_where_that_is_not_wanted(browser: Browser, served: Serving) -> None:
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.command("Emulation.setEmulatedMedia", media="", features=calm)
    browser.sign_in(served.url, served.token(*BOTH))
    assert browser.run("return document.getAnimations().length") == 0
