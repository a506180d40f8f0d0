"""What a draft model would choose, and how sure it is: readable over torch, or one native call on the CPU.

Both give the same tokens, and shares of the same definition. A guess's share is that of exp(score + noise) among the
`COMPARED` best of its row, which says by how little the others lost: with keyed noise the target agrees unless its own
scores differ by about that much. The share among all tokens would need the noise of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from outrider.core.distribution import Best, best, noisy, scores
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from outrider.ops.native import library
from outrider.ops.native.choose import Asker
from outrider.ops.native.places import Ranker
from outrider.target.interface import TargetInfo

COMPARED = 8


class Request:
    """What a sequence asks of its tokens, and whose noise it draws; made once a sequence."""

    def __init__(self, sampling: Sampling, noise: NoiseKey) -> None:
        self.sampling, self.noise = sampling, noise
        self.asker = Asker(sampling, noise)


@dataclass(frozen=True, slots=True)
class Question:
    """Which token comes at `position`, the absolute index of the token itself, after logit row `row`?"""

    request: Request
    row: int
    position: int


@dataclass(frozen=True, slots=True)
class Guess:
    """A token, and its share of the chances."""

    token: int
    share: float


class Guesser(Protocol):
    """Reads guesses off a draft model's logits."""

    def guesses(self, logits_RV: Tensor, questions: Sequence[Question], count: int) -> list[list[Guess]]:
        """At most `count` for each question, the likeliest first. Penalties are left to the target."""


def guesser_for(info: TargetInfo, vocab: int) -> Guesser:
    """Native for an exact draft model, whose logits the native functions can read. `vocab`: ids that may be guessed.

    Raises: NativeLibraryError if the library is not of this version.
    """
    found = library.load() if info.exact else None
    return ReferenceGuesser(vocab) if found is None else NativeGuesser(vocab, Ranker(found))


class ReferenceGuesser:
    """Torch, on any device."""

    def __init__(self, vocab: int) -> None:
        self._vocab = vocab

    def guesses(self, logits_RV: Tensor, questions: Sequence[Question], count: int) -> list[list[Guess]]:
        return [_shared(self._best(logits_RV[item.row], item, max(count, COMPARED)), count) for item in questions]

    def _best(self, logits_V: Tensor, item: Question, count: int) -> Best:
        request = item.request
        score_V = scores(logits_V[: self._vocab], request.sampling)
        return best(noisy(score_V, request.sampling, request.noise, item.position), count)


class NativeGuesser:
    """One native call for all questions."""

    def __init__(self, vocab: int, ranker: Ranker) -> None:
        self._vocab, self._ranker = vocab, ranker

    def guesses(self, logits_RV: Tensor, questions: Sequence[Question], count: int) -> list[list[Guess]]:
        requests = [item.request.asker.apart(item.row, item.position) for item in questions]
        found = self._ranker.best(logits_RV, requests, max(count, COMPARED), self._vocab)
        return [_shared(one, count) for one in found]


def _shared(top: Best, count: int) -> list[Guess]:
    weight_K = [math.exp(value - top.value_K[0]) for value in top.value_K]
    total = sum(weight_K)
    return [Guess(token, weight / total) for token, weight in zip(top.token_K[:count], weight_K, strict=False)]
