"""Torch beside the kernels' own pool of threads.

A parallel operation of torch leaves its OpenMP threads spinning for a while, on the cores that the next pass wants:
one such operation a round made passes take twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within it, operations of torch that this thread asks for are not split. Costs less than a microsecond."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
