"""Which way a model is loaded for a CUDA device, and what stands in the way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from outrider.errors import ConfigError
from outrider.ops.cuda import available
from outrider.target import load
from outrider.target.cuda import CudaTarget
from outrider.target.decoder import DecoderTarget
from outrider.target.load import load_model
from outrider.testing import tiny_model
from tiny_models import write_tiny_model

CUDA = torch.device("cuda")


@pytest.fixture
def kernels(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that takes the kernels, whatever it is."""
    ops = pytest.importorskip("outrider.ops.cuda.ops", reason="no Triton: `pip install triton` runs these anywhere")
    monkeypatch.setattr(load, "_device", lambda name: device)
    monkeypatch.setattr(load, "_library", lambda *_: None)
    monkeypatch.setattr(load, "cuda_ops", lambda place: ops.CudaOps(place))
    monkeypatch.setattr("outrider.target.cuda.CudaCapture", lambda place: None)


@pytest.mark.usefixtures("kernels")
def test_weights_are_rounded_on_the_way(tmp_path: Path) -> None:
    file = write_tiny_model(tmp_path / "tiny.gguf")
    plain, small = (load_model(file, dtype="float32", weights=weights).target for weights in ("exact", "q4"))
    assert isinstance(plain, CudaTarget) and isinstance(small, CudaTarget)
    assert small.weight_bytes < plain.weight_bytes / 4


@pytest.mark.usefixtures("kernels")
def test_the_reference_is_there_for_whoever_asks(tmp_path: Path) -> None:
    target = load_model(write_tiny_model(tmp_path / "tiny.gguf"), ops="reference", dtype="float32").target
    assert type(target) is DecoderTarget


def test_without_triton_there_is_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(available.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert available.cuda_ops(CUDA) is None and available.cuda_ops(torch.device("cpu")) is None
    assert [record.message for record in caplog.records] == [f"on reference ops: {available.MISSING}"]


@pytest.mark.parametrize("options", [{"ops": "cuda"}, {"weights": "q8"}])
def test_without_triton_what_needs_it_is_one_line(options: dict[str, Any], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_device", lambda name: CUDA)
    monkeypatch.setattr(load, "missing", lambda: available.MISSING)
    with pytest.raises(ConfigError, match="pip install triton") as found:
        load_model(write_tiny_model(tmp_path / "tiny.gguf"), **options)
    assert "\n" not in str(found.value)


def test_toys_of_other_devices_have_no_kernels() -> None:
    assert type(tiny_model(0, torch.device("cpu")).target) is DecoderTarget
