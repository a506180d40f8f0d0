"""From a checkpoint to weights that the kernels run on."""

from __future__ import annotations

import torch

from outrider.core.spec import ModelSpec
from outrider.errors import ConfigError, suggestion
from outrider.io.checkpoint import Checkpoint
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import (
    INPUT_STEP,
    MAX_HEAD_SIZE,
    ROUNDED,
    TILE_ROWS,
    Kind,
    MatrixFunctions,
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
    if spec.head_size > MAX_HEAD_SIZE:
        return f"its head size is {spec.head_size}, the kernels take at most {MAX_HEAD_SIZE}"
    return ""


def load_weights(checkpoint: Checkpoint, library: Library, rounding: str = EXACT, threads: int = 2) -> Weights:
    """Every tensor of a checkpoint: norms and biases in float32, matrices packed, on so many threads.

    `rounding` exact keeps the values of the file; q8 and q4 round every matrix to 8 or 4 bits.
    Raises: ConfigError for another rounding; CheckpointError for matrices that cannot be packed.
    """
    check_rounding(rounding)
    matrices, vectors, functions = {}, {}, MatrixFunctions(library)
    for name in checkpoint.names:
        if "norm" in name or name.endswith(".bias"):
            values = checkpoint.tensor(name, _FLOAT32)
            vectors[name] = (values + checkpoint.spec.norm_offset if "norm" in name else values).contiguous()
        else:
            source, kind = _rows(checkpoint, name, rounding)
            matrices[name] = functions.pack(source, kind, threads)
    return Weights(matrices, vectors)


def check_rounding(rounding: str) -> None:
    """Raises: ConfigError for what is neither `EXACT` nor one of `ROUNDED`."""
    known = (EXACT, *ROUNDED)
    if rounding not in known:
        raise ConfigError(f"unknown weights '{rounding}'{suggestion(rounding, known)}; known: {', '.join(known)}")


def _rows(checkpoint: Checkpoint, name: str, rounding: str) -> tuple[SourceRows, Kind | None]:
    """Rows to pack, and what they are to be rounded to."""
    if rounding != EXACT:
        return float_rows(checkpoint.tensor(name, _FLOAT32)), ROUNDED[rounding]
    packed = checkpoint.packed(name)
    if packed is not None:
        return SourceRows(packed.data, packed.type.name, packed.shape[-1]), None
    return float_rows(checkpoint.tensor(name, checkpoint.dtype(name))), None
