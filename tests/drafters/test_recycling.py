from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.commit import Candidates, Commit, Verdict
from outrider.core.tree import ANCHOR, Budget
from outrider.drafters.recycling import UNKNOWN, RecyclingDrafter, RecyclingState, SuccessorTable, template
from outrider.drafting.interface import SequenceContext
from outrider.errors import CheckpointError
from stub_target import StubTarget, after, build


@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 7))
def test_templates_are_trees_best_first(nodes: int, width: int, depth: int) -> None:
    places = template(nodes, width, depth)
    assert len(places) == min(nodes, sum(width**level for level in range(1, depth + 1)))
    assert len({(place.parent, place.rank) for place in places}) == len(places)
    for index, place in enumerate(places):
        assert ANCHOR <= place.parent < index and place.rank < width and place.depth <= depth
        assert place.depth == (1 if place.parent == ANCHOR else places[place.parent].depth + 1)
    survivals = [place.survival for place in places]
    assert survivals == sorted(survivals, reverse=True)


def test_a_template_has_the_likeliest_places_of_all() -> None:
    """Every path of ranks, listed and sorted, gives no better ones."""
    first = [place.survival for place in template(3, 3, 1)]
    everything = sorted((float(np.prod([first[rank] for rank in ranks])) for depth in (1, 2, 3)
                         for ranks in product(range(3), repeat=depth)), reverse=True)
    assert [place.survival for place in template(20, 3, 3)] == pytest.approx(everything[:20])


def taught(spec: str = "recycling:nodes=12;width=3") -> RecyclingDrafter:
    drafter = build(spec)
    assert isinstance(drafter, RecyclingDrafter)
    state = _at(drafter, 0)
    rows = {1: [2, 3, 4], 2: [5, 6, 7], 3: [5, 1, 2], 5: [1, 9, 8]}
    drafter.observe(state, Commit([1], verdict=Verdict((), 1), candidates=Candidates(list(rows), list(rows.values()))))
    return drafter


def _at(drafter: RecyclingDrafter, token: int) -> RecyclingState:
    return drafter.start(SequenceContext(token))


def test_the_tree_is_filled_from_the_table() -> None:
    drafter = taught()
    tree = drafter.draft(_at(drafter, 1), Budget(12, 6))
    paths = {tuple(tree.token_N[node] for node in tree.path_to(end)) for end in range(len(tree))}
    assert {(2,), (3,), (4,), (2, 5), (2, 6), (3, 5), (2, 5, 1)} <= paths
    assert not any(len(path) > 1 and path[0] == 4 for path in paths), "nothing is known behind 4"


def test_a_smaller_budget_cuts_the_unlikeliest_places() -> None:
    drafter = taught()
    whole, cut = drafter.draft(_at(drafter, 1), Budget(12, 6)), drafter.draft(_at(drafter, 1), Budget(4, 2))
    assert list(cut.token_N) == [token for token, depth in zip(whole.token_N, whole.depths(), strict=True)
                                 if depth <= 2][:4]


def test_new_candidates_replace_old_ones_and_rejected_rows_count_too() -> None:
    drafter = taught()
    state = _at(drafter, 1)
    drafter.observe(state, Commit([2], verdict=Verdict((), 2), candidates=Candidates([1, 30], [[8, 9], [31, 31, 32]])))
    table = drafter.successors.table()
    assert table[1].tolist() == [8, 9, UNKNOWN]
    assert table[30].tolist() == [31, 32, UNKNOWN], "siblings must differ"


def test_tokens_without_candidates_move_to_the_front() -> None:
    drafter = build("recycling:width=3")
    assert isinstance(drafter, RecyclingDrafter)
    after(drafter, [1, 2, 1, 3, 1, 4, 1, 5, 1, 3])
    assert drafter.successors.table()[1].tolist() == [3, 5, 4]


def test_a_prompt_teaches_its_pairs_and_its_last_row_the_targets_candidates() -> None:
    drafter = build("recycling:width=2")
    assert isinstance(drafter, RecyclingDrafter)
    state = _at(drafter, 1)
    drafter.observe(state, Commit([2, 3, 9], verdict=Verdict((), 9), candidates=Candidates([3], [[7, 8]])))
    table = drafter.successors.table()
    assert [table[token].tolist() for token in (1, 2, 3)] == [[2, UNKNOWN], [3, UNKNOWN], [7, 8]]
    assert state.anchor == 9


def test_the_engine_is_asked_for_as_many_candidates_as_the_table_holds() -> None:
    assert build("recycling").candidates == 8
    assert build("recycling:width=3").candidates == 3


def test_a_table_survives_its_file_and_fits_only_its_like(tmp_path: Path) -> None:
    drafter = taught()
    drafter.successors.save(tmp_path / "table")
    other = build("recycling:nodes=12;width=3")
    assert isinstance(other, RecyclingDrafter)
    other.successors.load(tmp_path / "table")
    assert other.draft(_at(other, 1), Budget(9, 9)) == drafter.draft(_at(drafter, 1), Budget(9, 9))
    with pytest.raises(CheckpointError, match="width is 3, this drafter has 8"):
        SuccessorTable(StubTarget().vocab_size, 8, "stub").load(tmp_path / "table")


def test_few_scopes_are_kept() -> None:
    table = SuccessorTable(10, 2)
    for number in range(20):
        table.promote(1, 2, f"scope {number}")
    assert table.table("scope 19")[1].tolist() == [2, UNKNOWN]
    assert table.table("scope 0")[1].tolist() == [UNKNOWN, UNKNOWN]
