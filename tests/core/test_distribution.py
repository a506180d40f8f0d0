"""`scores` against a slow twin in plain Python: fixed order, ties to the lowest id, each row from itself alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.distribution import History, choose, distribution, noisy, scores
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from sampling_values import samplings

VOCAB = 9
# Few distinct values, exact in binary, so that ties are common and stay ties.
levels = st.sampled_from([-4.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0])
logit_rows = st.lists(levels, min_size=VOCAB, max_size=VOCAB)
tokens = st.integers(0, VOCAB - 1)


def ranked(row: Sequence[float]) -> list[int]:
    """Ids from best to worst; of equals the lower id first."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


def slow_scores(row: list[float], sampling: Sampling, prompt: list[int], output: list[int]) -> list[float]:
    row = [value + sampling.logit_bias.get(token, 0.0) for token, value in enumerate(row)]
    for token in set(prompt) | set(output):
        penalty = sampling.repetition_penalty
        row[token] = row[token] / penalty if row[token] > 0 else row[token] * penalty
    for token in set(output):
        row[token] -= sampling.frequency_penalty * output.count(token) + sampling.presence_penalty
    if sampling.temperature == 0.0:
        return row
    best = max(row)
    row = [(value - best) / sampling.temperature for value in row]
    if sampling.top_k:
        row = kept_only(row, ranked(row)[: sampling.top_k])
    if sampling.top_p < 1.0:
        row = kept_only(row, nucleus(row, sampling.top_p))
    if sampling.min_p:
        row = [value if value >= math.log(sampling.min_p) else -math.inf for value in row]
    return row


def kept_only(row: list[float], keep: Sequence[int]) -> list[float]:
    return [value if token in keep else -math.inf for token, value in enumerate(row)]


def nucleus(row: list[float], top_p: float) -> list[int]:
    """The shortest head of the ranking whose probability reaches `top_p`."""
    total = math.fsum(map(math.exp, row))
    order = ranked(row)
    for size in range(1, len(order) + 1):
        if math.fsum(math.exp(row[token]) for token in order[:size]) / total >= top_p:
            return order[:size]
    return order


@given(logit_rows, samplings(vocab=VOCAB), st.lists(tokens, max_size=4), st.lists(tokens, max_size=6))
def test_scores_equal_their_slow_twin(row: list[float], sampling: Sampling, prompt: list[int],
                                      output: list[int]) -> None:
    history = History.of(prompt, output, VOCAB, torch.device("cpu"))
    found = scores(torch.tensor(row), sampling, history)
    assert found.dtype == torch.float64
    wanted = slow_scores(row, sampling, prompt, output)
    assert found.tolist() == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    # What ties, ties exactly: the same floor of ids wins.
    assert int(found.argmax()) == ranked(wanted)[0]


@given(logit_rows, samplings(vocab=VOCAB, greedy=False), st.integers(0, 2**64 - 1), st.integers(0, 10_000))
def test_the_choice_is_the_argmax_of_score_and_noise(row: list[float], sampling: Sampling, seed: int,
                                                     position: int) -> None:
    logits_V, key = torch.tensor(row), NoiseKey(seed)
    chosen = choose(logits_V, sampling, key, position)
    assert chosen == int(noisy(scores(logits_V, sampling), sampling, key, position).argmax())
    assert float(distribution(logits_V, sampling)[chosen]) > 0.0


@given(logit_rows, samplings(vocab=VOCAB))
def test_a_distribution_is_one(row: list[float], sampling: Sampling) -> None:
    found = distribution(torch.tensor(row), sampling)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-12)
    if sampling.is_greedy:
        assert sorted(found.tolist())[-2:] == [0.0, 1.0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-12])
def test_the_smallest_temperatures_are_greedy(temperature: float) -> None:
    logits_V = torch.tensor([1.0, 30.0, 29.0, -50.0])
    assert choose(logits_V, Sampling(temperature=temperature), NoiseKey(1), 5) == 1


def test_extreme_biases_stay_finite_where_they_should() -> None:
    logits_V = torch.tensor([1.0, 2.0, 3.0])
    sampling = Sampling(temperature=0.5, logit_bias={0: 1e308, 2: -1e308}, top_p=0.9, min_p=0.1)
    assert distribution(logits_V, sampling).tolist() == [1.0, 0.0, 0.0]


def test_ties_at_every_border_go_to_the_lowest_ids() -> None:
    level_V = torch.zeros(6)
    assert scores(level_V, Sampling(temperature=1.0, top_k=2)).tolist() == [0.0, 0.0, *[-math.inf] * 4]
    assert scores(level_V, Sampling(temperature=1.0, top_p=0.4)).tolist() == [0.0, 0.0, 0.0, *[-math.inf] * 3]
    assert choose(level_V, Sampling(), NoiseKey(0), 0) == 0
    assert scores(torch.tensor([0.0, 1, 1, 1]), Sampling(temperature=1.0, top_k=2)).isfinite().tolist() == [
        False, True, True, False]


def test_the_order_of_filters_is_the_stated_one() -> None:
    """top-p looks at what top-k left: two of three equals are 100 % then, not 67 %."""
    level_V = torch.zeros(3)
    both = scores(level_V, Sampling(temperature=1.0, top_k=2, top_p=0.6))
    assert both.isfinite().tolist() == [True, True, False]
    assert scores(level_V, Sampling(temperature=1.0, top_p=0.6)).isfinite().tolist() == [True, True, False]
    assert scores(level_V, Sampling(temperature=1.0, top_k=2, top_p=0.5)).isfinite().tolist() == [True, False, False]
    # Temperature comes before min-p: a flat temperature keeps what a sharp one drops.
    steep_V = torch.tensor([0.0, -2.0])
    assert scores(steep_V, Sampling(temperature=2.0, min_p=0.3)).isfinite().all()
    assert not scores(steep_V, Sampling(temperature=1.0, min_p=0.3)).isfinite().all()


def test_the_caller_keeps_its_logits() -> None:
    logits_V = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    sampling = Sampling(temperature=0.5, top_k=1, top_p=0.5, min_p=0.5, logit_bias={0: 1.0})
    noisy(scores(logits_V, sampling), sampling, NoiseKey(0), 0)
    assert logits_V.tolist() == [1.0, 2.0, 3.0]


def test_a_copied_history_counts_on_alone() -> None:
    history = History.of([1], [2], 4, torch.device("cpu"))
    other = history.copy()
    other.count(3)
    assert history.output_V.tolist() == [0, 0, 1, 0] and other.output_V.tolist() == [0, 0, 1, 1]
