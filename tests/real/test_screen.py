"""Greedy text through a screened head: on real models the tokens of the whole head."""

from __future__ import annotations

import pytest

import real_models
from outrider.bench.pairs import mixed_workload, reference
from outrider.core.sampling import Sampling
from outrider.engine.plan import Plan
from outrider.ops.native import screen
from outrider.target.load import load_model

pytestmark = pytest.mark.real_model

NUM_TOKENS = 250


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"])
def test_a_screened_head_gives_the_tokens_of_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former's logits are hard to tell apart, those of the latter easy: most are never computed."""
    monkeypatch.setattr(screen, "_PATIENCE", 0)
    monkeypatch.setattr(screen, "_MUCH", float("inf"))
    refined = list[int]()
    monkeypatch.setattr(screen.Screening, "note", lambda self, count, rows: refined.append(count))
    model = load_model(real_models.path(name))
    workload, sampling = mixed_workload(("code", "chat", "edit")), Sampling(max_tokens=60)
    found = reference(model, workload, sampling, NUM_TOKENS)
    assert len(refined) >= found.num_tokens >= NUM_TOKENS
    if "qwen" in name:
        assert sum(refined) < 0.1 * len(refined) * model.target.vocab_size / 16
    monkeypatch.setattr(Plan, "best_only", False)
    refined.clear()
    wanted = reference(model, workload, sampling, NUM_TOKENS)
    assert not refined and found.outputs == wanted.outputs
