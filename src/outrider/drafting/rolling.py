"""Rolling hashes of n-grams, every n at once, in O(1) a token.

    hash_n[i+1] = hash_n[i] * B + token_i + 1                     (mod 2**64)
    gram(i, n)  = hash_n[i] - hash_n[i-n] * B**n                  the n tokens before position i, and nothing else

One multiplication a token keeps the trail; one more gives the gram of any length. A gram becomes a key by a salt (of
its length, and of whose memory it belongs to) and a multiplicative mix, whose high bits serve as an index.

Source: Karp, Rabin, "Efficient randomized pattern-matching algorithms" (1987), §3, with a modulus of 2**64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from outrider.core.noise import mix

MASK = 2**64 - 1
BASE = 0x9E6C63D0876A9A4D
MIX = 0xD6E8FEB86659FD93
MIX_SHIFT = 31
_KEEP_SPARE = 4096


@dataclass(frozen=True, slots=True)
class Gram:
    """One n-gram length: what turns two prefix hashes into a key."""

    size: int
    power: int
    salt: int

    def key(self, newest: int, oldest: int) -> int:
        """The key of the tokens between two prefix hashes that lie `size` tokens apart."""
        gram = ((newest - oldest * self.power) & MASK) ^ self.salt
        return ((gram ^ (gram >> MIX_SHIFT)) * MIX) & MASK


def grams(sizes: Sequence[int], scope: str = "") -> tuple[Gram, ...]:
    """The grams of `sizes` for one scope; keys of different scopes have nothing in common."""
    secret = 0
    for byte in scope.encode():
        secret = mix(secret + byte + 1)
    return tuple(Gram(size, pow(BASE, size, 2**64), mix(secret + size)) for size in sizes)


@dataclass(slots=True)
class Trail:
    """The newest prefix hashes of a sequence, at least `reach` back; the last one covers everything so far."""

    reach: int
    hash_n: list[int] = field(default_factory=lambda: [0])

    def extend(self, token_n: Iterable[int]) -> None:
        newest = self.hash_n[-1]
        append = self.hash_n.append
        for token in token_n:
            newest = (newest * BASE + token + 1) & MASK
            append(newest)

    def trim(self) -> None:
        """Drops what no gram reaches any more, now and then, so that a trail stays small."""
        if len(self.hash_n) > self.reach + 1 + _KEEP_SPARE:
            del self.hash_n[: -(self.reach + 1)]

    def copy(self) -> Trail:
        return Trail(self.reach, self.hash_n.copy())
