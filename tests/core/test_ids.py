"""Short lists as tensors."""

from __future__ import annotations

import torch

from outrider.core.ids import ids


def test_like_torch_tensor() -> None:
    for values in ([], [7], [3, -1, 2**40], [[1, 2], [3, -2]], (5, 6), range(4)):
        found = ids(values, torch.device("cpu"))
        assert found.dtype == torch.int64
        assert torch.equal(found, torch.tensor(values, dtype=torch.int64))
        assert found.is_contiguous()


def test_on_another_device() -> None:
    found = ids([1, 2, 3], torch.device("meta"))
    assert found.device.type == "meta" and found.dtype == torch.int64 and found.shape == (3,)
