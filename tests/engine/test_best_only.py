"""Rounds that ask for the largest logits alone give the same tokens, and only ask where nobody else looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from native_targets import CONTEXT, NATIVE_SPECS, library, weights_of
from outrider.cache.kv import KVCache
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.step import LayerPages, Step
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.ops.native import screen
from outrider.ops.native.matrix import Kind
from outrider.target.interface import ForwardOutput
from outrider.target.native import NativeTarget

PROMPT = (5, 6, 7, 8, 5, 6, 7, 8, 5, 6)


class Watched(NativeTarget):
    """Notes what its steps ask for, and may forget it."""

    def __init__(self, forgets: bool) -> None:
        weights = weights_of("llama", 0, Kind.BYTE_HALF)
        super().__init__(library(), NATIVE_SPECS["llama"], weights, CONTEXT, 2, "toy")
        self.forgets, self.asked = forgets, list[bool]()

    def forward(self, step: Step, cache: KVCache[LayerPages], taps: Sequence[int] = ()) -> ForwardOutput:
        self.asked.append(step.best_only)
        if self.forgets:
            step = Step(step.token_T, step.position_T, step.slot_T, step.spans, step.logit_row_R)
        return super().forward(step, cache, taps)


def tokens(target: Watched, spec: str, *changes: dict[str, Any]) -> list[tuple[int, ...]]:
    engine = Engine(target, drafter_of(spec, target), None, EngineConfig(max_sequences=4, max_draft=8))
    sampling = {"max_tokens": 40, "ignore_eos": True, "seed": 1}
    added = [engine.add(Request(PROMPT[index:], Sampling(**{**sampling, **change})))[0]
             for index, change in enumerate(changes)]
    target.asked.clear()
    engine.run()
    return [tuple(sequence.output) for sequence in added]


@pytest.mark.parametrize("spec", ["none", "suffix", "ngram_hash + recycling"])
def test_the_best_alone_gives_the_same_tokens(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_PATIENCE", 0)
    monkeypatch.setattr(screen, "_MUCH", 100.0)
    found, wanted = Watched(forgets=False), Watched(forgets=True)
    assert tokens(found, spec, {}, {}, {"stop": ("x",)}) == tokens(wanted, spec, {}, {}, {"stop": ("x",)})
    assert set(found.asked) == {"recycling" not in spec}  # which wants the runners-up too


@pytest.mark.parametrize("other", [{"temperature": 0.7}, {"logprobs": 2}, {"min_tokens": 3},
                                   {"repetition_penalty": 1.2}])
def test_one_that_wants_more_in_a_round_gets_it(other: dict[str, Any]) -> None:
    target = Watched(forgets=False)
    tokens(target, "none", {}, {**other, "max_tokens": 10})
    assert target.asked[:10] == [False] * 10 and target.asked[-1]
