"""Norms, gates, rotations and packed products against the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cuda_steps import Geometry, Story, attended, chain, stepped
from outrider.core.step import Step
from outrider.ops.cuda.packed import GROUP, pack, packs
from outrider.ops.interface import AttentionShape, Pass, RopeTable, RopeTables
from outrider.ops.reference import ReferenceOps

cuda = pytest.importorskip("outrider.ops.cuda.ops", reason="no Triton: `pip install triton` runs these anywhere")
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # exp of what sigmoid sends to 0

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    tolerance = TOLERANCE[found.dtype]
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)


def drawn(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("features", "size"), [(48, 48), (96, 24), (1000, 1000)])
def test_norm(dtype: torch.dtype, features: int, size: int, device: torch.device) -> None:
    """Of the row, and of each head in it."""
    x_TD, weight = (drawn(*shape, dtype=dtype, device=device) for shape in ((5, features), (size,)))
    near(cuda.CudaOps(device).norm(x_TD, weight, 1e-3), ReferenceOps().norm(x_TD, weight, 1e-3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gate(dtype: torch.dtype, activation: str, device: torch.device) -> None:
    gate_TI, up_TI = (drawn(3, size, dtype=dtype, device=device) * 4 for size in (700, 700))
    near(cuda.CudaOps(device).gate(gate_TI, up_TI, activation), ReferenceOps().gate(gate_TI, up_TI, activation))


def test_padding_rows_leave_the_cache_alone(device: torch.device) -> None:
    """A slot below 0 is nobody's."""
    geometry, step = Geometry(2, 2, 8), stepped([Story(4, chain(3))], device)
    shape = AttentionShape(0, 8, 1.0)
    before = attended(ReferenceOps(), step, geometry, shape, torch.float32)
    slot_T = step.slot_T.clone()
    slot_T[1] = -1
    padded = Step(step.token_T, step.position_T, slot_T, step.spans, step.logit_row_R)
    after = attended(cuda.CudaOps(device), padded, geometry, shape, torch.float32)
    changed = (before.key_SGK != after.key_SGK) & ~before.key_SGK.isnan()
    assert changed.flatten(1).any(1).nonzero().flatten().tolist() == [int(step.slot_T[1])]


def test_remembered_rows_are_those_that_attention_caches(device: torch.device) -> None:
    class Remembering(cuda.CudaOps):  # type: ignore[misc, name-defined]
        def attention(self, q_TD: torch.Tensor, k_TD: torch.Tensor, v_TD: torch.Tensor, run: Pass,
                      shape: AttentionShape) -> torch.Tensor:
            self.remember(k_TD, v_TD, run, shape)
            return q_TD

    geometry, step = Geometry(4, 2, 16), stepped([Story(4, chain(3)), Story(17, chain(2))], device)
    runs = [attended(ops(device), step, geometry, AttentionShape(0, 16, 1.0), torch.float32)
            for ops in (cuda.CudaOps, Remembering)]
    assert torch.equal(runs[0].key_SGK.nan_to_num(), runs[1].key_SGK.nan_to_num())
    assert torch.equal(runs[0].value_SGK.nan_to_num(), runs[1].value_SGK.nan_to_num())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("taps", "group", "side"), [(4, 1, 0), (3, 16, 1), (1, 4, 0)])
def test_convolutions_along_blocks(taps: int, group: int, side: int, dtype: torch.dtype, device: torch.device) -> None:
    """Two blocks, one row that is alone, and rows whose predecessor is not the row before."""
    size, previous_T = 560, torch.tensor([-1, 0, 1, 2, 3, -1, -1, 6, 6, 8], device=device)
    step = stepped([Story(0, chain(len(previous_T)))], device)
    run = Pass(replace(step, previous_T=previous_T), (), RopeTables(*[RopeTable(*[torch.zeros(1, 1)] * 2)] * 2))
    x_TD, kernel_TE, base_2KD = (drawn(*shape, dtype=dtype, device=device) for shape in (
        (10, size), (10, 2 * taps * size // group), (2, taps, size)))
    found, expected = (ops.convolve(x_TD, kernel_TE, base_2KD, run, side)
                       for ops in (cuda.CudaOps(device), ReferenceOps()))
    tolerance = TOLERANCE[dtype] * 4
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(cuda.CudaOps(device).previous(x_TD, run), ReferenceOps().previous(x_TD, run))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.usefixtures("bfloat16")
def test_packed_products(bits: int, dtype: torch.dtype, device: torch.device) -> None:
    """The kernel multiplies with the numbers that `unpacked` says the matrix holds, with and without a bias."""
    ops, parameter = cuda.CudaOps(device), nn.Parameter(drawn(75, 160, dtype=dtype, device=device), requires_grad=False)
    ops.round(parameter, bits)
    numbers, bias = ops.packed(parameter).unpacked().to(dtype), drawn(75, dtype=dtype, device=device)
    assert parameter.shape == (75, 160) and parameter.untyped_storage().nbytes() == dtype.itemsize
    assert parameter.isnan().all() and ops.packed_bytes < 75 * 160 * (bits / 8 + 0.13)
    for rows in (1, 17, 70):
        x_TD = drawn(rows, 160, dtype=dtype, device=device) * 0.1
        near(ops.linear(x_TD, parameter, bias), ReferenceOps().linear(x_TD, numbers, bias))
    near(ops.linear(x_TD, parameter, None), ReferenceOps().linear(x_TD, numbers, None))
    token_T = torch.tensor([74, 0, 3, 3], device=device)
    near(ops.embed(token_T, parameter, 2.0), (numbers[token_T].float() * 2.0).to(dtype))


def test_matrices_that_are_not_packed_go_to_the_library(device: torch.device) -> None:
    ops, weight = cuda.CudaOps(device), drawn(7, 5, dtype=torch.float32, device=device)
    assert torch.equal(ops.linear(weight, weight, None), weight @ weight.T)
    assert not packs(weight) and packs(drawn(2, 64, dtype=torch.float32, device=device))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), bits=st.sampled_from([4, 8]), spread=st.sampled_from([0.0, 1e-3, 1.0, 50.0]))
def test_rounding_is_within_half_a_step(seed: int, bits: int, spread: float) -> None:
    """And a little more, for scales are kept in half precision."""
    weight = torch.randn(5, 96, generator=torch.Generator().manual_seed(seed)) * spread + spread
    grouped = weight.view(5, -1, GROUP)
    reach = grouped.amax(-1).clamp(min=0) - grouped.amin(-1).clamp(max=0) if bits == 4 else grouped.abs().amax(-1)
    step = reach / (15 if bits == 4 else 127)
    error = (pack(weight, bits).unpacked() - weight).abs().view(5, -1, GROUP).amax(-1)
    assert bool((error <= 0.5 * step + reach * 2e-3 + 1e-6).all())
