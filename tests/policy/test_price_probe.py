from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from outrider.cache.kv import KVCache
from outrider.cache.payload import Payload
from outrider.core.step import Step
from outrider.policy.price_probe import CONTEXT_SIZES, SIZES, measured, probe_context
from outrider.target.decoder import DecoderTarget
from outrider.target.interface import ForwardOutput, TargetInfo
from tiny_engine import target_of


@dataclass
class Clocked:
    """A toy whose passes take what a formula says, on a clock of its own; every fifth hiccups."""

    fixed_s: float = 0.020
    row_s: float = 0.001
    entry_s: float = 1e-6
    dip_s: float = 0.0  # by which entries before four rows are quicker
    hiccup_s: float = 0.0
    context: int = 4096
    info: TargetInfo = field(default_factory=lambda: TargetInfo(True, True, True, True))
    now_s: float = 0.0
    passes: list[tuple[int, int]] = field(default_factory=list)
    caches: list[KVCache[Any]] = field(default_factory=list)

    vocab_size, device = 96, target_of().device

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[Any]:
        self.caches.append(target_of().new_cache(num_tokens, payloads))
        return self.caches[-1]

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        (span,) = step.spans
        assert len(step.logit_row_R) == span.count, "logits of all rows are wanted"
        self.passes.append((span.count, span.length))
        self.now_s += self.fixed_s + span.count * (self.row_s + span.length * self.entry_s)
        self.now_s -= self.dip_s * span.length if span.count == 4 else 0.0
        self.now_s += self.hiccup_s if len(self.passes) % 5 == 0 else 0.0
        return ForwardOutput(torch.zeros(span.count, 96), None)

    def clock(self) -> float:
        return self.now_s


def test_a_price_of_known_shape_is_found() -> None:
    target = Clocked()
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert curve.base_n == pytest.approx([0.020 + 0.001 * rows for rows in curve.rows_n])
    assert curve.slope_n == pytest.approx([1e-6 * rows for rows in curve.context_rows_n])
    assert {1, 2, 4, 8, 16, 32, 64} <= set(curve.rows_n) and {1, 4, 16, 32} <= set(curve.context_rows_n)
    assert {length for _, length in target.passes} == {0, 2048}


def test_a_cheap_pass_is_measured_at_all_sizes_and_again() -> None:
    target = Clocked(row_s=1e-5, entry_s=1e-9, hiccup_s=0.002)
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert curve.rows_n == SIZES and curve.context_rows_n == CONTEXT_SIZES
    assert curve.base_n == pytest.approx([0.020 + 1e-5 * rows for rows in SIZES], rel=0.01)
    assert min(target.passes.count((rows, 0)) for rows in SIZES if rows <= 8) >= 2
    hiccups = [rows for rows, _ in target.passes[4::5]]
    assert 96 not in hiccups or target.passes.count((96, 0)) > 1


@pytest.mark.parametrize("fixed_s", [0.0005, 0.022, 0.4])
def test_the_time_is_bounded(fixed_s: float) -> None:
    target = Clocked(fixed_s=fixed_s, row_s=fixed_s, entry_s=fixed_s * 1e-3)
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert target.now_s <= 3.0 + 12 * fixed_s
    assert curve.rows_n[0] == 1


def test_a_larger_pass_that_was_quicker_counts_for_the_smaller_too() -> None:
    target = Clocked(row_s=-1e-5, entry_s=0.0)
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert len(set(curve.base_n)) == 1 and curve.base_n[0] == pytest.approx(0.020 - 96e-5)
    assert curve.slope_n == pytest.approx([32e-5 / 2048] * len(CONTEXT_SIZES))


def test_slopes_that_fall_get_their_mean() -> None:
    target = Clocked(dip_s=3e-6)
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert curve.slope_n[:4] == pytest.approx([1e-6, 1.5e-6, 1.5e-6, 8e-6], rel=0.01)


@pytest.mark.parametrize(("context", "trees"), [(4096, False), (128, True), (40, True), (1, True)])
def test_without_room_or_entries_slopes_are_unknown(context: int, trees: bool) -> None:
    target = Clocked(context=context, info=TargetInfo(trees, trees, True, True))
    curve = measured(target, target.clock)  # type: ignore[arg-type]
    assert curve.context_rows_n == (1,) and curve.slope_n == (0.0,)
    assert max(rows for rows, _ in target.passes) <= context


def test_a_probe_leaves_no_block_behind() -> None:
    target = Clocked()
    measured(target, target.clock)  # type: ignore[arg-type]
    (cache,) = target.caches
    cache.check_integrity()
    assert cache.num_available == cache.shape.num_blocks


def test_made_up_entries_are_zeros() -> None:
    target = Clocked()
    measured(target, target.clock)  # type: ignore[arg-type]
    (cache,) = target.caches
    assert all(not layer.key_SGK.any() and not layer.value_SGK.any() for layer in cache.layers)


def test_a_real_toy_has_a_price() -> None:
    target = target_of()
    assert isinstance(target, DecoderTarget) and probe_context(target) == target.context - 128
    curve = measured(target)
    assert dataclasses.asdict(curve)["rows_n"][:2] == (1, 2)
