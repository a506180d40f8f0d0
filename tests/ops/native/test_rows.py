"""The row kernels of every instruction set: right against float64, and the same bits alone, together and everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native_rows import Array, Floats, Pages, Rotation, RowKernels, all_sets, misaligned, pointer, same_bits

SETS = all_sets()
PORTABLE = SETS[-1]
SILU, GELU_TANH = 0, 1
HARD = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-38, 1e-7, -1e-7, 0.49999, 0.5, 0.50001, -0.5, 1, -1, 10, -10, 87, 88.7,
                 -87, -87.4, 88.8, -88.8, 103.9, -103.9, 104.1, -104.1, 1e4, -1e4, 1e30, -1e30, 3.4e38, -3.4e38],
                np.float32)


def values(seed: int, *shape: int, spread: float = 1.0) -> Floats:
    """Normal values times 10 to the power of -spread to spread."""
    random = np.random.default_rng(seed)
    return np.float32(random.standard_normal(shape) * 10 ** random.uniform(-spread, spread, shape))


def relative_error(found: Floats, wanted: np.ndarray) -> float:
    normal = np.abs(wanted) > 1e-37
    return float(np.max(np.abs(found[normal] - wanted[normal]) / np.abs(wanted[normal]), initial=0.0))


def gated(x: np.ndarray, activation: int) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(over="ignore"):
        slope = x if activation == SILU else 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return x / (1 + np.exp(-slope))


@pytest.fixture(params=SETS, ids=lambda kernels: kernels.name)
def kernels(request: pytest.FixtureRequest) -> RowKernels:
    return request.param


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [SILU, GELU_TANH])
def test_gate(kernels: RowKernels, activation: int) -> None:
    x = np.float32(np.linspace(-9, 9, 4001)).reshape(1, -1)
    found = kernels.gate(x, np.ones_like(x), activation)
    # The exponent of gelu is itself rounded: its relative error grows with its size.
    assert relative_error(found, gated(x, activation)) < (5e-7 if activation == SILU else 2e-5)
    np.testing.assert_allclose(found, gated(x, activation), rtol=2e-7, atol=4e-7)
    up = values(1, 1, x.size)
    assert same_bits(kernels.gate(x, up, activation), found * up)


@pytest.mark.parametrize("activation", [SILU, GELU_TANH])
def test_gate_at_extremes(kernels: RowKernels, activation: int) -> None:
    found = kernels.gate(HARD[None], np.ones_like(HARD[None]), activation)[0]
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = gated(HARD, activation)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, wanted, rtol=5e-7, atol=2e-36)
    assert np.isnan(kernels.gate(np.float32([[np.nan]]), np.float32([[1]]), activation)).all()


def test_softcap_is_tanh(kernels: RowKernels) -> None:
    x = np.float32(np.concatenate([np.linspace(-12, 12, 6001), np.logspace(-30, 0, 500), HARD]))
    assert relative_error(kernels.softcap(x, 1.0), np.tanh(x.astype(np.float64))) < 3e-7
    with np.errstate(over="ignore"):
        wide = x * np.float32(30)
        wanted = 30 * np.tanh(wide.astype(np.float64) / 30)
    assert relative_error(kernels.softcap(wide, 30.0), wanted) < 4e-7
    ends = kernels.softcap(np.float32([np.inf, -np.inf, -0.0, np.nan]), 50.0)
    assert ends[:2].tolist() == [50, -50] and math.copysign(1, ends[2]) == -1 and np.isnan(ends[3])


def test_norm(kernels: RowKernels) -> None:
    x, weight = values(2, 5, 3, 96), values(3, 96)
    wide = x.astype(np.float64)
    wanted = wide / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + 1e-6) * weight
    assert relative_error(kernels.norm(x, weight, 1e-6, np.empty_like(x)), wanted) < 5e-7
    zeros = np.zeros((1, 1, 32), np.float32)
    assert (kernels.norm(zeros, weight[:32].copy(), 1e-6, np.empty_like(zeros)) == 0).all()


def of_rows(blocks: Array, name: str) -> Array:
    """A field of the blocks of 320 inputs, row by row; behind them lie zeros."""
    whole = blocks[name].swapaxes(0, 1).reshape(blocks.shape[1], -1)
    used = whole.shape[1] * 320 // 512
    assert not whole[:, used:].any()
    return np.ascontiguousarray(whole[:, :used])


def test_quantise_is_what_numpy_makes_of_its_definition(kernels: RowKernels) -> None:
    x = values(4, 7, 320)
    x[2, 32:64] = 0
    x[3, :32] = np.linspace(-127, 127, 32).round() + 0.5  # ties go to the even
    x[3, 0], x[4, 5] = 127, 3e38
    found = kernels.quantise(x)
    group = x.reshape(7, 10, 32)
    top = np.abs(group).max(-1)
    with np.errstate(divide="ignore"):
        inverse = np.where(top > 0, np.float32(127) / top, np.float32(0))
    wanted = np.clip(np.rint(group * inverse[..., None]), -127, 127).astype(np.int8)
    sums = wanted.reshape(7, 20, 16).sum(-1, dtype=np.int32)
    scale = top / np.float32(127)
    assert same_bits(of_rows(found, "q"), wanted.reshape(7, 320))
    assert same_bits(of_rows(found, "scale"), scale)
    assert same_bits(of_rows(found, "lift"), scale * (sums[:, ::2] + sums[:, 1::2]).astype(np.float32))
    assert same_bits(of_rows(found, "start"), -32 * sums)


def test_quantise_at_extremes(kernels: RowKernels) -> None:
    x = np.zeros((1, 96), np.float32)
    x[0, 3], x[0, 40], x[0, 70] = np.nan, np.inf, 1e-42
    found = kernels.quantise(x)
    scale = found["scale"][0, 0]
    assert np.isnan(scale[0]) and np.isinf(scale[1]) and scale[2] < 1e-43
    assert (found["q"][0, 0, 64:] == 0).all()


def test_add(kernels: RowKernels) -> None:
    a, b = values(5, 3, 77), values(6, 3, 77)
    assert same_bits(kernels.add(a, b), a + b)


# ---- the same bits --------------------------------------------------------------------------------------------------


@given(st.integers(0, 5), st.integers(1, 70), st.integers(0, 2**32))
def test_rows_alone_and_together_in_every_set(rows: int, size: int, seed: int) -> None:
    x, y, weight = (values(seed + i, rows, size) for i in range(3))
    weight = np.ascontiguousarray(values(seed, size))
    functions = (
        lambda one, a, b: one.gate(a, b, SILU),
        lambda one, a, b: one.gate(a, b, GELU_TANH),
        lambda one, a, b: one.add(a, b),
        lambda one, a, b: one.softcap(a, 2.5),
        lambda one, a, b: one.norm(a[:, None], weight, 1e-5, np.empty_like(a[:, None])),
    )
    for function in functions:
        whole = function(PORTABLE, x, y)
        for kernels in SETS:
            assert same_bits(function(kernels, misaligned(x), misaligned(y)), whole)
            for row in range(rows):
                alone = slice(row, row + 1)
                assert same_bits(function(kernels, x[alone], y[alone]), whole[alone])


@given(st.integers(0, 3), st.integers(0, 6), st.integers(0, 2**32))
def test_quantised_rows_alone_and_together_in_every_set(rows: int, groups: int, seed: int) -> None:
    x = values(seed, rows, 32 * groups, spread=8)
    whole = PORTABLE.quantise(x)
    for kernels in SETS:
        for row in range(rows):
            found = kernels.quantise(misaligned(x[row:row + 1]))
            assert same_bits(found[:, 0].copy(), whole[:, row].copy())


@pytest.mark.parametrize("name", [one.name for one in SETS])
def test_extremes_have_the_same_bits_in_every_set(name: str) -> None:
    kernels = next(one for one in SETS if one.name == name)
    ones = np.ones_like(HARD)
    for activation in (SILU, GELU_TANH):
        assert same_bits(kernels.gate(HARD[None], ones[None], activation),
                         PORTABLE.gate(HARD[None], ones[None], activation))
    assert same_bits(kernels.softcap(HARD, 1.0), PORTABLE.softcap(HARD, 1.0))


def test_norm_in_place(kernels: RowKernels) -> None:
    x, weight = values(7, 4, 2, 48), values(8, 48)
    apart = kernels.norm(x, weight, 1e-5, np.empty_like(x))
    assert same_bits(kernels.norm(x, weight, 1e-5, x), apart)


# ---- rotation and the cache -----------------------------------------------------------------------------------------


class Turn:
    """Rows to rotate, and a cache of NaN to write them to."""

    def __init__(self, rows: int, heads: int, groups: int, size: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.heads, self.groups, self.size = heads, groups, size
        self.q = values(seed, rows, heads, size)
        self.k, self.v = values(seed + 1, rows, groups, size), values(seed + 2, rows, groups, size)
        angle = random.uniform(-3, 3, (40, size // 2))
        self.cos, self.sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self.position = random.integers(0, 40, rows)
        self.slot = random.permutation(64)[:rows]
        self.key = np.full((4, groups, size, 16), np.nan, np.float16)
        self.value = np.full((4, groups, 16, size), np.nan, np.float16)

    def run(self, kernels: RowKernels, *ranges: tuple[int, int]) -> Turn:
        arrays = (self.q, self.k, self.v, self.cos, self.sin, self.position, self.slot)
        call = Rotation(*map(pointer, arrays), Pages(pointer(self.key), pointer(self.value)), self.heads, self.groups,
                        self.size)
        for begin, end in ranges:
            kernels.rotate(call, begin, end)
        return self

    def turned(self, x: Floats) -> np.ndarray:
        left, right = np.split(x.astype(np.float64), 2, axis=-1)
        cos, sin = self.cos[self.position][:, None], self.sin[self.position][:, None]
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)

    def bits(self) -> bytes:
        return self.q.tobytes() + self.key.tobytes() + self.value.tobytes()


@pytest.mark.parametrize("size", [16, 48, 64, 80, 96, 128, 256])
def test_rotation_turns_queries_and_fills_the_cache(kernels: RowKernels, size: int) -> None:
    turn = Turn(9, 6, 2, size, seed=size)
    turn.k[2, 1, 3], turn.v[4, 0, 5], turn.v[4, 0, 6] = 1e6, -1e6, 70000
    wanted_q, wanted_k = turn.turned(turn.q), np.clip(turn.turned(turn.k), -65504, 65504)
    turn.run(kernels, (0, 9))
    np.testing.assert_allclose(turn.q, wanted_q, rtol=0, atol=3e-6 * np.abs(wanted_q).max())
    block, lane = turn.slot // 16, turn.slot % 16
    for row in range(9):
        np.testing.assert_allclose(turn.key[block[row], :, :, lane[row]], wanted_k[row], rtol=1.01 * 2**-11, atol=1e-4)
        assert same_bits(turn.value[block[row], :, lane[row]], np.float16(np.clip(turn.v[row], -65504, 65504)))
    untouched = np.setdiff1d(np.arange(64), turn.slot)
    assert np.isnan(turn.key[untouched // 16, :, :, untouched % 16]).all()
    assert np.isnan(turn.value[untouched // 16, :, untouched % 16]).all()


@given(st.integers(1, 8), st.sampled_from([(3, 1), (4, 2), (2, 2)]), st.sampled_from([16, 48, 64]),
       st.integers(0, 2**32), st.data())
def test_rotation_by_any_ranges_in_every_set(rows: int, heads: tuple[int, int], size: int, seed: int,
                                             data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, rows))
    whole = Turn(rows, *heads, size, seed).run(PORTABLE, (0, rows)).bits()
    for kernels in SETS:
        assert Turn(rows, *heads, size, seed).run(kernels, (cut, rows), (0, cut), (cut, cut)).bits() == whole
