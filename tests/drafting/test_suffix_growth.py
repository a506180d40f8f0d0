from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import Budget
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
    assert tree.score(0) == pytest.approx(0.77)


def test_cheap_nodes_are_drafted_where_dear_ones_are_not() -> None:
    context = CopyContext(list(range(40)), 1, 1)
    assert len(grow([context], Budget(40, 40), Thrift(0, 0.6, 0.6))) == 0
    assert len(grow([context], Budget(40, 40), Thrift(3, 0.3, 0.6))) == 3
