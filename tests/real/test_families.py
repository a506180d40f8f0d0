"""Every model of the catalogue, on kernels: the default drafter's tokens are those of plain decoding."""

from __future__ import annotations

import pytest

import real_models
from outrider.engine.llm import LLM
from outrider.target.load import load_model

pytestmark = pytest.mark.real_model

FAMILIES = {"smollm2-135m-instruct": "llama", "gemma-3-270m": "gemma3", "qwen2.5-coder-0.5b-instruct": "qwen2"}
PROMPT = "def area(width, height):\n    return width * height\n\ndef volume(width, height, depth):\n"


@pytest.mark.supports("families", "{family}", "kernels, CPU", "real")
@pytest.mark.parametrize(("name", "family"), FAMILIES.items())
def test_auto_says_what_none_says(name: str, family: str) -> None:
    model = load_model(real_models.path(name), ops="native")
    assert family in model.target.spec.family
    answers = []
    for drafter in ("none", "auto"):
        with LLM(model, drafter=drafter) as llm:
            answers.append(llm.generate(PROMPT, max_tokens=48, temperature=0.8, seed=3))
    plain, drafted = answers
    assert drafted.ids == plain.ids
    assert plain.stats.drafted == 0 < drafted.stats.drafted
