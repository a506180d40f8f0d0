"""The table of published drafters, and what is made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tiny_drafters as tiny
from outrider.io.drafters.catalogue import PublishedDrafter, load_drafters
from outrider.io.drafters.open import open_drafter

ENTRIES = load_drafters().entries


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.repo)
def test_every_row_is_sound(entry: PublishedDrafter) -> None:
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repo) and re.fullmatch(r"[\w.-]+/[\w.-]+", entry.target)
    assert entry.method in ("dflash", "dspark", "eagle3", "specblock")
    assert entry.format in ("z-lab", "speculators", "eagle3", "deepspec", "specblock")
    assert set(entry.unchecked) <= {"repo", "licence", "thinking", "figures"}
    assert entry.licence or "licence" in entry.unchecked
    for figure in entry.figures:
        assert 1 < figure.tokens_per_round <= (entry.block_size or 16) + 1
        assert figure.source and figure.settings


def test_repositories_are_listed_once() -> None:
    assert len({entry.repo for entry in ENTRIES}) == len(ENTRIES)


def test_a_target_is_known_by_any_publisher() -> None:
    repos = [
        [entry.repo for entry in load_drafters().for_target(name)] for name in ("Qwen/Qwen3-4B", "x/qwen3-4b-GGUF")
    ]
    assert repos[0] == repos[1]
    assert repos[0][0] == "z-lab/Qwen3-4B-DFlash-b16"
    assert load_drafters().for_target("Qwen/Qwen3-4B-Instruct-2507") == ()


@pytest.mark.parametrize("folder", ["models--z-lab--Qwen3-4B-DFlash-b16/snapshots/0", "z-lab/Qwen3-4B-DFlash-b16"])
def test_a_copy_of_a_repository_is_recognised(folder: str, tmp_path: Path) -> None:
    draft = open_drafter(tiny.write_drafter(tmp_path / folder, tiny.zlab_config(), tiny.dflash_tensors()))
    assert draft.thinking is False


def test_what_the_config_says_comes_first(tmp_path: Path) -> None:
    config = tiny.zlab_config(enable_thinking=True)
    folder = tmp_path / "z-lab/Qwen3-4B-DFlash-b16"
    assert open_drafter(tiny.write_drafter(folder, config, tiny.dflash_tensors())).thinking is True
