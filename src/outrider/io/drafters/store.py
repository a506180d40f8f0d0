"""Where a drafter's tensors lie: names, types and shapes at once, values when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open

from outrider.errors import CheckpointError
from outrider.io.drafters.names import Offer, Shape
from outrider.io.packed import PackedTensor
from outrider.io.safetensors_dir import damaged, tensor_files

_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "BOOL": torch.bool,
    "U8": torch.uint8,
}


class TensorStore(Protocol):
    """Raises: CheckpointError from `tensor` where the file changed or is damaged."""

    @property
    def where(self) -> str: ...

    @property
    def shapes(self) -> Mapping[str, Shape]: ...

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]: ...

    def tensor(self, name: str) -> torch.Tensor:
        """The values as stored (dequantised where they are quantised)."""

    def packed(self, name: str) -> PackedTensor | None:
        """The quantised rows as stored; None where the tensor is not quantised."""


class SafetensorsStore:
    """A directory with one or several safetensors files."""

    def __init__(self, folder: Path) -> None:
        self._files = tensor_files(folder)
        self._where = str(folder)
        self._shapes: dict[str, Shape] = {}
        self._dtypes: dict[str, torch.dtype] = {}
        for path in sorted(set(self._files.values())):
            self._read_head(path)
        absent = sorted(self._files.keys() - self._shapes.keys())
        if absent:
            raise CheckpointError(f"{self._files[absent[0]]}: the tensor '{absent[0]}' of the index is missing")

    @property
    def where(self) -> str:
        return self._where

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return self._shapes

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self._dtypes

    def tensor(self, name: str) -> torch.Tensor:
        path = self._files[name]
        try:
            with safe_open(path, framework="pt") as file:
                values: torch.Tensor = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise damaged(path, error) from error
        return values

    def packed(self, name: str) -> PackedTensor | None:
        return None

    def _read_head(self, path: Path) -> None:
        """Opening a file checks that it is as long as its header says."""
        try:
            with safe_open(path, framework="pt") as file:
                parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                types = {name: part.get_dtype() for name, part in parts.items()}
                shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
        except (SafetensorError, OSError) as error:
            raise damaged(path, error) from error
        for name, given in types.items():
            if self._files.get(name) != path:
                continue
            if given not in _DTYPES:
                supported = f"supported: {', '.join(_DTYPES)}"
                raise CheckpointError(
                    f"{path}: the tensor '{name}' has the type {given}, which is not supported; {supported}"
                )
            self._shapes[name], self._dtypes[name] = shapes[name], _DTYPES[given]


def offer(store: TensorStore, published: Callable[[str], str]) -> Offer:
    """What `store` has, each tensor under its published name.

    Raises: CheckpointError where two names mean the same tensor.
    """
    files: dict[str, str] = {}
    for name in store.shapes:
        key = published(name)
        if key in files:
            raise CheckpointError(f"{store.where}: '{files[key]}' and '{name}' are the same tensor")
        files[key] = name
    return Offer(store.where, files, {key: store.shapes[name] for key, name in files.items()})
