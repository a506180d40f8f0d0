"""`Step`: one packed forward pass over rows of many sequences, whatever mix of prompts and draft trees they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of one sequence: `count` packed rows from `begin` on.

    Shapes: slot_L int64, the cache slots of everything these rows may see, committed entries first and their own last,
    in logical order; visible_ML bool, which of them row m sees, None where every row sees all (a single row);
    local_ML the same for layers with a sliding window, None where the window hides nothing.
    """

    begin: int
    count: int
    slot_L: Tensor
    visible_ML: Tensor | None
    local_ML: Tensor | None


@dataclass(frozen=True, slots=True)
class Step:
    """T packed rows. Keys and values of row t go to cache slot slot_T[t]; logits are wanted for rows logit_row_R."""

    token_T: Tensor
    position_T: Tensor
    slot_T: Tensor
    spans: tuple[Span, ...]
    logit_row_R: Tensor


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Keys and values of one layer by cache slot; shapes [S, G, K]."""

    key_SGK: Tensor
    value_SGK: Tensor
