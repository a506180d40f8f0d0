"""Packing: who sees whom, where each row goes, and trees that grow in several passes."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.step import ancestry
from outrider.core.tree import ANCHOR, DraftTree
from outrider.target.pack import Entry, pack
from tiny_engine import SPECS, dense_logits, target_of
from trees import draft_trees

pending_lists = st.lists(st.integers(0, 95), min_size=1, max_size=6)


@given(pending_lists, draft_trees(vocab=4, nodes=20))
def test_rows_see_themselves_pending_rows_before_and_their_ancestors(pending: list[int], tree: DraftTree) -> None:
    seen = ancestry(Entry(0, pending, tree).parents())
    first = len(pending)
    for row in range(first):
        assert seen[row].tolist() == [other <= row for other in range(first + len(tree))]
    for node in range(len(tree)):
        visible = {*range(first), *(first + step for step in tree.path_to(node))}
        assert set(seen[first + node].nonzero().flatten().tolist()) == visible


@settings(max_examples=25)
@given(st.sampled_from(sorted(SPECS)), st.lists(st.tuples(pending_lists, draft_trees(vocab=96, nodes=8)), min_size=1,
                                                max_size=3))
def test_every_node_gets_the_logits_of_its_own_path(kind: str, cases: list[tuple[list[int], DraftTree]]) -> None:
    target = target_of(kind)
    cache = target.new_cache(512)
    entries = [Entry(cache.open(), pending, tree) for pending, tree in cases]
    found = target.forward(pack(cache, entries, target.device), cache).logits_RV
    wanted = [dense_logits(target, [*pending, *(tree.token_N[step] for step in tree.path_to(node))])[-1]
              for pending, tree in cases for node in range(ANCHOR, len(tree))]
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(st.sampled_from(sorted(SPECS)), pending_lists, draft_trees(vocab=96, nodes=12), st.integers(1, 12))
def test_a_tree_grown_in_two_passes_equals_one_pass(kind: str, pending: list[int], tree: DraftTree, cut: int) -> None:
    target = target_of(kind)
    cut = min(cut, len(tree))
    young = DraftTree(tree.token_N[:cut], tree.parent_N[:cut])
    once, twice = target.new_cache(128), target.new_cache(128)
    whole = target.forward(pack(once, [Entry(once.open(), pending, tree)], target.device), once)
    row = twice.open()
    first = target.forward(pack(twice, [Entry(row, pending, young)], target.device), twice)
    parts = [first.logits_RV]
    if cut < len(tree):
        grown = Entry(row, pending, tree, done=len(pending) + cut)
        parts.append(target.forward(pack(twice, [grown], target.device), twice).logits_RV)
    torch.testing.assert_close(torch.cat(parts), whole.logits_RV, rtol=1e-6, atol=1e-6)


def test_a_prompt_chunk_asks_for_no_logits() -> None:
    target = target_of()
    cache = target.new_cache(64)
    entries = [Entry(cache.open(), [1, 2, 3], all_logits=False), Entry(cache.open(), [4]),
               Entry(cache.open(), [5, 6], DraftTree([7, 8], [-1, -1]))]
    step = pack(cache, entries, target.device)
    assert step.logit_row_R.tolist() == [3, 5, 6, 7]
    assert step.position_T.tolist() == [0, 1, 2, 0, 0, 1, 2, 2]
    assert len(set(step.slot_T.tolist())) == 8, "no two rows share a slot"


def test_distances_count_positions_not_entries() -> None:
    """Siblings lie behind one another in the cache, but at the same position."""
    target = target_of()
    cache = target.new_cache(64)
    tree = DraftTree([7, 8, 9, 10], [-1, -1, 0, 1])
    entry = Entry(cache.open(), [1, 2, 3], tree, done=4)
    span = pack(cache, [entry], target.device).spans[0]
    position = [0, 1, 2, 3, 3, 4, 4]
    assert span.position_A == position
    assert span.distance_ML.tolist() == [[position[row] - other for other in position] for row in (4, 5, 6)]
