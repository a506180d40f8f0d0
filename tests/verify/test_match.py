"""Match verification by exact enumeration, its batched twin, and rules that must be found wrong."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import exact
from outrider.core.commit import Verdict
from outrider.core.tree import ANCHOR, DraftBatch, DraftTree
from outrider.verify.match import Choice, walk, walk_one
from trees import draft_trees


@pytest.mark.parametrize(("vocab", "depth", "nodes"), [(2, 2, 6), (2, 3, 6), (3, 2, 5), (3, 3, 3)])
def test_the_tree_never_changes_what_is_emitted(vocab: int, depth: int, nodes: int) -> None:
    assert next(exact.faults(walk_one, vocab, depth, nodes), None) is None


@pytest.mark.parametrize(("vocab", "depth"), [(2, 3), (3, 1)])
def test_rounds_joined_give_plain_decoding(vocab: int, depth: int) -> None:
    """All functions on all prefixes, with a tree that depends on what was emitted, its choices included."""
    forest = exact.trees(vocab, depth, 2)
    for index, chosen in enumerate(exact.choice_functions(vocab, exact.prefixes(vocab, depth))):
        endless = Wrapped(chosen, depth)
        wanted = exact.plain(endless, 6)
        drafts = [forest[index % len(forest)], forest[(index // 7) % len(forest)]]
        assert exact.follow(walk_one, endless, lambda text, two=drafts: two[sum(text) % 2], 6) == wanted


class Wrapped(dict[exact.Prefix, int]):
    """A choice function on short prefixes made endless: a longer one counts by its last tokens."""

    def __init__(self, chosen: exact.ChoiceFunction, depth: int) -> None:
        super().__init__(chosen)
        self.depth = depth

    def __contains__(self, prefix: object) -> bool:
        return True

    def __missing__(self, prefix: exact.Prefix) -> int:
        return self[prefix[len(prefix) - self.depth:]]


def greedy_first_child(tree: DraftTree, choice: Choice) -> Verdict:
    """Wrong: accepts an anchor's first child unseen."""
    if not len(tree):
        return walk_one(tree, choice)
    first = list(tree.parent_N).index(ANCHOR)
    return Verdict((first,), choice(first, (tree.token_N[first],)))


def likeliest_leaf(tree: DraftTree, choice: Choice) -> Verdict:
    """Wrong: accepts every node that agrees with the choice after its parent, parents accepted or not."""
    path = tuple(node for node, parent in enumerate(tree.parent_N) if choice(parent, ()) == tree.token_N[node])
    return Verdict(path, choice(path[-1] if path else ANCHOR, ()))


def bonus_from_the_anchor(tree: DraftTree, choice: Choice) -> Verdict:
    """Wrong: the last token is the one after the anchor, not after the accepted path."""
    verdict = walk_one(tree, choice)
    return Verdict(verdict.path, choice(ANCHOR, ()))


def ratio_of_shared_noise(tree: DraftTree, choice: Choice) -> Verdict:
    """Wrong: on rejection avoids the drafted token, as a residual does, though the choice was made with it in."""
    verdict = walk_one(tree, choice)
    last = verdict.path[-1] if verdict.path else ANCHOR
    refused = {tree.token_N[node] for node, parent in enumerate(tree.parent_N) if parent == last}
    return Verdict(verdict.path, 1 - verdict.token if 1 - verdict.token in refused else verdict.token)


def stops_one_early(tree: DraftTree, choice: Choice) -> Verdict:
    """Lossless but wasteful: gives up an accepted node."""
    verdict = walk_one(tree, choice)
    if len(verdict.path) < 2:
        return verdict
    return Verdict(verdict.path[:-1], tree.token_N[verdict.path[-1]])


def anticipates_the_end(tree: DraftTree, choice: Choice) -> Verdict:
    """Wrong: shortens the draft when it sees that the choice after it will be token 1, and puts 0 instead."""
    verdict = walk_one(tree, choice)
    return Verdict(verdict.path, 0) if verdict.token == 1 and verdict.path else verdict


@pytest.mark.parametrize("rule", [greedy_first_child, likeliest_leaf, bonus_from_the_anchor, ratio_of_shared_noise,
                                  stops_one_early, anticipates_the_end])
def test_wrong_rules_are_found_out(rule: exact.Rule) -> None:
    assert list(islice(exact.faults(rule, 2, 2, 3), 1)), "the enumeration cannot fail"


def test_the_enumeration_is_complete() -> None:
    assert len(list(exact.choice_functions(3, exact.prefixes(3, 1)))) == 3**4
    # Binary trees of at most two levels: each of two subtrees is absent or one of the four sets of children.
    distinct = {frozenset(exact.revealed(tree)) for tree in exact.trees(2, 2, 6)}
    assert len(distinct) == 5**2
    for tree in exact.trees(2, 3, 6):
        tree.check()


def batched(trees: list[DraftTree], tables: list[Callable[[int], int]], spread: int) -> list[list[int]]:
    """The emitted tokens of every tree through `walk`, with choices by node; dead rows get nonsense."""
    def choice(node_B: Tensor, alive_B: Tensor, depth: int) -> Tensor:
        return torch.tensor([table(node) if alive else spread
                             for table, node, alive in zip(tables, node_B.tolist(), alive_B.tolist(), strict=True)])

    verdicts = walk(DraftBatch.of(trees, torch.device("cpu")), choice)
    assert verdicts.token_BW.shape == verdicts.node_BW.shape
    rows = zip(verdicts.token_BW.tolist(), verdicts.node_BW.tolist(), verdicts.count_B.tolist(), strict=True)
    found = []
    for token_W, node_W, count in rows:
        assert token_W[count:] == [-1] * (len(token_W) - count) and node_W[count:] == [-2] * (len(node_W) - count)
        found.append([*node_W[:count], *token_W[:count]])
    return found


def table_of(seed: int, vocab: int) -> Callable[[int], int]:
    return lambda node: (seed >> (2 * (node + 1) % 61)) % vocab


@given(st.lists(st.tuples(draft_trees(vocab=3, nodes=20), st.integers(0, 2**63)), min_size=1, max_size=6))
def test_the_batched_walk_equals_its_readable_twin(cases: list[tuple[DraftTree, int]]) -> None:
    forest = [tree for tree, _ in cases]
    tables = [table_of(seed, 3) for _, seed in cases]
    for tree, table, found in zip(forest, tables, batched(forest, tables, spread=1), strict=True):
        verdict = walk_one(tree, lambda node, _, table=table: table(node))
        assert found == [ANCHOR, *verdict.path, *exact.emitted(tree, verdict)]


@given(draft_trees(vocab=4, nodes=24), st.integers(0, 2**63), st.integers(0, 2**31))
def test_the_order_of_nodes_does_not_matter(tree: DraftTree, seed: int, shuffle: int) -> None:
    chosen = {exact.tokens_to(tree, node): table_of(seed, 4)(node) for node in range(-1, len(tree))}
    paths = exact.revealed(tree)[1:]
    again = exact.tree_of(tuple(sorted(paths, key=lambda path: (len(path), hash((path, shuffle))))))
    first, second = (exact.emitted(one, walk_one(one, exact.oracle(one, chosen))) for one in (tree, again))
    assert first == second


def test_no_trees_at_all() -> None:
    verdicts = walk(DraftBatch.of([], torch.device("cpu")), lambda node_B, alive_B, depth: node_B)
    assert verdicts.count_B.tolist() == []
