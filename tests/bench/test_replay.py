"""Stand-ins for recorded drafters: what they say within a budget, and what the clock says of it."""

from __future__ import annotations

import pytest

from made_recordings import CURVE, LOOKUP, NETWORK, answer, chain, copied, recording
from outrider.bench.recording import Proposal, Recording
from outrider.bench.replay import NetworkPrice, Place, Replayed, VirtualClock, cut, true_path
from outrider.core.tree import Budget, DraftTree
from outrider.policy.pass_price import PassPrice

#   0.8 ─┬─ 0.6 ── 0.5
#        └─ 0.1             0.15
TREE = DraftTree([1, 2, 3, 4, 5], [-1, 0, 1, 0, -1], [1] * 5, [0.8, 0.6, 0.5, 0.1, 0.15])


@pytest.mark.parametrize(("budget", "by_level", "token_n"), [
    (Budget(9, 9), False, [1, 2, 3, 4, 5]),
    (Budget(3, 9), False, [1, 2, 3]),
    (Budget(4, 9), False, [1, 2, 3, 5]),
    (Budget(9, 2), False, [1, 2, 4, 5]),
    (Budget(9, 9, 0.12), False, [1, 2, 3, 5]),
    (Budget(9, 9, 0.0, 0.7), False, [1, 2, 3, 4, 5]),
    (Budget(9, 9, 0.0, 0.7), True, [1, 2, 4, 5]),  # the second level is asked for: the first one's best is above 0.7
    (Budget(9, 9, 0.0, 0.9), True, [1, 5]),
    (Budget(9, 9, 0.55, 0.0), True, [1, 2]),
])
def test_a_draft_is_cut_to_a_budget(budget: Budget, by_level: bool, token_n: list[int]) -> None:
    found = cut(TREE, budget, by_level)
    found.check(budget)
    assert found.token_N == token_n
    assert [TREE.score_N[TREE.token_N.index(token)] for token in token_n] == list(found.score_N)


def test_the_longest_path_that_agrees() -> None:
    assert true_path(TREE, [1, 2, 3, 7]) == (0, 1, 2)
    assert true_path(TREE, [1, 4]) == (0, 3)
    assert true_path(TREE, [1]) == (0,)
    assert true_path(TREE, [2, 1]) == true_path(TREE, []) == true_path(DraftTree(), [1]) == ()


def network(*proposals: Proposal, num_prompt: int = 20) -> Recording:
    tokens = range(len(proposals) + 1)
    return recording(answer(tokens, proposals, num_prompt=num_prompt, more=9), seats=(NETWORK,))


def test_a_pass_of_a_network_is_priced_by_what_was_recorded() -> None:
    free = [chain(5, 6, score=0.9, seconds=0.006, debt=1), chain(5, 6, score=0.9, seconds=0.008, debt=2),
            chain(5, 6, score=0.9, seconds=0.007, debt=1)]
    price = NetworkPrice.of(network(chain(5, 6, score=0.9, seconds=0.107, debt=50), *free), 0, 1.0)
    assert price.level_s == pytest.approx(0.0035) and price.deepest == 2
    assert price.debt_s == pytest.approx(0.1 / 50)
    assert NetworkPrice.of(network(*free), 0, 2.0).level_s == pytest.approx(0.007)


def test_what_was_not_recorded_is_priced_by_what_is_read() -> None:
    price = NetworkPrice.of(network(chain(5, seconds=0.1, debt=9)), 0, 1.0)
    assert [price.level_s, price.debt_s] == pytest.approx([0.25 * 0.011, 0.25 * 0.001])


def test_a_level_that_brought_nothing_was_a_pass_too() -> None:
    price = NetworkPrice(0.001, 0.0, 4)
    assert price.passes(chain(1, 2, score=0.9).tree, Budget(9, 9)) == 3
    assert price.passes(chain(1, 2, score=0.9).tree, Budget(9, 2)) == 2
    assert price.passes(chain(1, 2, score=0.9).tree, Budget(2, 9)) == 2
    assert price.passes(chain(1, 2, score=0.9).tree, Budget(9, 9, 0.0, 0.85)) == 2
    assert price.passes(chain(1, 2, 3, 4).tree, Budget(9, 9)) == 4
    assert price.passes(DraftTree(), Budget(9, 9, 0.0, 0.9)) == 1


def test_a_networks_debt_grows_while_it_is_left_alone() -> None:
    tokens = range(30)
    taken = recording(answer(tokens, copied(tokens, 3, score=0.9)), seats=(NETWORK,))
    clock = VirtualClock()
    drafter = Replayed(taken, PassPrice(CURVE), clock)
    member, place = drafter.members[0], Place(taken.answers[0])
    assert drafter.debt(place) == 21
    drafter.propose([place], [Budget(0, 0)])
    assert (clock(), member.num_asked, drafter.debt(place)) == (0.0, 0, 21)
    drafter.propose([place], [Budget(8, 8)])
    assert drafter.debt(place) == 0 and clock() > 0.0
    place.at += 4  # all three came true; the network read two of them while it made the last
    assert drafter.debt(place) == 2
    place.at += 10
    assert drafter.debt(place) == 12
    before = clock()
    drafter.propose([place], [Budget(8, 8)])
    after_debt = clock() - before
    place.at += 1
    drafter.propose([place], [Budget(8, 8)])
    assert after_debt - (clock() - before - after_debt) == pytest.approx(10 * 0.25 * 0.001)


def test_a_lookup_costs_what_it_took_but_for_hiccups() -> None:
    tokens = range(41)
    usual = [chain(token, seconds=1e-5) for token in tokens[1:]]
    usual[7] = chain(8, seconds=0.5)
    usual[9] = chain(10, seconds=2e-6)
    taken = recording(answer(tokens, usual))
    clock = VirtualClock()
    drafter, place = Replayed(taken, PassPrice(CURVE), clock), Place(taken.answers[0])
    for at, seconds in ((0, 1e-5), (7, 1e-5), (9, 2e-6)):
        place.at, before = at, clock()
        drafter.propose([place], [Budget(4, 4)])
        assert clock() - before == pytest.approx(seconds)
    assert drafter.asked == {"suffix": 3}


def test_members_are_merged_and_can_be_left_out() -> None:
    both = answer([1, 2, 3], [chain(2), chain()], [chain(2, 3), chain(7)])
    taken = recording(both, seats=(LOOKUP, NETWORK))
    place, price = Place(both), PassPrice(CURVE)
    drafter = Replayed(taken, price, VirtualClock())
    tree, = drafter.propose([place], [Budget(8, 8)]).trees
    assert (tree.token_N, [tree.source(node) for node in range(2)]) == ([2, 3], [3, 2])
    assert drafter.sources == ("suffix", "model") and drafter.read_bytes == 250
    alone = Replayed(taken, price, VirtualClock(), only=[1])
    tree, = alone.propose([place], [Budget(8, 8)]).trees
    assert (tree.token_N, [tree.source(node) for node in range(2)]) == ([2, 3], [1, 1])
    assert [seat.name for seat in alone.seats] == ["model"]


def test_a_network_asked_for_more_sequences_slows_down_as_the_target_does() -> None:
    tokens = range(9)
    taken = network(*copied(tokens, 2, score=0.9, seconds=0.006, debt=1))
    spent = []
    for count in (1, 3):
        clock = VirtualClock()
        drafter = Replayed(taken, PassPrice(CURVE), clock)
        places = [Place(taken.answers[0], asked={}) for _ in range(count)]
        for place in places:
            drafter.propose([place], [Budget(8, 8)])
            place.at += 1
        before = clock()
        drafter.propose(places, [Budget(8, 8)] * count)
        spent.append(clock() - before)
    assert spent[1] / spent[0] == pytest.approx(0.013 / 0.011)
