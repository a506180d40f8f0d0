"""How fast memory can be read: the limit of plain decoding, which reads every weight once a token. Imports no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from outrider.errors import OutriderError
from outrider.ops.native.library import load
from outrider.ops.native.memory import MemoryReader


def read_bandwidth(num_threads: int, num_bytes: int = 512 << 20, duration_s: float = 1.0) -> float | None:
    """Memory bandwidth when reading, in GB/s: the best pass of several; None where the buffer does not fit.

    The buffer is larger than any cache; every thread reads its own stretch of it, by a kernel of ours where there is
    one and with numpy otherwise, which may be some 15 % slower. Both drop the interpreter's lock meanwhile.
    """
    try:
        buffer = np.ones(num_bytes // 8, dtype=np.int64)
    except MemoryError:
        return None
    stretches, read = np.array_split(buffer, num_threads), _reader()
    best_s, end_s = math.inf, time.perf_counter() + duration_s
    with ThreadPoolExecutor(num_threads) as pool:
        while time.perf_counter() < end_s or math.isinf(best_s):
            start_s = time.perf_counter()
            list(pool.map(read, stretches))
            best_s = min(best_s, time.perf_counter() - start_s)
    return buffer.nbytes / best_s / 1e9


def _reader() -> Callable[[npt.NDArray[np.int64]], int]:
    try:
        library = load()
        return np.bitwise_or.reduce if library is None else MemoryReader(library)
    except OutriderError:  # a library that does not fit is the loader's to complain about
        return np.bitwise_or.reduce
