"""What neural drafters share: networks on kernels and on torch agree; stores do not depend on how they came about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from native_targets import native_target
from neural_toys import DRAFTERS, Past, Spy, native_toy, on_target, readable_toy, told
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.step import Step
from outrider.core.tree import Budget
from outrider.drafting.interface import SequenceContext
from outrider.drafting.neural import NeuralDrafter, NeuralState
from outrider.drafting.syntax import parse
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.errors import ConfigError
from outrider.nn.network import Outputs
from outrider.target.network import Network
from outrider.testing.tape import Stage, Tape
from outrider.testing.tiny_drafts import random_draft, tiny_specs

BUDGET = Budget(24, 12)


@pytest.mark.parametrize("name", DRAFTERS)
def test_kernels_compute_what_the_description_says(name: str) -> None:
    found, wanted = list[Outputs](), list[Outputs]()
    for drafter, outputs in ((native_toy(name), found), (readable_toy(name), wanted)):
        drafter.network = Spy(drafter.network, outputs)
        stage, actor = told(drafter, Past.of(drafter, 37, 3), [5, 6, 20], eager=True)
        stage.shapes([actor], [Budget(24, 1)])  # deeper levels follow from choices that may differ
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        for native, exact in ((one.logits_RV, other.logits_RV), (one.hidden_RD, other.hidden_RD)):
            assert (native is None) == (exact is None)
            if native is not None and exact is not None:
                torch.testing.assert_close(native.double(), exact.double(), rtol=0.02, atol=0.02)


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(sorted(DRAFTERS)), st.integers(2, 80), st.lists(st.integers(2, 79), max_size=4), st.booleans(),
       st.integers(0, 99))
def test_a_store_is_the_same_however_it_came_about(name: str, count: int, cuts: list[int], eager: bool,
                                                   seed: int) -> None:
    drafter = native_toy(name)
    past = Past.of(drafter, count, seed)
    fresh, stepwise = (told(drafter, past, cut, eager=at_once)
                       for cut, at_once in (([], False), ([cut for cut in cuts if cut < count], eager)))
    trees = [stage.shapes([actor], [BUDGET]) for stage, actor in (fresh, stepwise)]
    assert trees[0] == trees[1]
    for one, other in zip(entries(drafter, fresh[1].state), entries(drafter, stepwise[1].state), strict=True):
        assert torch.equal(one.view(torch.int16), other.view(torch.int16))


def test_blocks_count_as_valid_once_they_are_complete() -> None:
    drafter = native_toy("eagle3")
    stage, actor = told(drafter, Past.of(drafter, 40, 1), [], eager=False)
    store, state = drafter.store(actor.state), actor.state
    assert not any(store.is_valid), "nothing has been absorbed"
    drafter.absorb([state])
    assert [store.is_valid[state.pages.block(position)] for position in (0, 16, 32)] == [1, 1, 0]
    stage.finish(actor)


@pytest.mark.parametrize("name", ["dflash", "eagle3", "specblock"])
@pytest.mark.parametrize("failing", [0, 1])
def test_what_a_failed_pass_was_fed_is_absorbed_by_the_next(name: str, failing: int,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """With more features than a pass takes: if those of the failed one were lost, later ones would take their place."""
    monkeypatch.setattr("outrider.drafting.neural._PASS_ROWS", 40)
    drafter = native_toy(name)
    past = Past.of(drafter, 90, 2)
    _, wanted = told(drafter, past, [], eager=True)
    stage = Stage(drafter, drafter.target.new_cache(512, drafter.payloads))
    actor = stage.start(Tape(SequenceContext(past.token_n[0]), []))
    network, drafter.network = drafter.network, Stubborn(drafter.network, failing)
    with pytest.raises(MemoryError):
        stage.tell([actor], [past.commit(1, 90)])
    drafter.network = network
    drafter.absorb([actor.state])
    for one, other in zip(entries(drafter, wanted.state), entries(drafter, actor.state), strict=True):
        assert torch.equal(one.view(torch.int16), other.view(torch.int16))


@pytest.mark.parametrize("drafter", ["specblock:checkpoint=specblock;blocks=1", "dflash:checkpoint=dspark",
                                     "eagle3:checkpoint=eagle3;max=1;branch=1"])
def test_the_last_position_of_the_context_can_be_drafted(drafter: str) -> None:
    target = native_target("llama")
    engine = Engine(target, on_target(drafter, target), None, EngineConfig(
        max_sequences=1, cache_tokens=1024, draft_policy="fixed:64"))
    prompt = tuple(index % 90 for index in range(target.context - 12))
    sequence, = engine.add(Request(prompt, Sampling(max_tokens=100, ignore_eos=True)))
    engine.run()
    engine.check_integrity()
    assert len(sequence.tokens) == target.context


def test_a_sequence_that_ends_within_a_block_needs_no_pass() -> None:
    drafter, seen = native_toy("eagle3"), list[Outputs]()
    drafter.network = Spy(drafter.network, seen)
    for count, passes in ((16, 0), (17, 1)):
        stage, actor = told(drafter, Past.of(drafter, count, 1), [], eager=False)
        stage.finish(actor)
        assert len(seen) == passes


@pytest.mark.parametrize("head_size", [8, 528])
def test_heads_that_kernels_cannot_hold_are_refused(head_size: int) -> None:
    target = native_target("llama")
    spec = tiny_specs(target.spec)["dflash"]
    draft = random_draft(replace(spec, stack=replace(spec.stack, head_size=head_size)))
    with (patch("outrider.drafting.neural.open_drafter", lambda *_, **__: draft),
          pytest.raises(ConfigError, match=f"head size is {head_size}, .* --ops reference")):
        parse("dflash:checkpoint=any").build(target)


@dataclass(slots=True)
class Stubborn:
    """A network whose passes fail from number `failing` on."""

    inner: Network
    failing: int

    @property
    def read_bytes(self) -> int:
        return self.inner.read_bytes

    def run(self, name: str, step: Step, store: Any, input_TF: Tensor | None = None) -> Outputs:
        if name != "condition":
            self.failing -= 1
        if self.failing < 0:
            raise MemoryError
        return self.inner.run(name, step, store, input_TF)


def entries(drafter: NeuralDrafter[Any], state: NeuralState) -> list[Tensor]:
    """Keys and values of what a sequence has absorbed, by layer, in order of position."""
    store = drafter.store(state)
    committed = state.pages.slots(state.absorbed)
    slot_n = store.entry_slots(committed[drafter.payloads[0].carry > 0 :])  # pairs have no entry for the first token
    page_n, lane_n = slot_n // 16, slot_n % 16
    return [part for layer in store.layers
            for part in (layer.key_PGKL[page_n, :, :, lane_n], layer.value_PGLK[page_n, :, lane_n])]
