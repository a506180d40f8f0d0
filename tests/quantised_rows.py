"""Random rows in the formats of files, and activations as quantised matrices take them."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from outrider.ops.native.matrix import QuantisedInputs

HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # where a block has half-precision scales and minima
TYPES = tuple(HALVES)


def random_rows(type_name: str, rows: int, inputs: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Rows of any bits but for the scales, ordinary numbers of either sign. Shapes: returns [rows, bytes of a row]."""
    random = np.random.default_rng(seed)
    block_inputs, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]]
    blocks = random.integers(0, 256, (rows, inputs // block_inputs, block_bytes), dtype=np.uint8)
    for at in HALVES[type_name]:
        scale = np.float16(random.normal(size=blocks.shape[:2]))
        blocks[:, :, at : at + 2] = scale.view(np.uint8).reshape(*blocks.shape[:2], 2)
    return blocks.reshape(rows, -1)


def extreme_rows(type_name: str, inputs: int) -> npt.NDArray[np.uint8]:
    """Six times 16 rows, all bits but those of the scales set, none set, or in patterns; scales and minima are 1."""
    blocks = random_rows(type_name, 6 * 16, inputs)
    row_bytes = blocks.shape[1]
    blocks[:] = np.repeat(np.uint8([255, 0, 0x80, 0x7F, 0xAA, 0x55]), 16)[:, None]
    block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]][1]
    for at in HALVES[type_name]:
        blocks.reshape(96, -1, block_bytes)[:, :, at : at + 2] = np.frombuffer(np.float16(1).tobytes(), np.uint8)
    return blocks.reshape(96, row_bytes)


def dequantised(type_name: str, data: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(gguf.dequantize(data, gguf.GGMLQuantizationType[type_name]))


def quantised(x: Tensor) -> QuantisedInputs:
    """The rule of the kernels, in torch: the largest of 32 becomes 127. Shapes: x [rows, inputs]."""
    groups = x.float().reshape(len(x), x.shape[1] // 32, 32)
    largest = groups.abs().amax(-1)
    inverse = torch.where(largest > 0, 127 / largest, torch.zeros_like(largest))
    q = torch.round(groups * inverse[..., None]).to(torch.int8).reshape(x.shape)
    return with_sums(q, largest / 127)


def with_sums(q: Tensor, scale: Tensor) -> QuantisedInputs:
    return QuantisedInputs(q.contiguous(), scale.contiguous(),
                           q.reshape(len(q), q.shape[1] // 16, 16).sum(-1, dtype=torch.int32).contiguous())


def rounded(x: QuantisedInputs) -> Tensor:
    """What the quantised activations stand for, in float64."""
    groups = x.q.double().reshape(*x.scale.shape, 32) * x.scale.double()[..., None]
    return groups.reshape(x.q.shape)


def some_rows(x: QuantisedInputs, first: int, last: int) -> QuantisedInputs:
    return QuantisedInputs(x.q[first:last].clone(), x.scale[first:last].clone(), x.sum[first:last].clone())
