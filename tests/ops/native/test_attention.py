"""Attention of every instruction set: right against float64, and a row's bits its own whatever surrounds it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native_attention import ROOT, Shape, Story, attended, expected, paged, random_sequence
from native_rows import RowKernels, all_sets, same_bits

SETS = all_sets()
BEST = SETS[0]


@pytest.fixture(params=SETS, ids=lambda kernels: kernels.name)
def kernels(request: pytest.FixtureRequest) -> RowKernels:
    return request.param


def chain(count: int) -> list[int]:
    return list(range(ROOT, count - 1))


def bushy(count: int, seed: int) -> list[int]:
    """Most nodes hang from a recent one."""
    random = np.random.default_rng(seed)
    return [max(ROOT, i - 1 - int(random.integers(0, 4))) for i in range(count)]


def assert_close(found: np.ndarray, wanted: np.ndarray, within: float = 2e-6) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=within * max(1.0, float(np.abs(wanted).max(initial=0))))


trees = st.lists(st.integers(0, 5), min_size=1, max_size=14).map(
    lambda steps: [max(ROOT, i - 1 - step) for i, step in enumerate(steps)])
shapes = st.builds(Shape, heads=st.sampled_from([1, 3, 7]), groups=st.just(1), size=st.sampled_from([16, 48]),
                   softcap=st.sampled_from([0.0, 4.0]), window=st.sampled_from([0, 0, 1, 20, 100]))
lengths = st.one_of(st.integers(0, 150), st.sampled_from([47, 48, 63, 64, 127, 1020]))
seeds = st.integers(0, 2**32)
some = settings(max_examples=60)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 96, 128, 256])
@pytest.mark.parametrize(("heads", "groups"), [(2, 2), (6, 2), (6, 1), (7, 1)])
def test_trees_of_every_shape_of_heads(kernels: RowKernels, heads: int, groups: int, size: int) -> None:
    story = random_sequence(Shape(heads, groups, size), 75, bushy(9, size), seed=size + heads)
    assert_close(attended(kernels, story), expected(story))


@pytest.mark.parametrize("softcap", [0.0, 5.0])
@pytest.mark.parametrize("window", [0, 1, 17, 64, 90])
@pytest.mark.parametrize("length", [0, 15, 16, 64, 130])
def test_lengths_windows_and_caps(kernels: RowKernels, length: int, window: int, softcap: float) -> None:
    for parent in (chain(1), chain(21), bushy(24, length)):
        story = random_sequence(Shape(3, 1, 32, softcap, window), length, parent, seed=length + window)
        assert_close(attended(kernels, story), expected(story))


@pytest.mark.parametrize("window", [0, 3, 20, 90])
@pytest.mark.parametrize("length", [0, 15, 16, 70])
def test_blocks_that_see_themselves_both_ways(kernels: RowKernels, length: int, window: int) -> None:
    for count in (1, 2, 16, 21):
        story = random_sequence(Shape(4, 2, 32, 0.0, window, both_ways=True), length, chain(count), seed=length)
        assert_close(attended(kernels, story), expected(story))


@pytest.mark.parametrize("first", [1, 16, 40, 64])
@pytest.mark.parametrize("window", [0, 7, 50])
def test_entries_before_the_first_are_not_seen(kernels: RowKernels, window: int, first: int) -> None:
    for parent in (chain(5), bushy(12, first)):
        story = replace(random_sequence(Shape(3, 1, 32, 0.0, window), 70, parent, seed=first), first=first)
        story.key[:first], story.value[:first] = np.nan, np.nan
        assert_close(attended(kernels, story), expected(story))


@pytest.mark.parametrize("length", [1019, 1024, 2300])
def test_several_parts(kernels: RowKernels, length: int) -> None:
    for window in (0, 700, 1500):
        story = random_sequence(Shape(2, 1, 16, window=window), length, bushy(12, 3), seed=length)
        assert_close(attended(kernels, story), expected(story))


def test_more_queries_than_one_pass_takes(kernels: RowKernels) -> None:
    for parent in (chain(70), bushy(70, 1)):
        story = random_sequence(Shape(7, 1, 16), 33, parent, seed=5)
        assert_close(attended(kernels, story), expected(story))


def test_scores_far_apart(kernels: RowKernels) -> None:
    story = random_sequence(Shape(2, 1, 64), 200, chain(3), seed=8)
    story = replace(story, query=story.query * np.float32(300))
    assert_close(attended(kernels, story), expected(story), within=5e-5)  # scores of 600 are known to 6e-5


# ---- a row's bits are its own ---------------------------------------------------------------------------------------


@some
@given(shapes, lengths, trees, seeds)
def test_every_set_has_the_same_bits(shape: Shape, length: int, parent: list[int], seed: int) -> None:
    story = random_sequence(shape, length, parent, seed)
    found = [attended(kernels, story) for kernels in SETS]
    assert np.isfinite(found[0]).all()
    assert all(same_bits(one, found[0]) for one in found[1:])


@some
@given(shapes, lengths, trees, seeds, st.lists(st.integers(0, 200), max_size=4), st.integers(0, 13))
def test_any_ranges_pages_and_rows_done_before(shape: Shape, length: int, parent: list[int], seed: int,
                                               cuts: list[int], done: int) -> None:
    story = random_sequence(shape, length, parent, seed)
    whole, done = attended(BEST, story), done % len(parent)
    assert same_bits(attended(BEST, story, paged(story, seed + 1), cuts=cuts, done=done), whole[done:])


@some
@given(shapes, lengths, trees, seeds)
def test_a_node_of_a_tree_is_the_same_as_a_chain_committed(shape: Shape, length: int, parent: list[int],
                                                           seed: int) -> None:
    story = random_sequence(shape, length, parent, seed)
    whole = attended(BEST, story)
    for entry in range(len(parent)):
        assert same_bits(attended(BEST, story.committed(entry)), whole[[entry]])


@some
@given(shapes, lengths, trees, seeds)
def test_any_order_of_a_tree(shape: Shape, length: int, parent: list[int], seed: int) -> None:
    story = random_sequence(shape, length, parent, seed)
    order = sorted(range(len(parent)), key=lambda entry: (len(story.path(entry)), parent[entry] % 3, -entry))
    assert same_bits(attended(BEST, story.renumbered(order)), attended(BEST, story)[order])


@pytest.mark.parametrize(("length", "window"), [(60, 0), (1000, 0), (2290, 1150)])
def test_prompt_chunks_of_any_size(kernels: RowKernels, length: int, window: int) -> None:
    story = random_sequence(Shape(6, 2, 32, window=window), length, chain(70), seed=length)
    whole = attended(kernels, story)
    for size in (1, 7, 64):
        for begin in range(0, 70, size):
            part = prefix(story, begin, min(begin + size, 70))
            assert same_bits(attended(kernels, part), whole[begin:begin + size])


def prefix(story: Story, begin: int, end: int) -> Story:
    """Rows begin … end - 1 of a chain, those before committed."""
    length = story.length + begin
    return Story(story.shape, length, tuple(chain(end - begin)), story.query[begin:end],
                 story.key[:story.length + end], story.value[:story.length + end])


# ---- what is not seen does not count --------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [0, 12])
def test_other_branches_may_be_anything(kernels: RowKernels, window: int) -> None:
    story = random_sequence(Shape(3, 1, 32, window=window), 90, bushy(20, 4), seed=3)
    whole = attended(kernels, story)
    for entry in (5, 12, 19):
        key, value = story.key.copy(), story.value.copy()
        others = [story.length + other for other in range(20) if other not in story.path(entry)]
        key[others], value[others] = np.nan, np.inf
        assert same_bits(attended(kernels, replace(story, key=key, value=value))[entry], whole[entry])


def test_what_has_left_the_window_may_be_given_up(kernels: RowKernels) -> None:
    story = random_sequence(Shape(3, 1, 32, window=50), 300, bushy(10, 6), seed=1)
    first = 300 - 50 + 1
    assert same_bits(attended(kernels, story, paged(story, 7, forget=first)), attended(kernels, story))


def test_no_rows(kernels: RowKernels) -> None:
    assert attended(kernels, random_sequence(Shape(2, 1, 16), 5, [], seed=0)).size == 0
