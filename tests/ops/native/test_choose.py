"""Native choices against their readable twins, `core.distribution` and `verify.match`, in every kernel set.

Rows are random, so scores that are equal to fifteen digits, where torch's last bits would matter, do not occur by
chance; equal logits do, on purpose.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from native_rows import native_library
from outrider.core.distribution import Best, History, best, choose, noisy, scores
from outrider.core.noise import NoiseKey, gumbel, uniform
from outrider.core.sampling import Sampling
from outrider.core.tree import DraftBatch, DraftTree
from outrider.ops.native.choose import Asker, Chooser, noise
from outrider.ops.native.places import Ranker
from outrider.verify.match import walk_one
from sampling_values import samplings
from trees import draft_trees

LIBRARY = native_library()
CPU = torch.device("cpu")
SETS = LIBRARY.names()
CHOOSERS = [Chooser(LIBRARY, name) for name in SETS]
RANKERS = [Ranker(LIBRARY, name) for name in SETS]
TEMPERATURES = [0.0, 1e-300, 1e-6, 0.1, 0.7, 1.0, 1.5, 100.0]
keys = st.builds(NoiseKey, st.integers(0, 2**64 - 1), st.integers(0, 1023))


def chosen(logits_V: Tensor, sampling: Sampling, key: NoiseKey, position: int, history: History | None = None) -> int:
    """The choice that all kernel sets agree on."""
    asker = Asker(sampling, key, history)
    found = [chooser.choose(logits_V, asker, position) for chooser in CHOOSERS]
    assert found == found[:1] * len(found), dict(zip(SETS, found, strict=True))
    return found[0]


def counted(sampling: Sampling, vocab: int, draw: random.Random) -> History | None:
    some = [[draw.randrange(vocab) for _ in range(draw.randrange(8))] for _ in range(2)]
    return History.of(*some, vocab, CPU) if sampling.has_penalties else None


def random_sampling(draw: random.Random, vocab: int) -> Sampling:
    return Sampling(
        temperature=draw.choice(TEMPERATURES),
        top_k=draw.choice([0, 0, 0, 1, 2, 50, 3000]),
        top_p=draw.choice([1.0, 1.0, 0.95, 0.5, 0.9999, 1e-6]),
        min_p=draw.choice([0.0, 0.0, 0.01, 0.3, 1.0]),
        repetition_penalty=draw.choice([1.0, 1.0, 1.3, 0.7]),
        presence_penalty=draw.choice([0.0, 0.0, 0.5, -1.0]),
        frequency_penalty=draw.choice([0.0, 0.0, 0.25]),
        logit_bias={draw.randrange(vocab): draw.choice([-5.0, 3.0, -1e308]) for _ in range(draw.choice([0, 0, 3]))})


def random_row(seed: int, vocab: int, draw: random.Random) -> Tensor:
    """Spread anywhere from all equal to very steep, some rounded so that many are equal, some half -inf."""
    generator = torch.Generator().manual_seed(seed)
    logits_V = torch.randn(vocab, generator=generator) * draw.choice([0.0, 0.01, 1.0, 5.0, 30.0])
    if draw.random() < 0.3:
        logits_V = logits_V.round()
    if draw.random() < 0.2:
        logits_V[torch.rand(vocab, generator=generator) < 0.5] = -math.inf
    return logits_V


@given(keys, st.integers(0, 2**40), st.lists(st.integers(0, 2**31), min_size=1, max_size=50))
def test_uniforms_have_the_same_bits_and_variates_nearly(key: NoiseKey, position: int, tokens: list[int]) -> None:
    token_C, words_13 = torch.tensor(tokens), torch.tensor([key.words(position)])
    uniform_C, gumbel_C = noise(LIBRARY, key, position, token_C)
    assert torch.equal(uniform_C, uniform(words_13, token_C)[0])
    assert torch.allclose(gumbel_C, gumbel(words_13, token_C)[0], rtol=4e-16, atol=4e-16)


@pytest.mark.parametrize("vocab", [1, 2, 15, 16, 17, 64, 129, 1000, 4099])
def test_thousands_of_random_rows_choose_the_same_token(vocab: int) -> None:
    draw = random.Random(vocab)
    for trial in range(300):
        logits_V, sampling = random_row(trial, vocab, draw), random_sampling(draw, vocab)
        key, position, history = NoiseKey(draw.getrandbits(64), trial % 3), trial * 7, counted(sampling, vocab, draw)
        wanted = choose(logits_V, sampling, key, position, history)
        assert chosen(logits_V, sampling, key, position, history) == wanted, (trial, sampling)


@given(st.lists(st.sampled_from([-4.0, -1.0, 0.0, 0.25, 1.0, 3.0]), min_size=9, max_size=9), samplings(vocab=9), keys,
       st.lists(st.integers(0, 8), max_size=4), st.lists(st.integers(0, 8), max_size=6))
def test_small_rows_with_many_ties(row: list[float], sampling: Sampling, key: NoiseKey, prompt: list[int],
                                   output: list[int]) -> None:
    history = History.of(prompt, output, 9, CPU)
    logits_V = torch.tensor(row)
    assert chosen(logits_V, sampling, key, 3, history) == choose(logits_V, sampling, key, 3, history)


@pytest.mark.parametrize("temperature", TEMPERATURES[2:])
@pytest.mark.parametrize("vocab", [49_152, 151_936])
def test_whole_vocabularies(vocab: int, temperature: float) -> None:
    """Flat rows make every token a contender for the largest noise, steep ones none: a loose bound shows in neither."""
    for seed, spread in enumerate([0.0, 0.1, 2.0, 6.0]):
        logits_V = torch.randn(vocab, generator=torch.Generator().manual_seed(seed)) * spread
        for sampling in (Sampling(temperature=temperature), Sampling(temperature=temperature, top_p=0.9),
                         Sampling(temperature=temperature, top_k=40, min_p=0.02)):
            assert chosen(logits_V, sampling, NoiseKey(seed), 5) == choose(logits_V, sampling, NoiseKey(seed), 5)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.5, 1.5])
@pytest.mark.parametrize("top_p", [0.02, 0.5, 0.97])
def test_the_nucleus_of_flat_rows(spread: float, top_p: float) -> None:
    """Thousands are sorted roughly: a group too many or too few is some of 40 choices."""
    logits_V = torch.randn(20_000, generator=torch.Generator().manual_seed(7)) * spread
    logits_V[::3] = (logits_V[::3] * 8).round() / 8  # and many equals
    for position in range(40):
        sampling = Sampling(temperature=1.0, top_p=top_p)
        wanted = choose(logits_V, sampling, NoiseKey(4), position)
        assert chosen(logits_V, sampling, NoiseKey(4), position) == wanted


def test_the_largest_noise_wins_among_equals() -> None:
    """With equal scores the choice is the argmax of the noise alone: 400 times the least of 20,000 uniforms."""
    token_C, logits_V, sampling = torch.arange(20_000), torch.full((20_000,), -3.0), Sampling(temperature=1.0)
    for position in range(400):
        uniform_C = noise(LIBRARY, NoiseKey(9), position, token_C)[0]
        assert chosen(logits_V, sampling, NoiseKey(9), position) == int(uniform_C.argmin())


@pytest.mark.parametrize("top_k", [1, 40, 63, 64, 5_000, 151_935, 151_936, 10**30])
def test_top_k_of_every_size_keeps_the_lowest_of_equals(top_k: int) -> None:
    """A row of five levels: the border of top-k is always inside one of them. The temperature lets every rank win."""
    logits_V = torch.randint(5, (151_936,), generator=torch.Generator().manual_seed(1)).float()
    sampling = Sampling(temperature=100.0, top_k=top_k)
    allowed = scores(logits_V, sampling).isfinite()
    for position in range(12):
        token = chosen(logits_V, sampling, NoiseKey(2), position)
        assert token == choose(logits_V, sampling, NoiseKey(2), position) and bool(allowed[token])


@pytest.mark.parametrize("places", [[7], [16], [3, 40], [0, 63, 64], [99]])
def test_greedy_takes_the_lowest_of_the_best(places: list[int]) -> None:
    logits_V = torch.full((100,), -1.0)
    logits_V[places] = 2.0
    assert chosen(logits_V, Sampling(), NoiseKey(0), 0) == places[0]
    assert chosen(logits_V, Sampling(logit_bias={50: 0.5}), NoiseKey(0), 0) == places[0]
    assert chosen(logits_V, Sampling(logit_bias={places[-1]: 0.5}), NoiseKey(0), 0) == places[-1]


@pytest.mark.parametrize("sampling", [
    Sampling(), Sampling(temperature=0.8), Sampling(temperature=0.8, top_k=3), Sampling(temperature=0.8, top_p=0.5),
    Sampling(temperature=5e-324), Sampling(temperature=1.0, logit_bias={2: 1.0}), Sampling(logit_bias={2: 1.0})])
def test_what_is_no_number_or_infinite_gives_a_defined_token(sampling: Sampling) -> None:
    nan, inf = math.nan, math.inf
    for vocab in (20, 700):
        row = torch.full((vocab,), -30.0)
        row[[0, 5, 19]] = nan
        row[18] = 30.0
        assert chosen(row, replace(sampling, logit_bias={}), NoiseKey(1), 0) == 18
        for special in ([nan] * vocab, [-inf] * vocab):
            assert chosen(torch.tensor(special), sampling, NoiseKey(1), 0) == 0
        row[[7, 9]] = inf
        assert chosen(row, sampling, NoiseKey(1), 0) == 7


def test_numbers_at_the_ends_of_their_range() -> None:
    huge = torch.tensor([3e38, -3e38, 3e38, 1e-45, -1e-45, 0.0] * 3)
    for temperature in (5e-324, 1e-6, 1.0, 100.0):
        for position in range(20):
            sampling = Sampling(temperature=temperature)
            assert chosen(huge, sampling, NoiseKey(1), position) == choose(huge, sampling, NoiseKey(1), position)
    tiny = torch.tensor([1e-45, 3e-45, 3e-45, 0.0])
    assert chosen(tiny, Sampling(), NoiseKey(1), 0) == 1
    assert chosen(tiny, Sampling(temperature=1e-300), NoiseKey(1), 0) in (1, 2)
    extreme = Sampling(temperature=0.5, logit_bias={0: 1e308, 2: -1e308}, top_p=0.9, min_p=0.1)
    assert chosen(torch.tensor([1.0, 2.0, 3.0]), extreme, NoiseKey(1), 0) == 0


def grown(tree: DraftTree, sampling: Sampling, key: NoiseKey, logits_MV: Tensor, history: History | None,
          position: int) -> list[int]:
    """Nodes of the path and then the emitted tokens, by the readable walk."""
    def choice(node: int, emitted: tuple[int, ...]) -> int:
        counts = None if history is None else history.copy()
        for token in emitted:
            assert counts is None or counts.count(token) is None
        return choose(logits_MV[1 + node], sampling, key, position + len(emitted), counts)

    verdict = walk_one(tree, choice)
    return [-1, *verdict.path, *(tree.token_N[node] for node in verdict.path), verdict.token]


@given(st.lists(st.tuples(draft_trees(vocab=3, nodes=24), samplings(vocab=3), keys, st.integers(0, 100),
                          st.lists(st.integers(0, 2), max_size=5)), max_size=5), st.integers(0, 2**32))
def test_a_round_equals_its_sequences_walked_one_by_one(
        cases: list[tuple[DraftTree, Sampling, NoiseKey, int, list[int]]], seed: int) -> None:
    rows = [1 + len(case[0]) for case in cases]
    logits_RV = torch.randn(sum(rows), 3, generator=torch.Generator().manual_seed(seed))
    wanted, requests, first = [], [], 0
    for (tree, sampling, key, position, output), count in zip(cases, rows, strict=True):
        history = History.of([0], output, 3, CPU) if sampling.has_penalties else None
        wanted.append(grown(tree, sampling, key, logits_RV[first : first + count], history, position))
        requests.append(Asker(sampling, key, history))
        first += count
    places = zip(requests, [sum(rows[:index]) for index in range(len(rows))], cases, strict=True)
    draft = DraftBatch.of([case[0] for case in cases], CPU)
    asked = [asker.at(row, case[3]) for asker, row, case in places]
    for chooser in CHOOSERS:
        verdicts = chooser.walk(logits_RV, draft, asked)
        counts = verdicts.count_B.tolist()
        found = [[*nodes[:count], *tokens[:count]] for nodes, tokens, count in zip(
            verdicts.node_BW.tolist(), verdicts.token_BW.tolist(), counts, strict=True)]
        assert found == wanted
        assert all(tokens[count:] == [-1] * (len(tokens) - count) and nodes[count:] == [-2] * (len(nodes) - count)
                   for tokens, nodes, count in zip(verdicts.token_BW.tolist(), verdicts.node_BW.tolist(), counts,
                                                   strict=True))


def ranked(logits_RV: Tensor, sampling: Sampling, key: NoiseKey, count: int, vocab: int) -> list[Best]:
    """The best of every row, row r at position 3 * r, that all kernel sets agree on."""
    asker = Asker(sampling, key)
    asked = [asker.apart(row, 3 * row) for row in range(len(logits_RV))]
    found = [ranker.best(logits_RV, asked, count, vocab) for ranker in RANKERS]
    assert found == found[:1] * len(found)
    return found[0]


def wanted_best(logits_RV: Tensor, sampling: Sampling, key: NoiseKey, count: int, vocab: int) -> list[Best]:
    return [best(noisy(scores(logits_V[:vocab], sampling), sampling, key, 3 * row), count)
            for row, logits_V in enumerate(logits_RV)]


def calm(sampling: Sampling) -> Sampling:
    """Without penalties, which only a history has, and without scores that float32 holds for -inf."""
    bias = {token: max(bias, -50.0) for token, bias in sampling.logit_bias.items()}
    temperature = 0.0 if sampling.is_greedy else max(sampling.temperature, 1e-6)
    return replace(sampling, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0, logit_bias=bias,
                   temperature=temperature)


def assert_the_same_best(found: list[Best], wanted: list[Best]) -> None:
    assert [one.token_K for one in found] == [one.token_K for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.value_K == pytest.approx(other.value_K, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("vocab", [1, 2, 8, 17, 255, 256, 1000, 4099])
def test_thousands_of_random_rows_have_the_same_best(vocab: int) -> None:
    draw = random.Random(vocab)
    for trial in range(60):
        logits_RV = torch.stack([random_row(trial * 5 + row, vocab + 3, draw) for row in range(4)])
        sampling = calm(random_sampling(draw, vocab))
        key, count = NoiseKey(draw.getrandbits(64), trial % 3), draw.choice([1, 2, 3, 8, 20])
        wanted = wanted_best(logits_RV, sampling, key, count, vocab)
        assert_the_same_best(ranked(logits_RV, sampling, key, count, vocab), wanted)


@given(st.lists(st.sampled_from([-4.0, -1.0, 0.0, 0.25, 3.0, -math.inf]), min_size=9, max_size=9),
       samplings(vocab=9), keys, st.integers(1, 12))
def test_the_best_of_small_rows_with_many_ties(row: list[float], sampling: Sampling, key: NoiseKey,
                                               count: int) -> None:
    logits_RV = torch.tensor([[*row[:-1], 1.0]])
    assert_the_same_best(ranked(logits_RV, calm(sampling), key, count, 9),
                         wanted_best(logits_RV, calm(sampling), key, count, 9))


@pytest.mark.parametrize("temperature", [0.0, 0.1, 0.8, 100.0])
def test_the_best_of_whole_vocabularies_begin_with_the_choice(temperature: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits_RV = torch.randn(4, 151_936, generator=generator) * torch.tensor([[0.0], [0.1], [2.0], [6.0]])
    for sampling in (Sampling(temperature=temperature), Sampling(temperature=temperature, top_p=0.9)):
        found = ranked(logits_RV, sampling, NoiseKey(5), 8, 151_900)
        assert_the_same_best(found, wanted_best(logits_RV, sampling, NoiseKey(5), 8, 151_900))
        assert [one.token_K[0] for one in found] == [
            chosen(logits_V[:151_900].clone(), sampling, NoiseKey(5), 3 * row)
            for row, logits_V in enumerate(logits_RV)]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8), Sampling(temperature=0.8, top_k=3)])
def test_the_best_are_defined_among_what_is_no_number_or_infinite(sampling: Sampling) -> None:
    nan, inf = math.nan, math.inf
    for vocab in (20, 700):
        row = torch.full((1, vocab), -inf)
        row[0, [0, 5, 19]] = nan
        assert ranked(row, sampling, NoiseKey(1), 4, vocab)[0].token_K == []
        row[0, [18, 3]] = torch.tensor([30.0, 29.0])
        assert sorted(ranked(row, sampling, NoiseKey(1), 4, vocab)[0].token_K) == [3, 18]
        row[0, [7, 9]] = inf
        assert ranked(row, sampling, NoiseKey(1), 4, vocab)[0].token_K[:2] == [7, 9]
