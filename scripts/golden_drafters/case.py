"""One golden case: a folder with the checkpoint as its package saves it, and what that package computes with it."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "drafters"
MIN_MARGIN = 3e-4  # between the best and the second best logit, wherever a token is recorded


class UndecidedError(ValueError):
    """Rounding might decide a recorded token."""


@dataclass(frozen=True, slots=True)
class Case:
    """Facts go to case.json, arrays to case.safetensors; see tests/golden/drafters/README.md for their names."""

    name: str
    facts: Mapping[str, object]
    arrays: Mapping[str, Tensor]

    @property
    def folder(self) -> Path:
        return GOLDEN / self.name

    def write(self) -> None:
        """Beside the checkpoint, which must be there."""
        arrays = {name: array.detach().contiguous().clone() for name, array in self.arrays.items()}
        for name, array in arrays.items():
            if not bool(torch.isfinite(array.float()).all()):
                raise ValueError(f"{self.name}: {name} is not finite")
        save_file(arrays, self.folder / "case.safetensors")
        text = json.dumps(dict(self.facts), indent=1, sort_keys=True) + "\n"
        (self.folder / "case.json").write_text(text, encoding="utf-8")
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        print(f"{self.name}: {size / 1000:.0f} kB")


def made_by(*packages: str) -> str:
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def save_model(name: str, model: nn.Module, dtype: str) -> Path:
    """The package's own `save_pretrained`, into an emptied folder."""
    folder = GOLDEN / name
    shutil.rmtree(folder, ignore_errors=True)
    copy.deepcopy(model).to(getattr(torch, dtype)).save_pretrained(folder)  # not back again: that would round RoPE
    for extra in ("generation_config.json", ".gitattributes", "README.md", "config.py"):  # or theirs
        (folder / extra).unlink(missing_ok=True)
    return folder


def rename_tensors(folder: Path, names: Mapping[str, str], drop: frozenset[str] = frozenset()) -> None:
    """Rewrites the checkpoint with other names: the first prefix in `names` that fits is replaced."""
    tensors = load_file(folder / "model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        if name in drop:
            continue
        prefix = next((prefix for prefix in names if name.startswith(prefix)), "")
        renamed[names.get(prefix, "") + name[len(prefix):]] = tensor
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def write_config(folder: Path, config: Mapping[str, object]) -> None:
    (folder / "config.json").write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")


def margin(logits: Tensor) -> float:
    """How far the best logit is above the second, at the closest."""
    best = logits.topk(2, dim=-1).values
    return float((best[..., 0] - best[..., 1]).min())


def check_margin(name: str, *logits: Tensor) -> float:
    """Raises: UndecidedError; then the case needs another seed."""
    found = min(margin(each) for each in logits)
    if found < MIN_MARGIN:
        raise UndecidedError(f"{name}: tokens decided by {found:.1e} only")
    return found


def record_decided(record: Callable[[Any], None], recipe: Any) -> None:
    """Records a recipe (a dataclass with a `seed`), with the next seed for as long as a token is undecided."""
    for attempt in range(50):
        try:
            return record(replace(recipe, seed=recipe.seed + 1000 * attempt))
        except UndecidedError:
            continue
    raise UndecidedError(f"{recipe.name}: no seed decides")


def check_close(name: str, found: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    """Raises: where a package disagrees with itself, by its two ways to compute one thing."""
    error = float((found - expected).abs().max() / expected.abs().max())
    if error > tolerance:
        raise ValueError(f"{name}: off by {error:.1e}")
