"""The CUDA path without a GPU: Triton's interpreter on CPU tensors; on `OUTRIDER_DEVICE=cuda`, compiled kernels.

A process has one or the other. Where there is a GPU, the interpreter would be in the way of everything else that runs.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

COMPILED = os.environ.get("OUTRIDER_DEVICE", "").startswith("cuda")

if not COMPILED and not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are imported, which only these tests do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if COMPILED or not torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="here is a GPU: scripts/gpu-check, which sets OUTRIDER_DEVICE=cuda, runs these")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """The type, with an interpreter that can multiply it: by itself it multiplies the bits as integers."""
    if COMPILED:
        return torch.bfloat16
    language, interpreter = pytest.importorskip("triton.language"), pytest.importorskip("triton.runtime.interpreter")
    multiply = interpreter.InterpreterBuilder.create_dot

    def widened(handle: object) -> object:
        if handle.dtype.scalar != language.bfloat16:  # type: ignore[attr-defined]
            return handle
        bits = handle.data.astype(np.uint32) << 16  # type: ignore[attr-defined]
        return interpreter.TensorHandle(bits.view(np.float32), language.float32)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", lambda builder, left, right, *rest:
                        multiply(builder, widened(left), widened(right), *rest))
    return torch.bfloat16
