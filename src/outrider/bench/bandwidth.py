"""How fast memory can be read: the limit of plain decoding, which reads every weight once a token. Imports no torch."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def read_bandwidth(num_threads: int, num_bytes: int = 512 << 20, duration_s: float = 1.0) -> float | None:
    """Memory bandwidth when reading, in GB/s: the best pass of several; None where the buffer does not fit.

    The buffer is larger than any cache; every thread reduces its own stretch of it (numpy drops the lock meanwhile).
    """
    try:
        buffer = np.ones(num_bytes // 8, dtype=np.int64)
    except MemoryError:
        return None
    stretches = np.array_split(buffer, num_threads)
    best_s, end_s = math.inf, time.perf_counter() + duration_s
    with ThreadPoolExecutor(num_threads) as pool:
        while time.perf_counter() < end_s or math.isinf(best_s):
            start_s = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, stretches))
            best_s = min(best_s, time.perf_counter() - start_s)
    return buffer.nbytes / best_s / 1e9
