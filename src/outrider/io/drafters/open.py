"""`open_drafter`: a trained drafter of any of the formats, by what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from outrider.core.draft_spec import DraftSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.deepspec import is_deepspec, read_deepspec
from outrider.io.drafters.eagle import is_eagle3, read_eagle3
from outrider.io.drafters.gguf import read_gguf
from outrider.io.drafters.gguf_store import GgufStore
from outrider.io.drafters.names import DRAFT_IDS, OFFSETS
from outrider.io.drafters.pickled import FILE, MAP_FILE, PickleStore, WithMap
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.specblock import is_specblock, read_specblock
from outrider.io.drafters.speculators import is_speculators, read_speculators
from outrider.io.drafters.store import SafetensorsStore, TensorStore
from outrider.io.drafters.thinking import read_thinking
from outrider.io.drafters.vocabulary import read_draft_ids
from outrider.io.drafters.zlab import is_zlab, read_zlab
from outrider.io.fields import Fields
from outrider.io.gguf_header import read_header
from outrider.io.local_stores import has_safetensors
from outrider.io.packed import PackedTensor
from outrider.io.reference import resolve
from outrider.io.safetensors_dir import read_json

_SIDECARS = ("mask_embedding.pt", "mask_embedding.safetensors")
Format = Literal["z-lab", "speculators", "eagle3", "deepspec", "specblock", "gguf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftCheckpoint:
    """A validated drafter: every tensor of `spec` that is not borrowed is there, with the right shape.

    `names` are canonical (see `core.draft_spec`). `thinking` says for which mode it was trained, None if that is not
    known.
    """

    path: Path
    spec: DraftSpec
    format: Format
    thinking: bool | None
    files: Mapping[str, str]
    store: TensorStore
    draft_ids: torch.Tensor | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.files, *((DRAFT_IDS,) if self.draft_ids is not None else ()))

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """Values in `dtype`, rounded once from what the file holds.

        Raises: CheckpointError where a weight was never filled (NaN); KeyError for unknown names.
        """
        if name == DRAFT_IDS and self.draft_ids is not None:
            return self.draft_ids.to(dtype)
        values = self.store.tensor(self.files[name])
        if bool(values.isnan().any()):
            raise CheckpointError(
                f"{self.store.where}: the tensor '{self.files[name]}' holds NaN; it was never trained"
            )
        return values.to(dtype)

    def packed(self, name: str) -> PackedTensor | None:
        """The quantised rows as stored; None where the tensor is not quantised."""
        return None if name == DRAFT_IDS else self.store.packed(self.files[name])

    def dtype(self, name: str) -> torch.dtype:
        """In which the file holds a tensor; float32 stands for quantised values."""
        return torch.int64 if name == DRAFT_IDS else self.store.dtypes[self.files[name]]


def open_drafter(path: Path, *, num_target_layers: int = 0, allow_pickle: bool = False) -> DraftCheckpoint:
    """A directory with config.json, a GGUF file, or the hub id of one that has been pulled.

    `num_target_layers` is needed where the file leaves the choice of taps to a rule; 0: not known. `allow_pickle` lets
    `pytorch_model.bin` be read, weights only.

    Raises: UnknownReferenceError where nothing is there; CheckpointError where it cannot be used.
    """
    if not path.exists():
        path = resolve(path.as_posix())
    if path.is_dir():
        return _open_directory(path, num_target_layers, allow_pickle)
    header = read_header(path)
    store = GgufStore(header)
    return _checkpoint(path, "gguf", read_gguf(header, store), store, None)


def _open_directory(path: Path, layers: int, allow_pickle: bool) -> DraftCheckpoint:
    config = read_json(path / "config.json")
    for name in _SIDECARS:
        if (path / name).exists():
            raise CheckpointError(f"{path}: a trained '{name}' beside the weights is not supported")
    store = _open_store(path, allow_pickle)
    kind, reading = _read(config, store, layers)
    return _checkpoint(path, kind, reading, store, read_thinking(config, path))


def _checkpoint(
    path: Path, kind: Format, reading: Reading, store: TensorStore, thinking: bool | None
) -> DraftCheckpoint:
    _check_floats(store, reading)
    ids = read_draft_ids(reading.spec, store, offsets=kind != "gguf")
    return DraftCheckpoint(
        path=path, spec=reading.spec, format=kind, thinking=thinking, files=reading.files, store=store, draft_ids=ids
    )


def _open_store(path: Path, allow_pickle: bool) -> TensorStore:
    """Safetensors where there are any, and the map of the vocabulary if it lies beside them."""
    if not has_safetensors(path) and (path / FILE).exists():
        _allow(path, FILE, allow_pickle)
        return PickleStore(path / FILE)
    store = SafetensorsStore(path)
    if OFFSETS in store.shapes or not (path / MAP_FILE).exists():
        return store
    _allow(path, MAP_FILE, allow_pickle)
    return WithMap(store, PickleStore(path / MAP_FILE))


def _allow(path: Path, name: str, allowed: bool) -> None:
    if not allowed:
        why = "give the drafter pickle=yes (allow_pickle in Python) if you trust where it comes from"
        raise CheckpointError(f"{path}: what is needed lies in {name}, a pickle; {why}")


def _read(config: Fields, store: TensorStore, layers: int) -> tuple[Format, Reading]:
    if is_speculators(config):
        return "speculators", read_speculators(config, store, layers)
    if is_specblock(config):
        return "specblock", read_specblock(config, store, layers)
    if is_deepspec(config):
        return "deepspec", read_deepspec(config, store, layers)
    if is_zlab(config):
        return "z-lab", read_zlab(config, store, layers)
    if is_eagle3(config, store):
        return "eagle3", read_eagle3(config, store, layers)
    if "fc.weight" in store.shapes:  # what EAGLE-1's files have in common with those of its successor
        raise CheckpointError(f"{config.where}: EAGLE and EAGLE-2 are not supported; supported: EAGLE-3")
    made = ", ".join(config.texts("architectures")) or "no architecture"
    raise CheckpointError(
        f"{config.where}: not a drafter that can be read ({made}); expected DFlash, DSpark, EAGLE-3 or SpecBlock"
    )


def _check_floats(store: TensorStore, reading: Reading) -> None:
    """Raises: CheckpointError where a weight is stored as integers."""
    for name in reading.files.values():
        if not store.dtypes[name].is_floating_point:
            given = str(store.dtypes[name]).removeprefix("torch.")
            raise CheckpointError(f"{store.where}: the tensor '{name}' is {given}, expected floating point")
