"""Capture and replay: a pass of hundreds of launches becomes one, as long as every address and shape stays.

    capture(run)   run twice to warm up (kernels compile, libraries take their room), once recorded; gives the replay
    replay()       the same launches over whatever the buffers hold by then
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

Run = Callable[[], None]


class Capture(Protocol):
    """Makes a replay of `run`, which reads and writes the same tensors each time."""

    def __call__(self, run: Run) -> Run: ...


class CudaCapture:
    """CUDA graphs that share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Run) -> Run:
        """Raises: RuntimeError where something in `run` cannot be captured."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            run()
            run()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            run()
        replay: Run = graph.replay
        return replay
