"""When a member with a network is asked: where its past says that the round then brings more tokens a second.

Its first proposal after a while has a debt to pay, the tokens that its network has yet to read: all of the prompt, what
was copied meanwhile. The debt is laid out over the rounds in which the network is likely to be wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outrider.policy.decision import Bet, Offer, Tariff
from outrider.policy.members import Member, Past

_CLEARLY = 1.02  # the gain in speed below which a network is left alone
_HORIZON = 64.0  # rounds over which a debt is laid out that comes again and again


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sequence that a network could be asked for: `index` among the asks, `wanted` the rounds it may serve still."""

    index: int
    past: Past
    debt: int
    wanted: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A network and the sequences (by index) it is asked for; `rate` is that of the round, in tokens a second."""

    member: Member
    chosen: tuple[int, ...]
    rate: float


def best_plan(member: Member, candidates: Sequence[Candidate], bet: Bet, offers: Sequence[Offer],
              tariff: Tariff) -> Plan:
    """The candidates for whom this network is best asked, on top of the bet that stands without it; maybe none."""
    plain_s, row_s = tariff.base_s[1], prompt_row_s(tariff)
    own = [sum(sorted(offer.survival_N, reverse=True)[: len(kept)])
           for offer, kept in zip(offers, bet.chosen, strict=True)]
    more = {item.index: max(0.0, member.expected(item.past) - own[item.index]) for item in candidates}
    best, tokens, debt_s = Plan(member, (), bet.rate), bet.tokens, 0.0
    rows = tariff.rows + sum(map(len, bet.chosen))
    seconds, chosen = bet.seconds, []
    for item in sorted(candidates, key=lambda item: (-more[item.index], item.index)):
        context = offers[item.index].context
        nodes, before = round(member.nodes.value), len(bet.chosen[item.index])
        extra = max(0, nodes - before)
        if rows + extra >= len(tariff.base_s):
            break
        chosen.append(item.index)
        tokens += more[item.index]
        seconds += tariff.base_s[rows + extra] - tariff.base_s[rows]
        seconds += context * (tariff.context_s[1 + before + extra] - tariff.context_s[1 + before])
        rows += extra
        debt_s += member.debt_s(item.debt, row_s) / max(1.0, item.wanted)
        rate = tokens / (seconds + member.ask_s(len(chosen), plain_s) + debt_s)
        if rate > best.rate * (_CLEARLY if not best.chosen else 1.0):
            best = Plan(member, tuple(sorted(chosen)), rate)
    return best


def prompt_row_s(tariff: Tariff) -> float:
    """What a row costs the target among many, as those of prompts are."""
    last = len(tariff.base_s) - 1
    return (tariff.base_s[last] - tariff.base_s[last // 2]) / (last - last // 2)


def wanted_rounds(wish_rate: float, remaining: int, gain: float, is_first: bool) -> float:
    """Rounds that a network is likely to serve still, if all that may be emitted is.

    `wish_rate` is the share of rounds that it is wanted in, `gain` what it brings in one.
    """
    likely = remaining * wish_rate / (1.0 + gain)
    return likely if is_first else min(likely, _HORIZON)
