"""What waits for an authority, and what a run held back, as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent.api.serving import ALL, ESME, RIG, serving
from agent.certifying import certified_for, home_without_supplier_key
from agent.page.looking import assert_fits, assert_is_told, assert_reads_well
from homes.recorded import by_hand_rig
from keyrig.domain.api_tokens import Scope

if TYPE_CHECKING:
    from pathlib import Path

    from agent.api.serving import Serving
    from agent.page.browsing import Browser

REQUESTS = f"/api/v1/rigs/{RIG}/certification-requests"


def look(browser: Browser) -> None:
    for width in (320, 412):
        browser.resize(width, 915)
        assert_fits(browser)
        assert_reads_well(browser)
        assert_is_told(browser)


def requests_of(served: Serving) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.client.get(REQUESTS).json()["requests"]
    return found


def card_of_the_esme(browser: Browser) -> str:
    browser.find(f"[id='device-{ESME}']")
    return browser.text(f"article[aria-labelledby='device-{ESME}']")


def test_requests_are_shown_saved_and_answered_from_the_page(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    with serving(home, rigs=[by_hand_rig(tmp_path)]) as served:
        run_id = served.start_run(devices=[ESME])
        served.finished(run_id)
        requests = requests_of(served)
        browser.sign_in(served.url, served.token(*ALL), f"#/run/{run_id}")
        browser.says("A person must act.", ".result")
        browser.says("waits for the authority", ".matters")
        browser.says("digitalSignature request: to be certified by hand", ".matters")
        browser.says("R37c ◔ waiting", ".progress-list")
        look(browser)
        browser.show("due")
        browser.says("◔ waiting", "table.due")
        browser.show("devices")
        card = card_of_the_esme(browser)
        for each in requests:
            assert f"for a certificate of its {each['key_usage']} key" in card
            assert each["key_identifier"] in card
        assert card.count("in 6 days") >= 2
        assert "◔ waiting: 2 certification requests" in browser.text("main")
        look(browser)

        first = requests[0]
        browser.find(f"[id='save-request-{first['key_identifier']}']").click()
        name = f"{ESME.replace('-', '').lower()}-ds.{first['key_identifier']}.csr.pem"
        browser.says(f"Saved as {name}.", ".told")
        saved = tmp_path / name
        browser.until(saved.exists, "the request was not saved")
        assert saved.read_text(encoding="ascii") == first["pem"]

        answer, wrong = tmp_path / "answer.pem", tmp_path / "wrong.txt"
        answer.write_text("".join(certified_for(home, each) for each in requests), encoding="ascii")
        wrong.write_text("no certificate", encoding="ascii")
        field = browser.all("input[type=file]")[0]
        field.send_keys(f"{wrong}\n{answer}")
        browser.says("✓ taken", ".told")
        said = browser.text(".told")
        assert said.count("✓ taken") == 2
        assert "wrong.txt: The document cannot be used" in said
        look(browser)
        assert requests_of(served) == []
        browser.until(
            lambda: "for a certificate" not in card_of_the_esme(browser), "the requests stay"
        )
        assert served.finished(served.start_run(devices=[ESME]))["state"] == "done"


def test_token_without_the_scope_is_told_so_and_nothing_is_taken(
    browser: Browser, home: Path, tmp_path: Path
) -> None:
    with serving(home, rigs=[by_hand_rig(tmp_path)]) as served:
        served.finished(served.start_run(devices=[ESME]))
        before = requests_of(served)
        answer = tmp_path / "answer.pem"
        answer.write_text(certified_for(home, before[0]), encoding="ascii")
        browser.sign_in(served.url, served.token(Scope.READ), "#/devices")
        card_of_the_esme(browser)
        browser.all("input[type=file]")[0].send_keys(str(answer))
        browser.says("The token does not allow it", ".told")
        assert requests_of(served) == before


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_what_a_run_held_back_is_said_with_what_to_do(
    browser: Browser,
    home: Path,
    all_or_nothing: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    home_without_supplier_key(home)
    with serving(home) as served:
        run_id = served.start_run(devices=[ESME], all_or_nothing=all_or_nothing)
        run = served.finished(run_id)
        assert run["not_begun"]
        browser.sign_in(served.url, served.token(Scope.READ), f"#/run/{run_id}")
        browser.says("A person must act.", ".result")
        browser.says("not begun: ", ".matters")
        why = browser.text(".matters")
        for each in run["not_begun"]:
            assert f"{each['reason']}; {each['mend']}" in why
            assert each["requirement"] in why
        assert ("nothing was sent" in why) is all_or_nothing
        browser.says("not begun: ", ".log")
        look(browser)
        for view, css in (("due", "table.due"), ("devices", "main")):
            browser.show(view)
            browser.says("Not begun: ", css)
            browser.says("What to do: `keyrig pki import FOLDER` adds it", css)
            look(browser)


def test_files_that_are_no_text_are_given_as_base64(browser: Browser, served: Serving) -> None:
    browser.driver.get(served.url)
    body = (
        "const file = (parts) => new File(parts, 'x');"
        "return [await it.asText(file([new Uint8Array([0x30, 0x82, 0xff])])),"
        " await it.asText(file(['-----BEGIN PKCS7-----']))]"
    )
    assert browser.module("requests_part", body) == ["MIL/", "-----BEGIN PKCS7-----"]
