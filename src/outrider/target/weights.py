"""From a checkpoint to weights that the kernels run on."""

from __future__ import annotations

import torch

from outrider.core.spec import ModelSpec
from outrider.errors import ConfigError, suggestion
from outrider.io.checkpoint import Checkpoint
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import (
    INPUT_STEP,
    ROUNDED,
    TILE_ROWS,
    MatrixFunctions,
    PackedMatrix,
    SourceRows,
    float_rows,
)
from outrider.ops.native.recorder import Weights

EXACT = "exact"
_FLOAT32 = torch.float32


def obstacle(spec: ModelSpec) -> str:
    """Why the kernels cannot run this model, or nothing."""
    sizes = {"hidden": spec.hidden_size, "inner": spec.inner_size, "query": spec.query_size}
    for name, size in sizes.items():
        if size % INPUT_STEP:
            return f"its {name} size is {size}, the kernels take multiples of {INPUT_STEP}"
    if spec.head_size % TILE_ROWS:
        return f"its head size is {spec.head_size}, the kernels take multiples of {TILE_ROWS}"
    return ""


def load_weights(checkpoint: Checkpoint, library: Library, rounding: str = EXACT) -> Weights:
    """Every tensor of a checkpoint: norms and biases in float32, matrices packed.

    `rounding` exact keeps the values of the file; q8 and q4 round every matrix to 8 or 4 bits.
    Raises: ConfigError for another rounding; CheckpointError for matrices that cannot be packed.
    """
    known = (EXACT, *ROUNDED)
    if rounding not in known:
        raise ConfigError(f"unknown weights '{rounding}'{suggestion(rounding, known)}; known: {', '.join(known)}")
    matrices, vectors, functions = {}, {}, MatrixFunctions(library)
    for name in checkpoint.names:
        if "norm" in name or name.endswith(".bias"):
            values = checkpoint.tensor(name, _FLOAT32)
            vectors[name] = (values + checkpoint.spec.norm_offset if "norm" in name else values).contiguous()
        else:
            matrices[name] = _matrix(checkpoint, functions, name, rounding)
    return Weights(matrices, vectors)


def _matrix(checkpoint: Checkpoint, functions: MatrixFunctions, name: str, rounding: str) -> PackedMatrix:
    if rounding != EXACT:
        return functions.pack(float_rows(checkpoint.tensor(name, _FLOAT32)), ROUNDED[rounding])
    packed = checkpoint.packed(name)
    if packed is not None:
        return functions.pack(SourceRows(packed.data, packed.type.name, packed.shape[-1]))
    return functions.pack(float_rows(checkpoint.tensor(name, checkpoint.dtype(name))))
