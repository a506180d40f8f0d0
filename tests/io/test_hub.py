"""Repositories that a user names: which files are fetched, and what happens when the hub will not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_hub import hub_server
from outrider.errors import UnknownReferenceError
from outrider.io.quant_tag import choose_gguf, tag_of

FILES = {"tiny-q4_k_m.gguf": b"GGUF small", "tiny-q8_0.gguf": b"GGUF large", "README.md": b"text"}


def outrider(arguments: list[str], address: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_ENDPOINT": address}
    environment |= {"HF_HOME": str(home / "hf"), "OUTRIDER_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "outrider", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_tag_names_the_file_and_it_is_found_again(tmp_path: Path) -> None:
    with hub_server("fake/Other-GGUF", FILES) as address:
        first = outrider(["pull", "fake/Other-GGUF:q8_0"], address, tmp_path)
    assert first.returncode == 0, first.stderr
    assert Path(first.stdout.split(": ", 1)[1].strip()).read_bytes() == b"GGUF large"
    again = outrider(["pull", "fake/Other-GGUF:Q8_0"], "http://127.0.0.1:9", tmp_path)
    assert "here already" in again.stdout


def test_safetensors_come_with_what_belongs_to_them(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"w", "tokenizer.json": b"{}", "onnx/model.onnx": b"no"}
    with hub_server("fake/Plain", files) as address:
        answer = outrider(["pull", "fake/Plain"], address, tmp_path)
    assert answer.returncode == 0, answer.stderr
    snapshot = Path(answer.stdout.split(": ", 1)[1].strip())
    assert sorted(path.name for path in snapshot.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("fake/Other-GGUF:Q3_K_M", "no GGUF file tagged 'Q3_K_M' (did you mean 'Q4_K_M'?); it has Q4_K_M, Q8_0"),
        ("fake/Nowhere", "no public repository 'fake/Nowhere'"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(tmp_path: Path, reference: str, complaint: str) -> None:
    with hub_server("fake/Other-GGUF", FILES) as address:
        answer = outrider(["pull", reference], address, tmp_path)
    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_no_connection_is_one_line(tmp_path: Path) -> None:
    answer = outrider(["pull", "fake/Other-GGUF"], "http://127.0.0.1:9", tmp_path)
    assert answer.returncode == 2
    assert "could not be fetched from the hub" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_what_does_not_match_its_checksum_is_dropped(tmp_path: Path) -> None:
    with hub_server("fake/Other-GGUF", FILES, listed={**FILES, "tiny-q8_0.gguf": b"GGUF other"}) as address:
        answer = outrider(["pull", "fake/Other-GGUF:Q8_0"], address, tmp_path)
    assert answer.returncode == 2
    assert "checksum of tiny-q8_0.gguf" in answer.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"GGUF large"]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("SmolLM-135M-Instruct_Q4_K.gguf", "Q4_K"),
        ("model-IQ2_XXS.gguf", "IQ2_XXS"),
        ("model-UD-Q2_K_XL.gguf", "UD-Q2_K_XL"),
        ("Llama-BF16-00001-of-00003.gguf", "BF16"),
        ("Q8_0/model.gguf", "Q8_0"),
        ("model.gguf", None),
        ("qwen2.5-7b.gguf", None),
    ],
)
def test_the_tag_in_a_file_name(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag


def test_without_a_tag_the_usual_quantisation_is_taken() -> None:
    names = ["a-q8_0.gguf", "a-q4_k_m.gguf", "a-q2_k.gguf", "mmproj-a-f16.gguf"]
    assert choose_gguf(names, None, "o/r") == "a-q4_k_m.gguf"
    assert choose_gguf(["only.gguf"], None, "o/r") == "only.gguf"


def test_a_split_file_is_refused() -> None:
    with pytest.raises(UnknownReferenceError, match="split"):
        choose_gguf(["a-q4_0-00001-of-00002.gguf", "a-q4_0-00002-of-00002.gguf"], "Q4_0", "o/r")
