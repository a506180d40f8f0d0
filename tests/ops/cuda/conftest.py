"""The CUDA path without a GPU: Triton's interpreter on CPU tensors; on `OUTRIDER_DEVICE=cuda`, compiled kernels."""

from __future__ import annotations

import os

if not os.environ.get("OUTRIDER_DEVICE", "").startswith("cuda"):
    os.environ["TRITON_INTERPRET"] = "1"  # read when kernels are imported, which only these tests do
