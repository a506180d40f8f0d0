"""`GgufStore`: the tensors of a GGUF file, in canonical row order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from outrider.io.drafters.names import Shape
from outrider.io.gguf_header import GgufHeader
from outrider.io.gguf_types import INDICES
from outrider.io.packed import PackedTensor, unpack

_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, INDICES: torch.int64}


class GgufStore:
    """A file's head, already checked; values are read from the map when asked for."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self._tangled: dict[str, int] = {}

    @property
    def where(self) -> str:
        return str(self._header.path)

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: tensor.shape for name, tensor in self._header.tensors.items()}

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {name: _DTYPES.get(tensor.type.name, torch.float32) for name, tensor in self._header.tensors.items()}

    def untangle(self, heads: Mapping[str, int]) -> None:
        """Takes the rows of these tensors, of so many heads, for those of a Llama file."""
        self._tangled = dict(heads)

    def tensor(self, name: str) -> torch.Tensor:
        rows = self._rows(name)
        if rows.type.name == INDICES:
            return torch.from_numpy(rows.data.reshape(-1).view(np.int64).copy()).reshape(rows.shape)
        return unpack(rows, self.dtypes[name])

    def packed(self, name: str) -> PackedTensor | None:
        rows = self._rows(name)
        return rows if rows.type.quantised else None

    def _rows(self, name: str) -> PackedTensor:
        tensor = self._header.tensors[name]
        data = self._header.bytes_of(tensor)
        heads = self._tangled.get(name, 0)
        if heads:
            # In the file the two rows that rotate together are neighbours; here the halves of a head stand apart.
            rows = data if len(tensor.shape) > 1 else data.reshape(tensor.shape[0], -1)
            pairs = rows.reshape(heads, -1, 2, rows.shape[-1])
            data = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(data.shape)
        return PackedTensor(data, tensor.type, tensor.shape)
