"""Trying a policy on a recording: the policy itself decides and learns, the clock and the drafter are made up.

    draft ──> the longest path that agrees with the answer is accepted ──> the clock moves on ──> settle

A round takes the members' time, the price of its pass and the host's share, which was measured when the answer was
recorded and is the same for every policy. Prompts take no time here: what is compared is decoding.

What a drafter learns from rejected rows is not replayed (`recycling` knows less here), nor what one sequence of a batch
would learn from the others; a network's own limits, which hold under fixed policies, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outrider.bench.recording import Answer, Recording
from outrider.bench.replay import Place, Replayed, VirtualClock, true_path
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.policy.adaptive import Adaptive
from outrider.policy.choose import fixed_nodes
from outrider.policy.fixed import Fixed
from outrider.policy.interface import Ask, Fate, Limits, Load, Pass, Policy
from outrider.policy.pass_price import Curve, PassPrice

MakePolicy = Callable[[Replayed, PassPrice, Callable[[], float]], Policy]


@dataclass(frozen=True, slots=True)
class Trial:
    """A node that was verified and whose parent was accepted: the chance that it was given, and what came of it."""

    chance: float
    hit: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy made of a recording. `tokens` are those behind each answer's first, `rounds` those of sequences.

    `draft_s` is the members' part of `seconds`; `asked` says how often each member was asked.
    """

    batch: int
    tokens: int
    seconds: float
    draft_s: float
    rounds: int
    drafted: int
    accepted: int
    asked: Mapping[str, int]
    trials: Sequence[Trial]

    @property
    def tok_s(self) -> float:
        return self.tokens / self.seconds

    @property
    def tokens_per_round(self) -> float:
        return self.tokens / self.rounds


def policy_maker(name: str) -> MakePolicy:
    """`adaptive`, `fixed:K` or `none`, to be tried. Raises: ConfigError for any other name."""
    nodes = 0 if name == "none" else fixed_nodes(name)

    def made(drafter: Replayed, price: PassPrice, clock: Callable[[], float]) -> Policy:
        return Adaptive(drafter, price, clock) if nodes is None else Fixed(drafter, nodes)

    return made


def simulate(recording: Recording, make: MakePolicy, *, curve: Curve | None = None, batch: int = 1,
             only: Collection[int] | None = None) -> Outcome:
    """All answers, `batch` of them at once, the next one starting where one ends.

    `curve` is the price of a pass, unless given that of the recording; `only` these members draft.
    """
    return _Stage(recording, make, curve or recording.setting.curve, batch, only).outcome()


@dataclass(slots=True)
class _Running:
    """A sequence, and what the policy keeps of it."""

    place: Place
    track: Any


@dataclass(slots=True)
class _Count:
    tokens: int = 0
    rounds: int = 0
    drafted: int = 0
    accepted: int = 0
    draft_s: float = 0.0
    trials: list[Trial] = field(default_factory=list)


class _Stage:
    def __init__(self, recording: Recording, make: MakePolicy, curve: Curve, batch: int,
                 only: Collection[int] | None) -> None:
        self._clock = VirtualClock()
        self._price = PassPrice(curve)
        self._drafter = Replayed(recording, self._price, self._clock, only)
        self._policy = make(self._drafter, PassPrice(curve), self._clock)  # it corrects its own
        self._slower = curve.base_n[0] / recording.setting.curve.base_n[0]
        self._most, self._batch = recording.setting.max_draft, batch
        self._waiting: Iterator[Answer] = iter(recording.answers)
        self._running: list[_Running] = []
        self._count = _Count()

    def outcome(self) -> Outcome:
        """Runs all of it."""
        while self._admit():
            self._round()
        count = self._count
        return Outcome(self._batch, count.tokens, self._clock.seconds, count.draft_s, count.rounds, count.drafted,
                       count.accepted, dict(self._drafter.asked), tuple(count.trials))

    def _admit(self) -> bool:
        """Starts what there is room for; false when all is done. The policy hears what the prompts took."""
        while len(self._running) < self._batch and (answer := next(self._waiting, None)) is not None:
            self._running.append(_Running(Place(answer), self._policy.start(Limits())))
            loads = (Load(answer.num_prompt, 0),)
            self._policy.settle((), Pass(loads, self._slower * answer.prompt_s, answer.host_s, True))
        return bool(self._running)

    def _round(self) -> None:
        begin_s = self._clock()
        trees = self._policy.draft([self._ask(one) for one in self._running])
        draft_s = self._clock() - begin_s
        fates = [self._fate(one, tree) for one, tree in zip(self._running, trees, strict=True)]
        loads = tuple(Load(1 + len(tree), one.place.context)
                      for one, tree in zip(self._running, trees, strict=True))
        target_s, host_s = self._price.seconds(loads), max(one.place.answer.host_s for one in self._running)
        self._clock.advance(target_s + host_s)
        self._count.draft_s += draft_s
        self._policy.settle(fates, Pass(loads, target_s, draft_s + host_s, False))
        self._move(fates)

    def _ask(self, one: _Running) -> Ask:
        place, most = one.place, self._most
        deepest = min(most, place.remaining - 1)
        room = Budget(most, deepest) if deepest > 0 else Budget(0, 0)
        return Ask(place, one.track, room, place.context, place.remaining)

    def _fate(self, one: _Running, tree: DraftTree) -> Fate:
        """Verifies, and counts."""
        path, count = true_path(tree, one.place.ahead), self._count
        count.rounds += 1
        count.drafted += len(tree)
        count.accepted += len(path)
        if isinstance(self._policy, Adaptive) and len(tree):
            count.trials += trials(tree, path, self._policy.odds.chances(tree, one.track.mood))
        return Fate(one.track, tree, path)

    def _move(self, fates: Sequence[Fate]) -> None:
        for one, fate in zip(self._running, fates, strict=True):
            gained = min(len(fate.path) + 1, len(one.place.ahead))
            one.place.at += gained
            self._count.tokens += gained
            if one.place.is_over:
                self._policy.finish(one.track)
        self._running = [one for one in self._running if not one.place.is_over]


def trials(tree: DraftTree, path: Sequence[int], chance_N: Sequence[float]) -> list[Trial]:
    """Of the nodes whose fate is known: those whose parent was accepted."""
    reached, hits = {ANCHOR, *path}, set(path)
    return [Trial(chance_N[node], node in hits) for node, parent in enumerate(tree.parent_N) if parent in reached]


@dataclass(frozen=True, slots=True)
class Tenth:
    """Nodes that were given a chance within one tenth: how many, their mean chance, and how many of them hit."""

    low: float
    count: int
    predicted: float
    observed: float


def calibration(trials: Sequence[Trial]) -> list[Tenth]:
    """By tenth, those without a node left out."""
    found = []
    for tenth in range(10):
        inside = [trial for trial in trials if min(9, int(10 * trial.chance)) == tenth]
        if inside:
            found.append(Tenth(tenth / 10, len(inside), sum(trial.chance for trial in inside) / len(inside),
                               sum(trial.hit for trial in inside) / len(inside)))
    return found
