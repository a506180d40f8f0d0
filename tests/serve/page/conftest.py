"""Chromium, headless, and pages in it that must not complain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from browser_tabs import DESK, LIMIT_S, Open, Tab

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # not longer: playwright's event loop keeps others out of the thread
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Opens tabs; at the end none may have complained of anything."""
    tabs: list[Tab] = []

    def opened(url: str, size: tuple[int, int] = DESK, scheme: str = "light", **options: Any) -> Tab:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options)
        context.set_default_timeout(LIMIT_S * 1000)
        tab = Tab(context.new_page())
        tab.page.on("console", lambda said: tab.complaints.append(said.text))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tabs.append(tab)
        tab.page.goto(url)
        return tab

    yield opened
    complaints = [complaint for tab in tabs for complaint in tab.complaints]
    for tab in tabs:
        tab.page.context.close()
    assert not complaints
