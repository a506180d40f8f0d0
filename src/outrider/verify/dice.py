"""The dice that ratio rules throw, and those of a round: keyed, so that the same request falls the same way again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from outrider.core.noise import gumbel
from outrider.core.ratio_noise import VerdictKey


class Dice(Protocol):
    """All the randomness of a rule."""

    def accepts(self, node: int, chance: float) -> bool:
        """A coin that falls so with this chance, independent for every node; thrown at most once a node."""

    def token(self, p_V: Tensor) -> int:
        """A draw from a distribution; one a round."""


@dataclass(frozen=True, slots=True)
class KeyedDice:
    """`anchor` is the position at which the round begins: that of the first drafted token."""

    key: VerdictKey
    anchor: int

    def accepts(self, node: int, chance: float) -> bool:
        return self.key.accept(self.anchor, node) <= chance

    def token(self, p_V: Tensor) -> int:
        words_13 = torch.tensor([self.key.last_words(self.anchor)], dtype=torch.int64, device=p_V.device)
        return int((p_V.log() + gumbel(words_13, torch.arange(len(p_V), device=p_V.device))[0]).argmax())
