"""When a draft model's next pass is worth it, as long as no policy says so.

All prices are in plain steps of the target. A token is worth what it costs to have one anyway, which with drafts is
less than a step. So a node pays if its survival is worth another row to verify, and a level below some nodes pays if
what they may lead to is worth another pass of the draft model besides. `drafting.thrift` is the same for drafters that
need no passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ROW = 0.12  # of 2 to 8 rows on our kernels: 0.05 where memory is slow, 0.16 where it is fast
_WORTH = 0.7


@dataclass(frozen=True, slots=True)
class Price:
    """`level` is the price of a pass of the draft model, `row` that of another row to verify."""

    level: float
    row: float = _ROW
    worth: float = _WORTH

    @property
    def floor(self) -> float:
        """The least survival of a node that is worth verifying."""
        return self.row / self.worth

    def pays_level(self, survival_F: Sequence[float]) -> bool:
        """Whether it is worth asking what follows nodes of these survivals."""
        return sum(survival_F) * self.worth >= self.level + self.row * len(survival_F)


FREE = Price(0.0, 0.0)
