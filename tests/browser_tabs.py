"""Pages in a browser, as tests of them see them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LIMIT_S = 120.0  # for anything that one waits for
PHONE, DESK = (360, 740), (1280, 800)


@dataclass(slots=True)
class Tab:
    """A page and what it complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def ask(self, prompt: str) -> None:
        self.page.fill("#prompt", prompt)
        self.page.press("#prompt", "Enter")

    def finish(self, count: int = 1) -> None:
        """Until so many answers have ended."""
        self.until(f"document.querySelectorAll('.run.ended').length === {count}")
        self.rest()

    def rest(self) -> None:
        """Until nothing is asked any more."""
        self.until("!document.body.classList.contains('busy')")

    def until(self, condition: str) -> None:
        """Until some JavaScript gives true. Playwright's way of waiting for that is against the page's policy."""
        limit_s = time.monotonic() + LIMIT_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < limit_s, f"still not: {condition}"
            time.sleep(0.02)

    def set(self, **values: object) -> None:
        """Settings by their ids, `_` for `-`."""
        self.page.click("#to-settings")
        for name, value in values.items():
            self.page.fill(f"#{name.replace('_', '-')}", str(value))
        self.page.click("#to-settings")

    def text(self, selector: str) -> str:
        found = self.page.text_content(selector)
        assert isinstance(found, str)
        return found


Open = Callable[..., Tab]
