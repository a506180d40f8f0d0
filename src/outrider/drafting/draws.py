"""Drawing drafts for the ratio rules, from a drafter's own distribution q and with noise of their own.

How many siblings to draw is the caller's to decide from q, before they are drawn; what is drawn is kept, in its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from outrider.core.distribution import best, distribution
from outrider.core.noise import gumbel
from outrider.core.ratio_noise import DrawKey
from outrider.core.sampling import Sampling


def proposal(logits_V: Tensor, sampling: Sampling, vocab: int) -> Tensor:
    """q as float64 [vocab]: the draft's logits read as the request asks. Penalties are left to the target.

    Ids beyond the draft's vocabulary have no chance, logits beyond the target's none either.
    """
    q_V = torch.zeros(vocab, dtype=torch.float64, device=logits_V.device)
    known = min(vocab, len(logits_V))
    q_V[:known] = distribution(logits_V[:known], sampling)
    return q_V


def drawn(q_V: Tensor, key: DrawKey, anchor: int, parent: int, count: int) -> list[int]:
    """At most `count` tokens drawn from q one after the other, without replacement; fewer where q has no more.

    The largest of log q + Gumbel noise in order are such draws (Kool, van Hoof, Welling 1903.06059). `anchor` is the
    position of the first drafted token of the round, `parent` the node below which they hang.
    """
    words_13 = torch.tensor([key.draw_words(anchor, parent)], dtype=torch.int64, device=q_V.device)
    token_V = torch.arange(len(q_V), device=q_V.device)
    return best(q_V.log() + gumbel(words_13, token_V)[0], count).token_K
