"""Kernels become machine code, which the interpreter does not show; `scripts/check-cuda` alone does all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="no Triton: `pip install triton` compiles kernels anywhere")
SCRIPT = Path(__file__).parent.parent.parent.parent / "scripts" / "check-cuda"


def test_a_kernel_of_each_sort_compiles() -> None:
    """On its own: kernels that were imported for the interpreter are not compiled."""
    names = ("attend bf16 head 64", "join bf16", "rotate bf16", "norm bf16", "gate bf16", "convolve bf16", "4 bits, 16",
             "best token, fp32", "first best")
    command = [sys.executable, str(SCRIPT), "--cc", "80", *(part for name in names for part in ("--only", name))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in names)
