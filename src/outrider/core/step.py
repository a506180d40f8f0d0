"""`Step`: one packed forward pass over rows of many sequences, whatever mix of prompts and draft trees they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

ROOT = -1
NO_ROWS = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Span:
    """The rows of one sequence: `count` packed rows from `begin` on, each seeing what is committed and its own branch.

        slot_L   | length committed entries | done: forwarded before | count: the rows of this step |
        parent_A                            | the appended entry before it in its branch, or ROOT    |

    Committed entries before `first` are not seen. `row` is the sequence's row of the cache, for targets that keep more
    of it than entries.

    Shapes: slot_L int64, cache slots; parent_A has done + count entries, each smaller than its own index.
    """

    begin: int
    count: int
    length: int
    slot_L: Tensor
    parent_A: Sequence[int]
    first: int = 0
    row: int = -1

    @property
    def done(self) -> int:
        return len(self.parent_A) - self.count

    @cached_property
    def position_A(self) -> list[int]:
        """Absolute positions of the appended entries."""
        position_A: list[int] = []
        for parent in self.parent_A:
            position_A.append(self.length if parent == ROOT else position_A[parent] + 1)
        return position_A

    @cached_property
    def visible_ML(self) -> Tensor | None:
        """Which entries each row sees, bool; None where a single row sees all."""
        if len(self.parent_A) == 1 and not self.first:
            return None
        seen_AL = torch.ones(len(self.parent_A), self.length + len(self.parent_A), dtype=torch.bool)
        seen_AL[:, self.length :] = ancestry(self.parent_A)
        seen_AL[:, : self.first] = False
        return seen_AL[self.done :].to(self.slot_L.device)

    @cached_property
    def distance_ML(self) -> Tensor:
        """How many positions each entry lies behind each row, negative where it lies before it; int64."""
        appended_A = torch.tensor(self.position_A)
        position_L = torch.cat((torch.arange(self.length), appended_A))
        return (appended_A[self.done :, None] - position_L).to(self.slot_L.device)


def ancestry(parent_A: Sequence[int]) -> Tensor:
    """Which appended entry sees which: bool [A, A], each itself and the branch that leads to it."""
    seen_AA = torch.ones(len(parent_A), len(parent_A), dtype=torch.bool).tril_()
    if list(parent_A) == list(range(ROOT, len(parent_A) - 1)):
        return seen_AA  # a chain: all entries before it
    rows = seen_AA.numpy()
    for entry, parent in enumerate(parent_A):
        rows[entry] = rows[parent] if parent != ROOT else False
        rows[entry, entry] = True
    return seen_AA


@dataclass(frozen=True, slots=True)
class Step:
    """T packed rows. Keys and values of row t go to cache slot slot_T[t]; logits are wanted for rows logit_row_R.

    Where `best_only`, of a row's logits only the largest and its place have to be right, the others merely smaller: for
    choices that are an argmax, which a target may find without computing all of them.

    Networks that work in blocks also get previous_T, the row before each in its block (ROOT for the first), and
    place_T, its place there.
    """

    token_T: Tensor
    position_T: Tensor
    slot_T: Tensor
    spans: tuple[Span, ...]
    logit_row_R: Tensor
    previous_T: Tensor = NO_ROWS
    place_T: Tensor = NO_ROWS
    best_only: bool = False


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Keys and values of one layer by cache slot; shapes [S, G, K]."""

    key_SGK: Tensor
    value_SGK: Tensor

    def move(self, source_n: Tensor, goal_n: Tensor) -> None:
        """Copies entries from slots to slots."""
        self.key_SGK[goal_n] = self.key_SGK[source_n]
        self.value_SGK[goal_n] = self.value_SGK[source_n]


PAGE_SIZE = 16


@dataclass(frozen=True, slots=True)
class LayerPages:
    """The same in pages of 16 consecutive positions, as kernels read them: half precision.

    Shapes: key_PGKL [pages, G, K, 16], so that sixteen positions are the lanes of one dot product; value_PGLK
    [pages, G, 16, K]. Slot s is position s % 16 of page s // 16.
    """

    key_PGKL: Tensor
    value_PGLK: Tensor

    def move(self, source_n: Tensor, goal_n: Tensor) -> None:
        """Copies entries from slots to slots."""
        page_n, lane_n = source_n // PAGE_SIZE, source_n % PAGE_SIZE
        to_page_n, to_lane_n = goal_n // PAGE_SIZE, goal_n % PAGE_SIZE
        self.key_PGKL[to_page_n, :, :, to_lane_n] = self.key_PGKL[page_n, :, :, lane_n]
        self.value_PGLK[to_page_n, :, to_lane_n] = self.value_PGLK[page_n, :, lane_n]
