"""Memory for weights: cache lines whole, and in huge pages where the system has them.

Weights are read from end to end for every token; with pages of 2 MiB the processor looks up five hundred times fewer
addresses on the way.
"""

from __future__ import annotations

import contextlib
import mmap
import sys

import torch
from torch import Tensor

ALIGNMENT = 64
CHUNK_BYTES = 64 << 20  # what is not touched takes no memory


class Arena:
    """Hands out stretches of large mappings; a mapping lives as long as any tensor in it."""

    def __init__(self) -> None:
        self._chunk = torch.empty(0, dtype=torch.uint8, device="cpu")

    def take(self, num_bytes: int) -> Tensor:
        """Uninitialised bytes at a multiple of 64. Shapes: returns [num_bytes] uint8."""
        if num_bytes == 0:
            return torch.empty(0, dtype=torch.uint8, device="cpu")
        if num_bytes > len(self._chunk):
            self._chunk = _mapped(max(CHUNK_BYTES, num_bytes))
        taken, rest = self._chunk[:num_bytes], self._chunk[-(-num_bytes // ALIGNMENT) * ALIGNMENT :]
        self._chunk = rest
        return taken


def _mapped(num_bytes: int) -> Tensor:
    """A mapping of our own: one that could be shared, Python's default, is not given huge pages on most systems."""
    if sys.platform == "win32":
        return torch.frombuffer(mmap.mmap(-1, num_bytes), dtype=torch.uint8)
    mapping = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them: ordinary pages do as well
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(mapping, dtype=torch.uint8)
