from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from outrider.errors import ConfigError
from outrider.train.repository import Survey, texts

FILES = {
    "kept.py": "kept",
    "debug.log": "ignored by name",
    "important.log": "kept by negation",
    "build/out.txt": "ignored directory",
    "sub/build/deep.txt": "ignored directory, deep",
    "sub/notes.md": "notes",
    "sub/secret.md": "ignored by the nested file",
    "sub/debug.log": "kept by the nested file's negation",
    "sub/only_here.txt": "ignored, anchored to sub",
    "only_here.txt": "kept: the anchor is in sub",
    ".gitignore": "*.log\n!important.log\nbuild/\n",
    "sub/.gitignore": "secret.md\n!debug.log\n/only_here.txt\n",
}
EXPECTED = {name for name, text in FILES.items() if "ignored" not in text}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def found(root: Path, survey: Survey | None = None, max_file_bytes: int = 1000) -> set[str]:
    return set(texts(root, max_file_bytes, survey or Survey()))


def git(root: Path, *words: str) -> None:
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, env={**os.environ, **who})


def test_ignored_files_are_left_out_outside_a_work_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tree.parent))
    assert found(tree) == {FILES[name] for name in EXPECTED}


def test_and_the_same_ones_inside(tree: Path) -> None:
    git(tree, "init", "-q")
    assert found(tree) == {FILES[name] for name in EXPECTED}


def test_tracked_files_count_even_where_ignored_and_deleted_ones_do_not(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "--force", "debug.log", "kept.py")
    (tree / "kept.py").unlink()
    assert found(tree) == {FILES[name] for name in EXPECTED} - {"kept"} | {"ignored by name"}


def test_a_part_of_a_work_tree_can_be_learnt(tree: Path) -> None:
    git(tree, "init", "-q")
    assert found(tree / "sub") == {FILES[name] for name in EXPECTED if name.startswith("sub/")}


def test_a_directory_that_git_ignores_can_be_named(tree: Path) -> None:
    git(tree, "init", "-q")
    assert found(tree / "build") == {"ignored directory"}


def test_what_is_no_text_is_counted_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "zero").write_bytes(b"text\0more")
    (tmp_path / "latin").write_bytes("grün".encode("latin-1"))
    (tmp_path / "large").write_text("x" * 1001)
    (tmp_path / "good").write_text("grün")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    survey = Survey()
    assert found(tmp_path, survey) == {"grün"}
    assert survey.skipped == {"binary": 2, "too large": 1, "not a plain file": 1}
    assert (survey.num_files, survey.num_bytes) == (1, 5)


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    for name in ("b", "a/z", "c", "a/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(texts(tmp_path, 1000, Survey())) == ["a/b", "a/z", "b", "c"]


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no directory"):
        found(tmp_path / "none")
