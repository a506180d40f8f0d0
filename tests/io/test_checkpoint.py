"""Opening whatever a path means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outrider.errors import CheckpointError, UnknownReferenceError
from outrider.io.checkpoint import open_checkpoint
from tiny_checkpoints import write_family_gguf


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownReferenceError, match="no such file or directory"):
        open_checkpoint(tmp_path / "none.gguf")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match="not a GGUF file"):
        open_checkpoint(tmp_path / "notes.txt")


def test_names_outside_the_model_are_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        open_checkpoint(write_family_gguf(tmp_path / "a.gguf", "llama")).packed("layers.9.attn.q.weight")


def test_specs_are_read_without_torch() -> None:
    modules = "outrider.io.gguf_spec, outrider.io.hf_config, outrider.io.tensor_table"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'gguf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
