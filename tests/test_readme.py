"""The documentation is run: what it shows works, and what it quotes is what the program prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doc_blocks import ROOT, Block, bash, blocks, documents, refreshed


def cases() -> list[object]:
    """Each document once; as `real_model` where one of its blocks needs a model."""
    found = []
    for path in documents():
        needs_model = any(block.needs_model for block in blocks(path.read_text(encoding="utf-8")))
        marks = [pytest.mark.real_model] if needs_model else []
        found.append(pytest.param(path, id=str(path.relative_to(ROOT)), marks=marks))
    return found


def run(block: Block, place: str, folder: Path, namespace: dict[str, object]) -> None:
    if block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.body, place, "exec"), namespace)
        return
    done = bash(block.body, folder)
    assert done.returncode == 0, f"{place}, line {block.line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("path", cases())
def test_the_code_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        if name := block.argument("file"):
            (tmp_path / name).write_text(block.body, encoding="utf-8")
        elif block.is_run:
            run(block, str(path), tmp_path, namespace)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_quoted_outputs_are_current(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert refreshed(text, tmp_path) == text, "out of date: run `make docs`"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (path.parent / target).exists()]


def test_blocks_are_found_with_their_notes() -> None:
    skipped = "<!-- note -->\n<!-- not run: why -->\n\n```bash\nexit 1\n```\n"
    first, second, third = blocks(f"{skipped}text\n```python\nx = 1\n```\n<!-- real model -->\n```bash\nls\n```\n")
    assert (first.is_run, second.is_run, third.is_run) == (False, True, True)
    assert (second.language, second.body, second.line) == ("python", "x = 1\n", 9)
    assert third.needs_model and not second.needs_model


def test_a_failing_block_fails_and_a_stale_output_is_rewritten(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code 3"):
        run(Block("bash", "exit 3\n", "", 1), "here", tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        run(Block("python", "1 / 0\n", "", 1), "here", tmp_path, {})
    stale = "<!-- output of: echo new -->\n```text\nold\n```\n"
    assert refreshed(stale, tmp_path) == stale.replace("old", "new")
