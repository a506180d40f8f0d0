"""Rows of a drafter's network: what one sequence puts into a pass, and many of them as one `Step`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from outrider.core.step import ROOT, Span, Step


@dataclass(frozen=True, slots=True)
class Rows:
    """One sequence's rows. They follow `length` entries of its store, and `done` that earlier passes have appended.

    Shapes: slot_L int64 [length + done + n], the slots of all these entries; parent_A as in `Span`; position_n are the
    rotary positions; place_n the places in a block, where that matters; `wanted` the rows whose outputs are wanted.
    """

    token_n: Sequence[int]
    position_n: Sequence[int]
    slot_L: Tensor
    length: int
    parent_A: Sequence[int] = ()
    first: int = 0
    wanted: Sequence[int] = ()
    place_n: Sequence[int] = ()

    @classmethod
    def chain(cls, token_n: Sequence[int], begin: int, slot_L: Tensor, wanted: Sequence[int] = ()) -> Rows:
        """Rows that follow each other from position `begin` on, which is also how many entries there are before."""
        count = len(token_n)
        return cls(token_n, range(begin, begin + count), slot_L, begin, range(ROOT, count - 1), 0, wanted,
                   range(count))

    @classmethod
    def alone(cls, count: int, device: torch.device) -> Rows:
        """Rows of a pass without attention, all of them wanted."""
        return cls([0] * count, [0] * count, torch.zeros(count, dtype=torch.int64, device=device), 0, (), 0,
                   range(count))


def stacked(parts: Sequence[Rows], device: torch.device) -> Step:
    """The rows of many sequences, one after the other."""
    token: list[int] = []
    position: list[int] = []
    previous: list[int] = []
    place: list[int] = []
    wanted: list[int] = []
    spans: list[Span] = []
    for rows in parts:
        begin, count = len(token), len(rows.token_n)
        spans.append(Span(begin, count, rows.length, rows.slot_L, rows.parent_A, rows.first))
        token += rows.token_n
        position += rows.position_n
        wanted += [begin + row for row in rows.wanted]
        previous += [begin + index - 1 if index and step else ROOT for index, step in enumerate(rows.place_n)]
        place += rows.place_n
    slot_T = torch.cat([rows.slot_L[len(rows.slot_L) - len(rows.token_n) :] for rows in parts])
    token_T, position_T, wanted_R, previous_T, place_T = (
        torch.tensor(values, dtype=torch.int64, device=device) for values in (token, position, wanted, previous, place))
    return Step(token_T, position_T, slot_T, tuple(spans), wanted_R, previous_T, place_T)
