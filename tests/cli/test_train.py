"""`outrider train ngram_hash`."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

import tiny_vocabularies
from outrider.cli.main import main


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """A model file that has nothing but a vocabulary."""
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    for key, value in tiny_vocabularies.byte_level().items():
        if isinstance(value, list):
            writer.add_array(key, [int(item) if isinstance(item, int) else item for item in value])
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_string(key, str(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "tiny.gguf"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "file.txt").write_text("hello world " * 20)
    return tmp_path / "repository"


def test_it_writes_a_pool_and_says_how_to_use_it(vocabulary: Path, repository: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "repo.pool"
    arguments = ["--target", str(vocabulary), str(repository), "--out", str(out), "--sizes", "6", "3",
                 "--entries", "1024"]
    assert main(["train", "ngram-hash", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "of 1 files" in shown and f"ngram_hash:pool={out};sizes=6/3;entries=1024" in shown
    assert out.stat().st_size > 4096


@pytest.mark.parametrize(("arguments", "message"), [
    (["ngram_hsh"], "did you mean 'ngram_hash'"),
    (["ngram_hash", "--target", "{model}", "{repository}"], "--out"),
    (["ngram_hash", "--target", "{model}", "nowhere", "--out", "{out}"], "'nowhere' is no directory"),
    (["ngram_hash", "--target", "./none.gguf", "{repository}", "--out", "{out}"], "none.gguf"),
    (["ngram_hash", "--target", "{model}", "{repository}", "--out", "{out}", "--entries", "1000"], "power of two"),
    (["ngram_hash", "--target", "{model}", "{repository}", "--out", "{out}", "--entires", "4"], "--entries"),
])
def test_mistakes_are_one_line_and_leave_nothing(
    vocabulary: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str],
    message: str
) -> None:
    out = tmp_path / "repo.pool"
    words = [word.format(model=vocabulary, repository=repository, out=out) for word in arguments]
    assert main(["train", *words]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint and complaint.count("\n") == 1
    assert not out.exists()


def test_help_needs_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "train ngram_hash --target MODEL DIR --out FILE" in capsys.readouterr().out
