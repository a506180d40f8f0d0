"""Quantised blocks read one value at a time, straight from the format's definition: the readable twin of `unpack`.

Each reader takes the bytes of one block and returns its values. d and m are the block's scale and minimum (half
precision), sc and mn those of a group inside a 256-value block.
"""

from __future__ import annotations

import struct
from collections.abc import Callable


def half(block: bytes, at: int) -> float:
    (value,) = struct.unpack_from("<e", block, at)
    return float(value)


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def nibble(codes: bytes, index: int) -> int:
    """32 values in 16 bytes: low halves first, then high halves."""
    return codes[index] & 15 if index < 16 else codes[index - 16] >> 4


def q4_0(block: bytes) -> list[float]:
    d, codes = half(block, 0), block[2:]
    return [d * (nibble(codes, i) - 8) for i in range(32)]


def q4_1(block: bytes) -> list[float]:
    d, m, codes = half(block, 0), half(block, 2), block[4:]
    return [d * nibble(codes, i) + m for i in range(32)]


def q5_0(block: bytes) -> list[float]:
    d, high, codes = half(block, 0), int.from_bytes(block[2:6], "little"), block[6:]
    return [d * ((nibble(codes, i) | (high >> i & 1) << 4) - 16) for i in range(32)]


def q5_1(block: bytes) -> list[float]:
    d, m, high, codes = half(block, 0), half(block, 2), int.from_bytes(block[4:8], "little"), block[8:]
    return [d * (nibble(codes, i) | (high >> i & 1) << 4) + m for i in range(32)]


def q8_0(block: bytes) -> list[float]:
    d = half(block, 0)
    return [d * signed(code) for code in block[2:]]


def q2_k(block: bytes) -> list[float]:
    scales, codes, d, m = block[:16], block[16:80], half(block, 80), half(block, 82)
    values = []
    for i in range(256):  # 128 values share 32 bytes, two bits each; groups of 16 values
        code = codes[i // 128 * 32 + i % 32] >> (i % 128 // 32 * 2) & 3
        values.append(d * (scales[i // 16] & 15) * code - m * (scales[i // 16] >> 4))
    return values


def q3_k(block: bytes) -> list[float]:
    mask, codes, packed, d = block[:32], block[32:96], block[96:108], half(block, 108)
    values = []
    for i in range(256):
        group = i // 16
        low = packed[group] & 15 if group < 8 else packed[group - 8] >> 4
        scale = (low | (packed[8 + group % 4] >> (group // 4 * 2) & 3) << 4) - 32
        code = codes[i // 128 * 32 + i % 32] >> (i % 128 // 32 * 2) & 3
        above = mask[i % 32] >> (i // 32) & 1
        values.append(d * scale * (code - (0 if above else 4)))
    return values


def six_bit_pair(packed: bytes, group: int) -> list[int]:
    """Scale and minimum of one of eight groups, six bits each in twelve bytes."""
    if group < 4:
        return [packed[group] & 63, packed[group + 4] & 63]
    low = packed[group + 4]
    return [low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4]


def q4_k(block: bytes) -> list[float]:
    d, m, packed, codes = half(block, 0), half(block, 2), block[4:16], block[16:]
    values = []
    for i in range(256):  # 64 values share 32 bytes: low halves first
        sc, mn = six_bit_pair(packed, i // 32)
        code = codes[i // 64 * 32 + i % 32] >> (i % 64 // 32 * 4) & 15
        values.append(d * sc * code - m * mn)
    return values


def q5_k(block: bytes) -> list[float]:
    d, m, packed, high, codes = half(block, 0), half(block, 2), block[4:16], block[16:48], block[48:]
    values = []
    for i in range(256):
        sc, mn = six_bit_pair(packed, i // 32)
        code = codes[i // 64 * 32 + i % 32] >> (i % 64 // 32 * 4) & 15
        values.append(d * sc * (code | (high[i % 32] >> (i // 32) & 1) << 4) - m * mn)
    return values


def q6_k(block: bytes) -> list[float]:
    low, high, scales, d = block[:128], block[128:192], block[192:208], half(block, 208)
    values = []
    for i in range(256):  # 128 values share 64 low bytes (two rows of 32) and 32 high bytes
        half_index, row, column = i // 128, i % 128 // 32, i % 32
        code = low[half_index * 64 + row % 2 * 32 + column] >> (row // 2 * 4) & 15
        code |= (high[half_index * 32 + column] >> (row * 2) & 3) << 4
        values.append(d * signed(scales[i // 16]) * (code - 32))
    return values


READERS: dict[str, Callable[[bytes], list[float]]] = {
    "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0, "Q5_1": q5_1, "Q8_0": q8_0,
    "Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k,
}  # fmt: skip
# Where each block keeps its half-precision numbers: random bytes there could be infinite.
HALVES = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
}  # fmt: skip
