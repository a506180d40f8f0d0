"""The argmax of score + keyed noise over rows of logits: `core.noise` and `core.distribution.choose` on the device.

The words of the generator are the same integers as on the host. The logarithms are the device's own, so a variate may
differ in its last bits; what that could change is a tie to some 15 digits.
"""

from __future__ import annotations

import triton
import triton.language as tl

_GAMMA = tl.constexpr(0x9E3779B97F4A7C15)
_MUL_1 = tl.constexpr(0xBF58476D1CE4E5B9)
_MUL_2 = tl.constexpr(0x94D049BB133111EB)


@triton.jit
def best_kernel(
    score_RV: tl.tensor, top_R: tl.tensor, temperature_R: tl.tensor, words_R3: tl.tensor, value_RB: tl.tensor,
    token_RB: tl.tensor, size: int, BLOCK: tl.constexpr,
) -> None:
    """The best of one block of a row, the lowest id of equals. Grid: rows, blocks. Temperature 0: without noise."""
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = block * BLOCK + tl.arange(0, BLOCK)
    score = tl.load(score_RV + row * size + token, mask=token < size, other=float("-inf")).to(tl.float64)
    temperature = tl.load(temperature_R + row)
    if temperature > 0:
        high, low = keyed_bits(words_R3 + row * 3, token)
        score = (score - tl.load(top_R + row)) / temperature + _gumbel(high, low)
    score = tl.where(score != score, float("inf"), score)  # as torch's argmax takes what is no number
    score = tl.where(token < size, score, float("-inf"))
    best = tl.max(score)
    tl.store(value_RB + row * tl.num_programs(1) + block, best)
    tl.store(token_RB + row * tl.num_programs(1) + block, tl.min(tl.where(score == best, token, 0x7FFFFFFF)))


@triton.jit
def first_best_kernel(value_RB: tl.tensor, token_RB: tl.tensor, out_R: tl.tensor, blocks: int,
                      BLOCK: tl.constexpr) -> None:
    """The best of the blocks' bests, the lowest id of equals. Grid: rows."""
    row = tl.program_id(0).to(tl.int64)
    b = tl.arange(0, BLOCK)
    value = tl.load(value_RB + row * blocks + b, mask=b < blocks, other=float("-inf"))
    token = tl.load(token_RB + row * blocks + b, mask=b < blocks, other=0x7FFFFFFF)
    tl.store(out_R + row, tl.min(tl.where(value == tl.max(value), token, 0x7FFFFFFF)).to(tl.int64))


@triton.jit
def bits_kernel(words_R3: tl.tensor, high_RV: tl.tensor, low_RV: tl.tensor, size: int, BLOCK: tl.constexpr) -> None:
    """The 53-bit words behind the uniforms, for comparison with the host's. Grid: rows, blocks."""
    row = tl.program_id(0).to(tl.int64)
    token = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    high, low = keyed_bits(words_R3 + row * 3, token)
    tl.store(high_RV + row * size + token, high.to(tl.int64), mask=token < size)
    tl.store(low_RV + row * size + token, low.to(tl.int64), mask=token < size)


@triton.jit
def keyed_bits(words: tl.tensor, token: tl.tensor) -> tl.tuple:
    """The two 53-bit words of each token, uint64."""
    a, b, c = tl.load(words), tl.load(words + 1), tl.load(words + 2)
    middle = _mixed(a.to(tl.uint64) + token.to(tl.uint64) * _GAMMA)
    high, low = _mixed(middle + b.to(tl.uint64)), _mixed(middle ^ c.to(tl.uint64))
    return high >> 11, low >> 11


@triton.jit
def _mixed(word: tl.tensor) -> tl.tensor:
    word = (word ^ (word >> 30)) * _MUL_1
    word = (word ^ (word >> 27)) * _MUL_2
    return word ^ (word >> 31)


@triton.jit
def _gumbel(high: tl.tensor, low: tl.tensor) -> tl.tensor:
    """-log(-log1p(-w)) of the uniform w that the words make."""
    coarse = high.to(tl.int64).to(tl.float64) * 1.1102230246251565e-16  # 2^-53
    fine = (low.to(tl.int64).to(tl.float64) + 0.5) * 1.232595164407831e-32  # 2^-106
    w = tl.minimum(coarse + fine, 0.9999999999999999)  # 1 - 2^-53
    rest = 1.0 - w
    # log1p by the rounding of 1 - w itself (Goldberg 1991, theorem 4): exact where w is too small to change 1.
    log1p = tl.where(rest == 1.0, -w, tl.log(rest) * (-w / tl.where(rest == 1.0, 1.0, rest - 1.0)))
    return -tl.log(-log1p)
