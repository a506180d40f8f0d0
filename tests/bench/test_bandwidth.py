from __future__ import annotations

import pytest

from outrider.bench import bandwidth


def test_bandwidth_is_a_rate_and_a_lack_of_memory_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = bandwidth.read_bandwidth(2, num_bytes=1 << 20, duration_s=0.01)
    assert rate is not None
    assert rate > 0

    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bandwidth.np, "ones", no_room)
    assert bandwidth.read_bandwidth(2, num_bytes=1 << 20, duration_s=0.01) is None
