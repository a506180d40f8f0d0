"""The readable ops against arithmetic written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from outrider.core.spec import RopeSpec
from outrider.core.step import Span
from outrider.ops.interface import AttentionShape
from outrider.ops.reference import ReferenceOps
from outrider.ops.rope import frequencies, rope_table

OPS = ReferenceOps()


def slow_attention(q_THK: Tensor, key_SGK: Tensor, value_SGK: Tensor, spans: list[Span],
                   shape: AttentionShape) -> Tensor:
    """One query, one head, one entry at a time."""
    out = torch.zeros_like(q_THK)
    share = q_THK.shape[1] // key_SGK.shape[1]
    for span, row in [(one, row) for one in spans for row in range(one.count)]:
        mask = span.local_ML if shape.local else span.visible_ML
        slots = [int(slot) for index, slot in enumerate(span.slot_L) if mask is None or mask[row, index]]
        for head in range(q_THK.shape[1]):
            keys, values = key_SGK[slots, head // share], value_SGK[slots, head // share]
            out[span.begin + row, head] = slow_head(q_THK[span.begin + row, head], keys, values, shape)
    return out


def slow_head(q_K: Tensor, key_LK: Tensor, value_LK: Tensor, shape: AttentionShape) -> Tensor:
    scores = [sum(float(a) * float(b) for a, b in zip(q_K, key_K, strict=True)) * shape.scale for key_K in key_LK]
    if shape.softcap is not None:
        scores = [shape.softcap * math.tanh(score / shape.softcap) for score in scores]
    weights = [math.exp(score - max(scores)) for score in scores]
    terms = [weight / sum(weights) * value_K for weight, value_K in zip(weights, value_LK, strict=True)]
    return torch.stack(terms).sum(0)


@pytest.mark.parametrize(("heads", "groups"), [(4, 2), (3, 3), (4, 1)])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("local", [False, True])
def test_attention(heads: int, groups: int, softcap: float | None, local: bool) -> None:
    generator = torch.Generator().manual_seed(heads * groups)
    query, key, value = (torch.randn(size, count, 5, generator=generator, dtype=torch.float64)
                         for size, count in ((4, heads), (20, groups), (20, groups)))
    visible = torch.rand(3, 7, generator=generator) < 0.6
    visible[:, 2] = True
    near = visible & (torch.arange(7) > 1)
    key[11] = value[11] = torch.nan  # nobody's entry
    slot_L = torch.tensor([0, 2, 13, 5, 19, 6, 7])
    spans = [Span(0, 1, torch.tensor([3, 9, 4]), None, None), Span(1, 3, slot_L, visible, near)]
    shape = AttentionShape(0.7, local, softcap)
    found = OPS.attention(query, key, value, spans, shape)
    torch.testing.assert_close(found, slow_attention(query, key, value, spans, shape), rtol=1e-12, atol=1e-12)


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
        left, right = OPS.rotate(query, table, torch.tensor([at])), OPS.rotate(key, table, torch.tensor([other]))
        return float((left * right).sum())

    assert product(9, 4) == pytest.approx(product(59, 54), abs=1e-5)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)
    assert torch.equal(OPS.rotate(query, table, torch.tensor([0])), query)


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
