"""Drafters written in the layouts that other programs load."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file

from outrider.core.draft_spec import DraftSpec, Eagle3Spec
from outrider.errors import CheckpointError, ConfigError, suggestion
from outrider.io.drafters.eagle import eagle3_config, eagle3_name, switches_of
from outrider.io.drafters.names import DRAFT_IDS, EMBED, FLAGS, HEAD, OFFSETS, draft_slots
from outrider.io.drafters.serving import serving_commands
from outrider.io.drafters.speculators_config import speculators_config
from outrider.io.drafters.thinking import THINKING
from outrider.io.drafters.vocabulary import flags_of, offsets_of
from outrider.io.drafters.zlab import zlab_config
from outrider.io.safetensors_dir import read_json

LAYOUTS = ("z-lab", "speculators", "eagle3")
_DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


class Draft(Protocol):
    """What is written: a `DraftCheckpoint`, or a network that has been trained."""

    @property
    def spec(self) -> DraftSpec: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def thinking(self) -> bool | None: ...

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor: ...

    def dtype(self, name: str) -> torch.dtype: ...


@dataclass(frozen=True, slots=True)
class TrainedDraft:
    """A drafter in memory; `tensors` go by canonical names."""

    spec: DraftSpec
    tensors: Mapping[str, torch.Tensor]
    thinking: bool | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        return self.tensors[name].to(dtype)

    def dtype(self, name: str) -> torch.dtype:
        return self.tensors[name].dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """`commands` start other servers with the drafter, `notes` say what to know first."""

    folder: Path
    num_tensors: int
    commands: tuple[str, ...]
    notes: tuple[str, ...]


def export(draft: Draft, folder: Path, to: str, *, verifier: str = "", borrow: bool = False) -> Exported:
    """Write config.json and model.safetensors into `folder`, every tensor with the bits that it has.

    `verifier` is the target's path or hub id, where the drafter does not name it. `borrow` leaves out embedding and
    head, for the target's to take their place.

    Raises: ConfigError where the layout is unknown or cannot hold the drafter, or the folder is in use; CheckpointError
    where the drafter cannot be read.
    """
    if to not in LAYOUTS:
        raise ConfigError(f"unknown layout '{to}'{suggestion(to, LAYOUTS)}; expected one of {', '.join(LAYOUTS)}")
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise ConfigError(f"'{folder}' is in use; name a new or empty directory")
    target = verifier or draft.spec.verifier
    config = {**_config(draft.spec, to, target), **_common(draft)}
    tensors = _tensors(draft, to, borrow)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    commands = serving_commands(draft.spec, to, folder, target)
    return Exported(folder=folder, num_tensors=len(tensors), commands=commands, notes=_notes(draft, to, target))


def _config(spec: DraftSpec, to: str, verifier: str) -> dict[str, object]:
    if to == "speculators":
        return speculators_config(spec, verifier, _architectures(verifier))
    return zlab_config(spec) if to == "z-lab" else eagle3_config(spec)


def _common(draft: Draft) -> dict[str, object]:
    dtype = _DTYPES.get(draft.dtype("fc.weight"), "float32")
    said: dict[str, object] = {} if draft.thinking is None else {THINKING: draft.thinking}
    return {"dtype": dtype, "torch_dtype": dtype, **said}


def _architectures(verifier: str) -> tuple[str, ...]:
    """What the target calls itself, if its config is at hand."""
    path = Path(verifier) / "config.json"
    return read_json(path).texts("architectures") if verifier and path.is_file() else ()


def _tensors(draft: Draft, to: str, borrow: bool) -> dict[str, torch.Tensor]:
    rename: Callable[[str], str] = eagle3_name if to == "eagle3" else str
    found = {}
    for slot in draft_slots(draft.spec):
        if slot.name not in draft.names or (borrow and slot.optional and slot.name in (EMBED, HEAD)):
            continue
        if to == "z-lab" and slot.name in (EMBED, HEAD):
            raise ConfigError(
                f"z-lab's layout cannot hold the drafter's own '{slot.published}'; "
                "with borrow the target's takes its place, which changes the drafts unless they are equal"
            )
        found[rename(slot.published)] = draft.tensor(slot.name, draft.dtype(slot.name)).contiguous()
    if DRAFT_IDS in draft.names:
        ids = draft.tensor(DRAFT_IDS, torch.int64)
        found |= {OFFSETS: offsets_of(ids), FLAGS: flags_of(ids, draft.spec.stack.vocab_size)}
    elif draft.spec.has_reduced_vocab:
        raise CheckpointError(f"the drafter reduces the vocabulary, but has no '{DRAFT_IDS}'")
    return found


def _notes(draft: Draft, to: str, verifier: str) -> tuple[str, ...]:
    notes = []
    if not verifier:
        notes.append("the drafter names no target: put it in the place of TARGET, or write again with verifier")
    if to == "eagle3" and isinstance(draft.spec, Eagle3Spec) and switches_of(draft.spec):
        switches = ", ".join(switches_of(draft.spec))
        notes.append(f"SafeAILab's own code does not know {switches}; vLLM, llama.cpp and speculators do")
    return tuple(notes)
