"""Indices of retrieval drafters in C++ (csrc/retrieval): a round is one call for all sequences, and one for commits.

    asks    sequence, nodes, depth, min_survival | …      counts   3 | 0 | 2
    gains   sequence, tokens, emitted | …                 tokens   a b c | d e        one tree behind the other

Buffers are kept from round to round, and trees become lists by one slice each: at these sizes, whatever is made anew
costs more than looking things up. Handles are given back when a sequence is finished or its state is forgotten.
"""

from __future__ import annotations

import ctypes
import struct
import weakref
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from outrider.core.commit import Commit
from outrider.core.hunk import Hunk, News
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.ops.native.library import Library

if TYPE_CHECKING:
    from _ctypes import _CDataType

_POINTER, _I32, _I64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_ASK = struct.Struct("@Pqqd")
_GAIN = struct.Struct("@Pqq")
_NARROW_BYTES = 4
_FIRST_SEQUENCES, _FIRST_NODES = 8, 256


class WordPool(Protocol):
    """A pool of n-grams as `drafting.ngram_pool` keeps it: this module reads and writes its words in place."""

    @property
    def words(self) -> memoryview: ...
    @property
    def index_shift(self) -> int: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...


class NativeState:
    """A sequence's handle. `close` gives it back; so does forgetting the state."""

    __slots__ = ("__weakref__", "_end", "address")

    def __init__(self, address: int, end: Callable[[int], int]) -> None:
        self.address = _made(address)
        self._end = weakref.finalize(self, end, address)

    def close(self) -> None:
        assert self.address  # raises where it was closed before
        del self.address
        self._end()

    def __getattr__(self, name: str) -> int:
        """Only asked for what is not there: the address of a closed state, which must never reach C++."""
        raise ValueError(f"this sequence is finished and has no {name} any more; start another")


class _Reply(ctypes.Structure):
    _fields_ = [("count", _POINTER), ("token", _POINTER), ("parent", _POINTER), ("score", _POINTER),
                ("capacity", _I64)]


class _Round:
    """The buffers of a round: what is asked and what comes back."""

    def __init__(self, num_sequences: int, num_nodes: int) -> None:
        self.num_sequences, self.num_nodes = num_sequences, num_nodes
        self.asks, self.gains = bytearray(_ASK.size * num_sequences), bytearray(_GAIN.size * num_sequences)
        self.count, self.token, self.parent = (array("i", bytes(4 * size))
                                               for size in (num_sequences, num_nodes, num_nodes))
        self.score = array("d", bytes(8 * num_nodes))
        self._reply = _Reply(_address(self.count), _address(self.token), _address(self.parent), _address(self.score),
                             num_nodes)
        self.asks_at, self.gains_at, self.reply_at = _address(self.asks), _address(self.gains), _address(self._reply)

    def trees(self, num_sequences: int) -> list[DraftTree]:
        found: list[DraftTree] = []
        begin = 0
        for count in self.count[:num_sequences]:
            found.append(self._tree(begin, begin + count) if count else EMPTY_TREE)
            begin += count
        return found

    def _tree(self, begin: int, end: int) -> DraftTree:
        return DraftTree(self.token[begin:end].tolist(), self.parent[begin:end].tolist(), (),
                         self.score[begin:end].tolist())


class _ChainRound(_Round):
    """A round whose trees are all chains."""

    def _tree(self, begin: int, end: int) -> DraftTree:
        return DraftTree.chain(self.token[begin:end].tolist(), self.score[begin:end].tolist())


class _NativeIndex:
    """What all indices have in common; `subject` names their functions."""

    _ROUND: type[_Round]

    def __init__(self, library: Library, subject: str, settings: ctypes.Structure, longest: int) -> None:
        def function(name: str, *argtypes: type[_CDataType],
                     result: type[_CDataType] | None = _I32) -> Callable[..., int]:
            return library.function(f"outrider_{subject}_{name}", argtypes, result)

        self._function = function
        self._at = _made(function("new", _POINTER, result=_POINTER)(_address(settings)))
        weakref.finalize(self, function("free", _POINTER, result=None), self._at)
        self._start = function("start", _POINTER, _I32, _POINTER, _I64, ctypes.c_char_p, _I64, _I64, result=_POINTER)
        self._fork = function("fork", _POINTER, result=_POINTER)
        self._end = function("end", _POINTER, result=None)
        self._propose = function("propose", _POINTER, _POINTER, _I64, _POINTER)
        self._longest = longest
        self._live: weakref.WeakSet[NativeState] = weakref.WeakSet()
        self._round = self._ROUND(_FIRST_SEQUENCES, _FIRST_NODES)

    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> NativeState:
        expected, name = array("i", prediction), scope.encode()
        return self._held(self._start(self._at, token, _address(expected), len(expected), name, len(name), num_prompt))

    def fork(self, state: NativeState) -> NativeState:
        return self._held(self._fork(state.address))

    def finish(self, state: NativeState, frozen: bool) -> None:
        """The sequence is over; its state can be used no more."""
        self._live.discard(state)
        state.close()

    def check_integrity(self, states: Sequence[NativeState]) -> None:
        """AssertionError unless exactly `states` are held."""
        assert {id(state) for state in self._live} == {id(state) for state in states}, \
            f"{len(self._live)} native states are held, {len(states)} are accounted for"

    def propose(self, states: Sequence[NativeState], budgets: Sequence[Budget]) -> list[DraftTree]:
        buffers, longest = self._round, self._longest
        if len(states) > buffers.num_sequences:
            buffers = self._enlarge(len(states), 0)
        num_nodes = at = 0
        pack, asks = _ASK.pack_into, buffers.asks
        for state, budget in zip(states, budgets, strict=True):
            pack(asks, at, state.address, budget.nodes, budget.depth, budget.min_survival)
            num_nodes += min(max(budget.nodes, 0), longest)
            at += _ASK.size
        if num_nodes > buffers.num_nodes:
            self._enlarge(0, num_nodes)
            return self.propose(states, budgets)
        _check(self._propose(self._at, buffers.asks_at, len(states), buffers.reply_at))
        return buffers.trees(len(states))

    def _gather(self, states: Sequence[NativeState], commits: Sequence[Commit]) -> array[int]:
        """The tokens of all commits; what each sequence gains is in the round's buffer afterwards."""
        buffers = self._round
        if len(states) > buffers.num_sequences:
            buffers = self._enlarge(len(states), 0)
        tokens, at = array("i"), 0
        for state, commit in zip(states, commits, strict=True):
            verdict, count = commit.verdict, len(commit.token_n)
            # The prompt's last commit brings the first token of the answer along.
            emitted = 0 if verdict is None else min(len(verdict.path) + 1, count)
            _GAIN.pack_into(buffers.gains, at, state.address, count, emitted)
            tokens.extend(commit.token_n)
            at += _GAIN.size
        return tokens

    def _enlarge(self, num_sequences: int, num_nodes: int) -> _Round:
        self._round = self._ROUND(max(num_sequences, self._round.num_sequences), max(num_nodes, self._round.num_nodes))
        return self._round

    def _held(self, address: int) -> NativeState:
        state = NativeState(address, self._end)
        self._live.add(state)
        return state


class _NgramSettings(ctypes.Structure):
    _fields_ = [("max", _I64), ("min", _I64), ("cheap", _I64), ("floor", ctypes.c_double), ("num_sizes", _I64),
                ("sizes", _POINTER), ("beliefs", _POINTER)]


class NativeNgrams(_NativeIndex):
    """Drafts from a pool of n-grams, and learns into it. `belief_n` has 8 numbers a size, by confidence 0 to 7."""

    _ROUND = _ChainRound

    def __init__(self, library: Library, pool: WordPool, belief_n: Sequence[float], *, longest: int, shortest: int,
                 floor: float, cheap: int) -> None:
        sizes, beliefs = array("q", pool.sizes), array("d", belief_n)
        super().__init__(library, "ngrams", _NgramSettings(longest, shortest, cheap, floor, len(sizes),
                                                           _address(sizes), _address(beliefs)), longest)
        self._bind = self._function("bind", _POINTER, _POINTER, _I32, _I32, result=None)
        self._ingest = self._function("ingest", _POINTER, _POINTER, _I64, _POINTER, _I32)
        self._pool = pool
        self._words: memoryview | None = None

    def ingest(self, states: Sequence[NativeState], commits: Sequence[Commit], frozen: bool) -> None:
        if self._words is not self._pool.words:
            self._bind_words()
        tokens = self._gather(states, commits)
        _check(self._ingest(self._at, self._round.gains_at, len(states), _address(tokens), frozen))

    def propose(self, states: Sequence[NativeState], budgets: Sequence[Budget]) -> list[DraftTree]:
        if self._words is not self._pool.words:
            self._bind_words()
        return super().propose(states, budgets)

    def _bind_words(self) -> None:
        """A pool that was loaded has other words than before."""
        words = self._pool.words
        self._bind(self._at, np.asarray(words).ctypes.data, words.itemsize == _NARROW_BYTES, self._pool.index_shift)
        self._words = words


class _LookupSettings(ctypes.Structure):
    _fields_ = [("max", _I64), ("num_sizes", _I64), ("num_trust", _I64), ("sizes", _POINTER), ("trust", _POINTER)]


class NativeLookups(_NativeIndex):
    """Drafts what followed the last tokens before. `size_n` are the lengths looked for, longest first.

    `trust_n` goes by how many tokens agree.
    """

    _ROUND = _ChainRound

    def __init__(self, library: Library, size_n: Sequence[int], trust_n: Sequence[float], *, longest: int) -> None:
        sizes, trust = array("q", size_n), array("d", trust_n)
        super().__init__(library, "lookups", _LookupSettings(longest, len(sizes), len(trust), _address(sizes),
                                                             _address(trust)), longest)
        self._ingest = self._function("ingest", _POINTER, _POINTER, _I64, _POINTER)

    def ingest(self, states: Sequence[NativeState], commits: Sequence[Commit], frozen: bool) -> None:
        tokens = self._gather(states, commits)
        _check(self._ingest(self._at, self._round.gains_at, len(states), _address(tokens)))


class _SuffixSettings(ctypes.Structure):
    _fields_ = [("max", _I64), ("min_match", _I64), ("cheap", _I64), ("past", _I64), ("floor", ctypes.c_double),
                ("factor", ctypes.c_double), ("offset", ctypes.c_double), ("num_escape", _I64),
                ("num_copy_trust", _I64), ("escape", _POINTER), ("copy_trust", _POINTER)]


class NativeSuffixes(_NativeIndex):
    """Drafts from suffix automata of sequences and of past outputs, which it keeps: at most `max_past` tokens a scope.

    `escape_n` and `copy_trust_n` go by match length.
    """

    _ROUND = _Round

    def __init__(self, library: Library, max_past: int, escape_n: Sequence[float], copy_trust_n: Sequence[float], *,
                 longest: int, min_match: int, floor: float, cheap: int, factor: float, offset: float) -> None:
        escape, trust = array("d", escape_n), array("d", copy_trust_n)
        super().__init__(library, "suffixes", _SuffixSettings(
            longest, min_match, cheap, max_past, floor, factor, offset, len(escape), len(trust), _address(escape),
            _address(trust)), longest)
        self.num_news = 0
        self._ingest = self._function("ingest", _POINTER, _I64, _POINTER)
        self._news = self._function("news", _POINTER, _POINTER, _POINTER, result=_I64)
        self._text = self._function("text", _POINTER, _I64, _I64, _POINTER, result=_I64)
        self._teach = self._function("teach", _POINTER, _POINTER, _I64, _I64, _I32)
        self._finish = self._function("finish", _POINTER, _POINTER)
        self._learn = self._function("learn", _POINTER, _POINTER, _I64, ctypes.c_char_p, _I64)
        self._num_tokens = self._function("num_tokens", _POINTER, result=_I64)
        self._outputs = self._function("outputs", _POINTER, _POINTER, _POINTER, _POINTER, result=None)
        self._restore = self._function("restore", _POINTER, _POINTER, _I64, _POINTER)

    @property
    def past(self) -> NativeSuffixes:
        """Past outputs, as their store."""
        return self

    def ingest(self, states: Sequence[NativeState], commits: Sequence[Commit], frozen: bool) -> None:
        tokens = self._gather(states, commits)
        self.num_news = self._ingest(self._round.gains_at, len(states), _address(tokens))
        _check(min(self.num_news, 0))

    def news(self, state: NativeState) -> News:
        output = np.zeros(1, np.int64)
        hunks = np.zeros((self._news(state.address, output.ctypes.data, None), 4), np.int32)
        self._news(state.address, output.ctypes.data, hunks.ctypes.data)
        return News(int(output[0]), tuple(Hunk(*row) for row in hunks.tolist()))

    def text(self, state: NativeState, begin: int, end: int) -> list[int]:
        """Tokens of the sequence, as far as there are any between these positions; -1 is a separator."""
        tokens = array("i", bytes(4 * (end - begin)))
        return tokens[: self._text(state.address, begin, end - begin, _address(tokens))].tolist()

    def teach(self, state: NativeState, old_n: Sequence[int], new_n: Sequence[int], told: bool) -> None:
        """While it copies, it may replace `old_n` by `new_n`; `told` says that the request asks for it."""
        tokens = array("i", [*old_n, *new_n])
        _check(self._teach(state.address, _address(tokens), len(old_n), len(new_n), told))

    def finish(self, state: NativeState, frozen: bool) -> None:
        """The sequence is over; its output is learnt, and its state can be used no more."""
        if not frozen:
            _check(self._finish(self._at, state.address))
        super().finish(state, frozen)

    @property
    def num_tokens(self) -> int:
        return self._num_tokens(self._at)

    def learn(self, token_n: Sequence[int], scope: str) -> None:
        tokens, name = array("i", token_n), scope.encode()
        _check(self._learn(self._at, _address(tokens), len(tokens), name, len(name)))

    def outputs(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The sizes and the tokens of the empty scope's outputs, oldest first."""
        num_2 = np.zeros(2, np.int64)
        self._outputs(self._at, num_2.ctypes.data, None, None)
        size_n, token_n = np.zeros(int(num_2[0]), np.int64), np.zeros(int(num_2[1]), np.int32)
        self._outputs(self._at, num_2.ctypes.data, size_n.ctypes.data, token_n.ctypes.data)
        return size_n, token_n

    def restore(self, size_n: NDArray[np.int64], token_n: NDArray[np.int32]) -> None:
        """Replaces the empty scope's outputs."""
        sizes, tokens = np.ascontiguousarray(size_n, np.int64), np.ascontiguousarray(token_n, np.int32)
        _check(self._restore(self._at, sizes.ctypes.data, len(sizes), tokens.ctypes.data))


def _address(buffer: array[int] | array[float] | bytearray | ctypes.Structure) -> int:
    """Where a buffer's bytes lie; they must outlive the address, and may not grow."""
    if isinstance(buffer, array):
        return buffer.buffer_info()[0]
    return ctypes.addressof(buffer if isinstance(buffer, ctypes.Structure) else ctypes.c_char.from_buffer(buffer))


def _made(address: int | None) -> int:
    if not address:
        raise MemoryError("no memory for what a drafter looks things up in")
    return address


def _check(code: int) -> None:
    if code:
        raise MemoryError("no memory for what a drafter looks things up in")
