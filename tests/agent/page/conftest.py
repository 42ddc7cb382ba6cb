"""A browser for all tests of a process, and a tab for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.page.browsing import Browser, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium import webdriver


@pytest.fixture(name="driver", scope="session")
def fixture_driver() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture(name="browser")
def fixture_browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    """A browser of a handheld's size; the page must not have made it complain."""
    browser = Browser(driver)
    browser.begin()
    yield browser
    assert browser.complaints() == []
