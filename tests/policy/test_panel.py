"""The panel: whom it asks, where sources land, what it times."""

from __future__ import annotations

import pytest

from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.policy.adaptive import AdaptiveTrack
from outrider.policy.interface import Ask, Limits
from outrider.policy.panel import Panel, Proposals
from scripted_policy import PLAIN_S, Clock, Debtor, Scripted, always, chain, mixed

ROOM = Budget(6, 6)


def asks(count: int, debt: int = 0, members: int = 2) -> list[Ask]:
    return [Ask([Debtor(debt) for _ in range(members)], AdaptiveTrack(Limits()), ROOM, 10, 50) for _ in range(count)]


def two(first: DraftTree, second: DraftTree, clock: Clock, **facts: float) -> tuple[Panel, list[Scripted]]:
    members = [Scripted(always(first), clock, name="first"),
               Scripted(always(second), clock, name="second", **facts)]  # type: ignore[arg-type]
    return Panel(mixed(*members), clock), members


def test_trees_are_merged_and_their_sources_keep_apart() -> None:
    panel, _ = two(chain(1, 2, score=0.5), DraftTree.chain([1, 9], [0.8, 0.7]), Clock())
    asked, found = asks(1), Proposals([EMPTY_TREE])
    for member in panel.members:
        panel.look_up(member, asked, [0], [ROOM], found)
    tree = found.trees[0]
    nodes = {(tree.token_N[node], tree.parent_N[node]): (tree.source(node), tree.score(node)) for node in range(3)}
    assert nodes == {(1, -1): (0b11, 0.8), (2, 0): (0b01, 0.25), (9, 0): (0b10, 0.7)}


def test_a_lone_tree_of_a_later_member_has_its_source() -> None:
    panel, _ = two(EMPTY_TREE, chain(1, 2), Clock())
    asked, found = asks(2), Proposals([EMPTY_TREE] * 2)
    panel.look_up(panel.members[0], asked, [0, 1], [ROOM] * 2, found)
    assert found.is_empty
    panel.look_up(panel.members[1], asked, [1], [ROOM] * 2, found)
    assert found.trees[0] is EMPTY_TREE and [found.trees[1].source(node) for node in range(2)] == [2, 2]
    assert [[found.offered(ask, member) for member in range(2)] for ask in range(2)] == [[0, -1], [0, 2]]


def test_a_merged_tree_stays_within_the_room() -> None:
    panel, _ = two(chain(1, 2, 3, 4, 5), chain(11, 12, 13, 14), Clock())
    asked, found = asks(1), Proposals([EMPTY_TREE])
    for member in panel.members:
        panel.look_up(member, asked, [0], [ROOM], found)
    found.trees[0].check(ROOM)
    assert len(found.trees[0]) == 6


def test_a_networks_time_is_told_and_its_debt_asked_before() -> None:
    clock = Clock()
    panel, members = two(EMPTY_TREE, chain(1, 2, 3), clock, network=0.2, seconds=PLAIN_S, debt_s=PLAIN_S)
    asked, found = asks(2, debt=40), Proposals([EMPTY_TREE] * 2)
    network = panel.members[1]
    assert network.has_network and not panel.members[0].has_network
    assert panel.debt(network, asked[0]) == 40
    seconds = panel.run(network, asked, [0, 1], [ROOM] * 2, found, PLAIN_S)
    assert seconds == pytest.approx((3 + 80) * PLAIN_S) and members[1].calls == [2]
    assert panel.debt(network, asked[0]) == 0
    assert network.debt_s(10, PLAIN_S) > 5 * PLAIN_S > network.step_s(2, PLAIN_S)


def test_a_drafter_alone_is_its_only_member() -> None:
    clock = Clock()
    panel = Panel(Scripted(always(chain(1)), clock), clock)
    found = Proposals([EMPTY_TREE])
    ask = Ask(Debtor(), AdaptiveTrack(Limits()), ROOM, 10, 50)
    panel.look_up(panel.members[0], [ask], [0], [ROOM], found)
    assert found.trees == [chain(1)] and found.offered(0, 0) == 1
