"""Keyed sampling on the device chooses what the host chooses, and its generator's words are the host's."""

from __future__ import annotations

import random

import pytest
import torch

from outrider.core.distribution import choose
from outrider.core.noise import NoiseKey, uniform
from outrider.core.sampling import Sampling

cuda = pytest.importorskip("outrider.ops.cuda.choose", reason="no Triton: `pip install triton` runs these anywhere")
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # products that wrap by design
RowNoise, best_tokens, bits = cuda.RowNoise, cuda.best_tokens, cuda.bits


def test_the_words_of_the_noise_are_the_hosts(device: torch.device) -> None:
    keys = [NoiseKey(seed, sample) for seed, sample in ((0, 0), (7, 3), (2**64 - 1, 1), (2**63, 0))]
    words_R3 = torch.tensor([key.words(position) for position, key in enumerate(keys, 5)])
    high_RV, low_RV = (found.cpu() for found in bits(words_R3.to(device), 3000))
    expected = uniform(words_R3, torch.arange(3000))
    found = high_RV.double() * 2.0**-53 + (low_RV.double() + 0.5) * 2.0**-106
    assert torch.equal(found.clamp(max=1 - 2.0**-53), expected)
    assert int(high_RV.min()) >= 0 and int(low_RV.min()) >= 0 and int(high_RV.max()) < 2**53 > int(low_RV.max())


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 5.0])
def test_choices_are_those_of_the_host(temperature: float, device: torch.device) -> None:
    rows, size, draw = 12, 2500, torch.Generator().manual_seed(1)
    logits_RV = torch.randn(rows, size, generator=draw) * 2
    keys = [NoiseKey(row // 2, row % 2) for row in range(rows)]
    noises = [RowNoise(temperature, key.words(row)) for row, key in enumerate(keys)]
    found = best_tokens(logits_RV.to(device), noises).tolist()
    sampling = Sampling(temperature=temperature)
    assert found == [choose(logits_RV[row], sampling, key, row) for row, key in enumerate(keys)]
    assert temperature == 0 or found != logits_RV.argmax(-1).tolist()  # a control: the noise has a say


def test_ties_go_to_the_lowest_id(device: torch.device) -> None:
    logits_RV = torch.zeros(3, 4100)
    logits_RV[1, 4097] = logits_RV[1, 1030] = logits_RV[1, 2060] = 1.0
    logits_RV[2] = -torch.inf
    assert best_tokens(logits_RV.to(device), [RowNoise()] * 3).tolist() == [0, 1030, 0]


def test_rows_of_several_requests_share_a_call(device: torch.device) -> None:
    draw = random.Random(3)
    logits_RV = torch.randn(8, 300, generator=torch.Generator().manual_seed(2)).double()
    samplings = [Sampling(temperature=draw.choice([0.0, 0.7])) for _ in range(8)]
    keys = [NoiseKey(draw.randrange(2**64)) for _ in range(8)]
    noises = [RowNoise(one.temperature, key.words(9)) for one, key in zip(samplings, keys, strict=True)]
    expected = [choose(row_V, one, key, 9) for row_V, one, key in zip(logits_RV, samplings, keys, strict=True)]
    assert best_tokens(logits_RV.to(device), noises).tolist() == expected


def test_no_rows_are_no_choices(device: torch.device) -> None:
    assert best_tokens(torch.zeros(0, 10, device=device), []).tolist() == []
