"""Steps as the attention kernel reads them; none of it needs Triton."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from cuda_steps import Story, chain, stepped
from outrider.ops.cuda.plan import (
    CHUNK,
    MAX_SPLITS,
    TILE_FIELDS,
    Heads,
    PlannedStep,
    Planner,
    host_plan,
    placed,
)

CPU = torch.device("cpu")
HEADS = Heads(rep=4, groups=2, head_bytes=128, processors=1)


@given(seed=st.integers(0, 2**32), rep=st.integers(1, 20))
def test_tiles_cover_every_row_once(seed: int, rep: int) -> None:
    draw = random.Random(seed)
    stories = []
    for _ in range(draw.randrange(1, 5)):
        count = draw.randrange(1, 100)
        stories.append(Story(draw.randrange(50), chain(count), draw.randrange(count)))
    step = stepped(stories, CPU)
    plan = host_plan(step.spans, replace(HEADS, rep=rep))
    rows = [row for tile in plan.tile_NF for row in range(tile[0], tile[0] + tile[1])]
    assert rows == list(range(len(step.token_T)))
    assert all(0 < tile[1] * rep <= plan.tiling.block for tile in plan.tile_NF)
    assert plan.tiling.words == 0 and plan.place_A.tolist() == [at for span in step.spans for at in span.position_A]


@given(seed=st.integers(0, 2**32), count=st.integers(2, 90))
def test_bits_are_ancestors(seed: int, count: int) -> None:
    draw = random.Random(seed)
    tree = [-1, -1, *(draw.randrange(-1, entry) for entry in range(2, count))]
    step = stepped([Story(3, chain(4)), Story(7, tree, done=draw.randrange(count))], CPU)
    span, plan = step.spans[1], host_plan(step.spans, HEADS)
    for row in range(span.count):
        words = [int(word) & 0xFFFFFFFF for word in plan.seen_TW[span.begin + row]]
        seen = [words[entry // 32] >> entry % 32 & 1 for entry in range(count)]
        assert span.visible_ML is not None and seen == span.visible_ML[row, span.length :].int().tolist()


def test_few_rows_share_a_long_context_among_programs() -> None:
    busy, idle = replace(HEADS, processors=1), replace(HEADS, processors=100)
    for length, splits in ((10, 1), (CHUNK, 2), (5 * CHUNK, 8), (100 * CHUNK, None)):
        spans = stepped([Story(length, chain(1))], CPU).spans
        tiling = host_plan(spans, idle).tiling
        assert host_plan(spans, busy).tiling.splits == 1
        assert tiling.splits == splits if splits else 1 < tiling.splits <= MAX_SPLITS
        assert tiling.splits == 1 or tiling.splits * tiling.chunk > length


def test_a_plan_in_a_bucket_says_the_same() -> None:
    step = stepped([Story(5, chain(1)), Story(20, (-1, 0, 0, 1))], CPU)
    host = host_plan(step.spans, HEADS)
    exact, padded = (placed(host, tiling, rows, CPU) for tiling, rows in ((host.tiling, 5), (host.tiling.padded(), 8)))
    count = len(host.tile_NF) * TILE_FIELDS
    assert exact.tile_NF.tolist() == padded.tile_NF[:count].tolist() and not padded.tile_NF[count:].any()
    assert exact.place_A[:5].tolist() == padded.place_A[:5].tolist()
    words, wide = host.tiling.words, padded.tiling.words
    assert exact.seen_TW[: 5 * words].view(5, words).tolist() == padded.seen_TW[: 5 * wide].view(5, wide).tolist()
    address = padded.number_n.data_ptr()
    other = host_plan(stepped([Story(2, (-1, 0, 0))], CPU).spans, HEADS)
    padded.fill(other, 8)
    assert padded.number_n.data_ptr() == address and padded.tile_NF[1] == 3 and not padded.tile_NF[TILE_FIELDS:].any()


def test_a_step_is_planned_once() -> None:
    planner, step = Planner(), stepped([Story(5, chain(2))], CPU)
    first = planner.plan(step, HEADS)
    assert planner.plan(step, HEADS) is first
    assert planner.plan(step, replace(HEADS, rep=2)) is not first
    assert planner.plan(stepped([Story(5, chain(2))], CPU), HEADS) is not first
    brought = PlannedStep(step.token_T, step.position_T, step.slot_T, step.spans, step.logit_row_R, plan=first)
    assert Planner().plan(brought, HEADS) is first
