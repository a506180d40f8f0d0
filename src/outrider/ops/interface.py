"""The compute that layers are written in. One implementation for readers (`reference`), others for speed.

Layers hand tensors from one operation to the next and do nothing with them in between, so that an implementation may
also be one that only writes down what is asked of it (`native.recorder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import LayerCache, Step


@dataclass(frozen=True, slots=True)
class RopeTable:
    """cos and sin by absolute position; shapes [positions, K / 2], float32."""

    cos_PK: Tensor
    sin_PK: Tensor


@dataclass(frozen=True, slots=True)
class RopeTables:
    """The tables of layers that see everything and of those with a window."""

    full: RopeTable
    local: RopeTable


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What attention needs beyond its tensors. `window` counts the positions a row sees, its own included; 0: all.

    `local` picks the rotary table of layers with a window. With `both_ways` the appended entries of a span, a chain
    then, see each other, also those behind them, as far as the window reaches.
    """

    layer: int
    head_size: int
    scale: float
    local: bool = False
    window: int = 0
    softcap: float | None = None
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward pass brings along: its rows, where keys and values go, and the rotary tables."""

    step: Step
    caches: Sequence[LayerCache]
    ropes: RopeTables


class Ops(Protocol):
    """Shapes: T packed rows, D features in, H query heads, G key-value heads, K head size, R rows that want logits."""

    def embed(self, token_T: Tensor, weight: Tensor, scale: float) -> Tensor:
        """Rows of a table times `scale`; weight [V, D]."""

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x @ weight.T + bias; weight [out, D]."""

    def norm(self, x_TD: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Root-mean-square norm of every stretch of `len(weight)` features: the row, or each head of it."""

    def attention(self, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> Tensor:
        """Rotates q and k (half-rotation layout), caches k and v, and lets every row attend to what its span shows it.

        Shapes: q [T, H * K], k and v [T, G * K]; returns [T, H * K].
        """

    def remember(self, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> None:
        """The part of `attention` that caches: for rows that others attend to and that attend to nothing."""

    def previous(self, x_TD: Tensor, run: Pass) -> Tensor:
        """For each row the one before it in its block, by `step.previous_T`; the first of a block gets itself."""

    def convolve(self, x_TD: Tensor, kernel_TE: Tensor, base_2KD: Tensor, run: Pass, side: int) -> Tensor:
        """A causal convolution along each block: the sum over taps k of (base[side, k] + kernel[side, k]) * x[t - k].

        Rows before the block count as zero. Shapes: base [2, taps, D]; kernel [T, 2 * taps * D / g], read as
        [T, 2, taps, D / g]: each of its numbers serves g features.
        """

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        """activation(gate) * up."""

    def add(self, x_TD: Tensor, y_TD: Tensor) -> Tensor: ...

    def pick(self, x_TD: Tensor, row_R: Tensor) -> Tensor:
        """The rows `row_R`."""

    def join(self, x_TDs: Sequence[Tensor]) -> Tensor:
        """Side by side: [T, sum of D]."""

    def softcap(self, x_RV: Tensor, cap: float) -> Tensor:
        """cap * tanh(x / cap)."""
