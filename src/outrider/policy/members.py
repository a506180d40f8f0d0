"""What the members of a drafter brought and cost when they were asked.

Two kinds are told apart. Members that only look things up are asked in every round, unless even that costs too much:
then they rest, longer each time that they have nothing to say. Members with a network are asked where that is expected
to pay: what they bring is known only by asking, so their past is all there is to go by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from outrider.drafting.interface import Drafter

_RATE = 0.1  # of running means
_BELIEF = 20.0  # rounds that what other sequences showed is worth to one that has shown little
_GAIN_RATE, _OWN_RATE = 0.03, 0.05  # of gains, of all sequences and of one: single rounds differ much
_MEMORY = 3.0  # times the rounds that a mean remembers, that it can be worth at most
_SPREAD = 2.0  # of gains, squared, until it is known
_HOPE = 0.5  # errors of a gain's mean that are hoped for on top of it
_AGEING = 0.99  # of what is known of a network, for each sequence and round in which it was not asked
_FADING = 0.97  # of what a sequence showed, for each round in which a network was not asked: texts change
_STEADY = 0.33  # as fast as that, what its levels took is forgotten: machines change more rarely
_SMALL_DEBT, _LARGE_DEBT = 3, 16  # tokens a sequence: what a level hides, and what tells the price of a token
_HICCUP = 2.0  # times the usual: more is not believed of a single time
_NOTICED = 0.01  # share of a plain step above which asking is worth avoiding
_LONGEST_REST = 16
_OFTEN = 8  # of so many askings one is timed
_FIRST_GAIN, _GAIN_ROUNDS = 2.0, 3.0  # believed of a network that was never asked, for so many rounds
_FIRST_NODES, _NODE_ROUNDS = 5.0, 8.0


@dataclass(slots=True)
class Mean:
    """A running mean: of the first values all alike, later of the newest ones."""

    value: float
    count: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1.0
        self.value += max(_RATE, 1.0 / self.count) * (value - self.value)


@dataclass(slots=True)
class Gain:
    """Accepted nodes a round in which a network was asked: their running mean, and how far single rounds lie from it.

    `count` is the number of rounds that the mean is worth.
    """

    rate: float
    value: float = 0.0
    count: float = 0.0
    variance: float = _SPREAD

    def add(self, value: float) -> None:
        weight, error = max(self.rate, 1.0 / (self.count + 1.0)), value - self.value
        self.value += weight * error
        self.variance += weight * (error * error - self.variance)
        self.count = min(self.count + 1.0, _MEMORY / self.rate)

    def fade(self, share: float) -> None:
        """What is known grows old."""
        self.count *= share


@dataclass(slots=True)
class Rest:
    """How long a member is left in peace with one sequence: rounds yet to skip, and the length of the next rest."""

    left: int = 0
    length: int = 1

    def skips(self) -> bool:
        """Whether to skip this round; counts it."""
        if not self.left:
            return False
        self.left -= 1
        return True

    def settle(self, was_any: bool) -> None:
        """The member was asked, and said something or nothing."""
        if was_any:
            self.left, self.length = 0, 1
        else:
            self.left, self.length = self.length, min(2 * self.length, _LONGEST_REST)


@dataclass(slots=True)
class Past:
    """What a network brought one sequence: accepted nodes a round in which it was asked."""

    gain: Gain = field(default_factory=lambda: Gain(_OWN_RATE))


class Member:
    """One drafter of those that a policy may ask, by its place `index` among them."""

    def __init__(self, index: int, drafter: Drafter[Any], shift: int, share: float) -> None:
        self.index, self.drafter, self.shift = index, drafter, shift
        self.bits = ((1 << len(drafter.sources)) - 1) << shift
        self.has_network = drafter.read_bytes > 0
        self._share = share  # what its network reads, of what the target's reads
        self.gain = Gain(_GAIN_RATE, _FIRST_GAIN, _GAIN_ROUNDS)
        self.nodes, self.depth = Mean(_FIRST_NODES, _NODE_ROUNDS), Mean(_FIRST_NODES, _NODE_ROUNDS)
        # Plain steps of the target that a level takes, by how many sequences are asked at once: where the machine gets
        # slower, both do.
        self._step: dict[int, Mean] = {}
        self._ask = Mean(0.0)
        self.num_asked = 0
        self._debt: Mean | None = None

    def step_s(self, count: int, plain_s: float) -> float:
        """Seconds of one level of a draft for `count` sequences at once; `plain_s` is the target's plain step."""
        known = self._step.get(count)
        if known is not None:
            return known.value * plain_s
        nearest = min(self._step, key=lambda other: abs(other - count), default=0)
        share = self._step[nearest].value * max(1.0, 0.5 + 0.5 * count / nearest) if nearest else self._share
        return share * plain_s

    def ask_s(self, count: int, plain_s: float) -> float:
        """Seconds of a usual proposal for `count` sequences, its debts not counted."""
        return self.depth.value * self.step_s(count, plain_s)

    def debt_s(self, tokens: int, row_s: float) -> float:
        """Seconds of reading so many tokens first; `row_s` is what a row of a prompt costs the target."""
        return tokens * (self._share * row_s if self._debt is None else self._debt.value)

    def expected(self, past: Past) -> float:
        """Accepted nodes to be hoped for with a sequence, if the member is asked.

        A little more than the mean, by how little is known: what is not asked says nothing, and would never be again.
        """
        own = past.gain.count
        mean = (past.gain.value * own + self.gain.value * _BELIEF) / (own + _BELIEF)
        return mean + _HOPE * sqrt(self.gain.variance / (self.gain.count + own + 1.0))

    def rests_long(self, plain_s: float) -> bool:
        """Whether asking costs so much that a member with nothing to say should rest."""
        return self._ask.value > _NOTICED * plain_s

    def looked_up(self, seconds: float) -> None:
        """Asking it took so long for one sequence."""
        self.num_asked += 1
        if self.num_asked <= _OFTEN or self.num_asked % _OFTEN == 0:
            self._ask.add(seconds)

    def ran(self, seconds: float, depths: Sequence[int], debt: int, plain_s: float) -> None:
        """A proposal took so long; `depths` are those of its trees, `debt` the tokens that had to be read before."""
        count, deepest = len(depths), max(depths, default=0)
        self.num_asked += 1
        if debt > _LARGE_DEBT * count:
            rest_s = seconds - deepest * self.step_s(count, plain_s)
            self._learn_debt(max(0.0, rest_s) / debt)
        elif deepest and debt <= _SMALL_DEBT * count:
            usual = self.step_s(count, plain_s) / plain_s
            self._step.setdefault(count, Mean(usual, 2.0)).add(min(seconds / deepest / plain_s, _HICCUP * usual))

    def settle(self, past: Past, accepted: int, nodes: int, depth: int) -> None:
        """A network's round is over: of its `nodes`, `depth` deep, so many were accepted."""
        past.gain.add(accepted)
        self.gain.add(accepted)
        self.nodes.add(nodes)
        if depth:
            self.depth.add(depth)

    def left_out(self, past: Past) -> None:
        """A sequence was not asked for: what is known grows old."""
        past.gain.fade(_FADING)
        self.gain.fade(_AGEING)
        for step in self._step.values():
            step.value += (1.0 - _FADING) * _STEADY * (self._share - step.value)

    def _learn_debt(self, row_s: float) -> None:
        if self._debt is None:
            self._debt = Mean(row_s, 1.0)
        else:
            self._debt.add(row_s)
