"""Steps over a shuffled paged cache, and what two implementations of `Ops` make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from outrider.core.spec import RopeSpec
from outrider.core.step import LayerCache, Span, Step
from outrider.ops.interface import AttentionShape, Ops, Pass, RopeTables
from outrider.ops.rope import rope_table

BLOCK = 16
POSITIONS = 2048


@dataclass(frozen=True, slots=True)
class Story:
    """One sequence: committed entries, appended ones by parent, how many of these were forwarded before."""

    length: int
    parent_A: Sequence[int]
    done: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Geometry:
    heads: int
    groups: int
    size: int


def chain(count: int) -> range:
    return range(-1, count - 1)


def stepped(stories: Sequence[Story], device: torch.device, seed: int = 0) -> Step:
    """The rows of all sequences, whose pages lie in a shuffled order; the last pages belong to nobody."""
    blocks = [-(-(story.length + len(story.parent_A)) // BLOCK) for story in stories]
    page_n = torch.randperm(sum(blocks) + 2, generator=torch.Generator().manual_seed(seed))
    spans, taken, begin = [], 0, 0
    for story, count in zip(stories, blocks, strict=True):
        slot_n = (page_n[taken : taken + count, None] * BLOCK + torch.arange(BLOCK)).flatten().to(device)
        slot_L = slot_n[: story.length + len(story.parent_A)]
        span = Span(begin, len(story.parent_A) - story.done, story.length, slot_L, story.parent_A)
        spans.append(replace(span, first=story.first) if story.first else span)
        taken, begin = taken + count, begin + span.count
    position = [place for span in spans for place in span.position_A[span.done :]]
    slot_T = torch.cat([span.slot_L[len(span.slot_L) - span.count :] for span in spans])
    nothing = torch.zeros(begin, dtype=torch.int64, device=device)
    return Step(nothing, torch.tensor(position, device=device), slot_T, tuple(spans), nothing[:0])


@dataclass(frozen=True, slots=True)
class Attended:
    out_TD: Tensor
    key_SGK: Tensor
    value_SGK: Tensor


def attended(ops: Ops, step: Step, geometry: Geometry, shape: AttentionShape, dtype: torch.dtype,
             seed: int = 0) -> Attended:
    """Random queries, keys and values through `ops`; entries that no sequence owns are no numbers."""
    draw, device = torch.Generator().manual_seed(seed), step.slot_T.device
    owned = torch.cat([span.slot_L for span in step.spans]).cpu()
    slots = (int(owned.max()) // BLOCK + 2) * BLOCK
    entries = [torch.full((slots, geometry.groups, geometry.size), torch.nan) for _ in range(2)]
    for entry_SGK in entries:
        entry_SGK[owned] = torch.randn(len(owned), geometry.groups, geometry.size, generator=draw)
    rows = [torch.randn(len(step.token_T), heads * geometry.size, generator=draw).to(device, dtype)
            for heads in (geometry.heads, geometry.groups, geometry.groups)]
    cache = LayerCache(*(entry_SGK.to(device, dtype) for entry_SGK in entries))
    full, local = (rope_table(RopeSpec(theta=theta), geometry.size, POSITIONS, device) for theta in (10_000.0, 100.0))
    out_TD = ops.attention(*rows, Pass(step, (cache,), RopeTables(full, local)), shape)
    return Attended(out_TD, cache.key_SGK, cache.value_SGK)
