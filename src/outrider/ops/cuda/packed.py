"""Matrices rounded to 4 or 8 bits, in the layout that the kernels stream.

    8 bits   code int8 [N, D]; value = scale * code
    4 bits   code uint8 [N, D / 2], byte i of a group holds the codes of inputs i (low) and i + 16 (high);
             value = scale * code - minimum
    scales and minima: half precision, one for each group of 32 inputs of a row
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 32
BITS = {"q8": 8, "q4": 4}
_SLICE = 4096  # rows that are packed at once, so that a large matrix needs little room beside it


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """Shapes: scale_NG and minimum_NG [N, D / 32]; the latter empty for 8 bits."""

    bits: int
    inputs: int
    code: Tensor
    scale_NG: Tensor
    minimum_NG: Tensor

    @property
    def rows(self) -> int:
        return len(self.code)

    @property
    def num_bytes(self) -> int:
        return self.code.nbytes + self.scale_NG.nbytes + self.minimum_NG.nbytes

    def unpacked(self, row_n: Tensor | None = None) -> Tensor:
        """The values of some rows, or of all: float32 [n, D]."""
        code, scale, minimum = (part if row_n is None or not len(part) else part[row_n]
                                for part in (self.code, self.scale_NG, self.minimum_NG))
        grouped = code.view(len(code), -1, GROUP if self.bits == 8 else GROUP // 2)
        if self.bits == 8:
            return (grouped.float() * scale.float().unsqueeze(-1)).view(len(code), self.inputs)
        codes = torch.cat((grouped & 15, grouped >> 4), -1).float()
        return (codes * scale.float().unsqueeze(-1) - minimum.float().unsqueeze(-1)).view(len(code), self.inputs)


def packs(weight: Tensor) -> bool:
    """Whether a parameter is a matrix that can be packed."""
    return weight.ndim == 2 and weight.shape[1] % GROUP == 0


def pack(weight_ND: Tensor, bits: int) -> PackedWeight:
    """Rounds a matrix to 4 or 8 bits; `packs` says which can be."""
    parts = [_rounded(weight_ND[begin : begin + _SLICE], bits) for begin in range(0, len(weight_ND), _SLICE)]
    code, scale, minimum = (torch.cat([part[index] for part in parts]) for index in range(3))
    return PackedWeight(bits, weight_ND.shape[1], code, scale, minimum)


def _rounded(weight_ND: Tensor, bits: int) -> list[Tensor]:
    """Codes, scales and minima of some rows."""
    grouped = weight_ND.float().view(len(weight_ND), -1, GROUP)
    if bits == 8:
        scale = (grouped.abs().amax(-1) / 127).half()
        code = torch.round(grouped / _divisor(scale)).clamp_(-127, 127)
        return [code.to(torch.int8).view(len(weight_ND), -1), scale, scale.new_empty(0, scale.shape[1])]
    low = grouped.amin(-1).clamp_(max=0.0)
    scale, minimum = ((grouped.amax(-1) - low) / 15).half(), (-low).half()
    code = torch.round((grouped + minimum.float().unsqueeze(-1)) / _divisor(scale)).clamp_(0, 15).to(torch.uint8)
    low_codes, high_codes = code.chunk(2, -1)
    return [(low_codes | high_codes << 4).view(len(weight_ND), -1), scale, minimum]


def _divisor(scale: Tensor) -> Tensor:
    """Scales to divide by: groups of equal values have 0."""
    wide = scale.float().unsqueeze(-1)
    return torch.where(wide > 0, wide, 1.0)
