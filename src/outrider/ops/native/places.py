"""The best few tokens of many rows by score + noise, in one native call: the choice and its runners-up.

The readable twin is `core.distribution.best`; what `ops.native.choose` says of last bits holds here too.
A sampled token whose score is below the range of float32 has no chance here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from outrider.core.distribution import Best
from outrider.ops.native.choose import Chooser, Request
from outrider.ops.native.library import Library


class _Places(ctypes.Structure):
    """`Places` of csrc/sampling/walk.h."""

    _fields_ = (
        ("logits", ctypes.c_void_p), ("stride", ctypes.c_int64), ("vocab", ctypes.c_int64),
        ("request", ctypes.c_void_p), ("count", ctypes.c_int64), ("room", ctypes.c_int64),
        ("token", ctypes.c_void_p), ("value", ctypes.c_void_p),
    )


class Ranker:
    """Ranks tokens on the CPU. Not thread-safe, as its chooser is not."""

    def __init__(self, library: Library, kernels: str = "") -> None:
        self._chooser = Chooser(library, kernels)
        self._places = library.function("outrider_places", [ctypes.c_void_p, ctypes.c_void_p])

    def best(self, logits_RV: Tensor, requests: Sequence[Request], count: int, vocab: int) -> list[Best]:
        """For each request the `count` best of its row's first `vocab` tokens. Penalties are those of the history.

        Shapes: logits_RV float32 [R, V] on the CPU, rows contiguous.
        """
        assert logits_RV.dtype == torch.float32 and logits_RV.is_contiguous() and vocab <= logits_RV.shape[-1]
        token_RK = torch.empty((len(requests), count), dtype=torch.int64)
        value_RK = torch.empty((len(requests), count), dtype=torch.float64)
        asked = (Request * len(requests))(*requests)
        call = _Places(logits_RV.data_ptr(), logits_RV.shape[-1], vocab, ctypes.addressof(asked), len(requests), count,
                       token_RK.data_ptr(), value_RK.data_ptr())
        if self._places(self._chooser.handle, ctypes.byref(call)):
            raise MemoryError("no memory for a row of scores")
        kept_R = (token_RK >= 0).sum(-1).tolist()
        return [Best(token_K[:kept], value_K[:kept])
                for token_K, value_K, kept in zip(token_RK.tolist(), value_RK.tolist(), kept_R, strict=True)]
