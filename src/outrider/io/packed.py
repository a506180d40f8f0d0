"""Quantised rows as they lie in a file, and their way to plain torch tensors."""

from __future__ import annotations

from dataclasses import dataclass

import gguf
import numpy as np
import numpy.typing as npt
import torch

from outrider.errors import CheckpointError
from outrider.io.gguf_types import INDICES, TensorType

_CHUNK_VALUES = 1 << 22  # float32 values decoded at once: 16 MiB beside the result


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """The seam for kernels that compute on quantised weights.

    Shapes: `data` is [rows, bytes of a row] of uint8, read-only, in canonical row order: a view of the memory-mapped
    file, or a copy where the file orders rows differently; `shape` counts values.
    """

    data: npt.NDArray[np.uint8]
    type: TensorType
    shape: tuple[int, ...]


def unpack(packed: PackedTensor, dtype: torch.dtype) -> torch.Tensor:
    """Dequantised values in `dtype`, rounded once from float32.

    Raises: CheckpointError where the tensor holds no weights.
    """
    if packed.type.name == INDICES:
        raise CheckpointError(f"a weight of the shape {list(packed.shape)} is stored as whole numbers")
    kind = gguf.GGMLQuantizationType[packed.type.name]
    num_values = packed.shape[-1]
    result = torch.empty((len(packed.data), num_values), dtype=dtype)
    step = max(1, _CHUNK_VALUES // num_values)
    for first in range(0, len(packed.data), step):
        values = gguf.dequantize(packed.data[first : first + step], kind)
        result[first : first + step] = torch.from_numpy(np.require(values, np.float32, ["C", "W"]))
    return result.reshape(packed.shape)
