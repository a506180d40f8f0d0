"""Rotary tables by absolute position, in float64 until the end.

Source: Su et al., "RoFormer" (arXiv 2104.09864); the `llama3` rescaling is that of the Llama 3.1 release.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from outrider.core.spec import RopeSpec
from outrider.ops.interface import RopeTable


def rope_table(rope: RopeSpec, head_size: int, positions: int, device: torch.device) -> RopeTable:
    """cos and sin for positions 0 to `positions` - 1."""
    frequency_K = frequencies(rope, head_size)
    angle_PK = torch.arange(positions, dtype=torch.float64)[:, None] * frequency_K
    return RopeTable(angle_PK.cos().float().to(device), angle_PK.sin().float().to(device))


def frequencies(rope: RopeSpec, head_size: int) -> Tensor:
    """Radians per position of each rotated pair, float64 [head_size / 2]."""
    frequency_K = rope.theta ** -(torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    if rope.frequency_divisor:
        return frequency_K / torch.tensor(rope.frequency_divisor, dtype=torch.float64)
    if rope.scaling == "linear":
        return frequency_K / rope.factor
    if rope.scaling == "llama3":
        return _llama3(frequency_K, rope)
    return frequency_K


def _llama3(frequency_K: Tensor, rope: RopeSpec) -> Tensor:
    """Long wavelengths are stretched by `factor`, short ones kept, a linear ramp joins them."""
    turns_K = rope.original_positions * frequency_K / (2 * math.pi)
    ramp_K = (turns_K - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    ramp_K = ramp_K.clamp(0.0, 1.0)
    return ramp_K * frequency_K + (1 - ramp_K) * frequency_K / rope.factor
