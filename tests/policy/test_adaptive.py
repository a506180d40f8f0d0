"""The adaptive policy on a made-up machine: what pays is verified, what does not is not; it lives on after trouble."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftTree
from outrider.drafting.merge import merge
from outrider.policy.interface import Limits, Load
from outrider.policy.pass_price import Curve
from scripted_policy import (
    CONTEXT_DEAR,
    PLAIN_S,
    ROWS_CHEAP,
    ROWS_DEAR,
    ROWS_FREE,
    ROWS_IMPOSSIBLE,
    Clock,
    Scripted,
    Table,
    always,
    chain,
    mixed,
)

TRUE, FALSE = chain(1, 2, 3, 4, 5, 6, 7, 8), chain(51, 52, 53, 54)
CURVES = (ROWS_FREE, ROWS_CHEAP, ROWS_DEAR, ROWS_IMPOSSIBLE, CONTEXT_DEAR)


def table(*says: DraftTree, curve: Curve = ROWS_CHEAP, **options: Any) -> Table:
    """Lookups that always say the same."""
    clock = Clock()
    members = [Scripted(always(tree), clock, name=f"lookup{index}") for index, tree in enumerate(says)]
    return Table(mixed(*members), curve, clock, **options)


@st.composite
def any_tree(draw: st.DrawFn) -> DraftTree:
    size = draw(st.integers(0, 10))
    parents = [draw(st.integers(ANCHOR, node - 1)) for node in range(size)]
    scores: list[float] = []
    for parent in parents:
        scores.append(draw(st.floats(0.01, 1.0)) * (1.0 if parent == ANCHOR else scores[parent]))
    return DraftTree([draw(st.integers(0, 3)) + 48 for _ in parents], parents, [1] * size, scores)


def path_of(tree: DraftTree, node: int) -> tuple[int, ...]:
    return tuple(tree.token_N[step] for step in tree.path_to(node))


@settings(max_examples=60)
@given(st.lists(st.lists(any_tree(), min_size=3, max_size=3), min_size=1, max_size=3), st.sampled_from(CURVES),
       st.integers(1, 12), st.integers(1, 6), st.integers(0, 300), st.integers(0, 9000))
def test_what_is_verified_is_a_part_of_what_was_proposed(  # whatever is proposed, wherever
        scripts: list[list[DraftTree]], curve: Curve, nodes: int, depth: int, beside: int, context: int) -> None:
    """Within the room, parents included, with the sources that it came from."""
    clock, turn = Clock(), 0
    room = Budget(nodes, depth)

    def cut(tree: DraftTree, budget: Budget) -> DraftTree:
        kept = [node for node in range(len(tree)) if tree.depths()[node] <= budget.depth][: budget.nodes]
        place = {node: at for at, node in enumerate(kept)} | {ANCHOR: ANCHOR}
        found = DraftTree([tree.token_N[node] for node in kept], [place[tree.parent_N[node]] for node in kept],
                          [1] * len(kept), [tree.score(node) for node in kept])
        return merge([found], [0], budget.nodes) if len(found) else EMPTY_TREE  # siblings with different tokens

    members = [Scripted(partial(lambda script, budget: cut(script[turn], budget), script), clock, name=f"lookup{index}")
               for index, script in enumerate(scripts)]
    played = Table(mixed(*members), curve, clock, room=room, context=context).sit(2)
    for turn in range(3):
        offered: dict[tuple[int, ...], int] = {}
        for index, script in enumerate(scripts):
            tree = cut(script[turn], room)
            for node in range(len(tree)):
                offered[path_of(tree, node)] = offered.get(path_of(tree, node), 0) | 1 << index
        for tree in played.round(beside):
            for node in range(len(tree)):
                sources = tree.source(node)
                assert sources and sources & ~offered[path_of(tree, node)] == 0


def test_all_is_verified_where_rows_are_free() -> None:
    played = table(TRUE, curve=ROWS_FREE).sit(2)
    played.rounds(40)
    assert [len(tree) for tree in played.round()] == [8, 8]
    assert played.emitted > 8 * 2 * 35


@pytest.mark.parametrize("count", [1, 4])
def test_nothing_is_where_every_row_costs_a_plain_step_and_drafts_fail(count: int) -> None:
    played = table(FALSE, curve=ROWS_DEAR).sit(count)
    played.rounds(60)
    before = played.verified
    assert sum(played.rounds(400)) == played.verified - before
    assert played.verified - before < 20 * count, "but for what the allowance pays"


def test_a_draft_that_never_comes_true_is_let_go_even_where_rows_are_cheap() -> None:
    played = table(FALSE)
    played.sit()
    first, later = sum(played.rounds(50)), sum(played.rounds(300)[-50:])
    assert later < max(first, 50) / 2


def test_what_is_true_after_all_is_found_out() -> None:
    """Odds say no, then the text begins to repeat itself: the share that is verified in full shows it."""
    clock = Clock()
    said = FALSE
    played = Table(Scripted(lambda budget: always(said)(budget), clock), ROWS_CHEAP, clock).sit()
    played.rounds(200)
    said = TRUE
    assert sum(played.rounds(3000)[-20:]) >= 20 * 4


@pytest.mark.parametrize("curve", CURVES)
def test_no_more_is_spent_on_bad_drafts_than_was_allowed(curve: Curve) -> None:
    """In the long run plain decoding is not slower by more than its allowances: two parts in a hundred would be."""
    played = table(FALSE, curve=curve, context=500).sit(2)
    played.rounds(100)
    begin_s, rounds = played.clock.now_s, 1500
    played.rounds(rounds)
    plain_s = rounds * played.price.seconds([Load(1, played.context)] * 2)
    assert played.clock.now_s - begin_s < 1.02 * plain_s


def test_long_contexts_count() -> None:
    """The same drafts, behind contexts that make rows dear, and behind none."""
    sizes = []
    for context in (0, 20000):
        played = table(TRUE, curve=CONTEXT_DEAR, context=context).sit()
        sizes.append(sum(played.rounds(60)[-10:]))
    assert sizes[0] > 3 * max(1, sizes[1])


def test_a_sequence_that_copies_takes_the_rows() -> None:
    """Two sequences, one drafter that is right for one of them only."""
    clock = Clock()
    turns = iter(range(10**9))
    played = Table(Scripted(lambda budget: always((TRUE, FALSE)[next(turns) % 2])(budget), clock), ROWS_CHEAP,
                   clock).sit(2)
    played.rounds(80)
    sizes = [[len(tree) for tree in played.round()] for _ in range(20)]
    assert sum(size for size, _ in sizes) > 4 * sum(size for _, size in sizes)


def test_limits_hold() -> None:
    played = table(TRUE, chain(1, 9, 9), curve=ROWS_FREE, explained=True)
    played.sit(1, Limits(members=0b01)).sit(1, Limits(members=0b10)).sit(1, Limits(members=0)).sit()
    played.rounds(5)
    assert [reason.offered for reason in played.reasons][:3] == [(8, -1), (-1, 3), (-1, -1)]
    assert [len(tree) for tree in played.trees[:3]] == [8, 3, 0]
    assert {tree.source(0) for tree in played.trees[:1]} == {1} and played.trees[1].source(0) == 2


def test_room_for_nothing_asks_nobody() -> None:
    clock = Clock()
    drafter = Scripted(always(TRUE), clock)
    played = Table(drafter, ROWS_FREE, clock, room=Budget(0, 0)).sit(2)
    assert played.rounds(10) == [0] * 10 and not drafter.calls


def test_reasons_add_up() -> None:
    played = table(TRUE, FALSE, curve=ROWS_CHEAP, explained=True).sit(3)
    whys = set()
    for _ in range(600):
        trees = played.round()
        assert [reason.chosen for reason in played.reasons] == [len(tree) for tree in trees]
        for reason, tree in zip(played.reasons, trees, strict=True):
            assert sum(count for count in reason.offered if count > 0) >= len(tree)
            assert len(reason.offered) == 2 and reason.tokens >= 3 and reason.seconds >= reason.plain_seconds > 0
            whys.add(reason.why)
    assert whys <= {"best rate", "verified in full"} and "best rate" in whys


def test_looking_changes_nothing() -> None:
    def sizes(explained: bool) -> list[int]:
        return table(TRUE, FALSE, explained=explained).sit(2).rounds(200)

    assert sizes(True) == sizes(False)


def test_drafting_that_raises_leaves_the_policy_as_it_was() -> None:
    """The sequences of that round end; others go on as if nothing had been."""
    clock = Clock()
    lookup = Scripted(always(chain(1, 60)), clock, name="lookup")
    network = Scripted(always(TRUE), clock, network=0.05, seconds=PLAIN_S / 50, name="network")
    played = Table(mixed(lookup, network), ROWS_FREE, clock).sit(2)
    played.rounds(30)
    for broken in (lookup, network):
        broken.is_broken = True
        with pytest.raises(RuntimeError, match="broken"):
            for _ in range(200):
                played.round()
        broken.is_broken = False
        for _, track in played.seats:
            played.policy.finish(track)
        played.seats.clear()
        played.sit(2)
        played.rounds(20)
        assert sum(played.rounds(5)) >= 5 * 2 * 4


def test_batches_come_and_go() -> None:
    """Sequences begin and end between any two rounds."""
    draw = random.Random(5)
    played = table(TRUE, FALSE, curve=ROWS_CHEAP)
    for _ in range(60):
        if played.seats and draw.random() < 0.4:
            played.policy.finish(played.seats.pop(draw.randrange(len(played.seats)))[1])
        if not played.seats or draw.random() < 0.4:
            played.sit(draw.randint(1, 3))
        played.round(draw.choice([0, 0, 40]))
    assert played.emitted > 120


def test_a_node_is_judged_only_where_its_parent_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, bool]] = []
    monkeypatch.setattr("outrider.policy.odds._Table.count",
                        lambda _, place, hit: told.append((place, hit)))
    tree = DraftTree([1, 51, 2, 52, 53, 3], [-1, -1, 0, 1, 2, 3], [1] * 6, [0.9, 0.8, 0.7, 0.6, 0.6, 0.5])
    clock = Clock()
    played = Table(Scripted(lambda _: tree, clock), ROWS_FREE, clock).sit()
    trees: Sequence[DraftTree] = played.round()
    assert len(trees[0]) == 6
    assert [hit for _, hit in told] == [True, False, True, False], "nodes 0, 1, 2 and 4; 3 and 5 hang from a wrong one"
