"""The target's choices natively: `core.distribution.choose` and `verify.match.walk` for a whole round in one call.

The tokens are those of the torch functions, which are the readable twins. Two things may differ where twins are at odds
with themselves: torch's vectorised log, log1p and exp round the last bit by place and shape, which is seen only if two
scores, or a nucleus and `top_p`, are equal to 15 digits; and a logit that is no number counts as -inf here.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.distribution import History
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from outrider.core.tree import EMPTY_TREE, DraftBatch
from outrider.ops.native.library import Library

_CPU = torch.device("cpu")


class Request(ctypes.Structure):
    """`Request` of csrc/sampling/request.h."""

    _fields_ = (
        ("temperature", ctypes.c_double), ("top_p", ctypes.c_double), ("min_p", ctypes.c_double),
        ("repetition_penalty", ctypes.c_double), ("presence_penalty", ctypes.c_double),
        ("frequency_penalty", ctypes.c_double),
        ("top_k", ctypes.c_int64), ("num_biases", ctypes.c_int64),
        ("bias_token", ctypes.c_void_p), ("bias", ctypes.c_void_p),
        ("in_prompt", ctypes.c_void_p), ("output", ctypes.c_void_p),
        ("seed", ctypes.c_uint64), ("sample", ctypes.c_int64),
        ("row", ctypes.c_int64), ("position", ctypes.c_int64),
    )


class _Round(ctypes.Structure):
    """`Round` of csrc/sampling/walk.h."""

    _fields_ = (
        ("logits", ctypes.c_void_p), ("vocab", ctypes.c_int64), ("request", ctypes.c_void_p),
        ("token", ctypes.c_void_p), ("parent", ctypes.c_void_p),
        ("count", ctypes.c_int64), ("nodes", ctypes.c_int64), ("width", ctypes.c_int64),
        ("emitted", ctypes.c_void_p), ("node", ctypes.c_void_p), ("num_emitted", ctypes.c_void_p),
    )


class Asker:
    """One sequence's part of a round: what it asks of its tokens, whose noise it draws, what its penalties count.

    Made once a sequence; `at` moves it. It reads `history` where that lies, so it sees what is counted later.
    """

    def __init__(self, sampling: Sampling, key: NoiseKey, history: History | None = None) -> None:
        bias = sampling.logit_bias
        self._bias_token_C = torch.tensor(list(bias), dtype=torch.int64)
        self._bias_C = torch.tensor(list(bias.values()), dtype=torch.float64)
        self._history = history if sampling.has_penalties else None
        counts = (None, None) if self._history is None else (
            self._history.in_prompt_V.data_ptr(), self._history.output_V.data_ptr())
        self.request = Request(
            sampling.temperature, sampling.top_p, sampling.min_p, sampling.repetition_penalty,
            sampling.presence_penalty, sampling.frequency_penalty, min(sampling.top_k, 2**62), len(bias),
            self._bias_token_C.data_ptr(), self._bias_C.data_ptr(), *counts, key.seed, key.sample, 0, 0)

    def at(self, row: int, position: int) -> Request:
        """Choosing the token at `position` from logit row `row`; until it is asked for another."""
        self.request.row, self.request.position = row, position
        return self.request

    def apart(self, row: int, position: int) -> Request:
        """The same as a copy, where one call asks for several positions of a sequence. Not to outlive the asker."""
        return Request.from_buffer_copy(self.at(row, position))


class Chooser:
    """Choices on the CPU. Not thread-safe: it owns the room for one row's scores.

    `handle` is for other functions of the library that choose.
    """

    def __init__(self, library: Library, kernels: str = "") -> None:
        new = library.function("outrider_chooser_new", [ctypes.c_void_p], ctypes.c_void_p)
        free = library.function("outrider_chooser_free", [ctypes.c_void_p], None)
        self._walk = library.function("outrider_walk", [ctypes.c_void_p, ctypes.c_void_p])
        self.handle = new(library.kernels(kernels))
        if not self.handle:
            raise MemoryError("no memory for a row of scores")
        weakref.finalize(self, free, self.handle)

    def walk(self, logits_RV: Tensor, draft: DraftBatch, requests: Sequence[Request]) -> VerdictBatch:
        """Verdicts of B trees, in the order of `requests` from `Asker.at`; node i of a tree has row + 1 + i.

        Shapes: logits_RV float32 [R, V] on the CPU, rows contiguous.
        """
        assert logits_RV.dtype == torch.float32 and logits_RV.is_contiguous() and len(requests) == len(draft)
        size, nodes = draft.token_BN.shape
        width = draft.max_depth + 1
        token_BW = torch.empty((size, width), dtype=torch.int64)
        node_BW = torch.empty((size, width), dtype=torch.int64)
        count_B = torch.empty(size, dtype=torch.int64)
        asked = (Request * size)(*requests)
        call = _Round(logits_RV.data_ptr(), logits_RV.shape[-1], ctypes.addressof(asked),
                      draft.token_BN.data_ptr(), draft.parent_BN.data_ptr(), size, nodes, width,
                      token_BW.data_ptr(), node_BW.data_ptr(), count_B.data_ptr())
        if self._walk(self.handle, ctypes.byref(call)):
            raise MemoryError("no memory for a row of scores")
        return VerdictBatch(token_BW, node_BW, count_B)

    def choose(self, logits_V: Tensor, asker: Asker, position: int) -> int:
        """One token: the walk of an empty tree."""
        nothing = DraftBatch.of([EMPTY_TREE], _CPU)
        return int(self.walk(logits_V[None], nothing, [asker.at(0, position)]).token_BW[0, 0])


def noise(library: Library, key: NoiseKey, position: int, token_C: Tensor) -> Tensor:
    """Uniforms and Gumbel variates, float64 [2, C], as `core.noise` has them for `Stream.CHOICE`."""
    function = library.function("outrider_noise", [
        ctypes.c_uint64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
        ctypes.c_void_p], None)
    found = torch.empty((2, len(token_C)), dtype=torch.float64)
    function(key.seed, key.sample, position, token_C.data_ptr(), len(token_C), found[0].data_ptr(),
             found[1].data_ptr())
    return found
