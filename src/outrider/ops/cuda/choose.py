"""The target's choices for many rows at once, on the device: what `core.distribution.choose` says row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from outrider.ops.cuda.kernels import choose

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class RowNoise:
    """How a row is chosen from: at `temperature`, with the noise of the words (`NoiseKey.words`); at 0 without."""

    temperature: float = 0.0
    words: tuple[int, int, int] = (0, 0, 0)


def best_tokens(score_RV: Tensor, noises: Sequence[RowNoise]) -> Tensor:
    """The argmax of (score - row's best) / temperature + noise in every row, the lowest id of equals; int64 [R]."""
    count, size = score_RV.shape
    device, score_RV = score_RV.device, score_RV.contiguous()
    temperature_R = torch.tensor([noise.temperature for noise in noises], dtype=torch.float64).to(device)
    words_R3 = torch.tensor([noise.words for noise in noises], dtype=torch.int64).to(device)
    top_R = score_RV.amax(-1).to(torch.float64)
    blocks = triton.cdiv(size, _BLOCK)
    value_RB = torch.empty(count, blocks, dtype=torch.float64, device=device)
    token_RB = torch.empty(count, blocks, dtype=torch.int32, device=device)
    out_R = torch.empty(count, dtype=torch.int64, device=device)
    if count:
        choose.best_kernel[(count, blocks)](score_RV, top_R, temperature_R, words_R3, value_RB, token_RB, size, _BLOCK,
                                            enable_fp_fusion=False)
        choose.first_best_kernel[(count,)](value_RB, token_RB, out_R, blocks, triton.next_power_of_2(blocks))
    return out_R


def bits(words_R3: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The 53-bit words, high and low, behind the noise of the first `size` tokens; int64 [R, size] each."""
    high_RV, low_RV = (torch.empty(len(words_R3), size, dtype=torch.int64, device=words_R3.device) for _ in range(2))
    choose.bits_kernel[(len(words_R3), triton.cdiv(size, _BLOCK))](words_R3.contiguous(), high_RV, low_RV, size, _BLOCK)
    return high_RV, low_RV
