"""Who may see the page's data: the token, and where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.webdriver.common.keys import Keys

from keyrig.domain.api_tokens import Scope

if TYPE_CHECKING:
    from agent.api.serving import Serving
    from agent.page.browsing import Browser


def test_wrong_token_is_refused_in_words_and_a_right_one_opens_the_page(
    browser: Browser, served: Serving
) -> None:
    browser.driver.get(served.url)
    browser.has_focus("token")
    browser.press("keyrig_000000000000_wrong", Keys.ENTER)
    browser.says("Wrong token", "#token-told")
    browser.says("keyrig token create", "#token-told")
    field = browser.find("#token")
    assert (field.get_attribute("type"), field.get_attribute("aria-invalid")) == (
        "password",
        "true",
    )
    assert browser.focused() == "token"
    token = served.token(Scope.READ)["Authorization"].removeprefix("Bearer ")
    browser.press(token, Keys.ENTER)
    browser.find("#due-title")
    browser.says("19 duties to be done")


def test_token_is_kept_with_the_tab_alone_and_in_no_address(
    browser: Browser, served: Serving
) -> None:
    header = served.token(Scope.READ)
    token = header["Authorization"].removeprefix("Bearer ")
    browser.sign_in(served.url, header)
    browser.driver.refresh()
    browser.find("#due-title")
    assert browser.run("return Object.values(sessionStorage)") == [token]
    assert browser.run("return localStorage.length + document.cookie.length") == 0
    assert token not in browser.driver.current_url
    assert token not in browser.run("return document.documentElement.outerHTML")
    assert all(token not in address for address in browser.asked_for())


def test_forgotten_token_leaves_nothing_behind(browser: Browser, served: Serving) -> None:
    browser.sign_in(served.url, served.token(Scope.READ))
    browser.find("#forget").click()
    browser.says("The token is forgotten", "#token-told")
    assert browser.run("return sessionStorage.length") == 0
    assert "00-DB-12" not in browser.run("return document.documentElement.outerHTML")
    assert not browser.find("main").text.startswith("Due")
    browser.driver.refresh()
    browser.find("#token")
    assert browser.text("#token-told") == ""


def test_token_that_is_revoked_meanwhile_is_asked_for_anew(
    browser: Browser, served: Serving
) -> None:
    browser.sign_in(served.url, served.token(Scope.READ, name="handheld"))
    served.service.ledgers.writing.tokens.revoke("handheld", served.service.clock())
    browser.run("location.hash = '#/runs'")
    browser.says("The token does not hold any more", "#token-told")
    assert browser.run("return sessionStorage.length") == 0


def test_token_without_the_scope_to_run_is_told_how_to_get_one(
    browser: Browser, served: Serving
) -> None:
    browser.sign_in(served.url, served.token(Scope.READ))
    browser.find("#due-start").click()
    browser.find("#start-yes").click()
    browser.says("the token was made without the scope run", "#start-dialog")
    browser.says("keyrig token create NAME --scope run", "#start-dialog")
    assert served.client.get("/api/v1/runs").json()["runs"] == []


def test_too_many_wrong_tokens_are_told_how_long_to_wait(browser: Browser, served: Serving) -> None:
    browser.driver.get(served.url)
    for _ in range(40):
        refused = served.client.get("/api/v1/rigs", headers={"Authorization": "Bearer wrong"})
        if refused.status_code == 429:
            break
    browser.find("#token").send_keys("wrong", Keys.ENTER)
    browser.says("(wait ", "#token-told")
