"""Checkpoints as the published packages saved them: opened, and written again in every layout that can hold them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outrider.errors import ConfigError
from outrider.io.drafters.export import export
from outrider.io.drafters.open import DraftCheckpoint, open_drafter

GOLDENS = sorted(path.parent for path in Path(__file__).parents[2].glob("golden/drafters/*/case.json"))
FORMATS = {
    "transformers": "z-lab",
    "zlab": "z-lab",
    "speculators": "speculators",
    "safeailab": "eagle3",
    "specforge": "eagle3",
}
# Which of the layouts hold which of the drafters; the others refuse by name.
HOLDS = {
    "z-lab": ("dflash-", "dflash2-"),
    "speculators": ("dflash-", "dflash2-", "dspark-", "eagle3-"),
    "eagle3": ("eagle3-",),
}


def opened(folder: Path) -> DraftCheckpoint:
    case = json.loads((folder / "case.json").read_text())
    return open_drafter(folder, num_target_layers=case["target_layers"])


@pytest.mark.parametrize("folder", GOLDENS, ids=lambda folder: folder.name)
def test_the_facts_are_those_of_the_package(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    draft = opened(folder)
    assert list(draft.spec.taps) == case["taps"]
    assert draft.format == next((kind for word, kind in FORMATS.items() if f"-{word}" in folder.name), "specblock")


@pytest.mark.parametrize("layout", HOLDS)
@pytest.mark.parametrize("folder", GOLDENS, ids=lambda path: path.name)
def test_what_is_written_is_the_same_drafter(folder: Path, layout: str, tmp_path: Path) -> None:
    draft = opened(folder)
    if not folder.name.startswith(HOLDS[layout]):
        with pytest.raises(ConfigError):
            export(draft, tmp_path / "out", layout)
        return
    try:
        export(draft, tmp_path / "out", layout)
    except ConfigError as error:
        assert "cannot hold" in str(error)
        return
    again = open_drafter(tmp_path / "out")
    facts = {"verifier": draft.spec.verifier, "num_target_layers": draft.spec.num_target_layers}
    assert replace(again.spec, **facts) == draft.spec
    assert set(again.names) == set(draft.names)
    for name in draft.names:
        assert again.dtype(name) == draft.dtype(name)
        assert torch.equal(again.tensor(name, draft.dtype(name)), draft.tensor(name, draft.dtype(name))), name


def test_most_of_them_can_be_written_twice(tmp_path: Path) -> None:
    """So that the refusals above do not hide that nothing is written any more."""
    written = 0
    for number, folder in enumerate(path for path in GOLDENS if path.name.startswith(("dflash", "eagle3"))):
        for layout in ("z-lab", "speculators", "eagle3"):
            try:
                export(opened(folder), tmp_path / f"{number}-{layout}", layout)
                written += 1
            except ConfigError:
                continue
    assert written >= 40
