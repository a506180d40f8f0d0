"""The compute that layers are written in. One implementation for readers (`reference`), others for speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import Span


@dataclass(frozen=True, slots=True)
class RopeTable:
    """cos and sin by absolute position; shapes [positions, K / 2], float32."""

    cos_PK: Tensor
    sin_PK: Tensor


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What attention needs beyond its tensors; `local` picks the spans' sliding-window masks."""

    scale: float
    local: bool
    softcap: float | None = None


class Ops(Protocol):
    """Shapes: T packed rows, D features in, H query heads, G key-value heads, K head size, S cache slots."""

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x @ weight.T + bias; weight [out, D]."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Root-mean-square norm over the last axis."""

    def rotate(self, x_THK: Tensor, table: RopeTable, position_T: Tensor) -> Tensor:
        """Rotary embedding, half-rotation layout."""

    def attention(self, q_THK: Tensor, key_SGK: Tensor, value_SGK: Tensor, spans: Sequence[Span],
                  shape: AttentionShape) -> Tensor:
        """Every row attends to the slots its span names; returns [T, H, K]."""

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        """activation(gate) * up."""
