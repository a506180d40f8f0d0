"""`PickleStore`: a `pytorch_model.bin`, for the few drafters that come in no other form, or a map of a vocabulary.

Only where the user asks for it. torch reads weights and nothing else, from a file that is no larger unpacked than it
is on the disk.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from outrider.errors import CheckpointError
from outrider.io.drafters.names import Shape
from outrider.io.drafters.store import TensorStore
from outrider.io.packed import PackedTensor

FILE, MAP_FILE = "pytorch_model.bin", "vocab_mapping.pt"
_MAX_BYTES = 64 << 30


class PickleStore:
    """Raises: CheckpointError where the file holds anything but tensors, or is damaged."""

    def __init__(self, path: Path) -> None:
        _check_archive(path)
        self._where = str(path)
        self._tensors = _load(path)

    @property
    def where(self) -> str:
        return self._where

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {name: tensor.dtype for name, tensor in self._tensors.items()}

    def tensor(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def packed(self, name: str) -> PackedTensor | None:
        return None


class WithMap:
    """A store, and the map of its reduced vocabulary that SpecBlock's releases keep in a file of its own."""

    def __init__(self, weights: TensorStore, mapping: TensorStore) -> None:
        self._weights, self._mapping = weights, mapping

    @property
    def where(self) -> str:
        return self._weights.where

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return {**self._mapping.shapes, **self._weights.shapes}

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {**self._mapping.dtypes, **self._weights.dtypes}

    def tensor(self, name: str) -> torch.Tensor:
        return (self._weights if name in self._weights.shapes else self._mapping).tensor(name)

    def packed(self, name: str) -> PackedTensor | None:
        return None


def _check_archive(path: Path) -> None:
    """Nothing in it is compressed, so that it cannot grow beyond its own size."""
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(f"{path}: {path.stat().st_size} bytes are too many for a drafter")
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [item.filename for item in archive.infolist() if item.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise CheckpointError(f"{path}: truncated, damaged or of a torch before 1.6; fetch it again") from error
    if packed:
        raise CheckpointError(f"{path}: '{packed[0]}' is compressed, which torch never writes")


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        values = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: holds something else than weights, or is damaged ({reason[:120]})") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise CheckpointError(f"{path}: expected tensors by name")
    for name, tensor in values.items():
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"{path}: '{name}' is no tensor but {type(tensor).__name__}")
        if tensor.layout != torch.strided or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: the tensor '{name}' is larger than what is stored of it")
    return values
