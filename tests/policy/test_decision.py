"""The chosen nodes against every choice there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import ANCHOR, DraftTree
from outrider.policy.decision import Offer, Tariff, best_bet, pruned


def ancestor_closed(parent_N: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """All sets of nodes that hold the parents of theirs."""
    found = []
    for bits in product((0, 1), repeat=size):
        kept = tuple(node for node in range(size) if bits[node])
        if all(parent_N[node] == ANCHOR or bits[parent_N[node]] for node in kept):
            found.append(kept)
    return found


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Parents and survivals of up to 5 nodes."""
    parents: list[int] = []
    survivals: list[float] = []
    for node in range(draw(st.integers(0, 5))):
        parent = draw(st.integers(ANCHOR, node - 1))
        above = 1.0 if parent == ANCHOR else survivals[parent]
        parents.append(parent)
        survivals.append(above * draw(st.floats(0.01, 0.99)))
    return parents, survivals


@st.composite
def tariffs(draw: st.DrawFn, rows: int) -> Tariff:
    """Prices that never fall."""
    def rising(first: float, size: int) -> list[float]:
        prices = [0.0, first]
        for _ in range(size):
            prices.append(prices[-1] + draw(st.floats(0.0, 1.0)))
        return prices

    return Tariff(rising(draw(st.floats(0.5, 2.0)), 14), [price / 100 for price in rising(0.0, 14)], rows,
                  draw(st.floats(0.0, 1.0)), draw(st.sampled_from([0.0, 0.3])), draw(st.sampled_from([0.0, 0.1])))


def price(tariff: Tariff, offers: Sequence[Offer], kept: Sequence[Sequence[int]]) -> float:
    """The price of a round from the ground up."""
    host_s = sum(tariff.draft_s + tariff.node_s * len(nodes) for nodes in kept if nodes)
    return (tariff.spent_s + host_s + tariff.base_s[tariff.rows + sum(map(len, kept))]
            + sum(offer.context * tariff.context_s[1 + len(nodes)] for offer, nodes in zip(offers, kept, strict=True)))


@given(st.data(), st.lists(trees(), min_size=1, max_size=2), st.integers(0, 50))
def test_no_choice_is_better_where_contexts_are_equal(
        data: st.DataObject, found: list[tuple[list[int], list[float]]], context: int) -> None:
    tariff = data.draw(tariffs(len(found)))
    if len(found) > 1:
        context, tariff = 0, replace(tariff, draft_s=0.0)  # else equal numbers of nodes cost as they are shared out
    offers = [Offer(survivals, context) for _, survivals in found]
    bet = best_bet(offers, tariff)
    rates = [(len(found) + sum(offer.survival_N[node] for offer, nodes in zip(offers, kept, strict=True)
                               for node in nodes)) / price(tariff, offers, kept)
             for kept in product(*(ancestor_closed(parents, len(parents)) for parents, _ in found))]
    if any(map(len, bet.chosen)):
        assert bet.rate == pytest.approx(max(rates))
    else:  # nothing was clearly better
        assert bet.rate == pytest.approx(len(found) / price(tariff, offers, [()] * len(found)))
        assert max(rates) <= 1.02 * bet.rate * (1.0 + 1e-9)
    assert bet.seconds == pytest.approx(price(tariff, offers, bet.chosen))
    for (parents, _), kept in zip(found, bet.chosen, strict=True):
        assert tuple(kept) in ancestor_closed(parents, len(parents))


@given(st.data(), st.lists(st.tuples(trees(), st.integers(0, 50)), min_size=1, max_size=3), st.integers(0, 6))
def test_a_bets_price_is_that_of_its_nodes(
        data: st.DataObject, found: list[tuple[tuple[list[int], list[float]], int]], floor: int) -> None:
    """Whatever the contexts; and it is never worse than no draft, unless it has to be."""
    tariff = data.draw(tariffs(len(found)))
    offers = [Offer(survivals, context) for (_, survivals), context in found]
    bet = best_bet(offers, tariff, floor)
    assert bet.seconds == pytest.approx(price(tariff, offers, bet.chosen))
    assert bet.tokens == pytest.approx(len(found) + sum(offer.survival_N[node] for offer, kept in
                                                        zip(offers, bet.chosen, strict=True) for node in kept))
    total = sum(len(offer.survival_N) for offer in offers)
    assert sum(map(len, bet.chosen)) >= min(floor, total, len(tariff.base_s) - 1 - tariff.rows)
    assert floor or bet.rate >= len(found) / price(tariff, offers, [()] * len(found)) - 1e-9


def test_nothing_pays_where_rows_are_dear() -> None:
    bet = best_bet([Offer([0.9, 0.8], 0)], Tariff([0.0, 1.0, 3.0, 5.0], [0.0] * 4, 1, 0.0))
    assert bet.chosen == ((),) or not len(bet.chosen[0])
    assert bet.rate == 1.0


def test_a_floor_makes_more_than_pays() -> None:
    bet = best_bet([Offer([0.9, 0.8], 0)], Tariff([0.0, 1.0, 3.0, 5.0], [0.0] * 4, 1, 0.0), floor=2)
    assert list(bet.chosen[0]) == [0, 1] and bet.tokens == pytest.approx(2.7) and bet.seconds == 5.0


def test_prompts_in_the_same_pass_do_not_make_drafts_look_cheap() -> None:
    """They are read whatever is drafted. A row that costs a plain step does not pay behind ten others either."""
    offers, linear_s, beside = [Offer([0.9, 0.8], 0)], [float(rows) for rows in range(20)], 10
    alone = Tariff(linear_s, [0.0] * 20, 1, 0.0)
    bet = best_bet(offers, replace(alone, rows=1 + beside, prompts_s=float(beside)))
    assert not len(bet.chosen[0]) and bet.rate == best_bet(offers, alone).rate == 1.0
    assert len(best_bet(offers, replace(alone, rows=1 + beside)).chosen[0]) == 2, "were they a price of tokens"


def test_more_rows_than_have_a_price_are_not_bought() -> None:
    bet = best_bet([Offer([0.9, 0.8, 0.7], 0)], Tariff([0.0, 1.0, 1.0], [0.0] * 3, 1, 0.0))
    assert list(bet.chosen[0]) == [0]


def test_a_pruned_tree_keeps_parents_sources_and_scores() -> None:
    tree = DraftTree([5, 6, 7, 8], [-1, 0, -1, 2], [1, 2, 3, 1], [0.9, 0.8, 0.4, 0.3])
    assert pruned(tree, [0, 2, 3]) == DraftTree([5, 7, 8], [-1, -1, 1], [1, 3, 1], [0.9, 0.4, 0.3])
    assert pruned(tree, range(4)) is tree
    chain = DraftTree.chain([1, 2, 3], [0.9, 0.8, 0.7])
    assert pruned(chain, range(1)) == DraftTree.chain([1], [0.9])
