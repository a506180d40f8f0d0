"""SpecBlock's rank head: where in a slot's own order the target's token will be found, and so how many to try.

    classes    first | 2nd to 4th | 5th to 10th | further down

Source: Shi et al., "SpecBlock" (arXiv 2605.07243); tables and caps of the released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_COMPARED, _LISTED = 20, 10
_WIDTHS = (2, 4, 6, 4)  # children of a slot's predecessor, by class
_UNRANKED = 4
_CAPS = ((0.95, 2), (0.85, 3))
_FIRST_WIDTHS = ((0.9, 3), (0.8, 5), (0.6, 8))
_FIRST_MOST = 10


def first_width(chance: float) -> int:
    """Children of the anchor, the greedy one among them, by the chance of the greedy one."""
    return next((width for least, width in _FIRST_WIDTHS if chance >= least), _FIRST_MOST)


def width(rank: int | None, chance: float) -> int:
    """Children further down, by the class of the rank head (None without one) and the greedy one's chance."""
    wanted = _UNRANKED if rank is None else _WIDTHS[rank]
    cap = next((most for least, most in _CAPS if chance >= least), wanted)
    return min(wanted, cap)


@dataclass(frozen=True, slots=True)
class RankHead:
    """Shapes: up_ED [E, D + 15], down_CE [4, E]."""

    up_ED: Tensor
    up_E: Tensor | None
    down_CE: Tensor
    down_C: Tensor | None

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> RankHead | None:
        """Takes its tensors from a checkpoint's, if it has any."""
        if "rank.up.weight" not in weights:
            return None
        up_ED, down_CE = (weights[f"rank.{name}.weight"].float() for name in ("up", "down"))
        up_E, down_C = (weights.get(f"rank.{name}.bias") for name in ("up", "down"))
        return cls(up_ED, None if up_E is None else up_E.float(), down_CE, None if down_C is None else down_C.float())

    def classes(self, normed_RD: Tensor, logits_RV: Tensor) -> list[int]:
        """The likeliest class of each row."""
        input_RE = torch.cat((normed_RD.float(), described(logits_RV.float())), -1)
        inner_RE = F.silu(F.linear(input_RE, self.up_ED, self.up_E))
        found: list[int] = F.linear(inner_RE, self.down_CE, self.down_C).argmax(-1).tolist()
        return found


def described(logits_RV: Tensor) -> Tensor:
    """Fifteen numbers that tell how sure each row is: ten log-probabilities among the best twenty, gaps, entropy."""
    best_RK = logits_RV.topk(min(_COMPARED, logits_RV.shape[1]), -1).values
    logp_RK = F.pad(best_RK.log_softmax(-1), (0, _COMPARED - best_RK.shape[1]), value=-100.0)
    share_RK = logp_RK.exp()
    gap_R3 = logp_RK[:, :1] - logp_RK[:, [1, 2, 4]]
    entropy_R1 = -(share_RK * logp_RK).sum(-1, keepdim=True)
    return torch.cat((logp_RK[:, :_LISTED], gap_R3, share_RK[:, :1], entropy_R1), -1)
