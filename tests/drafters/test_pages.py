"""Drafters' entries in shared pages: what a prefix hit brings is what a fresh pass would have computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from native_targets import native_target
from neural_toys import DRAFTERS, native_toy
from outrider.core.commit import CommitBatch
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftBatch
from outrider.drafting.interface import Drafter, SequenceContext
from outrider.drafting.neural import NeuralDrafter, NeuralState
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine

PREFIX = tuple((7 * index * index + 3) % 90 for index in range(48))
GREEDY = Sampling(max_tokens=12, seed=1, ignore_eos=True)


@dataclass
class Tapped:
    """What one sequence's drafter was told and proposed; `feature` by the position it belongs to."""

    context: SequenceContext
    told: int = 1
    feature: dict[int, Tensor] = field(default_factory=dict)
    proposed: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)


class Listener(Drafter[NeuralState]):
    """Stands before a drafter and writes everything down."""

    def __init__(self, inner: NeuralDrafter[Any]) -> None:
        super().__init__(inner.config, inner.target)
        self.inner, self.taps, self.payloads = inner, inner.taps, inner.payloads
        self.heard: list[Tapped] = []
        self._of: dict[int, Tapped] = {}

    def start(self, context: SequenceContext) -> NeuralState:
        state = self.inner.start(context)
        self.heard.append(Tapped(context))
        self._of[id(state)] = self.heard[-1]
        return state

    def commit(self, states: Sequence[NeuralState], commits: CommitBatch) -> None:
        for state, commit in zip(states, commits, strict=True):
            one = self._of[id(state)]
            for row in range(len(commit.token_n)):
                if commit.feature_nF is not None:
                    one.feature[one.told - 1 + row] = commit.feature_nF[row].clone()
            one.told += len(commit.token_n)
        self.inner.commit(states, commits)

    def propose(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> DraftBatch:
        draft = self.inner.propose(states, budgets)
        for state, tree in zip(states, draft.trees, strict=True):
            self._of[id(state)].proposed.append((tuple(tree.token_N), tuple(tree.parent_N)))
        return draft

    def finish(self, state: NeuralState) -> None:
        self.inner.finish(state)


def engine_with(name: str, prefill: int = 64) -> Engine:
    return Engine(native_target("llama"), Listener(native_toy(name)), None,
                  EngineConfig(max_sequences=4, max_draft=16, prefill_tokens=prefill, cache_tokens=2048, context=256,
                               draft_policy="fixed:16"))


def heard(engine: Engine, *prompts: tuple[int, ...], sampling: Sampling = GREEDY) -> list[Tapped]:
    """What the drafter heard of each prompt, run one after the other."""
    drafter = engine.drafter
    assert isinstance(drafter, Listener)
    begin = len(drafter.heard)
    for prompt in prompts:
        engine.add(Request(prompt, sampling))
        engine.run()
        engine.check_integrity()
    return drafter.heard[begin:]


@pytest.mark.parametrize("name", DRAFTERS)
@pytest.mark.parametrize("shared", [16, 17, 33])
def test_a_hit_that_then_diverges_proposes_what_a_fresh_pass_does(name: str, shared: int) -> None:
    other = (*PREFIX[:shared], *(11 + index % 5 for index in range(60 - shared)))
    engine = engine_with(name)
    _, after_hit = heard(engine, PREFIX, other)
    assert len(after_hit.feature) < after_hit.told - 1, "nothing was hit"
    fresh, = heard(engine_with(name), other)
    assert after_hit.proposed == fresh.proposed


@pytest.mark.parametrize("name", ["dflash", "eagle3", "specblock"])
def test_pages_written_without_the_drafter_are_computed_again(name: str) -> None:
    engine, other = engine_with(name), (*PREFIX[:40], 1, 2, 3)
    heard(engine, PREFIX)
    store, = engine.cache.stores
    store.is_valid[:] = bytes(len(store.is_valid))
    store.layers[0].key_PGKL.fill_(torch.nan)
    found, again = heard(engine, other, other)
    assert len(found.feature) == found.told - 1, "a block without the drafter's entries was hit"
    assert len(again.feature) < again.told - 1, "what was computed again was not found"
    fresh, = heard(engine_with(name), other)
    assert found.proposed == again.proposed == fresh.proposed


@pytest.mark.parametrize("name", ["dflash", "eagle3", "specblock"])
def test_a_prompt_can_be_hit_in_the_round_behind_its_own(name: str) -> None:
    engine, prefix = engine_with(name, prefill=128), tuple(index % 90 for index in range(96))
    engine.add(Request((*prefix, 1), GREEDY))
    engine.step()
    second, = engine.add(Request((*prefix, 2), GREEDY))
    engine.run()
    assert second.stats.cached_tokens == 96


def test_features_are_the_same_bits_from_prefill_decoding_trees_and_hits() -> None:
    """The third prompt is what the first made of its prompt, so that its features came from verified trees before."""
    engine = engine_with("eagle3", prefill=7)
    first, = heard(engine, PREFIX)
    whole = tuple(generated(PREFIX))
    runs = [first, *heard(engine, whole), *heard(engine_with("dflash-sliding", prefill=64), whole, PREFIX),
            *heard(engine_with("eagle3.1", prefill=1), whole)]
    reference = runs[2].feature
    assert len(reference) >= len(whole) - 1
    for run in runs:
        for position, feature_F in run.feature.items():
            if position in reference and position < len(whole) - 1:
                assert torch.equal(feature_F.view(torch.int32), reference[position].view(torch.int32))


def generated(prompt: tuple[int, ...]) -> list[int]:
    """The prompt and its greedy answer."""
    engine = engine_with("dflash")
    sequence, = engine.add(Request(prompt, GREEDY))
    engine.run()
    return sequence.tokens
