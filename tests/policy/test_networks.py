"""Drafters with a network: asked where it pays, left alone where not, asked again now and then."""

from __future__ import annotations

import pytest

from outrider.core.tree import EMPTY_TREE, DraftTree
from outrider.policy.decision import Bet, Offer, Tariff
from outrider.policy.interface import Limits
from outrider.policy.members import Member, Past
from outrider.policy.networks import Candidate, best_plan, wanted_rounds
from outrider.policy.pass_price import Curve
from scripted_policy import PLAIN_S, ROWS_CHEAP, Clock, Says, Scripted, Table, always, chain, mixed

GOOD, BAD = chain(1, 2, 3, 4, 5), chain(51, 52, 53, 54, 55)


class Setting:
    """A network, and maybe a lookup beside it."""

    def __init__(self, says: Says, seconds: float, lookup: DraftTree | None = None, curve: Curve = ROWS_CHEAP,
                 **facts: float) -> None:
        self.clock = Clock()
        self.network = Scripted(says, self.clock, network=facts.pop("network", 0.1), seconds=seconds, name="network",
                                **facts)  # type: ignore[arg-type]
        self.lookup = None if lookup is None else Scripted(always(lookup), self.clock, name="lookup")
        members = [self.network] if self.lookup is None else [self.lookup, self.network]
        self.table = Table(mixed(*members), curve, self.clock, explained=True)

    def asked(self, rounds: int) -> int:
        """In how many of so many rounds."""
        before = len(self.network.calls)
        self.table.rounds(rounds)
        return len(self.network.calls) - before


def test_one_that_pays_is_asked_in_every_round() -> None:
    setting = Setting(always(GOOD), PLAIN_S / 20)
    setting.table.sit(2)
    setting.asked(30)
    assert setting.asked(50) == 50 and set(setting.network.calls) == {2}
    assert setting.table.reasons[0].why == "network pays"


def test_one_that_is_always_wrong_is_left_alone_but_for_trials() -> None:
    setting = Setting(always(BAD), PLAIN_S / 20)
    setting.table.sit()
    setting.asked(100)
    assert setting.asked(400) < 40


def test_one_that_is_right_but_slow_is_left_alone() -> None:
    """Five tokens for six steps' time."""
    setting = Setting(always(GOOD), 1.2 * PLAIN_S, network=0.9)
    setting.table.sit()
    setting.asked(50)
    assert setting.asked(200) < 10


def test_one_that_becomes_good_is_found() -> None:
    said = BAD
    setting = Setting(lambda budget: always(said)(budget), PLAIN_S / 20)
    setting.table.sit()
    setting.asked(200)
    said = GOOD
    setting.asked(1500)
    assert setting.asked(50) > 40


def test_a_new_sequence_gets_its_chance() -> None:
    """What one sequence showed is forgotten where nobody is asked any more, and does not damn others for ever."""
    said = BAD
    setting = Setting(lambda budget: always(said)(budget), PLAIN_S / 20)
    setting.table.sit()
    setting.asked(60)
    said = GOOD
    setting.table.policy.finish(setting.table.seats.pop()[1])
    setting.table.sit()
    assert setting.asked(1500) > 100


def test_nobody_pays_for_a_network_where_a_long_copy_is_certain() -> None:
    setting = Setting(always(GOOD), PLAIN_S / 5, lookup=chain(*range(1, 31), score=0.999))
    setting.table.sit()
    setting.asked(60)
    assert setting.asked(100) < 5
    assert all(len(tree) > 20 for tree in setting.table.trees)


def test_a_network_helps_where_the_lookup_fails() -> None:
    setting = Setting(always(GOOD), PLAIN_S / 20, lookup=BAD)
    setting.table.sit()
    setting.asked(60)
    assert setting.asked(50) > 45
    assert setting.table.reasons[0].offered == (5, 5)


def test_a_debt_is_counted() -> None:
    """A network that has to read a long prompt first, for the few tokens that may still come."""
    asked = []
    for debt, remaining in ((0, 12), (3000, 12), (3000, 100_000)):
        setting = Setting(always(GOOD), PLAIN_S / 20, debt=debt, debt_s=PLAIN_S / 10)
        setting.table.remaining = remaining
        setting.table.sit()
        asked.append(setting.asked(5) > 0)
    assert asked == [True, False, True]


def test_its_price_is_that_of_its_passes_not_of_its_debt() -> None:
    """A first call that read for a second does not make every later one look dear."""
    setting = Setting(always(GOOD), PLAIN_S / 20, debt=300, debt_s=PLAIN_S / 10)
    setting.table.remaining = 100_000
    setting.table.sit()
    assert setting.asked(1) == 1 and setting.asked(40) == 40


@pytest.mark.parametrize("better", [0, 1])
def test_of_two_the_better_one_is_asked_and_never_both(better: int) -> None:
    clock = Clock()
    networks = [Scripted(always(GOOD if index == better else chain(1, 52, 53)), clock, network=0.1,
                         seconds=PLAIN_S / 20, name=f"network{index}") for index in range(2)]
    table = Table(mixed(*networks), ROWS_CHEAP, clock).sit(2)
    for _ in range(400):
        before = sum(len(network.calls) for network in networks)
        table.round()
        assert sum(len(network.calls) for network in networks) - before <= 1
    calls = [len(network.calls) for network in networks]
    table.rounds(50)
    grown = [len(network.calls) - known for network, known in zip(networks, calls, strict=True)]
    assert grown[better] > 40 > 10 > grown[1 - better]


def test_only_the_sequences_that_it_helps_are_asked_for() -> None:
    """One of two may not use it."""
    setting = Setting(always(GOOD), PLAIN_S / 20)
    setting.table.sit(1, Limits(members=0)).sit()
    setting.asked(40)
    assert set(setting.network.calls) == {1} and not len(setting.table.trees[0]) and len(setting.table.trees[1])


def test_one_with_nothing_to_say_does_no_harm() -> None:
    setting = Setting(always(EMPTY_TREE), PLAIN_S / 20)
    setting.table.sit(2)
    assert sum(setting.table.rounds(100)) == 0
    assert setting.asked(200) < 20


def test_its_levels_are_bounded_by_what_another_would_have_to_bring() -> None:
    cheap, dear = Setting(always(GOOD), PLAIN_S / 100, network=0.01), Setting(always(GOOD), PLAIN_S / 3, network=0.3)
    for setting in (cheap, dear):
        setting.table.sit()
        setting.asked(20)
    assert 0.0 < cheap.network.budgets[-1].min_step < dear.network.budgets[-1].min_step <= 1.0


def member(network: float = 0.1) -> Member:
    return Member(0, Scripted(always(GOOD), Clock(), network=network), 0, network)


def plan_of(one: Member, *candidates: Candidate, row: float = 0.0, count: int = 2) -> tuple[int, ...]:
    """Whom it is asked for on top of plain decoding, where another row costs `row` plain steps."""
    base_s = [0.0, *(PLAIN_S * (1.0 + row * rows) for rows in range(199))]
    tariff = Tariff(base_s, [0.0] * 200, count, 0.0)
    bet = Bet(((),) * count, float(count), base_s[count])
    return best_plan(one, candidates, bet, [Offer((), 0)] * count, tariff).chosen


def test_a_plan_takes_those_that_gain_most_and_leaves_the_others() -> None:
    one, rich, poor = member(), Past(), Past()
    for _ in range(200):
        one.settle(rich, 6, 6, 6)
    for _ in range(200):
        one.settle(poor, 0, 6, 6)
    for _ in range(30):
        one.settle(rich, 6, 6, 6)
    assert plan_of(one, Candidate(0, poor, 0, 50.0), Candidate(1, rich, 0, 50.0), row=0.1) == (1,)
    assert plan_of(one, Candidate(0, rich, 0, 50.0), Candidate(1, rich, 0, 50.0), row=0.1) == (0, 1)


def test_a_plan_is_empty_where_rows_are_dear_or_debts_are() -> None:
    one, past = member(), Past()
    assert plan_of(one, Candidate(0, past, 0, 50.0)) == (0,)
    assert plan_of(one, Candidate(0, past, 10**7, 50.0), row=0.1) == ()
    assert plan_of(one, Candidate(0, past, 0, 50.0), row=2.0) == ()
    assert plan_of(member(3.0), Candidate(0, past, 0, 50.0)) == ()
    assert plan_of(one) == ()


def test_a_debt_is_laid_out_over_more_rounds_the_first_time() -> None:
    first = wanted_rounds(0.5, 10_000, 1.0, is_first=True)
    assert 1000 < first <= 2500 and wanted_rounds(0.5, 10_000, 1.0, is_first=False) < first
    few = wanted_rounds(0.5, 12, 1.0, is_first=True)
    assert few == wanted_rounds(0.5, 12, 1.0, is_first=False) <= 3
    assert wanted_rounds(0.5, 12, 4.0, is_first=True) < few, "the more a round brings, the fewer there are"
