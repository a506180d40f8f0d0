"""The policy that takes the best bet each round, and none where none is good.

    members that look things up  ──> offers ──> bet ─┬─────────────────────────> pruned trees
    members with a network, where they pay ──> more ─┘ (bet again)

What it needs to know it learns from the rounds themselves. Two small allowances pay for rounds that are worth less
than the best, so that nothing believed to be bad stays unknown for ever: one for verifying more than pays, one for
asking a network that does not seem to. Together they cost about one part in a hundred, less where they find nothing.

Under a ratio rule nothing that was drawn is dropped: how much is drawn is settled by the bounds that a budget has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import Drafter
from outrider.policy.allowance import Allowance
from outrider.policy.decision import Bet, Offer, Tariff, best_bet, pruned
from outrider.policy.interface import Ask, Explain, Fate, Limits, Pass, Reason, Track
from outrider.policy.members import Mean, Member, Past, Rest
from outrider.policy.networks import Candidate, Plan, best_plan, prompt_row_s, wanted_rounds
from outrider.policy.odds import Mood, Odds
from outrider.policy.panel import Panel, Proposals
from outrider.policy.pass_price import PassPrice

_DOUBT = 0.8  # odds may be wrong: nodes are wanted down to this share of what they would have to bring
_LEAST, _MOST = 0.12, 0.5  # survivals that a budget asks for
_WIDER = 12  # nodes more than pay that are verified now and then
_BESIDE = 256  # rows of prompts beyond which another row costs the same
_TROUBLE = 0.02  # of a plain step, that a draft costs on the host before anybody has seen one
_NODE = 0.2  # of a draft's trouble, for each of its nodes
_SURE = 0.5  # a first node that survives with as much ends the search for others
_FIRST_ROUNDS = 32  # that are all looked at
_OFTEN, _NOW_AND_THEN = 4, 3  # of so many plain rounds, and of so many with drafts, one is looked at later
_WIDER_SHARE, _NETWORK_SHARE = 0.004, 0.006
_DEAREST_STEP = 0.9  # survival that is enough for another level of a network's draft, whatever its price
_BELIEF = 8.0  # rounds that the usual rate of wishes is worth


@dataclass(slots=True)
class AdaptiveTrack(Track):
    """One sequence: how its drafts fare, which members rest, what networks brought; `asked` is this round's network.

    `wishes` counts the rounds in which a network would have been asked, but for its debt.
    """

    mood: Mood = field(default_factory=Mood)
    rests: dict[int, Rest] = field(default_factory=dict)
    pasts: dict[int, Past] = field(default_factory=dict)
    asked: Member | None = None
    rounds: int = 0
    wishes: int = 0

    def past(self, member: Member) -> Past:
        """What a network brought this sequence."""
        return self.pasts.setdefault(member.index, Past())


class Adaptive:
    """Odds, price and members together."""

    def __init__(self, drafter: Drafter[Any], price: PassPrice, clock: Callable[[], float] = time.perf_counter,
                 chains: bool = False) -> None:
        """`chains`: the target verifies no branches."""
        self._panel, self._chains = Panel(drafter, clock), chains
        self._price, self.odds = price, Odds()
        self._lookups = [member for member in self._panel.members if not member.has_network]
        self._networks = [member for member in self._panel.members if member.has_network]
        self._plain, self._trouble = Mean(0.0), Mean(0.0)  # seconds on the host: of a plain round, of a draft
        self._num_plain = self._num_drafted = self._num_rounds = self._tariffs_round = 0
        self._known_tariffs: dict[tuple[int, int], Tariff] = {}
        self._network_s = 0.0
        self._wish = Mean(0.6, 2.0)  # wishes a round
        self._wider, self._trial = Allowance(_WIDER_SHARE), Allowance(_NETWORK_SHARE)
        self._is_trial = False
        self._listener: Explain | None = None

    def start(self, limits: Limits) -> AdaptiveTrack:
        return AdaptiveTrack(limits)

    def explain(self, listener: Explain | None) -> None:
        self._listener = listener

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        self._forget_round(asks)
        found = Proposals([EMPTY_TREE] * len(asks))
        tariff = self._tariff(len(asks), beside)
        budgets = [Budget(ask.room.nodes, ask.room.depth, tariff.least) for ask in asks]
        for member in self._lookups:
            self._look_up(member, asks, budgets, found)
        if found.is_empty and not self._networks and self._listener is None:
            return found.trees
        bet, why = self._bet(asks, found, tariff), "best rate"
        if self._networks:
            bet, why = self._with_network(asks, budgets, found, tariff, bet)
        if self._wider.is_ready:
            bet, why = self._widened(asks, found, tariff, bet, why)
        if self._listener is not None:
            self._tell(asks, found, tariff, bet, why)
        return [tree if ask.track.limits.draws else pruned(tree, kept)
                for ask, tree, kept in zip(asks, found.trees, bet.chosen, strict=True)]

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        trouble = 0.0
        for fate in fates:
            track: AdaptiveTrack = fate.track
            track.rounds += 1
            if len(fate.tree):
                trouble += 1.0 + _NODE * len(fate.tree)
                self.odds.settle(fate.tree, fate.path, track.mood)
            if track.asked is not None:
                self._settle_network(track, track.asked, fate)
        self._num_rounds += 1
        if spent.prefill:
            return
        if self._is_due(trouble > 0.0):
            self._price.observe(spent.loads, spent.target_s)
            self._note_host(max(0.0, spent.other_s - self._network_s), trouble)
        self._wider.earn(spent.target_s)
        self._trial.earn(spent.target_s)

    def _forget_round(self, asks: Sequence[Ask]) -> None:
        """A round that was planned may never have been run."""
        self._network_s, self._is_trial = 0.0, False
        for ask in asks:
            ask.track.asked = None

    def _is_due(self, has_drafts: bool) -> bool:
        """Whether this round is looked at: looking costs, and neighbours are alike. At first all are."""
        self._num_drafted += has_drafts
        self._num_plain += not has_drafts
        if self._num_rounds <= _FIRST_ROUNDS:
            return True
        return self._num_drafted % _NOW_AND_THEN == 0 if has_drafts else self._num_plain % _OFTEN == 0

    def _note_host(self, seconds: float, trouble: float) -> None:
        """What a round took besides passes: as much as a plain one, and its drafts' trouble."""
        if not trouble:
            self._plain.add(seconds)
        elif self._plain.count:
            self._trouble.add(max(0.0, seconds - self._plain.value) / trouble)

    def finish(self, track: AdaptiveTrack) -> None:
        if track.rounds >= _BELIEF and self._networks:
            self._wish.add(track.wishes / track.rounds)

    def _tariff(self, count: int, beside: int) -> Tariff:
        """What a round of so many sequences costs by what is drafted, worked out anew every few rounds."""
        if self._num_rounds - self._tariffs_round >= _OFTEN:
            self._known_tariffs, self._tariffs_round = {}, self._num_rounds
        known = self._known_tariffs.get((count, beside))
        if known is None:
            known = self._known_tariffs[count, beside] = self._new_tariff(count, beside)
        return known

    def _new_tariff(self, count: int, beside: int) -> Tariff:
        base_s, rows, plain_s = self._price.base_s, count + min(beside, _BESIDE), self._plain.value
        trouble_s = self._trouble.value if self._trouble.count else _TROUBLE * base_s[1]
        node_s = _NODE * trouble_s
        row_s = (base_s[rows + 4] - base_s[rows]) / 4 + trouble_s + node_s
        least = min(_MOST, max(_LEAST, _DOUBT * count / (base_s[count] + plain_s) * row_s))
        return Tariff(base_s, self._price.context_s, rows, plain_s, trouble_s, node_s, least,
                      base_s[rows] - base_s[count])

    def _look_up(self, member: Member, asks: Sequence[Ask], budgets: Sequence[Budget], found: Proposals) -> None:
        chosen = _allowed(member, asks)
        if not found.is_empty:
            chosen = [index for index in chosen if not _is_sure(found.trees[index])]
        if may_rest := member.rests_long(self._price.base_s[1]):
            chosen = [index for index in chosen if not _rest(member, asks[index]).skips()]
        if not chosen:
            return
        answer = self._panel.look_up(member, asks, chosen, budgets, found)
        if may_rest:
            for index, tree in zip(chosen, answer.trees, strict=True):
                _rest(member, asks[index]).settle(len(tree) > 0)

    def _bet(self, asks: Sequence[Ask], found: Proposals, tariff: Tariff, floor: int = 0) -> Bet:
        """What is best of the trees so far; of trees that were drawn nothing is left out."""
        if self._chains:
            found.trees = [tree.likeliest_chain() for tree in found.trees]
        drawn = sum(len(tree) for ask, tree in zip(asks, found.trees, strict=True) if ask.track.limits.draws)
        offers = [Offer(() if ask.track.limits.draws else self.odds.survivals(tree, ask.track.mood, tariff.least),
                        ask.context) for ask, tree in zip(asks, found.trees, strict=True)]
        return best_bet(offers, replace(tariff, rows=tariff.rows + drawn) if drawn else tariff, floor)

    def _with_network(self, asks: Sequence[Ask], budgets: Sequence[Budget], found: Proposals, tariff: Tariff,
                      bet: Bet) -> tuple[Bet, str]:
        """Asks the network that is expected to pay most, if any is; now and then one that is not."""
        plan, why = self._plan(asks, found, tariff, bet), "network pays"
        if not plan.chosen:
            plan, why = self._tried(asks, tariff, bet), "network tried"
        self._note_left_out(asks, plan)
        if not plan.chosen:
            return bet, "best rate"
        member, chosen = plan.member, plan.chosen
        row_s = tariff.base_s[2] - tariff.base_s[1]
        step = max(plan.rate, bet.rate) * (member.step_s(len(chosen), tariff.base_s[1]) / len(chosen) + row_s)
        stepping = [replace(budget, min_step=min(_DEAREST_STEP, step)) for budget in budgets]
        self._network_s = self._panel.run(member, asks, chosen, stepping, found, tariff.base_s[1])
        for index in chosen:
            asks[index].track.asked = member
        return self._bet(asks, found, replace(tariff, spent_s=tariff.spent_s + self._network_s)), why

    def _plan(self, asks: Sequence[Ask], found: Proposals, tariff: Tariff, bet: Bet) -> Plan:
        """The best plan of all networks, its debts counted; notes who would have been asked without them."""
        offers = [Offer(self.odds.survivals(tree, ask.track.mood, tariff.least), ask.context)
                  for ask, tree in zip(asks, found.trees, strict=True)]
        plans = []
        for member in self._networks:
            candidates = [self._candidate(member, asks, index) for index in _allowed(member, asks)]
            free = best_plan(member, [replace(item, debt=0) for item in candidates], bet, offers, tariff)
            for index in free.chosen:
                asks[index].track.wishes += 1
            plans.append(best_plan(member, candidates, bet, offers, tariff) if free.chosen else free)
        return max(plans, key=lambda plan: plan.rate)

    def _note_left_out(self, asks: Sequence[Ask], plan: Plan) -> None:
        for member in self._networks:
            for index, ask in enumerate(asks):
                if member is not plan.member or index not in plan.chosen:
                    member.left_out(ask.track.past(member))

    def _candidate(self, member: Member, asks: Sequence[Ask], index: int) -> Candidate:
        ask, track = asks[index], asks[index].track
        past = track.past(member)
        wish_rate = (track.wishes + _BELIEF * self._wish.value) / (track.rounds + _BELIEF)
        wanted = wanted_rounds(wish_rate, ask.remaining, member.expected(past), is_first=not past.gain.count)
        return Candidate(index, past, self._panel.debt(member, ask), wanted)

    def _tried(self, asks: Sequence[Ask], tariff: Tariff, bet: Bet) -> Plan:
        """One sequence for the network that was asked least, if the allowance is enough."""
        nothing = Plan(self._networks[0], (), bet.rate)
        if not self._trial.is_ready:
            return nothing
        member = min(self._networks, key=lambda one: one.num_asked)
        allowed = _allowed(member, asks)
        if not allowed:
            return nothing
        index = min(allowed, key=lambda at: self._panel.debt(member, asks[at]))
        base_s, rows = tariff.base_s, tariff.rows
        price_s = member.ask_s(1, base_s[1]) + base_s[rows + 4] - base_s[rows]
        price_s += member.debt_s(self._panel.debt(member, asks[index]), prompt_row_s(tariff))
        if not self._trial.spend(price_s):
            return nothing
        self._is_trial = True
        return Plan(member, (index,), bet.rate)

    def _widened(self, asks: Sequence[Ask], found: Proposals, tariff: Tariff, bet: Bet, why: str) -> tuple[Bet, str]:
        """Now and then more is verified than pays, so that what is believed of it can be wrong."""
        chosen = sum(map(len, bet.chosen))
        if chosen == sum(len(tree) for ask, tree in zip(asks, found.trees, strict=True)
                         if not ask.track.limits.draws):
            return bet, why
        wider = self._bet(asks, found, replace(tariff, least=0.0), chosen + _WIDER)
        if not self._wider.spend(wider.seconds - bet.seconds):  # what it may bring is not to be relied on
            return bet, why
        return wider, "verified in full"

    def _settle_network(self, track: AdaptiveTrack, member: Member, fate: Fate) -> None:
        own = [node for node in range(len(fate.tree)) if fate.tree.source(node) & member.bits]
        depth_N = fate.tree.depths()
        member.settle(track.past(member), len(fate.path), len(own), max((depth_N[node] for node in own), default=0))
        if self._is_trial:
            self._trial.judge(len(fate.path) > member.nodes.value / 2)
        track.asked = None

    def _tell(self, asks: Sequence[Ask], found: Proposals, tariff: Tariff, bet: Bet, why: str) -> None:
        assert self._listener is not None
        without = best_bet([Offer((), ask.context) for ask in asks], replace(tariff, spent_s=self._plain.value))
        bet_s, plain_s = bet.seconds + tariff.prompts_s, without.seconds + tariff.prompts_s
        for index, (ask, tree, kept) in enumerate(zip(asks, found.trees, bet.chosen, strict=True)):
            by_member = tuple(found.offered(index, member.index) for member in self._panel.members)
            chosen = len(tree) if ask.track.limits.draws else len(kept)
            self._listener(ask.track, Reason(by_member, chosen, bet.tokens, bet_s, plain_s, why))


def _allowed(member: Member, asks: Sequence[Ask]) -> list[int]:
    """The asks for which a member may propose something."""
    bit = 1 << member.index
    return [index for index, ask in enumerate(asks) if ask.room and ask.track.limits.members & bit]


def _is_sure(tree: DraftTree) -> bool:
    """Whether a tree says enough: there is no need to ask for second opinions."""
    return len(tree) > 0 and max(tree.score_N, default=1.0) >= _SURE


def _rest(member: Member, ask: Ask) -> Rest:
    rests: dict[int, Rest] = ask.track.rests
    return rests.setdefault(member.index, Rest())
