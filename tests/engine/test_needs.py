"""What a target cannot do: trees are cut to chains, drafts left out, unmet needs told at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from outrider.cache.kv import KVCache
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.step import Step
from outrider.drafting.syntax import drafter_of
from outrider.engine.engine import Engine
from outrider.errors import ConfigError
from outrider.target.decoder import DecoderTarget
from outrider.target.interface import ForwardOutput
from tiny_engine import forger, generate, ids, target_of

REQUESTS = [Request((5, 6, 7, 8) * 4, Sampling(max_tokens=20, seed=1)),
            Request((9, 5, 6, 7), Sampling(max_tokens=20, temperature=0.8, seed=2, n=2))]


class Limited(DecoderTarget):
    """A toy that can do less than it could, and notices when more is asked of it."""

    def __init__(self, trees: bool = True, rollback: bool = True, taps: bool = True) -> None:
        twin = target_of()
        super().__init__(twin.decoder, twin.context, twin.fingerprint)
        self.info = replace(self.info, trees=trees, rollback=rollback, taps=taps)
        self.longest = 0

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        for span in step.spans:
            chain = list(range(-1, len(span.parent_A) - 1))
            assert self.info.trees or list(span.parent_A) == chain, "a tree, but it takes chains"
            assert self.info.rollback or span.count == 1 or not span.length, "a draft, but it cannot drop any"
            self.longest = max(self.longest, span.count if span.length else 0)
        return super().forward(step, cache, taps)


@pytest.mark.parametrize("drafter", ["recycling", "suffix", "prompt_lookup+recycling", "forged"])
def test_trees_are_cut_to_chains(drafter: str) -> None:
    wanted = generate(target_of(), "none", REQUESTS)
    target = Limited(trees=False)
    found = generate(target, forger(target, wanted) if drafter == "forged" else drafter, REQUESTS)
    assert ids(found) == ids(wanted)
    assert target.longest > 2, "nothing was drafted"
    stats = [sample.stats for result in found for sample in result.samples]
    assert drafter != "forged" or sum(item.accepted for item in stats) > 0


def test_nothing_is_drafted_where_nothing_can_be_dropped() -> None:
    target = Limited(rollback=False)
    wanted = generate(target_of(), "none", REQUESTS)
    found = generate(target, forger(target, wanted), REQUESTS)
    assert ids(found) == ids(wanted) and target.longest == 1
    assert sum(sample.stats.drafted for result in found for sample in result.samples) == 0


@pytest.mark.parametrize(("taps", "offers", "message"), [
    ((0,), False, "drafter 'suffix' reads outputs of the target's layers, which this target does not give"),
    ((0, 7), True, "drafter 'suffix' reads the output of layer 7, but this target has layers 0 to 1"),
    ((-1,), True, "layer -1"),
])
def test_unmet_needs_are_one_line_at_the_start(taps: tuple[int, ...], offers: bool, message: str) -> None:
    target = Limited(taps=offers)
    drafter = drafter_of("suffix", target)
    drafter.taps = taps
    with pytest.raises(ConfigError, match=message) as found:
        Engine(target, drafter)
    assert "\n" not in str(found.value)
    drafter.taps = (0, 1) if offers else ()
    Engine(target, drafter)
