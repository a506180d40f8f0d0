"""A hash pool of n-grams: for the last n tokens, the token that came next. Constant memory, shared by all sequences.

    word of an entry (32 bits, 18-bit tokens):     token | tag, 11 bits | confidence, 3 bits
    word of an entry (64 bits, larger tokens):     token | tag, 24 bits | confidence, 8 bits, of which 3 are used

The tag tells a gram from others that share its place, so a collision does not draft. Confidence counts how often the
entry was right, up to 7; a different successor or another gram that wants the place takes one off, and only at zero
is the entry given away. So the pool ages entry by entry, under pressure, and never has to be emptied.

Verdicts need no case of their own: the token that replaced a rejected one is learnt behind the same gram and takes
confidence off the entry that was wrong; an accepted one adds to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outrider.drafting import memory_file
from outrider.drafting.memory_file import MemoryFile
from outrider.drafting.rolling import MIX, MIX_SHIFT, Gram, Trail, grams
from outrider.errors import CheckpointError, ConfigError

MAX_CONFIDENCE = 7
NARROW_VOCAB = 2**18
_KIND, _VERSION = "ngram_hash", 1
_VECTOR_FROM = 96  # tokens; below, numpy's overhead costs more than a loop
_BLOCK = 1 << 16
_MAX_PASSES = 24


class NgramPool:
    """The pool, and the memory of the drafter `ngram_hash`. Frozen, it learns nothing."""

    def __init__(self, vocab_size: int, entries: int, sizes: Sequence[int], fingerprint: str = "") -> None:
        if entries < 2 or entries & (entries - 1):
            raise ConfigError(f"a pool of {entries} entries: expected a power of two, such as {2**22}")
        if not sizes or min(sizes) < 1 or len(set(sizes)) != len(sizes):
            raise ConfigError(f"n-gram sizes {tuple(sizes)}: expected different numbers from 1 on, such as 12/6/3")
        self.frozen = False
        self.sizes = tuple(sorted(sizes, reverse=True))
        self.vocab_size, self.entries, self.fingerprint = vocab_size, entries, fingerprint
        self.index_shift = 64 - (entries.bit_length() - 1)
        # Written now: a page that the system gives on first use costs a round more than looking things up.
        self._hold(np.full(entries, 0, np.uint32 if vocab_size <= NARROW_VOCAB else np.uint64))

    def _hold(self, word_E: NDArray[np.unsignedinteger]) -> None:
        narrow = word_E.dtype == np.uint32
        self.confidence_mask = MAX_CONFIDENCE if narrow else 0xFF
        self.tag_mask = (2**14 - 1 if narrow else 2**32 - 1) ^ self.confidence_mask
        self.token_shift = 14 if narrow else 32
        self._word_E = word_E
        self.words = word_E.data  # plain ints, several times faster to read one by one

    @property
    def num_bytes(self) -> int:
        return self._word_E.nbytes

    @property
    def num_used(self) -> int:
        """Entries that hold something."""
        return int(np.count_nonzero(self._word_E))

    def learn(self, token_n: Sequence[int], scope: str = "") -> None:
        """Learns a text of its own, from its first token to its last, whatever its length."""
        trail = Trail(self.sizes[0])
        levels = grams(self.sizes, scope)
        for start in range(0, len(token_n), _BLOCK):
            self.follow(trail, levels, token_n[start : start + _BLOCK])
            trail.trim()

    def follow(self, trail: Trail, levels: Sequence[Gram], token_n: Sequence[int]) -> None:
        """Learns the tokens that come next on `trail`, and extends it."""
        old = len(trail.hash_n) - 1
        trail.extend(token_n)
        if self.frozen:
            return
        if len(token_n) < _VECTOR_FROM:
            self._follow_short(trail.hash_n, levels, token_n, old)
        else:
            self._follow_long(trail.hash_n, levels, token_n, old)

    def _follow_short(self, hash_n: list[int], levels: Sequence[Gram], token_n: Sequence[int], old: int) -> None:
        for at, token in enumerate(token_n, old):
            for gram in levels:
                if at >= gram.size:
                    self._update(gram.key(hash_n[at], hash_n[at - gram.size]), token)

    def _update(self, key: int, token: int) -> None:
        words, place = self.words, key >> self.index_shift
        word = words[place]
        confidence = word & self.confidence_mask
        fresh = token << self.token_shift | key & self.tag_mask
        if word - confidence == fresh and confidence:
            words[place] = fresh | min(confidence + 1, MAX_CONFIDENCE)
        elif confidence > 1:
            words[place] = word - 1
        else:
            words[place] = fresh | 1

    def _follow_long(self, hash_n: list[int], levels: Sequence[Gram], token_n: Sequence[int], old: int) -> None:
        """As `_follow_short`, many tokens at a time: the same updates of every place, in the same order."""
        size_L = np.array([gram.size for gram in levels])
        power_L = np.array([gram.power for gram in levels], np.uint64)
        salt_L = np.array([gram.salt for gram in levels], np.uint64)
        hash_P = np.array(hash_n, np.uint64)
        at_n1 = np.arange(old, old + len(token_n))[:, None]
        known_nL = at_n1 >= size_L
        gram_nL = (hash_P[at_n1] - hash_P[np.maximum(at_n1 - size_L, 0)] * power_L) ^ salt_L
        key_nL = (gram_nL ^ (gram_nL >> np.uint64(MIX_SHIFT))) * np.uint64(MIX)
        token_nL = np.broadcast_to(np.asarray(token_n, np.uint64)[:, None], key_nL.shape)
        self._update_many(key_nL[known_nL], token_nL[known_nL])

    def _update_many(self, key_U: NDArray[np.uint64], token_U: NDArray[np.uint64]) -> None:
        """Updates in order. One pass takes the first update of every place, the next the second, and so on."""
        place_U = (key_U >> np.uint64(self.index_shift)).astype(np.int64)
        order_U = np.argsort(place_U, kind="stable")
        sorted_U = place_U[order_U]
        starts = np.flatnonzero(np.r_[True, sorted_U[1:] != sorted_U[:-1]]) if len(sorted_U) else sorted_U
        count = np.diff(np.r_[starts, len(sorted_U)])
        for rank in range(min(int(count.max(initial=0)), _MAX_PASSES)):
            chosen = order_U[starts[count > rank] + rank]
            self._update_distinct(place_U[chosen], key_U[chosen], token_U[chosen])
        # What is left are the few places that come up again and again, such as the gram of a rule of dashes.
        crowded = count > _MAX_PASSES
        for start, size in zip(starts[crowded].tolist(), count[crowded].tolist(), strict=True):
            rest = order_U[start + _MAX_PASSES : start + size]
            for key, token in zip(key_U[rest].tolist(), token_U[rest].tolist(), strict=True):
                self._update(key, token)

    def _update_distinct(self, place_U: NDArray[np.int64], key_U: NDArray[np.uint64],
                         token_U: NDArray[np.uint64]) -> None:
        kind = self._word_E.dtype
        word_U = self._word_E[place_U]
        confidence_U = word_U & kind.type(self.confidence_mask)
        fresh_U = (token_U << np.uint64(self.token_shift) | key_U & np.uint64(self.tag_mask)).astype(kind)
        agrees = (word_U - confidence_U == fresh_U) & (confidence_U > 0)
        raised_U = fresh_U | np.minimum(confidence_U + kind.type(1), kind.type(MAX_CONFIDENCE))
        lowered_U = np.where(confidence_U > 1, word_U - kind.type(1), fresh_U | kind.type(1))
        self._word_E[place_U] = np.where(agrees, raised_U, lowered_U)

    def save(self, path: Path) -> None:
        arrays = {"sizes": np.array(self.sizes, np.int64), "words": self._word_E}
        memory_file.write(path, MemoryFile(_KIND, _VERSION, self.fingerprint, {"entries": self.entries}, arrays))

    def load(self, path: Path) -> None:
        """Raises: CheckpointError or VocabularyError for a file that is damaged or made for other settings or tokens.
        """
        content = memory_file.read(path, _KIND, _VERSION, self.fingerprint)
        content.require(path, entries=self.entries)
        if (sizes := tuple(content.arrays["sizes"].tolist())) != self.sizes:
            raise CheckpointError(f"'{path}' was made with n-gram sizes {'/'.join(map(str, sizes))}, this drafter has "
                                  f"{'/'.join(map(str, self.sizes))}; set sizes={'/'.join(map(str, sizes))}")
        words = content.arrays["words"]
        if words.dtype == np.uint32 and self.vocab_size > NARROW_VOCAB:
            raise CheckpointError(f"'{path}' has 18-bit tokens, the target {self.vocab_size} tokens; make it anew")
        self._hold(words.astype(words.dtype))
