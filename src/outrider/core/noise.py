"""Keyed noise: a Gumbel variate for every (seed, sample, position, token), the same wherever it is computed.

The target's choice at a position is the argmax of score + noise, so with noise that depends on nothing but this key
the chosen token cannot depend on what was drafted, batched, cached or preempted (design, "Keyed noise").

    seed ─ mix ─┐
    stream ─── mix ─┐
    sample ─────── mix ─┐
    position ───────── mix ─┬─ a ─┐
                            ├─ b ─┤
                            └─ c ─┤
    token ────────────────── mix(a + token·γ) = m ── mix(m + b) = high, mix(m ^ c) = low ── uniform ── Gumbel

`mix` is SplitMix64's output function. Two 64-bit words make one uniform w strictly inside (0, 1) with 53 significant
bits however small it is; the variate is g = -log(-log1p(-w)), so the large g that win a race come from small w, where
the precision is.

Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), §4, with Stafford's mix 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15
_MUL_1 = 0xBF58476D1CE4E5B9
_MUL_2 = 0x94D049BB133111EB
_STREAM_A, _STREAM_B, _STREAM_C = 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3

Words = tuple[int, int, int]


class Stream(IntEnum):
    """Independent streams of one key: mixing their uses would correlate what must not be."""

    CHOICE = 1
    RATIO_DRAW = 2
    RATIO_ACCEPT = 3
    RATIO_RESIDUAL = 4


@dataclass(frozen=True, slots=True)
class NoiseKey:
    """Whose noise: the request's seed and the index of the sample within its `n`. It opens the stream of choices only;
    those of the ratio rules have keys of other types (`core.ratio_noise`)."""

    seed: int
    sample: int = 0

    def words(self, position: int) -> Words:
        """The words of one position."""
        return stream_words(self.seed, self.sample, position, Stream.CHOICE)


def stream_words(seed: int, sample: int, position: int, stream: Stream) -> Words:
    """The three 64-bit words (a, b, c) of one place of a stream, as signed integers for torch."""
    word = mix(mix(seed) + _GAMMA * int(stream))  # mixed first: no seed's stream is another seed's
    word = mix(word + _GAMMA * (sample + 1))
    word = mix(word ^ mix(position + _STREAM_A))
    return tuple(_signed(mix(word + salt)) for salt in (_STREAM_A, _STREAM_B, _STREAM_C))  # type: ignore[return-value]


def mix(word: int) -> int:
    """SplitMix64's output function on an unsigned 64-bit word."""
    word &= _MASK
    word = ((word ^ (word >> 30)) * _MUL_1) & _MASK
    word = ((word ^ (word >> 27)) * _MUL_2) & _MASK
    return word ^ (word >> 31)


def gumbel(words_R3: Tensor, token_C: Tensor) -> Tensor:
    """Gumbel variates of `token_C` for every row of key words.

    Shapes: words_R3 int64 [R, 3] from `NoiseKey.words`; token_C int64 [C] or [R, C]; returns float64 [R, C].
    """
    uniform_RC = uniform(words_R3, token_C)
    return uniform_RC.neg_().log1p_().neg_().log_().neg_()


def uniform(words_R3: Tensor, token_C: Tensor) -> Tensor:
    """The uniforms behind `gumbel`: strictly inside (0, 1), 53 significant bits. Shapes as there."""
    a_R1, b_R1, c_R1 = words_R3.unsqueeze(-1).unbind(1)
    middle_RC = _mix_(a_R1 + token_C * _signed(_GAMMA))
    high_RC = _mix_(middle_RC + b_R1)
    low_RC = _mix_(middle_RC.bitwise_xor_(c_R1))
    coarse_RC = _top53(high_RC).mul_(2.0**-53)
    fine_RC = _top53(low_RC).add_(0.5).mul_(2.0**-106)
    # The sum can round up to 1: only there, in the tail that never wins, is it cut.
    return coarse_RC.add_(fine_RC).clamp_(max=1.0 - 2.0**-53)


def _top53(word: Tensor) -> Tensor:
    return _shift_right(word, 11).to(torch.float64)


def _mix_(word: Tensor) -> Tensor:
    """`mix` in place on int64, whose products wrap as unsigned ones do."""
    word.bitwise_xor_(_shift_right(word, 30)).mul_(_signed(_MUL_1))
    word.bitwise_xor_(_shift_right(word, 27)).mul_(_signed(_MUL_2))
    return word.bitwise_xor_(_shift_right(word, 31))


def _shift_right(word: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's own is arithmetic on int64."""
    return (word >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    word &= _MASK
    return word - 2**64 if word >= 2**63 else word
