"""Random rows in the formats of files, and activations as quantised matrices take them."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from outrider.ops.native.matrix import QuantisedInputs

INPUT_BLOCK = np.dtype([("q", np.int8, 256), ("scale", np.float32, 8), ("lift", np.float32, 8),
                        ("start", np.int32, 16)])  # as in csrc/matrix.h
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
    rows, inputs = q.shape
    count = -(-inputs // 256)
    sums = q.reshape(rows, inputs // 16, 16).sum(-1, dtype=torch.int32)
    lift = scale * sums.reshape(rows, inputs // 32, 2).sum(-1)
    found = np.zeros((count, rows), INPUT_BLOCK)
    for name, values in {"q": q, "scale": scale, "lift": lift, "start": -32 * sums}.items():
        width = found[name].shape[-1]
        whole = torch.nn.functional.pad(values, (0, count * width - values.shape[1]))
        found[name] = whole.reshape(rows, count, width).transpose(0, 1).numpy()
    return QuantisedInputs(torch.from_numpy(found.view(np.uint8).reshape(count, rows, INPUT_BLOCK.itemsize)))


def rounded(x: QuantisedInputs, inputs: int) -> Tensor:
    """What the quantised activations stand for, in float64."""
    blocks = x.blocks.numpy().view(INPUT_BLOCK)[..., 0]
    values = blocks["q"].reshape(*blocks.shape, 8, 32).astype(np.float64) * blocks["scale"][..., None]
    return torch.from_numpy(values.swapaxes(0, 1).reshape(len(x), -1)[:, :inputs])


def some_rows(x: QuantisedInputs, first: int, last: int) -> QuantisedInputs:
    return QuantisedInputs(x.blocks[:, first:last].clone(memory_format=torch.contiguous_format))
