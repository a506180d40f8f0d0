from __future__ import annotations

import numpy as np
import pytest

from outrider.bench import bandwidth
from outrider.errors import NativeLibraryError
from outrider.ops.native.library import load
from outrider.ops.native.memory import MemoryReader


def test_bandwidth_is_a_rate_and_a_lack_of_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = bandwidth.read_bandwidth(2, num_bytes=1 << 20, duration_s=0.01)
    assert rate is not None
    assert rate > 0

    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bandwidth.np, "ones", no_room)
    assert bandwidth.read_bandwidth(2, num_bytes=1 << 20, duration_s=0.01) is None


def test_a_library_that_does_not_fit_leaves_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def misfit() -> None:
        raise NativeLibraryError("has no function")

    monkeypatch.setattr(bandwidth, "load", misfit)
    assert bandwidth._reader() == np.bitwise_or.reduce


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
def test_the_kernel_reads_every_word(count: int) -> None:
    library = load()
    if library is None:
        pytest.skip("no native kernels here")
    read, words = MemoryReader(library), np.zeros(count, dtype=np.int64)
    assert read(words) == 0
    for place in range(count):
        words[place] = 1 << place % 63
    assert read(words) == np.bitwise_or.reduce(words)
