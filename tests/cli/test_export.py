"""`outrider export` and `outrider pull --with-drafter`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiny_drafters as tiny
from outrider.cli import pull as pull_verb
from outrider.cli.main import main
from outrider.io.drafters.open import open_drafter
from outrider.io.reference import Library

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def drafter(tmp_path: Path) -> str:
    return str(tiny.write_drafter(tmp_path / "draft", tiny.zlab_config(), tiny.dflash_tensors()))


def test_export_writes_and_says_how_to_serve(drafter: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert main(["export", drafter, "--to", "speculators", "--out", str(out), "--verifier", "Qwen/Qwen3-4B"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"25 tensors in {out}"
    assert f"vllm serve {out}" in lines
    assert open_drafter(out).spec.verifier == "Qwen/Qwen3-4B"


def test_export_as_a_document(drafter: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["export", drafter, "--to", "z-lab", "--out", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["num_tensors"] == 25
    assert "TARGET" in document["commands"][0] and "TARGET" in document["notes"][0]


@pytest.mark.parametrize(("flags", "words"), [
    (["--to", "zlab"], "unknown layout 'zlab' (did you mean 'z-lab'?)"),
    (["--to", "eagle3"], "EAGLE-3 drafters only"),
    (["--to", "z-lab", "--target-layers", "-1"], "--target-layers"),
])
def test_export_says_what_is_wrong(drafter: str, flags: list[str], words: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["export", drafter, *flags, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_export_of_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert main(["export", "z-lab/not-pulled", "--to", "z-lab", "--out", str(tmp_path / "out")]) == 2
    assert "outrider pull z-lab/not-pulled" in capsys.readouterr().err


def test_pull_with_drafter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def pull(model: str, library: Library) -> pull_verb.Pulled:
        return pull_verb.Pulled(model, tmp_path / model, was_here=False)

    monkeypatch.setattr(pull_verb, "_pull", pull)
    assert main(["pull", "Qwen/Qwen3-4B", "--with-drafter"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("z-lab/Qwen3-4B-DFlash-b16 is here: ")
    assert f"--drafter dflash:checkpoint={tmp_path}/z-lab/Qwen3-4B-DFlash-b16" in lines[2]
    assert "without thinking" in lines[2]


def test_pull_with_a_drafter_that_nobody_published(capsys: Capture) -> None:
    assert main(["pull", "owner/unheard-of", "--with-drafter"]) == 2
    assert "no published drafter is known for 'owner/unheard-of'" in capsys.readouterr().err
