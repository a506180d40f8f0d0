"""`SafetensorsCheckpoint`: a local directory with `config.json` and one or several safetensors files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.hf_config import read_spec
from outrider.io.packed import PackedTensor
from outrider.io.tensor_table import Shape, TensorSlot, TensorSource, match_tensors

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_MAX_JSON_BYTES = 64 << 20  # an index of 100,000 tensors has some 10 MB
# What stands before a decoder's tensors, and where its head is: text models, the language model inside one that also
# sees images (newer and older files), bare decoders.
_HEADS = {
    "model.": "lm_head.weight",
    "model.language_model.": "lm_head.weight",
    "language_model.model.": "language_model.lm_head.weight",
    "": "lm_head.weight",
}


class SafetensorsCheckpoint:
    """Raises: CheckpointError on opening where files are missing, damaged or lack what the architecture needs."""

    def __init__(self, path: Path) -> None:
        config = read_json(path / "config.json")
        generation = path / "generation_config.json"
        self._spec = read_spec(config, read_json(generation) if generation.exists() else Fields(str(generation), {}))
        self._files = tensor_files(path)
        self._prefix = _prefix(path, self._files)
        self._slots = match_tensors(self._spec, self._source(path))

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._slots)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        source = self._name_of(self._slots[name])
        with safe_open(self._files[source], framework="pt") as file:
            values: torch.Tensor = file.get_tensor(source)
        return values.to(dtype)

    def packed(self, name: str) -> PackedTensor | None:
        """Always None: these files are not quantised."""
        return None

    def dtype(self, name: str) -> torch.dtype:
        source = self._name_of(self._slots[name])
        with safe_open(self._files[source], framework="pt") as file:
            return _DTYPES[file.get_slice(source).get_dtype()]

    def num_bytes(self, name: str) -> int:
        source = self._name_of(self._slots[name])
        with safe_open(self._files[source], framework="pt") as file:
            return math.prod(map(int, file.get_slice(source).get_shape())) * self.dtype(name).itemsize

    def _name_of(self, slot: TensorSlot) -> str:
        return _HEADS[self._prefix] if slot.name == "head.weight" else self._prefix + slot.safetensors

    def _source(self, path: Path) -> TensorSource:
        shapes: dict[str, Shape] = {}
        for file_path in sorted(set(self._files.values())):
            found = _read_shapes(file_path, self._prefix)
            shapes |= {name: shape for name, shape in found.items() if self._files.get(name) == file_path}
        absent = sorted(self._files.keys() - shapes.keys())
        if absent:
            raise CheckpointError(
                f"{self._files[absent[0]]}: the tensor '{absent[0]}' is missing, though {_INDEX} lists it"
            )
        layers = re.compile(re.escape(self._prefix) + r"layers\.\d+\.")
        tied = {_HEADS[self._prefix]} if self._spec.tied_head else set()  # some files repeat the embedding as head
        computed = {name for name in shapes if name.endswith("rotary_emb.inv_freq")}  # follows from the config
        return TensorSource(str(path), shapes, self._name_of, layers, frozenset(tied | computed))


def read_json(path: Path) -> Fields:
    """A JSON object. Raises: CheckpointError where the file is missing, too big or no JSON object."""
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: {path.stat().st_size} bytes are too many for this file")
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing; a model directory needs config.json and safetensors files") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: must hold a JSON object")
    return Fields(str(path), values)


def tensor_files(path: Path) -> dict[str, Path]:
    """Which file holds each tensor."""
    if (path / _INDEX).exists():
        return _indexed_files(path)
    single = path / _SINGLE
    if not single.exists():
        raise CheckpointError(f"{path}: neither {_SINGLE} nor {_INDEX} is there; only safetensors and GGUF can be read")
    return dict.fromkeys(_read_names(single), single)


def _indexed_files(path: Path) -> dict[str, Path]:
    weight_map = read_json(path / _INDEX).section("weight_map")
    files: dict[str, Path] = {}
    for name in weight_map.names():
        part = weight_map.text(name)
        if Path(part).name != part:
            raise CheckpointError(f"{path / _INDEX}: '{part}' must be a file name in the same directory")
        files[name] = path / part
    missing = sorted(file.name for file in set(files.values()) if not file.exists())
    if missing:
        raise CheckpointError(
            f"{path}: the file {missing[0]} is missing ({len(missing)} of {len(set(files.values()))})"
        )
    return files


def _prefix(path: Path, files: dict[str, Path]) -> str:
    for prefix in _HEADS:
        if f"{prefix}embed_tokens.weight" in files:
            return prefix
    raise CheckpointError(f"{path}: the tensor 'model.embed_tokens.weight' is missing")


def _read_names(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def _read_shapes(path: Path, prefix: str) -> dict[str, Shape]:
    """The shape of every tensor in a file; opening it checks that the file is as long as its header says."""
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            types = {name: part.get_dtype() for name, part in parts.items() if name.startswith(prefix)}
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    for name, given in types.items():
        if given not in _DTYPES:
            supported = f"supported: {', '.join(_DTYPES)}"
            raise CheckpointError(
                f"{path}: the tensor '{name}' has the type {given}, which is not supported; {supported}"
            )
    return shapes


def damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(f"{path}: truncated or damaged safetensors file ({reason}); fetch it again")
