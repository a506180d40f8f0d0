"""Rotary tables by absolute position, in float64 until the end.

Source: Su et al., "RoFormer" (arXiv 2104.09864); the `llama3` rescaling is that of the Llama 3.1 release, `yarn` is
Peng et al., "YaRN" (arXiv 2309.00071), as in the transformers library.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

from outrider.core.spec import RopeSpec
from outrider.ops.interface import RopeTable

_BLOCK = 1024  # positions that are filled in at once


def rope_table(rope: RopeSpec, head_size: int, positions: int, device: torch.device) -> RopeTable:
    """cos and sin for positions 0 to `positions` - 1."""
    angle_PK = _angles(rope, head_size, 0, positions)
    cos_PK, sin_PK = rope.magnitude * angle_PK.cos(), rope.magnitude * angle_PK.sin()
    return RopeTable(cos_PK.float().to(device), sin_PK.float().to(device))


class GrowingRope:
    """The same table on the CPU, filled in as far as positions have been reached.

    What nobody reached takes no memory: a context of 32,768 would cost tens of megabytes before the first token.
    """

    def __init__(self, rope: RopeSpec, head_size: int, positions: int) -> None:
        cos_PK, sin_PK = (torch.empty(positions, head_size // 2, dtype=torch.float32, device="cpu") for _ in range(2))
        self.table = RopeTable(cos_PK, sin_PK)
        self._rope, self._head_size, self._filled, self._filling = rope, head_size, 0, threading.Lock()

    def reach(self, positions: int) -> None:
        """Makes positions below this one ready, as far as the table goes. Rows that are ready are never touched."""
        with self._filling:
            while self._filled < min(positions, len(self.table.cos_PK)):
                end = min(self._filled + _BLOCK, len(self.table.cos_PK))
                angle_PK = _angles(self._rope, self._head_size, self._filled, end)
                self.table.cos_PK[self._filled : end] = self._rope.magnitude * angle_PK.cos()
                self.table.sin_PK[self._filled : end] = self._rope.magnitude * angle_PK.sin()
                self._filled = end


def _angles(rope: RopeSpec, head_size: int, begin: int, end: int) -> Tensor:
    """Radians, float64 [positions, head_size / 2]."""
    return torch.arange(begin, end, dtype=torch.float64)[:, None] * frequencies(rope, head_size)


def frequencies(rope: RopeSpec, head_size: int) -> Tensor:
    """Radians per position of each rotated pair, float64 [head_size / 2]."""
    frequency_K = rope.theta ** -(torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    if rope.frequency_divisor:
        return frequency_K / torch.tensor(rope.frequency_divisor, dtype=torch.float64)
    if rope.scaling == "linear":
        return frequency_K / rope.factor
    if rope.scaling == "llama3":
        return _llama3(frequency_K, rope)
    if rope.scaling == "yarn":
        return _yarn(frequency_K, rope)
    return frequency_K


def _llama3(frequency_K: Tensor, rope: RopeSpec) -> Tensor:
    """Long wavelengths are stretched by `factor`, short ones kept, a linear ramp joins them."""
    turns_K = rope.original_positions * frequency_K / (2 * math.pi)
    ramp_K = (turns_K - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    ramp_K = ramp_K.clamp(0.0, 1.0)
    return ramp_K * frequency_K + (1 - ramp_K) * frequency_K / rope.factor


def _yarn(frequency_K: Tensor, rope: RopeSpec) -> Tensor:
    """Slow pairs are stretched by `factor`, fast ones kept, a ramp over the pairs' numbers joins them."""
    first, last = (_pair_that_turns(turns, rope, len(frequency_K)) for turns in (rope.beta_fast, rope.beta_slow))
    if rope.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, 2 * len(frequency_K) - 1)
    width = last - first or 0.001
    stretched_K = ((torch.arange(len(frequency_K), dtype=torch.float64) - first) / width).clamp(0.0, 1.0)
    return (1 - stretched_K) * frequency_K + stretched_K * frequency_K / rope.factor


def _pair_that_turns(turns: float, rope: RopeSpec, num_pairs: int) -> float:
    """The number, not a whole one, of the pair that turns so often within the original positions."""
    return num_pairs * math.log(rope.original_positions / (turns * 2 * math.pi)) / math.log(rope.theta)
