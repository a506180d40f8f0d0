"""The page in a real browser, on a real server around a toy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser_tabs import DESK, PHONE, Open
from outrider.serve.settings import Settings
from tiny_server import TinyServer, serving

pytestmark = pytest.mark.browser
PROMPT = "abc abc abc abc abc"
SETTINGS = {"temperature": 0.8, "max_tokens": 90, "seed": 7}


@pytest.fixture
def endless_server() -> Iterator[TinyServer]:
    """Gives a few tokens of an answer, and no end."""
    with serving() as server:
        engine = server.service.llm.llm.engine
        play = engine.round

        def first_rounds() -> Any:
            if all(sequence.num_output < 5 for sequence in engine.scheduler.running):
                return play()
            time.sleep(0.01)
            return []

        engine.round = first_rounds  # type: ignore[method-assign]
        yield server
        server.settle()


def events(*choices: dict[str, Any]) -> str:
    """A stream of these choices, told by nobody."""
    chunks = [{"choices": [{"index": 0, "delta": {}, "finish_reason": None, **choice}]} for choice in choices]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def told(texts: list[str], by: list[str | None], drafted: int = 0) -> dict[str, Any]:
    return {"delta": {"content": "".join(texts)},
            "outrider": {"token_ids": list(range(len(texts))), "texts": texts, "drafted_by": by, "drafted": drafted}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_tokens_wear_the_colours_of_their_drafters(server: TinyServer, open_page: Open, size: tuple[int, int],
                                                   scheme: str, tmp_path: Path) -> None:
    tab = open_page(server.url, size, scheme)
    tab.set(**SETTINGS)
    tab.ask(PROMPT)
    tab.finish()
    answer = server.answer("/v1/chat/completions", messages=[{"role": "user", "content": PROMPT}], **SETTINGS)
    assert tab.text(".answer") == answer["choices"][0]["message"]["content"]
    guessed, own = tab.page.locator(".token[data-by]"), tab.page.locator(".token:not([data-by])")
    assert guessed.count() and own.count()
    image = "element => getComputedStyle(element).backgroundImage"
    assert "gradient" in guessed.first.evaluate(image) and own.first.evaluate(image) == "none"
    entries = [text.rsplit(" ", 1) for text in tab.page.locator(".legend button").all_text_contents()]
    assert {name for name, _ in entries} == {"suffix", "the model’s own"}
    assert sum(int(number) for _, number in entries) == answer["usage"]["completion_tokens"]
    assert tab.page.locator(".strip rect.guessed").count() == int(dict(entries)["suffix"])
    guessed.first.scroll_into_view_if_needed()
    tab.page.evaluate("new Promise(requestAnimationFrame)")  # scrolling would hide what pointing shows
    guessed.first.hover()
    tab.page.wait_for_selector("#tip:visible:has-text('guessed by suffix')")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    light = tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"
    assert light == (scheme == "light")
    tab.page.screenshot(path=tmp_path / "page.png")


def test_figures_are_those_of_the_server(server: TinyServer, open_page: Open) -> None:
    tab = open_page(server.url)
    tab.set(**SETTINGS)
    tab.ask(PROMPT)
    tab.finish()
    body = {**SETTINGS, "messages": [{"role": "user", "content": PROMPT}], "cache_salt": "cold"}
    metrics = server.answer("/v1/chat/completions", **body)["metrics"]["speculative_decoding"]
    speed, per_round, tokens = tab.page.locator(".figures dd").all_text_contents()
    assert float(per_round) == pytest.approx(metrics["mean_acceptance_length"], abs=0.006)
    assert tokens == "90" and float(speed) > 0
    heights = tab.page.locator(".strip rect.vain").evaluate_all("all => all.map(rect => rect.height.baseVal.value)")
    in_vain = metrics["num_draft_tokens"] - metrics["num_accepted_draft_tokens"]
    assert round(sum(heights) + 0.16 * len(heights)) == in_vain


def test_stopping_frees_the_server_and_keeps_what_came(endless_server: TinyServer, open_page: Open) -> None:
    tab = open_page(endless_server.url)
    tab.set(**{**SETTINGS, "max_tokens": 400})
    for press in (lambda: tab.page.keyboard.press("Escape"), lambda: tab.page.click("#send")):
        tab.ask(PROMPT)
        tab.page.wait_for_selector("article:last-child .token")
        assert tab.text("#send") == "Stop"
        press()
        tab.rest()
        assert tab.text("#send") == "Send" and "stopped" in tab.text("article:last-child .remarks")
        endless_server.settle()
    assert tab.page.locator(".answer").count() == 2


def test_the_comparison_says_that_the_tokens_are_the_same(server: TinyServer, open_page: Open) -> None:
    for size in (PHONE, DESK):
        tab = open_page(server.url, size)
        tab.set(**SETTINGS)
        tab.page.click("#to-compare")
        tab.ask(PROMPT)
        tab.finish(2)
        assert tab.text(".verdict").startswith("Same tokens: yes, all 90.")
        fast, plain = tab.page.locator(".pane").all()
        assert fast.locator(".answer").text_content() == plain.locator(".answer").text_content()
        assert fast.locator(".token[data-by]").count() and not plain.locator(".token[data-by]").count()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_again_gives_the_same_without_speculation(server: TinyServer, open_page: Open) -> None:
    tab = open_page(server.url)
    tab.set(**{**SETTINGS, "seed": ""})
    tab.ask(PROMPT)
    tab.finish()
    before = tab.text(".answer")
    tab.page.click("#speculation")
    tab.page.click(".again")
    tab.page.wait_for_selector(".remarks:has-text('as before')")
    assert tab.text(".answer") == before and "the same " in tab.text(".remarks")
    assert tab.page.locator(".answer").count() == 1 and not tab.page.locator(".token[data-by]").count()
    tab.page.click("#speculation")
    tab.ask("and now")
    tab.finish(2)
    assert tab.page.locator(".again:visible").count() == 1
    tab.page.click("#new")
    assert not tab.page.locator(".answer").count() and tab.page.is_visible("#intro")


def test_text_is_text_and_fences_are_code(server: TinyServer, open_page: Open) -> None:
    tab = open_page(server.url)
    evil = "<img src=x onerror=alert(1)><b>"
    body = events(told(["Look:"], [None]), told(["\n``", "`py", "\nx = ", evil, "\n", "y"], ["suffix"] * 5 + [None], 9),
                  told(["\n", "```\n\nend"], ["suffix+ngram_hash", None], 3), {"finish_reason": "stop"})
    tab.page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    tab.ask("code, please")
    tab.finish()
    assert tab.text(".answer") == f"Look:\n```py\nx = {evil}\ny\n```\n\nend"
    assert not tab.page.locator(".answer :is(img, b)").count()
    code = tab.page.locator(".line.code:not(.fence)").all_text_contents()
    assert code == [f"x = {evil}\n", "y\n"]
    assert tab.page.locator(".line.fence").all_text_contents() == ["```py\n", "```\n"]
    assert tab.page.locator("[data-by='suffix+ngram_hash']").count() == 1
    assert tab.page.locator(".strip rect").count() == 6 + 1 + 2 + 1  # tokens, and what was guessed in vain


def test_a_key_is_asked_for_and_kept(open_page: Open) -> None:
    with serving(Settings(api_keys=("secret",))) as server:
        tab = open_page(server.url)
        tab.page.wait_for_selector("#key-form:visible")
        assert tab.text("#error") == "This server asks for an API key."
        tab.page.fill("#key", "secret")
        tab.page.press("#key", "Enter")
        tab.until("document.getElementById('model').textContent === 'toy'")
        tab.ask(PROMPT)
        tab.finish()
        assert tab.page.evaluate("sessionStorage.getItem('outrider.key')") == "secret"
        assert "secret" not in tab.page.evaluate("JSON.stringify(localStorage)")
        assert not tab.page.is_visible("#error")
    assert all("401" in complaint for complaint in tab.complaints)  # which browsers log by themselves
    tab.complaints.clear()


def test_errors_take_a_line_and_give_the_prompt_back(server: TinyServer, open_page: Open) -> None:
    tab = open_page(server.url)
    long = "a" * 5000
    tab.ask(long)
    tab.page.wait_for_selector("#error:visible")
    assert "messages: has" in tab.text("#error") and not tab.page.locator("article").count()
    assert tab.page.input_value("#prompt") == long
    assert all("400" in complaint for complaint in tab.complaints)
    tab.complaints.clear()
    tab.set(temperature=9)
    tab.ask(PROMPT)
    assert tab.text("#error").startswith("Temperature: ")
    tab.page.fill("#temperature", "0")
    body = events(told(["so ", "far"], [None, None])).replace("[DONE]", '{"error": {"message": "all is lost"}}')
    tab.page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    tab.ask(PROMPT)
    tab.page.wait_for_selector("#error:visible:has-text('all is lost')")
    assert tab.text(".answer") == "so far"


def test_the_keyboard_is_enough(server: TinyServer, open_page: Open) -> None:
    tab = open_page(server.url)
    tab.until("document.activeElement.id === 'prompt'")
    tab.page.keyboard.type("abc")
    tab.page.keyboard.press("Shift+Enter")
    tab.page.keyboard.type("abc")
    assert tab.page.input_value("#prompt") == "abc\nabc"
    tab.page.keyboard.press("Enter")
    tab.finish()
    tab.page.focus(".answer")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    second = tab.page.locator(".token").nth(1)
    assert second.evaluate("element => element === document.activeElement")
    assert second.get_attribute("aria-describedby") == "tip" and tab.page.is_visible("#tip")
    order = []
    tab.page.focus("#to-chat")
    for _ in range(4):
        tab.page.keyboard.press("Tab")
        order.append(tab.page.evaluate("document.activeElement.id"))
    assert order == ["to-compare", "new", "theme", "to-settings"]
    for wanted in ("rgb(251, 250, 247)", "rgb(21, 23, 27)"):
        tab.page.click("#theme")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == wanted
    tab.page.reload()
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
