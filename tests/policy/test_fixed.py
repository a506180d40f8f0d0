"""The fixed policy: the same in every round, as far as a request allows it."""

from __future__ import annotations

import pytest

from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import SequenceContext
from outrider.errors import ConfigError
from outrider.policy.choose import fixed_nodes, policy_of
from outrider.policy.fixed import Fixed
from outrider.policy.interface import Ask, Limits, Pass, Reason, Track
from scripted_policy import TARGET, Clock, Scripted, always, chain, mixed

FIRST, SECOND = chain(1, 2, 3, 4, 5, 6, score=0.9), chain(1, 12, 13, score=0.8)


def drafted(nodes: int, *limits: Limits, room: Budget | None = None) -> tuple[list[DraftTree], list[Reason]]:
    """What a mixture of two drafts for sequences with these limits, and the reasons given."""
    clock = Clock()
    drafter = mixed(Scripted(always(FIRST), clock, name="first"), Scripted(always(SECOND), clock, name="second"))
    policy, reasons = Fixed(drafter, nodes), list[Reason]()
    policy.explain(lambda _, reason: reasons.append(reason))
    asks = [Ask(drafter.start(SequenceContext(0)), policy.start(one), room or Budget(32, 32), 10, 50)
            for one in limits]
    trees = policy.draft(asks)
    policy.settle([], Pass((), 1.0, 1.0, False))
    for ask in asks:
        policy.finish(ask.track)
    return trees, reasons


@pytest.mark.parametrize("nodes", [0, 1, 4, 64])
def test_up_to_so_many_nodes_and_all_there_are(nodes: int) -> None:
    (tree,), (reason,) = drafted(nodes, Limits())
    assert len(tree) == reason.chosen == min(nodes, 8)
    tree.check(Budget(nodes, nodes))
    assert (reason.seconds, reason.plain_seconds, reason.why) == (0.0, 0.0, "fixed")


def test_the_room_of_a_sequence_counts() -> None:
    trees, _ = drafted(16, Limits(), room=Budget(3, 2))
    trees[0].check(Budget(3, 2))
    assert len(trees[0]) == 3


def test_requests_with_other_limits_share_a_batch() -> None:
    trees, reasons = drafted(16, Limits(), Limits(members=0b01), Limits(members=0b10), Limits(members=0))
    assert [len(tree) for tree in trees] == [8, 6, 3, 0]
    sources = [{tree.source(node) for node in range(len(tree))} for tree in trees]
    assert sources == [{1, 2, 3}, {1}, {2}, set()]
    assert [reason.offered for reason in reasons] == [(6, 3), (6, -1), (-1, 3), (-1, -1)]


def test_names() -> None:
    assert [fixed_nodes(name) for name in ("adaptive", "fixed:0", "fixed:12")] == [None, 0, 12]
    for name in ("fixed", "fixed:", "fixed:-1", "fixed:x", "fixed:1.5", "", "Adaptive", "fixed:\u00b2"):
        with pytest.raises(ConfigError, match=r"expected adaptive or fixed:K"):
            fixed_nodes(name)
    drafter = Scripted(always(FIRST), Clock())
    assert isinstance(policy_of("fixed:3", drafter, TARGET), Fixed)
    assert isinstance(policy_of("fixed:3", drafter, TARGET).start(Limits()), Track)
