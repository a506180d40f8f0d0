"""Whether the CUDA path can be taken here. Imports no Triton."""

from __future__ import annotations

import importlib.util
import logging

import torch

from outrider.ops.interface import Ops
from outrider.ops.reference import ReferenceOps

MISSING = "Triton is not installed: `pip install triton` for CUDA kernels, or use --ops reference"


def missing() -> str:
    """What keeps the kernels from running, or nothing."""
    return "" if importlib.util.find_spec("triton") is not None else MISSING


def device_ops(device: torch.device) -> Ops:
    """`CudaOps` on a CUDA device that has Triton; otherwise the reference, with a warning where that is a loss."""
    if device.type != "cuda":
        return ReferenceOps()
    if reason := missing():
        logging.getLogger(__name__).warning("on reference ops: %s", reason)
        return ReferenceOps()
    from outrider.ops.cuda.ops import CudaOps  # needs Triton

    return CudaOps(device)
