"""Debian's chromium without a window, and what a person does with it."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from patience import HANG_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver.remote.webelement import WebElement

CHROMIUM: Final = "chromium"
CHROMEDRIVER: Final = "chromedriver"
POLL_S: Final = 0.03
HANDHELD: Final = (360, 740)
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # Whatever is not the agent has no address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start chromium; skip the test where Debian's packages of it are not installed."""
    paths = {name: shutil.which(name) for name in (CHROMIUM, CHROMEDRIVER)}
    for name, path in paths.items():
        if path is None:
            pytest.skip(f"{name} is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths[CHROMIUM])
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(paths[CHROMEDRIVER]))
    try:
        yield driver
    finally:
        driver.quit()


class Browser:
    """A browser as a person uses it: it waits until what is looked for is there."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def begin(self) -> None:
        """Take a new tab, which shares no storage with those before it, and no setting."""
        before = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        after = self.driver.current_window_handle
        self.driver.switch_to.window(before)
        self.driver.close()
        self.driver.switch_to.window(after)
        self.resize(*HANDHELD)
        self.log("performance")
        self.log("browser")

    def command(self, name: str, **parameters: Any) -> Any:
        """Give the browser a command of its own protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def resize(self, width: int, height: int) -> None:
        """Show the page on a screen of so many CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Give what the browser logged since this was asked last."""
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, and give what it returns."""
        return self.driver.execute_script(script, *arguments)

    def module(self, name: str, body: str, *arguments: Any) -> Any:
        """Give what `body` returns, which has the module as `it` and the arguments as `given`."""
        script = (
            "const given = [...arguments]; const done = given.pop(); const name = given.shift();"
            "import(`/page/${name}.js`).then(async (it) => {"
            f"{body}"
            "}).then((value) => done({value}), (error) => done({error: String(error)}));"
        )
        found = self.driver.execute_async_script(script, name, *arguments)
        assert "error" not in found, found["error"]
        return found.get("value")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until a condition holds, and give what it gave."""
        waiting = WebDriverWait(
            self.driver,
            HANG_S,
            poll_frequency=POLL_S,
            ignored_exceptions=[StaleElementReferenceException],
        )
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"{what}; the page shows:\n{self.text()}")

    def text(self, css: str = "body") -> str:
        """Give the text that is shown of an element; empty where it is not there."""
        found: str = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)
        return found

    def all(self, css: str) -> list[WebElement]:
        """Give the elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def find(self, css: str) -> WebElement:
        """Wait for an element to be shown, and give it."""
        found: WebElement = self.until(
            lambda: next((each for each in self.all(css) if each.is_displayed()), None),
            f"no {css} is shown",
        )
        return found

    def says(self, text: str, css: str = "body") -> None:
        """Wait for a text to be shown."""
        self.until(lambda: text in self.text(css), f"{css} does not say {text!r}")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> str:
        """Give the id of what has the focus."""
        found: str = self.run("return document.activeElement.id")
        return found

    def has_focus(self, wanted: str) -> None:
        """Wait until an element has the focus."""
        self.until(lambda: self.focused() == wanted, f"{wanted} has not the focus")

    def tab_to(self, wanted: str, *, most: int = 60) -> list[str]:
        """Press Tab until an element has the focus; give the ids that had it on the way."""
        passed: list[str] = []
        while self.focused() != wanted:
            assert len(passed) < most, f"Tab does not come to {wanted}: {passed}"
            self.press(Keys.TAB)
            passed.append(self.focused())
        return passed

    def sign_in(self, url: str, token: dict[str, str], view: str = "") -> None:
        """Open the page, and give it the token of an Authorization header."""
        self.driver.get(f"{url}/{view}")
        self.find("#token").send_keys(token["Authorization"].removeprefix("Bearer "))
        self.find("#token-use").click()
        self.find("#forget")
        self.find("main h1")

    def show(self, view: str) -> None:
        """Go to a view by its link."""
        self.find(f'nav a[href="#/{view}"]').click()
        self.find(f"#{view}-title")

    def asked_for(self) -> set[str]:
        """Give every address that the browser asked for since this was asked last."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }

    def complaints(self) -> list[str]:
        """Give what the browser complained of, but for answers that refuse."""
        return [
            entry["message"]
            for entry in self.log("browser")
            if "Failed to load resource" not in entry["message"]
        ]
