"""The CUDA path without a GPU: Triton's interpreter on CPU tensors; on `OUTRIDER_DEVICE=cuda`, compiled kernels.

A process has one or the other. Where there is a GPU, the interpreter would be in the way of everything else that runs.
"""

from __future__ import annotations

import os
from pathlib import Path

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
