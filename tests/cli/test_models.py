"""`outrider models`: list, show, rm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_stores import add_file, add_ollama, stores_below
from outrider.cli.main import main
from outrider.io.catalogue import load_catalogue
from tiny_checkpoints import write_family_gguf


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OUTRIDER_HOME", str(tmp_path / "outrider"))
    return tmp_path


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    loaded = json.loads(capsys.readouterr().out)
    assert isinstance(loaded, dict)
    return loaded


def test_the_list_has_the_catalogue_and_what_others_have(
    empty_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_ollama(stores_below(empty_machine), "registry.ollama.ai/library/qwen", "0.5b", b"12345")
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in load_catalogue().names)
    assert "ollama:qwen:0.5b" in shown
    listed = document(capsys, "models")
    assert isinstance(listed["catalogue"], list)
    assert not any(row["here"] for row in listed["catalogue"])
    assert isinstance(listed["found"], list)
    assert listed["found"][0]["reference"] == "ollama:qwen:0.5b"


def test_show_describes_a_gguf_file(empty_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_family_gguf(empty_machine / "tiny.gguf", "qwen2")
    facts = document(capsys, "models", "show", str(path))
    assert facts["architecture"] == "qwen2"
    assert facts["num_bytes"] == path.stat().st_size
    assert isinstance(facts["types"], list)
    assert [share["type"] for share in facts["types"]] == ["F32"]
    assert main(["models", "show", str(path)]) == 0
    assert "architecture   qwen2" in capsys.readouterr().out


def test_show_of_a_damaged_file_is_one_line(empty_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_family_gguf(empty_machine / "tiny.gguf", "llama")
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["models", "show", str(path)]) == 2
    assert "truncated" in capsys.readouterr().err


def test_rm_removes_ours_and_what_is_left_of_a_pull(empty_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = add_file(empty_machine / "outrider" / "models" / "gemma-3-270m.gguf")
    rest = add_file(empty_machine / "outrider" / ".partial" / "gemma-3-270m" / "data")
    assert main(["models", "rm", "gemma-3-270m"]) == 0
    assert not ours.exists()
    assert not rest.exists()
    assert main(["models", "rm", "gemma-3-270m"]) == 2
    assert "not here" in capsys.readouterr().err


def test_rm_leaves_other_programs_alone(empty_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = add_ollama(stores_below(empty_machine), "registry.ollama.ai/library/qwen", "0.5b", b"12345")
    for model in ("ollama:qwen:0.5b", str(blob)):
        assert main(["models", "rm", model]) == 2
    assert blob.exists()
    assert "left alone" in capsys.readouterr().err
