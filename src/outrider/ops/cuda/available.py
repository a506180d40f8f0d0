"""Whether the CUDA path can be taken here. Imports no Triton itself."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from outrider.ops.cuda.ops import CudaOps

MISSING = "Triton is not installed: `pip install triton` for CUDA kernels, or use --ops reference"


def missing() -> str:
    """What keeps the kernels from running on a CUDA device, or nothing."""
    return "" if importlib.util.find_spec("triton") is not None else MISSING


def cuda_ops(device: torch.device) -> CudaOps | None:
    """The kernels' ops on a CUDA device that has Triton; where only that is missing, a warning."""
    if device.type != "cuda":
        return None
    if reason := missing():
        logging.getLogger(__name__).warning("on reference ops: %s", reason)
        return None
    from outrider.ops.cuda.ops import CudaOps  # needs Triton

    return CudaOps(device)
