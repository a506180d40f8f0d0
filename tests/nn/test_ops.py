"""The readable ops against arithmetic written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from outrider.core.spec import RopeSpec
from outrider.core.step import ROOT, LayerCache, Span, Step
from outrider.ops.interface import AttentionShape, Pass, RopeTable, RopeTables
from outrider.ops.reference import ReferenceOps, _rotated
from outrider.ops.rope import GrowingRope, frequencies, rope_table

OPS = ReferenceOps()


def seen(span: Span, row: int, window: int) -> list[int]:
    """Indices of what a row sees: what is committed, then its branch; of these the `window` last."""
    branch, entry = [], span.done + row
    while entry != ROOT:
        branch.append(span.length + entry)
        entry = span.parent_A[entry]
    return [*range(span.length), *reversed(branch)][-window if window else 0 :]


def slow_attention(q_THK: Tensor, cache: LayerCache, spans: list[Span], shape: AttentionShape) -> Tensor:
    """One query, one head, one entry at a time."""
    out = torch.zeros_like(q_THK)
    share = q_THK.shape[1] // cache.key_SGK.shape[1]
    for span, row in [(one, row) for one in spans for row in range(one.count)]:
        slots = [int(span.slot_L[index]) for index in seen(span, row, shape.window)]
        for head in range(q_THK.shape[1]):
            keys, values = cache.key_SGK[slots, head // share], cache.value_SGK[slots, head // share]
            out[span.begin + row, head] = slow_head(q_THK[span.begin + row, head], keys, values, shape)
    return out


def slow_head(q_K: Tensor, key_LK: Tensor, value_LK: Tensor, shape: AttentionShape) -> Tensor:
    scores = [sum(float(a) * float(b) for a, b in zip(q_K, key_K, strict=True)) * shape.scale for key_K in key_LK]
    if shape.softcap is not None:
        scores = [shape.softcap * math.tanh(score / shape.softcap) for score in scores]
    weights = [math.exp(score - max(scores)) for score in scores]
    terms = [weight / sum(weights) * value_K for weight, value_K in zip(weights, value_LK, strict=True)]
    return torch.stack(terms).sum(0)


def unrotated(positions: int, head_size: int) -> RopeTables:
    table = RopeTable(torch.ones(positions, head_size // 2), torch.zeros(positions, head_size // 2))
    return RopeTables(table, table)


@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (3, 3), (4, 1)])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [0, 1, 3])
def test_attention(heads: int, groups: int, softcap: float | None, window: int) -> None:
    """A sequence in its first step, and one with a tree of which two entries were forwarded before."""
    size, generator = 6, torch.Generator().manual_seed(heads * groups)

    def draw(rows: int, width: int) -> Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    spans = [Span(0, 1, 2, torch.tensor([3, 9, 4]), [-1]),
             Span(1, 3, 2, torch.tensor([0, 2, 13, 5, 19, 6, 7]), [-1, 0, 0, 1, -1])]
    slot_T = torch.tensor([4, 19, 6, 7])
    position_T = torch.tensor([span.position_A[span.done + row] for span in spans for row in range(span.count)])
    cache = LayerCache(draw(20, groups * size).view(20, groups, size), draw(20, groups * size).view(20, groups, size))
    cache.key_SGK[11] = cache.value_SGK[11] = torch.nan  # nobody's entry
    q_TD, k_TD, v_TD = draw(4, heads * size), draw(4, groups * size), draw(4, groups * size)
    step = Step(torch.zeros(4), position_T, slot_T, tuple(spans), torch.arange(4))
    shape = AttentionShape(0, size, 0.7, False, window, softcap)
    found_TD = OPS.attention(q_TD, k_TD, v_TD, Pass(step, [cache], unrotated(8, size)), shape)
    assert torch.equal(cache.value_SGK[slot_T].view(4, -1), v_TD)
    wanted = slow_attention(q_TD.view(4, heads, size), cache, spans, shape)
    torch.testing.assert_close(found_TD.view(4, heads, size), wanted, rtol=1e-12, atol=1e-12)


def test_norm_and_gate() -> None:
    x = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    weight = torch.tensor([2.0, 0.5], dtype=torch.float64)
    root = math.sqrt((9 + 16) / 2 + 1e-3)
    assert OPS.norm(x, weight, 1e-3).tolist() == [pytest.approx([3 * 2 / root, -4 * 0.5 / root], rel=1e-14)]
    gate, up = torch.tensor([1.5]), torch.tensor([2.0])
    assert float(OPS.gate(gate, up, "silu")) == pytest.approx(2 * 1.5 / (1 + math.exp(-1.5)), rel=1e-6)
    inner = math.sqrt(2 / math.pi) * (1.5 + 0.044715 * 1.5**3)
    assert float(OPS.gate(gate, up, "gelu_tanh")) == pytest.approx(2 * 0.75 * (1 + math.tanh(inner)), rel=1e-6)


def test_rotation_depends_on_distance_alone() -> None:
    table = rope_table(RopeSpec(theta=50.0), 8, 64, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 8, generator=generator, dtype=torch.float64) for _ in range(2))

    def product(at: int, other: int) -> float:
        left, right = _rotated(query, table, torch.tensor([at])), _rotated(key, table, torch.tensor([other]))
        return float((left * right).sum())

    assert product(9, 4) == pytest.approx(product(59, 54), abs=1e-5)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)
    assert torch.equal(_rotated(query, table, torch.tensor([0])), query)


def test_a_growing_table_holds_the_same_as_a_whole_one() -> None:
    rope = RopeSpec(theta=50.0)
    whole, growing = rope_table(rope, 8, 2500, torch.device("cpu")), GrowingRope(rope, 8, 2500)
    growing.reach(1)
    first_PK = growing.table.cos_PK[:1024].clone()
    growing.table.cos_PK[:1024] = 0  # what is ready is not computed again
    for positions in (0, 1025, 7, 9999):
        growing.reach(positions)
    assert torch.equal(first_PK, whole.cos_PK[:1024]) and not growing.table.cos_PK[:1024].any()
    assert torch.equal(growing.table.cos_PK[1024:], whole.cos_PK[1024:])
    assert torch.equal(growing.table.sin_PK, whole.sin_PK)


def test_scaled_frequencies() -> None:
    plain = frequencies(RopeSpec(theta=10_000.0), 8)
    assert plain.tolist() == pytest.approx([1.0, 0.1, 0.01, 0.001])
    assert frequencies(RopeSpec(theta=10_000.0, scaling="linear", factor=4.0), 8).tolist() == pytest.approx(
        (plain / 4).tolist())
    divided = frequencies(RopeSpec(theta=10_000.0, frequency_divisor=(1.0, 2.0, 4.0, 8.0)), 8)
    assert divided.tolist() == pytest.approx([1.0, 0.05, 0.0025, 0.000125])
    llama3 = frequencies(RopeSpec(theta=10_000.0, scaling="llama3", factor=8.0, low_freq_factor=1.0,
                                  high_freq_factor=4.0, original_positions=100), 8)
    # Wavelengths 6.3, 63, 628, 6283 against 100: kept below 25, divided by 8 above 100, in between in between.
    turns = 100 * 0.1 / (2 * math.pi)
    ramp = (turns - 1.0) / 3.0
    assert llama3.tolist() == pytest.approx([1.0, 0.1 * (ramp + (1 - ramp) / 8), 0.01 / 8, 0.001 / 8])


def test_yarn_is_that_of_the_transformers_library() -> None:
    """Numbers of transformers 5.15 (Qwen3, head size 16, 512 positions stretched to 2048)."""
    rope = RopeSpec(theta=10_000.0, scaling="yarn", factor=4.0, original_positions=512, magnitude=1.138629436111989)
    expected = [1.0, 0.2569350600, 0.0625, 0.0138349654, 0.0025, 0.00079056947, 0.00025, 0.0000790569466]
    assert frequencies(rope, 16).tolist() == pytest.approx(expected, rel=1e-6)
    table = rope_table(rope, 16, 4, torch.device("cpu"))
    assert table.cos_PK[0].tolist() == pytest.approx([1.138629436] * 8)
    assert table.sin_PK[3, 1].item() == pytest.approx(1.138629436 * math.sin(3 * 0.25693506))
