from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from outrider.drafting import memory_file
from outrider.drafting.memory_file import MemoryFile
from outrider.errors import CheckpointError, VocabularyError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.array([2**63], np.uint64),
              "empty": np.zeros(0, np.int64)}
    path = tmp_path / "new" / "some.memory"
    memory_file.write(path, MemoryFile("kind", 3, "words", {"width": 8}, arrays))
    return path


def test_what_is_written_is_read(path: Path) -> None:
    content = memory_file.read(path, "kind", 3, "words")
    assert content.facts == {"width": 8}
    assert content.arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and content.arrays["a"].dtype == np.int32
    assert content.arrays["b"].tolist() == [2**63]
    assert content.arrays["empty"].size == 0
    assert [file.name for file in path.parent.iterdir()] == ["some.memory"], "nothing else is left behind"


@pytest.mark.parametrize("at", [0, 20, 60, -30, -1])
def test_any_damage_is_noticed(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged|no drafter memory"):
        memory_file.read(path, "kind", 3, "words")


@pytest.mark.parametrize("kept", [0, 5, 16, 18, 60, -1])
def test_any_truncation_is_noticed(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"truncated|no drafter memory"):
        memory_file.read(path, "kind", 3, "words")


def test_what_does_not_belong_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="'kind' version 3, expected 'other' version 3"):
        memory_file.read(path, "other", 3, "words")
    with pytest.raises(CheckpointError, match="expected 'kind' version 4"):
        memory_file.read(path, "kind", 4, "words")
    with pytest.raises(VocabularyError, match="another vocabulary"):
        memory_file.read(path, "kind", 3, "other words")
    with pytest.raises(CheckpointError, match="width is 8, this drafter has 9"):
        memory_file.read(path, "kind", 3, "words").require(path, width=9)


def test_a_missing_file_and_an_unwritable_place_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read") as missing:
        memory_file.read(tmp_path / "none", "kind", 3, "words")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write") as unwritable:
        memory_file.write(tmp_path / "file" / "below", MemoryFile("kind", 3, "", {}, {}))
    assert "\n" not in f"{missing.value}{unwritable.value}"


def test_a_write_that_fails_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory_file.os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        memory_file.write(path, MemoryFile("kind", 3, "other", {}, {}))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["some.memory"]
