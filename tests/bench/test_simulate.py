"""Replays: as many rounds as the real engine takes, on a clock that adds up, without a look at any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from made_recordings import CURVE, HOST_S, LOOKUP, NETWORK, answer, chain, copied, recording
from outrider.bench.recorder import record
from outrider.bench.recording import Proposal, Recording
from outrider.bench.replay import Replayed
from outrider.bench.run import BenchConfig, requests_of
from outrider.bench.simulate import Trial, calibration, policy_maker, simulate, trials
from outrider.bench.workload import Prompt, Workload
from outrider.core.sampling import Sampling
from outrider.core.stats import Stats
from outrider.core.tree import DraftTree
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.prompt import PromptReader
from outrider.errors import ConfigError
from outrider.policy.fixed import Fixed
from outrider.policy.interface import Ask, Fate, Pass
from outrider.policy.pass_price import Curve, PassPrice
from tiny_engine import loaded

TOY = Workload("toy", (Prompt("abcx abcx abcx"), Prompt("hello hello hell"), Prompt("abcx abcx"), Prompt("abcx hello")))


def real(drafter: str, nodes: int, config: BenchConfig) -> Stats:
    """What the engine takes for the same prompts, one after the other."""
    model = loaded()
    sizes = EngineConfig(max_sequences=1, max_draft=config.max_draft, draft_policy=f"fixed:{nodes}")
    engine = Engine(model.target, drafter_of(drafter, model.target), model.tokenizer, sizes)
    stats = Stats()
    for request in requests_of(TOY, PromptReader(model.tokenizer), config):
        sequence, = engine.add(request)
        engine.run()
        stats.add(sequence.stats)
    return stats


@pytest.mark.parametrize("temperature", [0.0, 0.5])
@pytest.mark.parametrize("drafter", ["suffix:native=false", "suffix", "prompt_lookup:native=false",
                                     "suffix:native=false;floor=0.1+prompt_lookup:native=false"])
def test_a_replay_takes_the_rounds_of_the_engine(drafter: str, temperature: float) -> None:
    """Past answers included: they have the same tokens, in the same order."""
    config = BenchConfig(drafters=(), sampling=Sampling(max_tokens=60, seed=2, temperature=temperature), max_draft=16)
    taken = record(loaded(), [TOY], drafter, config, lambda line: None)
    for nodes in (0, 1, 2, 5, 16):
        found, expected = simulate(taken, policy_maker(f"fixed:{nodes}")), real(drafter, nodes, config)
        assert (found.tokens, found.rounds, found.drafted, found.accepted) == \
            (expected.emitted, expected.rounds, expected.drafted, expected.accepted)
    assert found.accepted > 20 and found.rounds < found.tokens


class Listening(Fixed):
    """Keeps what it is told, and what the clock says whenever it is asked."""

    def __init__(self, drafter: Replayed, nodes: int, clock: Callable[[], float]) -> None:
        super().__init__(drafter, nodes)
        self.clock, self.passes, self.fates = clock, list[Pass](), list[Fate]()
        self.seen, self.asks = list[float](), list[Ask]()

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        self.seen.append(self.clock())
        self.asks += asks
        return super().draft(asks, beside)

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        self.passes.append(spent)
        self.fates += fates


def listened(taken: Recording, nodes: int, **options: int) -> Listening:
    heard: list[Listening] = []

    def make(drafter: Replayed, price: PassPrice, clock: Callable[[], float]) -> Listening:
        heard.append(Listening(drafter, nodes, clock))
        return heard[0]

    outcome = simulate(taken, make, **options)  # type: ignore[arg-type]
    listener = heard[0]
    rounds = [one for one in listener.passes if not one.prefill]
    assert outcome.seconds == pytest.approx(sum(one.target_s + one.other_s for one in rounds))
    assert listener.clock() == outcome.seconds and listener.seen[0] == 0.0
    return listener


def test_the_clock_adds_up() -> None:
    """By hand: 6 tokens behind the first; 2 drafted and accepted, twice, with a row, a proposal and the host's share.
    """
    tokens = range(7)
    taken = recording(answer(tokens, copied(tokens, 2)))
    rounds = [one for one in listened(taken, 2).passes if not one.prefill]
    assert [[(load.rows, load.context) for load in one.loads] for one in rounds] == [[(3, 20)], [(3, 23)]]
    assert simulate(taken, policy_maker("fixed:2")).seconds == \
        pytest.approx(2 * (0.013 + 1e-4 + HOST_S) + (20 + 23) * 1e-6)
    assert simulate(taken, policy_maker("none")).seconds == \
        pytest.approx(6 * (0.011 + HOST_S) + sum(range(20, 26)) * 1e-6)


def test_a_policy_gets_what_the_engine_would_give_it() -> None:
    tokens = range(5)
    taken = recording(answer(tokens, [chain(1, 2), chain(9), chain(), chain(4)], more=0))
    listener = listened(taken, 8)
    assert [(ask.context, ask.remaining, ask.room.nodes, ask.room.depth) for ask in listener.asks] == \
        [(20, 4, 16, 3), (23, 1, 0, 0)]
    assert [(len(fate.tree), fate.path) for fate in listener.fates] == [(2, (0, 1)), (0, ())]
    assert listener.passes[0].prefill and listener.passes[0].target_s == 0.1


def test_a_draft_beyond_the_end_of_an_answer_is_no_gain() -> None:
    taken = recording(answer([1, 2, 3], [chain(2, 3, 4, 5), chain(3, 4)], more=40))
    found = simulate(taken, policy_maker("fixed:4"))
    assert (found.tokens, found.rounds, found.drafted, found.accepted) == (2, 1, 4, 2)


def test_several_sequences_share_passes_and_the_next_starts_where_one_ends() -> None:
    answers = [answer(range(size), [chain()] * (size - 1), num_prompt=10 * size) for size in (3, 5, 4)]
    passes = [one.loads for one in listened(recording(*answers), 0, batch=2).passes if not one.prefill]
    assert [[load.context for load in loads] for loads in passes] == \
        [[30, 50], [31, 51], [52, 40], [53, 41], [42]]


def test_another_curve_prices_passes_and_networks_anew() -> None:
    tokens = range(30)
    taken = recording(answer(tokens, copied(tokens, 2, score=0.9, seconds=0.006, debt=1)), seats=(NETWORK,))
    twice = Curve(CURVE.rows_n, tuple(2 * at for at in CURVE.base_n), CURVE.context_rows_n, (2e-6, 2e-6))
    for policy in ("none", "fixed:2"):
        plain, slow = (simulate(taken, policy_maker(policy), curve=curve) for curve in (None, twice))
        assert slow.rounds == plain.rounds
        assert slow.seconds - slow.rounds * HOST_S == pytest.approx(2 * (plain.seconds - plain.rounds * HOST_S))


def mixed() -> Recording:
    """Copying that works, then fresh text; a network that is right half of the time."""
    answers = []
    for number in range(4):
        tokens = [(number * 37 + at * at) % 101 for at in range(90)]
        lookups = [one if at < 45 else chain(7, 8) for at, one in enumerate(copied(tokens, 6, score=0.8))]
        guesses = [chain(*tokens[at + 1 : at + 5], score=0.7, seconds=0.004, debt=1) if at % 2 else
                   chain(3, 4, score=0.4, seconds=0.003, debt=1) for at in range(89)]
        answers.append(answer(tokens, lookups, guesses))
    return recording(*answers, seats=(LOOKUP, NETWORK))


@pytest.mark.parametrize("batch", [1, 3])
def test_an_adaptive_policy_sees_the_virtual_clock_alone(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (simulate(mixed(), policy_maker("adaptive"), batch=batch) for _ in range(2))
    assert first == second
    assert first.tokens == 4 * 89 and first.rounds < first.tokens and 0 < first.draft_s < first.seconds
    assert first.asked["suffix"] > 0 and len(first.trials) > 50


def test_members_can_be_tried_alone() -> None:
    suffix, model = (simulate(mixed(), policy_maker("fixed:4"), only=[index]) for index in (0, 1))
    assert list(suffix.asked) == ["suffix"] and list(model.asked) == ["model"]
    assert suffix.rounds != model.rounds


def test_trials_are_nodes_whose_parent_was_accepted() -> None:
    #   0 accepted ─┬─ 1 missed ── 2 unknown        3 missed
    tree = DraftTree([5, 6, 7, 8], [-1, 0, 1, -1], [1] * 4, [0.9, 0.6, 0.5, 0.1])
    assert trials(tree, (0,), [0.95, 0.65, 0.9, 0.05]) == [Trial(0.95, True), Trial(0.65, False), Trial(0.05, False)]
    assert trials(tree, (), [0.95, 0.65, 0.9, 0.05]) == [Trial(0.95, False), Trial(0.05, False)]


def test_a_table_of_chances_by_hand() -> None:
    found = calibration([Trial(0.95, True), Trial(0.97, False), Trial(0.05, False), Trial(1.0, True)])
    assert [(one.low, one.count, one.predicted, one.observed) for one in found] == \
        [(0.0, 1, 0.05, 0.0), (0.9, 3, pytest.approx(2.92 / 3), pytest.approx(2 / 3))]


def test_odds_are_asked_before_they_learn() -> None:
    """The first node that is ever verified has the chance of an untried cell, hit or miss."""
    def first(token: int) -> Trial:
        tokens = range(40)
        proposals: list[Proposal] = [chain(token + at, score=0.9) for at in range(39)]
        return simulate(recording(answer(tokens, proposals)), policy_maker("adaptive")).trials[0]

    hit, miss = first(1), first(200)
    assert (hit.hit, miss.hit) == (True, False) and hit.chance == miss.chance


def test_an_unknown_policy_is_named() -> None:
    with pytest.raises(ConfigError, match="fixed:K"):
        policy_maker("fixd:4")
