"""`GgufCheckpoint`: one GGUF file, its tensors under canonical names and in canonical row order."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from outrider.core.spec import ModelSpec
from outrider.io.gguf_header import GgufHeader, read_header
from outrider.io.gguf_spec import ROPE_FREQS, read_spec
from outrider.io.packed import PackedTensor, unpack
from outrider.io.tensor_table import TensorSlot, TensorSource, match_tensors

_LAYER = re.compile(r"blk\.\d+\.")


_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}


class GgufCheckpoint:
    """Raises: CheckpointError on opening where the file is damaged or lacks what its architecture needs."""

    def __init__(self, path: Path) -> None:
        header = read_header(path)
        self._spec = read_spec(header)
        self._header = replace(header, arrays={})  # where the words of a vocabulary lie: megabytes
        self._slots = match_tensors(self._spec, _source(self._header, self._spec))

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._slots)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        return unpack(self._rows(name), dtype)

    def packed(self, name: str) -> PackedTensor | None:
        rows = self._rows(name)
        return rows if rows.type.quantised else None

    def dtype(self, name: str) -> torch.dtype:
        return _DTYPES.get(self._header.tensors[self._slots[name].gguf].type.name, torch.float32)

    def num_bytes(self, name: str) -> int:
        return self._header.tensors[self._slots[name].gguf].num_bytes

    def _rows(self, name: str) -> PackedTensor:
        slot = self._slots[name]
        tensor = self._header.tensors[slot.gguf]
        data = self._header.bytes_of(tensor)
        if self._spec.family == "llama" and slot.rotated_heads:
            rows = data if len(tensor.shape) > 1 else data.reshape(tensor.shape[0], -1)
            data = _half_rotation_order(rows, slot.rotated_heads).reshape(data.shape)
        return PackedTensor(data, tensor.type, tensor.shape)


def _half_rotation_order(rows: npt.NDArray[np.uint8], heads: int) -> npt.NDArray[np.uint8]:
    """Undo the row order of GGUF's `llama` files (a copy).

    There the two rows that rotate together are neighbours, (0, half), (1, half + 1), …; we keep the halves apart:

        file  0 h 1 h+1 2 h+2 …      here  0 1 2 … h h+1 h+2 …
    """
    pairs = rows.reshape(heads, -1, 2, rows.shape[-1])
    ordered = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)
    ordered.flags.writeable = False
    return ordered


def _source(header: GgufHeader, spec: ModelSpec) -> TensorSource:
    shapes = {name: tensor.shape for name, tensor in header.tensors.items()}
    # Outside Llama the divisors have no published meaning: left out of the spec, and then reported as unused.
    ignored = frozenset({ROPE_FREQS}) if spec.rope.frequency_divisor else frozenset()
    return TensorSource(str(header.path), shapes, _name_of, _LAYER, ignored)


def _name_of(slot: TensorSlot) -> str:
    return slot.gguf
