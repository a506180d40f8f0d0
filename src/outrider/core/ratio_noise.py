"""Noise of the ratio rules: three streams of their own, whose keys are not `NoiseKey`s.

The ratio rules are exact only if a draft is drawn independently of the target's choices, of acceptance and of the
residual. So a drafter is given a `DrawKey`, from which none of these can be computed, the rule has a `VerdictKey`,
and neither opens the stream that choices are made with:

    NoiseKey   ── choice(position)                      match
    DrawKey    ── draw(anchor, parent, token)           ratio, block: the drafter
    VerdictKey ── accept(anchor, node), last(anchor)    ratio, block: the rule

`anchor` is the position at which the round begins. It is part of the key because a round that looks at tokens and
gives them up, as block verification does, has used their noise: a later round at the same positions needs fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from outrider.core.noise import Stream, Words, stream_words, uniform

_NODES = 2**20  # places of a round


@dataclass(frozen=True, slots=True)
class DrawKey:
    """What a drafter draws with."""

    seed: int
    sample: int = 0

    def draw_words(self, anchor: int, parent: int) -> Words:
        """The words for drawing the children of `parent` (-1: the anchor) in the round that begins at `anchor`."""
        return stream_words(self.seed, self.sample, _place(anchor, parent), Stream.RATIO_DRAW)


@dataclass(frozen=True, slots=True)
class VerdictKey:
    """What a ratio rule accepts with, and draws the last token of a round with."""

    seed: int
    sample: int = 0

    def accept(self, anchor: int, node: int) -> float:
        """A uniform strictly inside (0, 1)."""
        words = stream_words(self.seed, self.sample, _place(anchor, node), Stream.RATIO_ACCEPT)
        return float(uniform(torch.tensor([words], dtype=torch.int64), torch.zeros(1, dtype=torch.int64))[0, 0])

    def last_words(self, anchor: int) -> Words:
        """The words for drawing the correction or bonus of the round that begins at `anchor`."""
        return stream_words(self.seed, self.sample, _place(anchor, -1), Stream.RATIO_RESIDUAL)


def _place(anchor: int, node: int) -> int:
    """One number for each pair."""
    assert -1 <= node < _NODES - 1
    return anchor * _NODES + node + 1
