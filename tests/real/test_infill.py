"""Gaps filled by a code model: with sense, the same with drafts and without, warm, and as editors render them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import real_models
from outrider.target.load import load_model
from tiny_server import TinyServer, serving

pytestmark = pytest.mark.real_model

BEFORE = 'def fibonacci(n):\n    """The n-th Fibonacci number, by recursion."""\n    if n < 2:\n        return n\n'
LINE, BEHIND = "    return fib", "\n\n\nprint(fibonacci(10))\n"


@pytest.fixture(scope="module")
def coder() -> Iterator[TinyServer]:
    model = load_model(real_models.path("qwen2.5-coder-0.5b-instruct"))
    with serving(model=model, drafter="auto", draft_policy="fixed:4", context=4096) as server:
        server.client.timeout = 600  # the machine may be busy
        yield server


def asked(**changes: Any) -> dict[str, Any]:
    return {"input_prefix": BEFORE, "prompt": LINE, "input_suffix": BEHIND, "n_predict": 24, "top_k": 40, "top_p": 0.9,
            "samplers": ["top_k", "top_p", "infill"], "t_max_predict_ms": 60000, "id_slot": 0, **changes}


def test_the_gap_is_filled_with_sense_whatever_is_drafted(coder: TinyServer) -> None:
    plain = coder.answer("/infill", **asked(speculation={"enabled": False}))
    drafted = coder.answer("/infill", **asked())
    assert plain["content"] == drafted["content"]
    assert plain["content"].rstrip() == "onacci(n - 1) + fibonacci(n - 2)"
    assert plain["timings"]["draft_n"] == 0 and drafted["timings"]["draft_n"] > 0


def test_a_moving_cursor_keeps_the_prefix_warm(coder: TinyServer) -> None:
    extra = [{"text": "def square(x):\n    return x * x\n" * 20, "filename": "square.py"}]
    coder.answer("/infill", **asked(input_extra=extra, input_prefix="", prompt="", input_suffix="", n_predict=0))
    first = coder.answer("/infill", **asked(input_extra=extra))["timings"]
    second = coder.answer("/infill", **asked(input_extra=extra, prompt=LINE + "onacci(n"))["timings"]
    assert first["cache_n"] > 150 and second["cache_n"] >= first["cache_n"]
    assert second["prompt_n"] < 80


def test_a_prompt_with_marks_is_the_same_as_a_suffix(coder: TinyServer) -> None:
    rendered = f"<|fim_prefix|>{BEFORE}{LINE}<|fim_suffix|>{BEHIND}<|fim_middle|>"
    common = {"max_tokens": 24, "temperature": 0}
    answers = [coder.answer("/v1/completions", **common, prompt=rendered, stop=["<|endoftext|>", "/src/", "#- coding"]),
               coder.answer("/v1/completions", **common, prompt=BEFORE + LINE, suffix=BEHIND)]
    texts = [answer["choices"][0]["text"] for answer in answers]
    assert texts[0] == texts[1] and texts[1].startswith("onacci(n - 1) + fibonacci(n - 2)")
    assert answers[0]["usage"]["prompt_tokens"] == answers[1]["usage"]["prompt_tokens"]
