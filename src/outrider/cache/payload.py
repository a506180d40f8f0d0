"""What drafters keep in the target's pages: layers of their own, filled in for committed tokens alone.

    slot of the target      …  s        s + 1    …       the same blocks, references and prefix hits
    entries of a store      …  sR … sR+R-1 …             R entries a token, written by the drafter when it likes
    carry of a block        one vector: what the first token of the next block needs of this block's last

A drafter writes later than the target, or not at all: `Store.is_valid` says of each block whether all of it is there.
Prefix hits stop before the first block that is not valid, so that what a drafter finds is what it would have computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from outrider.cache.kv import KVCache


@dataclass(frozen=True, slots=True)
class Payload:
    """A drafter's declaration: sizes of an entry, how many a token has, and floats carried from block to block.

    `scratch` is the room, in tokens, that it needs behind the committed ones while it drafts.
    """

    num_layers: int
    num_kv_heads: int
    head_size: int
    entries: int = 1
    carry: int = 0
    scratch: int = 0


class LayerStore(Protocol):
    """Keys and values of one layer, in whatever layout the target's attention reads."""

    def move(self, source_n: Tensor, goal_n: Tensor) -> None:
        """Copies entries from slots to slots."""


Layer = TypeVar("Layer", bound=LayerStore)


class Store(Generic[Layer]):
    """One drafter's payload for all blocks of a cache. `carry_BC`, [blocks, carry], has the type of features."""

    def __init__(self, payload: Payload, layers: Sequence[Layer], num_blocks: int, dtype: torch.dtype,
                 device: torch.device) -> None:
        self.payload, self.layers = payload, tuple(layers)
        # Never read before it is written, and large: left to take memory as it is used.
        self.carry_BC = torch.empty(num_blocks, payload.carry, dtype=dtype, device=device)
        self.is_valid = bytearray(num_blocks)

    def entry_slots(self, slot_n: Tensor) -> Tensor:
        """The slots of the entries of tokens in these slots; int64 [n * entries]."""
        count = self.payload.entries
        if count == 1:
            return slot_n
        return (slot_n[:, None] * count + torch.arange(count, device=slot_n.device)).flatten()

    def copy(self, source: int, goal: int, block_size: int) -> None:
        """One block's contents to another."""
        at = torch.arange(block_size, device=self.carry_BC.device)
        from_n, to_n = (self.entry_slots(block * block_size + at) for block in (source, goal))
        for layer in self.layers:
            layer.move(from_n, to_n)
        self.carry_BC[goal] = self.carry_BC[source]


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """One sequence's pages as a drafter sees them: `stores` has its payloads, in the order it declared them."""

    cache: KVCache[Any]
    row: int
    stores: tuple[Store[Any], ...]

    def part(self, begin: int, end: int) -> Pages:
        """The same with some of the stores, for the members of a mixture."""
        return replace(self, stores=self.stores[begin:end])

    @property
    def num_committed(self) -> int:
        """Tokens whose entries in the target's layers are final."""
        return self.cache.length(self.row)

    def slots(self, num_tokens: int) -> Tensor:
        """Slots of the first `num_tokens` positions, committed or behind; room is made. Raises: CacheFullError."""
        behind = num_tokens - self.num_committed
        if behind > 0:
            self.cache.reserve(self.row, behind)
        return self.cache.slots(self.row, behind)

    def block(self, position: int) -> int:
        """The block that holds a position."""
        return self.cache.block(self.row, position)

    def mark(self, store: Store[Any], begin: int, end: int) -> None:
        """Positions below `end` are filled in, those from `begin` on newly: blocks that this completes are valid."""
        size = self.cache.shape.block_size
        for index in range(begin // size, end // size):
            store.is_valid[self.block(index * size)] = True
