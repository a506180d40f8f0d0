"""Draft trees: what is left of one where only a chain can be verified."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.drawn import DrawnTree
from outrider.core.tree import EMPTY_TREE, DraftTree
from trees import draft_trees


@given(draft_trees(vocab=9, nodes=12), st.randoms(use_true_random=False))
def test_the_likeliest_chain_has_the_largest_sum_of_scores(tree: DraftTree, random: object) -> None:
    score_N = [1.0 - random.random() for _ in range(len(tree))]  # type: ignore[attr-defined]
    tree = replace(tree, score_N=score_N, source_N=[1 + node % 3 for node in range(len(tree))])
    chain = tree.likeliest_chain()
    chain.check()
    assert list(chain.parent_N) == list(range(-1, len(chain) - 1))
    paths = [tree.path_to(node) for node in range(len(tree))]
    best = max(paths, key=lambda path: sum(score_N[node] for node in path), default=[])
    assert list(chain.token_N) == [tree.token_N[node] for node in best]
    assert [chain.source(place) for place in range(len(chain))] == [tree.source(node) for node in best]
    assert [chain.score(place) for place in range(len(chain))] == [score_N[node] for node in best]


def test_without_scores_the_longest_path_is_the_likeliest() -> None:
    tree = DraftTree((1, 2, 3, 4, 5), (-1, -1, 1, 0, 2))
    assert list(tree.likeliest_chain().token_N) == [2, 3, 5]
    chain = DraftTree.chain([4, 4])
    assert chain.likeliest_chain() is chain
    assert len(EMPTY_TREE.likeliest_chain()) == 0


def test_of_what_was_drawn_the_first_children_stay() -> None:
    q_V = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    drawn = DrawnTree((2, 0, 1, 0, 2), (-1, -1, 1, 0, 0), (), (0.1, 0.9, 0.9, 0.2, 0.8), q_NV=(q_V,) * 5)
    chain = drawn.likeliest_chain()
    chain.check()
    assert (list(chain.token_N), list(chain.parent_N), list(chain.score_N)) == ([2, 0], [-1, 0], [0.1, 0.2])
    assert all(q is q_V for q in chain.q_NV)
    assert len(drawn.likeliest_chain().likeliest_chain()) == 2
