"""`KVCache`: keys and values in pages, one row of blocks a sequence, shared where prefixes are the same.

    row:  |<──────────── length ───────────>|<─── appended by this round ───>|
          committed, never written again     anchor, draft nodes in packed order
                                             └─ keep(path) closes the gaps and drops the rest

A block is indexed by the digest of all tokens up to its end once every entry in it is committed. Drafters may keep
entries of their own in the same blocks (`payload`).
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import torch
from torch import Tensor

from outrider.cache.blocks import BlockPool
from outrider.cache.payload import Layer, Pages, Payload, Store
from outrider.core.step import LayerCache


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes of one entry, and how many there are; `block_size` in tokens."""

    num_layers: int
    num_kv_heads: int
    head_size: int
    num_blocks: int
    block_size: int = 16

    @property
    def num_slots(self) -> int:
        return self.num_blocks * self.block_size


def dense_layers(shape: CacheShape | Payload, num_slots: int, dtype: torch.dtype,
                 device: torch.device) -> tuple[LayerCache, ...]:
    """The layout of the reference: one row of keys and one of values a slot."""
    size = (num_slots, shape.num_kv_heads, shape.head_size)
    return tuple(LayerCache(*(torch.zeros(size, dtype=dtype, device=device) for _ in range(2)))
                 for _ in range(shape.num_layers))


@dataclass(slots=True)
class _Row:
    slot_C: Tensor
    digest: bytes
    blocks: list[int] = field(default_factory=list)
    length: int = 0
    num_indexed: int = 0
    tail: list[int] = field(default_factory=list)  # committed tokens behind the last indexed block


class KVCache(Generic[Layer]):
    """Pages of keys and values for many sequences of one model."""

    def __init__(self, shape: CacheShape, layers: Sequence[Layer], device: torch.device,
                 stores: Sequence[Store[Any]] = ()) -> None:
        self.shape, self.layers, self.stores = shape, tuple(layers), tuple(stores)
        self._device = device
        self._pool = BlockPool(shape.num_blocks)
        self._rows: dict[int, _Row] = {}
        self._next_row = 0

    @property
    def num_available(self) -> int:
        """Blocks not held by any row."""
        return self._pool.num_available

    def blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.shape.block_size)

    def open(self, token_n: Sequence[int] = (), scope: str = "") -> int:
        """A new row that begins with as much of `token_n` as the cache still holds for `scope`.

        The last token is never taken from the cache: its row must be computed to know what follows. Where a drafter's
        entries are missing from a block, it is computed again and the old one forgotten.
        `length(row)` says how many were found.
        """
        # Hashed, so that no scope can be spelt like the digest of somebody's prefix.
        row = _Row(torch.empty(0, dtype=torch.int64, device=self._device), _digest(scope.encode(), ()))
        size = self.shape.block_size
        for begin in range(0, (len(token_n) - 1) // size * size, size):
            digest = _digest(row.digest, token_n[begin : begin + size])
            block = self._find(digest)
            if block is None:
                break
            self._append(row, block)
            row.digest, row.length, row.num_indexed = digest, begin + size, row.num_indexed + 1
        self._next_row += 1
        self._rows[self._next_row] = row
        return self._next_row

    def length(self, row: int) -> int:
        """Committed entries of a row."""
        return self._rows[row].length

    def num_blocks(self, row: int) -> int:
        return len(self._rows[row].blocks)

    def reserve(self, row: int, count: int) -> None:
        """Room for `count` entries behind the committed ones. Raises: CacheFullError, and then nothing has changed."""
        state = self._rows[row]
        missing = self.blocks_for(state.length + count) - len(state.blocks)
        self._pool.require(missing)  # before taking any, so that a failure does not even evict
        for _ in range(missing):
            self._append(state, self._take())

    def pages(self, row: int) -> Pages:
        """The row as its drafter sees it."""
        return Pages(self, row, self.stores)

    def block(self, row: int, position: int) -> int:
        """The block that holds a position of a row."""
        return self._rows[row].blocks[position // self.shape.block_size]

    def fork(self, row: int) -> int:
        """A second row with the same committed entries: complete blocks are shared. Raises: CacheFullError."""
        state, size = self._rows[row], self.shape.block_size
        twin = _Row(state.slot_C[:0], state.digest, [], state.length, state.num_indexed, list(state.tail))
        num_whole = state.length // size
        # With nothing committed in it yet, the next block may have a drafter's entry of the anchor.
        begun = state.blocks[num_whole : num_whole + 1] if state.length % size or self.stores else []
        self._pool.require(len(begun))
        for block in state.blocks[:num_whole]:
            self._pool.share(block)
            self._append(twin, block)
        for block in begun:
            self._append(twin, self._take())
            self._copy(block, twin.blocks[num_whole])
        self._next_row += 1
        self._rows[self._next_row] = twin
        return self._next_row

    def slots(self, row: int, count: int) -> Tensor:
        """Slots of the committed entries and `count` more, in logical order; int64 [length + count]."""
        state = self._rows[row]
        return state.slot_C[: state.length + count]

    def keep(self, row: int, token_n: Sequence[int], path: Sequence[int]) -> None:
        """Commit the appended entries `path` (ascending), which stand for `token_n`, and drop the other ones."""
        state = self._rows[row]
        if list(path) != list(range(len(path))):
            self._move(state, path)
        state.length += len(path)
        state.tail.extend(token_n)
        size = self.shape.block_size
        while len(state.tail) >= size:
            state.digest = _digest(state.digest, state.tail[:size])
            self._pool.index(state.blocks[state.num_indexed], state.digest)
            state.num_indexed += 1
            del state.tail[:size]

    def release(self, row: int) -> None:
        """The row is gone; indexed blocks stay findable until their room is needed."""
        for block in reversed(self._rows.pop(row).blocks):
            self._pool.drop(block)

    def forget(self) -> None:
        """Share nothing of what has been computed so far."""
        self._pool.forget()

    def check_integrity(self) -> None:
        """AssertionError where blocks are lost, doubled or miscounted."""
        self._pool.check([block for row in self._rows.values() for block in row.blocks])
        for row in self._rows.values():
            assert len(row.slot_C) == len(row.blocks) * self.shape.block_size, "slots do not match blocks"
            assert row.length <= len(row.slot_C), "a row is longer than its blocks"
            assert row.length == row.num_indexed * self.shape.block_size + len(row.tail), "tokens do not match entries"

    def _find(self, digest: bytes) -> int | None:
        """The block with these contents, if every store has its part of it."""
        block = self._pool.find(digest)
        if block is None or all(store.is_valid[block] for store in self.stores):
            return block
        self._pool.drop(block)
        self._pool.unindex(block)
        return None

    def _take(self) -> int:
        block = self._pool.take()
        for store in self.stores:
            store.is_valid[block] = False
        return block

    def _copy(self, source: int, goal: int) -> None:
        size = self.shape.block_size
        at = torch.arange(size, device=self._device)
        for layer in self.layers:
            layer.move(source * size + at, goal * size + at)
        for store in self.stores:
            store.copy(source, goal, size)

    def _append(self, row: _Row, block: int) -> None:
        size = self.shape.block_size
        slots = torch.arange(block * size, (block + 1) * size, device=self._device)
        row.slot_C = torch.cat((row.slot_C, slots))
        row.blocks.append(block)

    def _move(self, row: _Row, path: Sequence[int]) -> None:
        source = row.slot_C[row.length + torch.tensor(path, device=self._device)]
        goal = row.slot_C[row.length : row.length + len(path)]
        for layer in self.layers:
            layer.move(source, goal)


def _digest(parent: bytes, token_n: Sequence[int]) -> bytes:
    return hashlib.blake2b(array("q", token_n).tobytes(), key=hashlib.blake2b(parent).digest()[:32],
                           digest_size=16).digest()
