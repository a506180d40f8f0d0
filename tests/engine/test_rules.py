"""Rules of verification on the real loop: the law under the ratio rules, batches, greedy requests, refusals.

Statistical tests are run on fixed seeds; their bound is the false-alarm probability they would have on fresh ones,
at most 1e-6 each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from outrider.core.commit import Commit, Verdict
from outrider.core.distribution import History, distribution
from outrider.core.drawn import DrawnTree
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext
from outrider.engine import rules
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.errors import ConfigError
from outrider.target.decoder import DecoderTarget
from outrider.target.load import LoadedModel
from outrider.testing.tiny_drafts import tiny_draft
from outrider.verify.dice import Dice
from outrider.verify.ratio import Law, walk_drawn
from tiny_engine import dense_logits, generate, ids, target_of

PROMPT = (5, 6, 7, 8)
HOT = Sampling(temperature=1.0, top_k=3, max_tokens=4, ignore_eos=True)
FUSSY = replace(HOT, repetition_penalty=1.5, presence_penalty=0.4, top_k=4)
NUM_TEXTS = 800
Z = 4.892  # a normal variate exceeds this once in 2e6
DRAWING = [("ratio", "model:target=toy;thrift=no;max=3"), ("ratio", "model:target=toy;thrift=no;max=3;min=0.3"),
           ("ratio", "model:target=toy;thrift=no;max=2;branch=2;nodes=6"),
           ("block", "model:target=toy;thrift=no;max=3"),
           ("block", "model:target=toy;thrift=no;max=3;min=0.3"), ("ratio", "none"),
           ("ratio", "dflash:checkpoint=dspark;max=3"), ("block", "eagle3:checkpoint=eagle3-reduced;branch=1;max=3")]


@pytest.fixture(autouse=True)
def _draft_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target's own weights, spread less: nearly one token a round is accepted."""
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: LoadedModel("toy", kin(), None))
    monkeypatch.setattr("outrider.drafting.neural.open_drafter",
                        lambda path, **_: tiny_draft(path, target=target_of().spec))


def kin() -> DecoderTarget:
    found: DecoderTarget = target_of(seed=0, spread=0.6)
    return found


def law_of_texts(sampling: Sampling, count: int) -> dict[tuple[int, ...], float]:
    """The target's joint law of `count` tokens, computed as one would write it on a page."""
    target = target_of()
    law: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(count):
        longer: dict[tuple[int, ...], float] = {}
        for text, chance in law.items():
            history = History.of(list(PROMPT), list(text), target.vocab_size, target.device)
            p_V = distribution(dense_logits(target, [*PROMPT, *text])[-1], sampling, history)
            longer |= {(*text, token): chance * float(p_V[token]) for token in p_V.nonzero()[:, 0].tolist()}
        law = longer
    return law


def texts(rule: str, drafter: object, sampling: Sampling, count: int) -> Counter[tuple[int, ...]]:
    requests = [Request(PROMPT, replace(sampling, seed=seed, n=NUM_TEXTS // 2)) for seed in (20, 21)]
    results = generate(target_of(), drafter, requests, rule=rule, max_sequences=64, max_draft=8)
    return Counter(text[:count] for one in ids(results) for text in one)


def excess(found: Counter[tuple[int, ...]], law: dict[tuple[int, ...], float]) -> float:
    """By how many of its deviations chi-square is too large, as a normal variate (Wilson and Hilferty)."""
    assert set(found) <= set(law), "a text without a chance"
    rare = [text for text, chance in law.items() if chance * NUM_TEXTS < 8]
    cells = [(found[text], law[text] * NUM_TEXTS) for text in law if text not in rare]
    cells.append((sum(found[text] for text in rare), sum(law[text] for text in rare) * NUM_TEXTS + 1e-9))
    chi, freedom = sum((seen - wanted) ** 2 / wanted for seen, wanted in cells), len(cells) - 1
    return float(((chi / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5)


@pytest.mark.parametrize(("rule", "drafter"), DRAWING)
def test_the_law_of_the_first_tokens_is_the_targets(rule: str, drafter: str) -> None:
    assert excess(texts(rule, drafter, HOT, 4), law_of_texts(HOT, 4)) < Z


@pytest.mark.parametrize(("rule", "drafter"), [DRAWING[2], DRAWING[3]])
def test_penalties_are_those_of_the_path(rule: str, drafter: str) -> None:
    assert excess(texts(rule, drafter, FUSSY, 3), law_of_texts(FUSSY, 3)) < Z


def no_residual(tree: DrawnTree, law: Law, dice: Dice) -> Verdict:
    """Wrong: a correction is drawn from the target's law, as a bonus is."""
    verdict = walk_drawn(tree, law, dice)
    return Verdict(verdict.path, dice.token(law(verdict.path[-1] if verdict.path else -1)))


class Likeliest(HostDrafter[list[int]]):
    """Wrong under the ratio rules: hands over what it likes best as if it had been drawn."""

    draws = "chains"

    def start(self, context: SequenceContext) -> list[int]:
        return [context.token]

    def observe(self, state: list[int], commit: Commit) -> None:
        state += commit.token_n

    def draft(self, state: list[int], budget: Budget) -> DraftTree:
        q_V = distribution(dense_logits(kin(), state)[-1], HOT)
        return DrawnTree([int(q_V.argmax())], [-1], q_NV=[q_V])


def test_the_test_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    law = law_of_texts(HOT, 4)
    assert excess(texts("ratio", Likeliest(None, target_of()), HOT, 4), law) > 2 * Z
    monkeypatch.setattr(rules, "_RULES", {"ratio": no_residual})
    assert excess(texts("ratio", DRAWING[0][1], HOT, 4), law) > 2 * Z


REQUESTS = [Request((*PROMPT, *PROMPT), replace(HOT, seed=3, n=3, max_tokens=24, top_k=0)),
            Request((9, 10, 11), replace(FUSSY, seed=4, max_tokens=24)),
            Request(PROMPT, Sampling(max_tokens=24, seed=5)),
            Request(PROMPT, Sampling(max_tokens=24, seed=5, frequency_penalty=0.3))]


@pytest.mark.parametrize(("rule", "drafter"), DRAWING)
def test_alone_or_in_a_batch_the_same_tokens_and_in_chunks_too(rule: str, drafter: str) -> None:
    together = generate(target_of(), drafter, REQUESTS, rule=rule, max_sequences=6)
    alone = [generate(target_of(), drafter, [one], rule=rule, max_sequences=1, prefill_tokens=2)[0] for one in REQUESTS]
    assert ids(together) == ids(alone)
    again = generate(target_of(), drafter, REQUESTS[::-1], rule=rule, max_sequences=3)[::-1]
    assert ids(together) == ids(again)


@pytest.mark.parametrize(("rule", "drafter"), DRAWING)
def test_greedy_requests_are_those_of_match(rule: str, drafter: str) -> None:
    wanted = ids(generate(target_of(), "none", REQUESTS[2:]))
    found = generate(target_of(), drafter, REQUESTS, rule=rule, max_sequences=6)
    assert ids(found)[2:] == wanted


def test_sampled_tokens_are_none_of_the_choices() -> None:
    """With the choices' noise they would be those of `match` wherever nothing is drafted."""
    first = Request(PROMPT, Sampling(temperature=1.0, seed=7, n=40, max_tokens=1))
    matched, drawn = (ids(generate(target_of(), "none", [first], rule=rule)) for rule in ("match", "ratio"))
    assert sum(one == other for one, other in zip(matched[0], drawn[0], strict=True)) < 20


@pytest.mark.parametrize("rule", ["ratio", "block"])
def test_a_draft_model_that_is_the_target_is_always_right(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: LoadedModel("same", target_of(), None))
    request = Request(PROMPT, Sampling(temperature=1.0, seed=7, n=5, max_tokens=25))
    for sample in generate(target_of(), "model:target=toy;thrift=no;max=3", [request], rule=rule)[0].samples:
        assert (sample.stats.rounds, sample.stats.accepted, sample.stats.emitted) == (6, 18, 24)


@pytest.mark.parametrize("drafter", ["suffix", "suffix+model:target=toy;thrift=no", "recycling",
                                     "ngram_hash:entries=65536", "eagle3:checkpoint=eagle3",
                                     "specblock:checkpoint=specblock"])
def test_drafters_without_a_distribution_are_refused(drafter: str) -> None:
    for rule in ("ratio", "block"):
        with pytest.raises(ConfigError, match=rf"^rule '{rule}': drafter '.*' has no distribution to draw from"):
            generate(target_of(), drafter, [], rule=rule)


def test_blocks_are_chains() -> None:
    with pytest.raises(ConfigError, match="rule 'block' takes chains, but drafter 'model' drafts trees"):
        generate(target_of(), "model:target=toy;branch=2", [], rule="block")


def test_a_rule_that_is_none() -> None:
    with pytest.raises(ConfigError, match="rule: got 'typical', expected one of match, ratio, block"):
        EngineConfig(rule="typical")  # type: ignore[arg-type]


def test_a_draft_that_was_not_drawn_is_a_fault() -> None:
    class Undrawn(Likeliest):
        def draft(self, state: list[int], budget: Budget) -> DraftTree:
            return DraftTree([1], [-1])

    engine = Engine(target_of(), Undrawn(None, target_of()), None, EngineConfig(rule="ratio"))
    engine.add(Request(PROMPT, replace(HOT, seed=1)))
    with pytest.raises(TypeError, match="not drawn"):
        engine.run()
    engine.check_integrity()
