"""Which ops a model runs on, what is said where that cannot be, and engines that share one model."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from native_targets import library
from outrider.core.sampling import Sampling
from outrider.engine.llm import LLM
from outrider.errors import ConfigError
from outrider.ops.native.matrix import Kind
from outrider.target import load
from outrider.target.decoder import DecoderTarget
from outrider.target.load import LoadedModel, load_model
from outrider.target.native import NativeTarget
from tiny_models import write_tiny_model

MATRIX = "layers.0.mlp.up.weight"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that kernels take."""
    assert library()
    return write_tiny_model(tmp_path_factory.mktemp("models") / "fits.gguf", head_size=16)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that they do not take."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "small.gguf")


def native(model: LoadedModel) -> NativeTarget:
    assert isinstance(model.target, NativeTarget)
    return model.target


@pytest.mark.parametrize(("options", "kind"), [
    ({}, Kind.FLOAT), ({"ops": "native"}, Kind.FLOAT), ({"weights": "exact"}, Kind.FLOAT),
    ({"weights": "q8"}, Kind.BYTE_HALF), ({"weights": "q4", "ops": "native"}, Kind.NIBBLE_TWO_LEVEL),
    ({"device": "cpu", "threads": 1}, Kind.FLOAT),
])
def test_the_cpu_has_native_ops(file: Path, options: dict[str, Any], kind: Kind,
                                caplog: pytest.LogCaptureFixture) -> None:
    target = native(load_model(file, **({"device": "cpu"} | options)))
    assert target.weights.matrices[MATRIX].kind == kind and target.info.exact
    assert target.threads == (options.get("threads") or load.available_threads())
    assert not caplog.records


@pytest.mark.parametrize(("options", "dtype"), [
    ({"ops": "reference"}, torch.float32), ({"dtype": "bfloat16"}, torch.bfloat16),
    ({"ops": "reference", "dtype": "float16", "weights": "exact"}, torch.float16),
])
def test_reference_ops_are_there_for_whoever_asks(file: Path, options: dict[str, Any], dtype: torch.dtype,
                                                  caplog: pytest.LogCaptureFixture) -> None:
    target = load_model(file, device="cpu", **options).target
    assert isinstance(target, DecoderTarget) and next(target.decoder.parameters()).dtype == dtype
    assert not caplog.records


@pytest.mark.parametrize(("options", "message"), [
    ({"ops": "nativ"}, "unknown ops 'nativ' .*native.*; known: native, reference"),
    ({"weights": "q5"}, "unknown weights 'q5'.*; known: exact, q8, q4"),
    ({"weights": "q5", "ops": "reference"}, "unknown weights 'q5'"),
    ({"dtype": "float23"}, "unknown dtype 'float23'.*; known: float32, bfloat16, float16"),
    ({"ops": "native", "dtype": "float32"}, "ops native: .*leave out --device and --dtype"),
    ({"weights": "q8", "ops": "reference"}, "weights q8: only native ops round weights"),
    ({"weights": "q4", "dtype": "float32"}, "weights q4: only native ops round weights"),
    ({"ops": "cuda"}, "ops cuda: they run on CUDA; leave out --ops"),
    ({"threads": -1}, "threads -1: expected 1 to"),
    ({"threads": (os.cpu_count() or 1) + 1}, "expected 1 to .* the cores of this machine, or 0"),
])
def test_what_does_not_go_together_is_one_line(file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        load_model(file, **({"device": "cpu"} | options))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("options", [{"ops": "fast"}, {"dtype": "int3"}, {"weights": "q3"}, {"threads": -2}])
def test_nothing_is_fetched_for_wrong_options(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "resolve", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(ConfigError):
        load_model("smollm2-135m-instruct", **options)


def test_without_a_library_there_is_one_warning_that_names_the_remedy(
        file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(load, "native_library", lambda: None)
    assert isinstance(load_model(file, device="cpu").target, DecoderTarget)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "install a C++ compiler" in caplog.text and caplog.text.count("\n") == 1


@pytest.mark.parametrize("options", [{"ops": "native"}, {"weights": "q8"}])
def test_without_a_library_what_needs_it_is_one_line(file: Path, options: dict[str, Any],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "native_library", lambda: None)
    with pytest.raises(ConfigError, match="install a C\\+\\+ compiler") as found:
        load_model(file, device="cpu", **options)
    assert "\n" not in str(found.value)


def test_a_model_that_kernels_cannot_take(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(load_model(small, device="cpu").target, DecoderTarget)
    assert [record.getMessage() for record in caplog.records] == [
        "on reference ops: its head size is 8, the kernels take multiples of 16"]
    for options in ({"ops": "native"}, {"weights": "q4"}):
        with pytest.raises(ConfigError, match="its head size is 8"):
            load_model(small, device="cpu", **options)  # type: ignore[arg-type]


def test_two_engines_in_two_threads_share_a_model(file: Path) -> None:
    """And record what they need at the same time."""
    prompts = ["hello hello hello", "12 12 12 1"]
    sampling = Sampling(temperature=0.8, seed=3, max_tokens=24, ignore_eos=True)
    wanted = [tokens(load_model(file, device="cpu", ops="native"), prompt, "none", sampling) for prompt in prompts]
    model = load_model(file, device="cpu", ops="native")
    found: dict[int, list[list[int]]] = {0: [], 1: []}

    def run(which: int) -> None:
        for drafter in ("suffix", "none", "recycling"):
            found[which].append(tokens(model, prompts[which], drafter, sampling))

    engines = [threading.Thread(target=run, args=(which,)) for which in found]
    for engine in engines:
        engine.start()
    for engine in engines:
        engine.join()
    assert found == {which: [wanted[which]] * 3 for which in found}


def tokens(model: LoadedModel, prompt: str, drafter: str, sampling: Sampling) -> list[int]:
    with LLM(model, drafter=drafter, context=256) as llm:
        return list(llm.generate(prompt, sampling).ids)


def test_without_transformers_its_ops_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in [name for name in sys.modules if name.startswith("outrider.target.hf")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"ops hf: the library transformers .*pip install 'transformers>=5'") as found:
        load_model(tmp_path, ops="hf", device="cpu")
    assert "\n" not in str(found.value)
