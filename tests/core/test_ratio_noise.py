"""Noise of the ratio rules: what each key opens, that streams are apart, and what sharing them would do.

Statistical tests are run on fixed keys; their bounds state the false-alarm probability that they would have on fresh
ones, at most 1e-6 each.
"""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
import torch
from torch import Tensor

from outrider.core.distribution import noisy
from outrider.core.noise import NoiseKey, Stream, gumbel, stream_words
from outrider.core.ratio_noise import DrawKey, VerdictKey
from outrider.core.sampling import Sampling
from outrider.drafting.draws import drawn, proposal
from outrider.verify.dice import KeyedDice

Z = 4.892  # a normal variate exceeds this in size once in 1e6
COUNT = 100_000


def test_no_key_opens_another_ones_stream() -> None:
    keys = (NoiseKey(1), DrawKey(1), VerdictKey(1))
    opened = [{name for name in dir(key) if not name.startswith("_") and callable(getattr(key, name))} for key in keys]
    assert opened == [{"words"}, {"draw_words"}, {"accept", "last_words"}]
    assert not any(isinstance(key, type(other)) for key, other in permutations(keys, 2))
    q_V = torch.full((4,), 0.25, dtype=torch.float64)
    for other in keys[1:]:
        with pytest.raises(AttributeError):
            noisy(q_V, Sampling(temperature=1.0), other, 3)  # type: ignore[arg-type]
    for other in (keys[0], keys[2]):
        with pytest.raises(AttributeError):
            drawn(q_V, other, 3, -1, 1)  # type: ignore[arg-type]
    for other in keys[:2]:
        with pytest.raises(AttributeError):
            KeyedDice(other, 3).token(q_V)  # type: ignore[arg-type]


def test_every_place_of_every_stream_has_words_of_its_own() -> None:
    found = [key.draw_words(anchor, parent) for key in (DrawKey(7), DrawKey(7, 1), DrawKey(8))
             for anchor in range(40) for parent in range(-1, 40)]
    found += [VerdictKey(7).last_words(anchor) for anchor in range(40)]
    found += [NoiseKey(7).words(position) for position in range(2000)]
    assert len(set(found)) == len(found)
    coins = [VerdictKey(7).accept(anchor, node) for anchor in range(20) for node in range(20)]
    assert len(set(coins)) == 400 and all(0.0 < coin < 1.0 for coin in coins)


def test_coins_fall_by_their_chance() -> None:
    for chance in (0.0, 0.03, 0.5, 0.9, 1.0):
        falls = sum(KeyedDice(VerdictKey(3), anchor).accepts(2, chance) for anchor in range(4000))
        assert abs(falls - 4000 * chance) <= Z * (4000 * chance * (1 - chance)) ** 0.5


def test_draws_are_without_replacement_one_after_the_other() -> None:
    q_V = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05], dtype=torch.float64)
    count = 6000
    found = Counter(tuple(drawn(q_V, DrawKey(2), anchor, 0, 2)) for anchor in range(count))
    chi = 0.0
    for first, second in permutations((0, 2, 3, 4), 2):
        wanted = count * float(q_V[first] * q_V[second] / (1 - q_V[first]))
        chi += (found[first, second] - wanted) ** 2 / wanted
    assert sum(found.values()) == count and chi < 56.5  # 11 degrees of freedom: once in 5e8
    assert sorted(drawn(q_V, DrawKey(2), 1, 0, 9)) == [0, 2, 3, 4], "no more than there are"


def test_a_proposal_covers_the_targets_vocabulary() -> None:
    logits_V = torch.tensor([2.0, 1.0, 0.0, 5.0])
    sampling = Sampling(temperature=0.5, top_k=2)
    q_V = proposal(logits_V, sampling, 6)
    assert q_V.tolist()[1:3] == [0.0, 0.0] and q_V[4:].tolist() == [0.0, 0.0]
    assert q_V[3] / q_V[0] == pytest.approx(torch.tensor(6.0, dtype=torch.float64).exp().item())
    assert proposal(logits_V, sampling, 3).sum() == pytest.approx(1.0), "what the target lacks has no chance"


P_V, Q_V = (torch.tensor(row, dtype=torch.float64) for row in ([0.5, 0.4, 0.1], [0.1, 0.2, 0.7]))


def noise(stream: Stream) -> Tensor:
    """Gumbel variates of many positions."""
    words = torch.tensor([stream_words(5, 0, position, stream) for position in range(COUNT)])
    return gumbel(words, torch.arange(3))


@pytest.mark.parametrize(("last", "is_right"), [(Stream.RATIO_RESIDUAL, True), (Stream.RATIO_DRAW, False)])
def test_a_residual_drawn_with_the_drafts_noise_bends_the_law(last: Stream, is_right: bool) -> None:
    """The fault of engines that combined shared noise with the ratio rule."""
    draft_n = (Q_V.log() + noise(Stream.RATIO_DRAW)).argmax(-1)
    words = torch.tensor([stream_words(5, 0, position, Stream.RATIO_ACCEPT) for position in range(COUNT)])
    coin_n = (-(-gumbel(words, torch.zeros(1, dtype=torch.int64))[:, 0]).exp()).exp()
    left_V = (P_V - Q_V).clamp(min=0.0)
    token_n = torch.where(coin_n <= P_V[draft_n] / Q_V[draft_n], draft_n, (left_V.log() + noise(last)).argmax(-1))
    share_V = torch.bincount(token_n, minlength=3) / COUNT
    off = float(((share_V - P_V).abs() / (P_V * (1 - P_V) / COUNT).sqrt()).max())
    assert off < Z if is_right else off > 2 * Z
