"""The law of the keyed noise, apart from any use of it.

Statistical tests are run on fixed keys; their bounds state the false-alarm probability that they would have on fresh
ones, at most 1e-6 each.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outrider.core.noise import NoiseKey, Stream, gumbel, mix, stream_words, uniform

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
SALTS = (0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3)
Z = 4.892  # a normal variate exceeds this in size once in 1e6
words_64 = st.integers(0, MASK)


def slow_words(seed: int, sample: int, position: int, stream: int) -> list[int]:
    """The key schedule in plain integers, from its drawing in the module."""
    word = mix(mix(seed) + GAMMA * stream)
    word = mix(word + GAMMA * (sample + 1))
    word = mix(word ^ mix(position + SALTS[0]))
    return [mix(word + salt) for salt in SALTS]


def slow_uniform(words: list[int], token: int) -> Fraction:
    """The exact value that `uniform` rounds."""
    a, b, c = words
    middle = mix(a + token * GAMMA)
    high, low = mix(middle + b) >> 11, mix(middle ^ c) >> 11
    return Fraction(high, 2**53) + Fraction(2 * low + 1, 2**107)


def rounded_uniform(words: list[int], token: int) -> float:
    """The same roundings as `uniform`, in Python's doubles."""
    a, b, c = words
    middle = mix(a + token * GAMMA)
    high, low = float(mix(middle + b) >> 11), float(mix(middle ^ c) >> 11)
    return min(high * 2.0**-53 + (low + 0.5) * 2.0**-106, 1.0 - 2.0**-53)


def key_words(keys: list[NoiseKey], position: int = 0, stream: Stream = Stream.CHOICE) -> Tensor:
    return torch.tensor([stream_words(key.seed, key.sample, position, stream) for key in keys], dtype=torch.int64)


def draws(key: NoiseKey, positions: range, tokens: int, stream: Stream = Stream.CHOICE) -> Tensor:
    words = [stream_words(key.seed, key.sample, position, stream) for position in positions]
    return gumbel(torch.tensor(words, dtype=torch.int64), torch.arange(tokens))


def test_golden_values() -> None:
    """SplitMix64 as published: the first outputs for the seed 1234567; then values of ours that may never change."""
    assert [mix(1234567 + GAMMA * step) for step in (1, 2, 3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423]
    words = NoiseKey(2026, 3).words(17)
    assert words == (750901252291514338, 5461542262167008049, 6123244492066169799)
    found = gumbel(torch.tensor([words]), torch.tensor([0, 1, 151_935]))[0].tolist()
    assert found == pytest.approx([0.501234119706485, 0.07767512343556666, 2.022127659507459], rel=1e-14, abs=0)


@given(seed=words_64, sample=st.integers(0, 1023), position=st.integers(0, 2**31), stream=st.sampled_from(Stream),
       tokens=st.lists(st.integers(0, 2**20), min_size=1, max_size=8))
def test_torch_equals_plain_python_bit_for_bit(device: torch.device, seed: int, sample: int, position: int,
                                               stream: Stream, tokens: list[int]) -> None:
    words = stream_words(seed, sample, position, stream)
    slow = slow_words(seed, sample, position, stream)
    assert [word & MASK for word in words] == slow
    found = uniform(torch.tensor([words], device=device), torch.tensor(tokens, device=device))[0].tolist()
    for token, value in zip(tokens, found, strict=True):
        exact = slow_uniform(slow, token)
        assert value == rounded_uniform(slow, token)
        # Three roundings of at most half a unit in the last place: high, low and their sum.
        assert 0.0 < value < 1.0
        assert abs(Fraction(value) - exact) <= exact * Fraction(1, 2**52)


@given(st.lists(words_64, min_size=3, max_size=3), words_64)
def test_any_words_give_finite_variates(words: list[int], token: int) -> None:
    signed = [[word - 2**64 if word >= 2**63 else word for word in words]]
    token_C = torch.tensor([token - 2**64 if token >= 2**63 else token])
    assert bool(gumbel(torch.tensor(signed), token_C).isfinite().all())


def inverse_mix(word: int) -> int:
    """The token-independent way back through `mix`, to reach the corners of the uniforms."""
    word ^= (word >> 31) ^ (word >> 62)
    word = word * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    word ^= (word >> 27) ^ (word >> 54)
    word = word * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return word ^ (word >> 30) ^ (word >> 60)


def corner(high: int, low: int) -> float:
    """The uniform of token 0 whose two 64-bit words are these."""
    middle = mix(0)
    words = [0, inverse_mix(high) - middle, inverse_mix(low) ^ middle]
    signed = [(word & MASK) - 2**64 if (word & MASK) >= 2**63 else word & MASK for word in words]
    return float(uniform(torch.tensor([signed]), torch.tensor([0])))


def test_corners_are_inside_and_small_uniforms_keep_53_bits() -> None:
    assert corner(0, 0) == 2.0**-107
    assert corner(MASK, MASK) == 1.0 - 2.0**-53
    assert corner(0, MASK) == 2.0**-53
    # With a high word of 0 the low word alone decides, and neighbours of it stay apart.
    assert corner(0, 5 << 11) == 11 * 2.0**-107 and corner(0, 6 << 11) == 13 * 2.0**-107
    steps = [corner(1 << 11, low << 11) for low in (0, 1 << 52, 2**53 - 1)]
    assert steps == sorted(set(steps)) and steps[0] == pytest.approx(2.0**-53) and steps[2] == pytest.approx(2.0**-52)


def test_no_infinity_in_ten_million_draws() -> None:
    token_C = torch.arange(50_000)
    low, high = math.inf, -math.inf
    for block in range(200):
        variates = gumbel(key_words([NoiseKey(block)], position=block), token_C)
        assert bool(variates.isfinite().all())
        low, high = min(low, float(variates.min())), max(high, float(variates.max()))
    # The largest of 1e7 is below log(1e7) - 2.6 or above log(1e7) + 13.8 once in 1e6; the least likewise.
    assert 13.5 < high < 29.94 and -3.46 < low < -2.59


def ks_distance(sorted_n: Tensor, cdf_n: Tensor) -> float:
    count = len(sorted_n)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    return max(float((steps[1:] - cdf_n).max()), float((cdf_n - steps[:-1]).max()))


@pytest.mark.parametrize("axis", ["token", "position", "sample", "seed", "stream"])
def test_the_variates_are_gumbel_along_every_axis(axis: str) -> None:
    """Kolmogorov-Smirnov at 1e-6: sqrt(n) D exceeds 2.694 once in 1e6 (Massart's bound)."""
    count = 200_000 if axis == "token" else 20_000
    if axis == "token":
        variates = draws(NoiseKey(5), range(1), count)
    elif axis == "position":
        variates = draws(NoiseKey(5), range(count), 1)
    elif axis == "sample":
        variates = gumbel(key_words([NoiseKey(5, sample) for sample in range(count)]), torch.tensor([7]))
    elif axis == "seed":
        variates = gumbel(key_words([NoiseKey(seed) for seed in range(count)]), torch.tensor([7]))
    else:
        variates = torch.cat([draws(NoiseKey(9), range(count // 4), 1, stream) for stream in Stream])
    sorted_n = variates.flatten().sort().values
    assert ks_distance(sorted_n, (-(-sorted_n).exp()).exp()) * math.sqrt(count) < 2.694


def correlation(first: Tensor, second: Tensor) -> float:
    """Of the uniforms behind two sets of variates, in units of its standard deviation."""
    left, right = ((-(-value.flatten()).exp()).exp() - 0.5 for value in (first, second))
    return float((left * right).sum()) * 12 / math.sqrt(left.numel())


def test_neighbours_on_every_axis_are_uncorrelated() -> None:
    """Six correlations of 1e5 pairs each, bounded so that all six together raise a false alarm once in 1e6."""
    bound = 5.234
    base = draws(NoiseKey(11, 0), range(100), 1000)
    others = {
        "seed": draws(NoiseKey(12, 0), range(100), 1000),
        "distant seed": draws(NoiseKey(11 + 2**63, 0), range(100), 1000),
        "sample": draws(NoiseKey(11, 1), range(100), 1000),
        "position": draws(NoiseKey(11, 0), range(1, 101), 1000),
        "stream": draws(NoiseKey(11, 0), range(100), 1000, Stream.RATIO_DRAW),
        "token": base.roll(1, 1),
    }
    found = {name: correlation(base, other) for name, other in others.items()}
    assert all(abs(value) < bound for value in found.values()), found
    assert correlation(base, base) > 100, "the measure sees equality"


def test_the_axes_do_not_stand_for_each_other() -> None:
    """No seed's next sample, position or stream is another key's: all of 4 x 8 x 8 x 4 word triples differ."""
    triples = {stream_words(seed, sample, position, stream)
               for seed in (0, 1, GAMMA, 2 * GAMMA & MASK) for sample in range(8) for position in range(8)
               for stream in Stream}
    assert len(triples) == 4 * 8 * 8 * 4
    assert len({word for triple in triples for word in triple}) == 3 * len(triples)


def test_output_positions_as_key_would_repeat_the_first_turn() -> None:
    """Why the key holds absolute positions: a second turn's noise differs from the first's, with the same seed."""
    first, second = draws(NoiseKey(3), range(40, 90), 2000), draws(NoiseKey(3), range(140, 190), 2000)
    relative = draws(NoiseKey(3), range(50), 2000)
    assert abs(correlation(first, second)) < Z
    assert correlation(relative, relative.clone()) > 100


LOGITS = {
    "flat": torch.zeros(12, dtype=torch.float64),
    "steep": -torch.arange(12, dtype=torch.float64),
    "long tail": -torch.arange(1, 13, dtype=torch.float64).log(),
    "two peaks": torch.tensor([3.0, -1, -1, 2.9, -2, -2, -2, -2, -2, -2, -2, -2], dtype=torch.float64),
}


@pytest.mark.parametrize("shape", LOGITS)
@pytest.mark.parametrize("axis", ["position", "sample"])
def test_the_argmax_follows_the_distribution(shape: str, axis: str) -> None:
    """Pearson's chi-square over 12 tokens: with 11 degrees of freedom it exceeds 49 fewer than once in 1e6."""
    count, score_V = 40_000, LOGITS[shape]
    if axis == "position":
        noise = draws(NoiseKey(21), range(count), 12)
    else:
        noise = gumbel(key_words([NoiseKey(22, sample) for sample in range(count)], position=5), torch.arange(12))
    seen = torch.bincount((score_V + noise).argmax(-1), minlength=12).double()
    wanted = score_V.softmax(-1) * count
    # Cells of fewer than ten expected draws are taken together, as the approximation wants.
    small = wanted < 10
    if bool(small.any()):
        seen = torch.cat((seen[~small], seen[small].sum()[None]))
        wanted = torch.cat((wanted[~small], wanted[small].sum()[None]))
    assert float(((seen - wanted).square() / wanted).sum()) < 49


def test_a_biased_argmax_would_be_found() -> None:
    """The same chi-square with noise of half the scale: a control that must fail."""
    count = 40_000
    noise = draws(NoiseKey(21), range(count), 12)
    seen = torch.bincount((LOGITS["long tail"] + 0.8 * noise).argmax(-1), minlength=12).double()
    wanted = LOGITS["long tail"].softmax(-1) * count
    assert float(((seen - wanted).square() / wanted).sum()) > 49


def test_float32_would_not_do() -> None:
    """Condition (d): with 24 bits the least uniforms are 0 somewhere in a vocabulary, and their variates infinite."""
    uniform_RC = uniform(key_words([NoiseKey(seed) for seed in range(120)]), torch.arange(152_000))
    coarse = (uniform_RC * 2.0**24).floor() * 2.0**-24
    assert bool((coarse == 0).any()) and bool((uniform_RC > 0).all())
