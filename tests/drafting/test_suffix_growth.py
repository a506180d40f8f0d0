from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import Budget
from outrider.drafting.edits import Edits
from outrider.drafting.suffix_automaton import ROOT, SuffixAutomaton
from outrider.drafting.suffix_growth import CopyContext, SuffixContext, grow
from outrider.drafting.thrift import Thrift

ALL = Thrift(0, 0.0, 0.0)

TEXT = st.lists(st.integers(0, 3), min_size=2, max_size=60)


def contexts_of(automaton: SuffixAutomaton) -> list[SuffixContext]:
    state, found = automaton.longest_seen_suffix(), []
    while state > ROOT:
        found.append(SuffixContext(automaton, state, automaton.length[state]))
        state = automaton.link[state]
    return found


@given(TEXT, st.integers(1, 20), st.integers(1, 8), st.floats(0.0, 0.6))
def test_trees_keep_their_bounds_and_survival_only_falls(text: list[int], nodes: int, depth: int, floor: float) -> None:
    automaton = SuffixAutomaton()
    automaton.extend(text)
    limit = Budget(nodes, depth, floor)
    tree = grow(contexts_of(automaton), limit, Thrift.within(limit, 0.0, 0))
    tree.check(limit)
    assert all(score >= floor for score in tree.score_N)
    assert list(tree.score_N) == sorted(tree.score_N, reverse=True), "best first"
    for node, parent in enumerate(tree.parent_N):
        siblings = [child for child, other in enumerate(tree.parent_N) if other == parent]
        assert sum(tree.score_N[child] for child in siblings) <= (1.0 if parent < 0 else tree.score_N[parent]) + 1e-9
        assert node in siblings


@given(TEXT, st.integers(1, 8))
def test_a_smaller_budget_gives_the_head_of_the_same_tree(text: list[int], nodes: int) -> None:
    automaton = SuffixAutomaton()
    automaton.extend(text)
    contexts = contexts_of(automaton)
    large, small = grow(contexts, Budget(20, 8), ALL), grow(contexts, Budget(nodes, 8), ALL)
    assert list(small.token_N) == list(large.token_N)[:nodes]


def test_frequent_successors_come_first_and_longer_contexts_before_shorter() -> None:
    automaton = SuffixAutomaton()
    automaton.extend([7, 1, 2, 3, 8, 1, 2, 3, 9, 1, 2, 4, 6, 2, 5, 0, 1, 2])
    tree = grow(contexts_of(automaton), Budget(3, 1), ALL)
    assert list(tree.token_N) == [3, 4, 5]


def test_a_copy_ends_at_a_separator_and_at_the_end() -> None:
    assert list(grow([CopyContext([1, 2, 3, -1, 4], 1, 8)], Budget(9, 9), ALL).token_N) == [2, 3]
    assert list(grow([CopyContext([1, 2, 3], 1, 8)], Budget(9, 9), ALL).token_N) == [2, 3]
    assert not len(grow([CopyContext([1, 2, 3], 3, 8)], Budget(9, 9), ALL))


def test_a_token_that_two_contexts_know_is_drafted_once() -> None:
    automaton = SuffixAutomaton()
    automaton.extend([1, 2, 3, 1, 2])
    tree = grow([CopyContext([1, 2, 3], 2, 2), *contexts_of(automaton)], Budget(9, 1), ALL)
    assert list(tree.token_N) == [3]
    assert tree.score(0) == pytest.approx(0.72)


def test_cheap_nodes_are_drafted_where_dear_ones_are_not() -> None:
    context = CopyContext(list(range(40)), 1, 1)
    assert len(grow([context], Budget(40, 40), Thrift(0, 0.6, 0.6))) == 0
    assert len(grow([context], Budget(40, 40), Thrift(3, 0.25, 0.6))) == 3


def edits_of(old: list[int], new: list[int], times: int) -> tuple[Edits, list[int]]:
    """A text that begins with `1 old 2 3 4 old 5 6`, and edits learnt behind it as often."""
    text = [1, *old, 2, 3, 4, *old, 5, 6, -1, *new]
    edits = Edits()
    for _ in range(times):
        edits.learn(text, 1, 1 + len(old), len(text) - len(new), len(text))
    return edits, text


@pytest.mark.parametrize("old, new", [([7], [8]), ([7], [8, 9]), ([7, 9], [8]), ([7], [])])
def test_a_copy_goes_through_a_change_that_comes_again(old: list[int], new: list[int]) -> None:
    edits, text = edits_of(old, new, 3)
    tree = grow([CopyContext(text, 1 + len(old), 12, edits)], Budget(9, 9), ALL)
    found, node = [], -1
    while children := [child for child, parent in enumerate(tree.parent_N) if parent == node]:
        node = max(children, key=lambda child: tree.score_N[child])
        found.append(tree.token_N[node])
    assert found == [2, 3, 4, *new, 5, 6]


def test_a_change_seen_once_is_a_branch() -> None:
    edits, text = edits_of([7], [8], 1)
    tree = grow([CopyContext(text, 4, 12, edits)], Budget(9, 9), ALL)
    first = {tree.token_N[node]: tree.score_N[node] for node in range(len(tree)) if tree.parent_N[node] == 0}
    assert tree.token_N[0] == 4 and set(first) == {7, 8} and first[7] > first[8] > 0.25


def test_right_behind_a_change_no_other_follows() -> None:
    """An insertion would come again and again."""
    edits, text = edits_of([], [8], 4)
    tree = grow([CopyContext(text, 1, 12, edits)], Budget(40, 40), Thrift(0, 0.2, 0.2))
    assert tree.token_N[:2] == [8, 2]
    for node, parent in enumerate(tree.parent_N):
        assert parent < 0 or (tree.token_N[node], tree.token_N[parent]) != (8, 8)
