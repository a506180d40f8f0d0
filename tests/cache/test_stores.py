"""Drafters' stores in the cache's pages against a naive model: what is found is what would have been computed."""

from __future__ import annotations

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from outrider.cache.kv import CacheShape, KVCache, dense_layers
from outrider.cache.payload import Payload, Store
from outrider.core.step import LayerCache
from outrider.errors import CacheFullError

BLOCK = 2
CPU = torch.device("cpu")
FEATURES, PAIRS = Payload(1, 1, 1), Payload(1, 1, 1, entries=2, carry=1, scratch=3)
token_lists = st.lists(st.sampled_from([0, 0, 0, 0, 0, 1]), min_size=1, max_size=7)  # mostly alike: prefixes are hit
scopes = st.sampled_from(["", "", "", "anna"])


def new_cache(num_blocks: int) -> KVCache[LayerCache]:
    shape = CacheShape(1, 1, 1, num_blocks, BLOCK)
    stores = [Store(payload, dense_layers(payload, shape.num_slots * payload.entries, torch.float64, CPU), num_blocks,
                    torch.float64, CPU) for payload in (FEATURES, PAIRS)]
    return KVCache(shape, dense_layers(shape, shape.num_slots, torch.float64, CPU), CPU, stores)


def value_of(scope: str, prefix: list[int]) -> float:
    """What is kept for a prefix's last token: depends on all of it, as in a model."""
    return float(hash((scope, tuple(prefix))) % 2**40)


class StoreMachine(RuleBasedStateMachine):
    """Rows gain tokens, drafters absorb late or never, draft behind what is committed, and share all they can.

    A row knows one token more than the cache has, its anchor. A store of features has entries at the slots of the first
    `absorbed` tokens, a store of pairs at those of tokens 1 to `absorbed`.
    """

    rows: Bundle[int] = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.cache = new_cache(1)
        self.token_n: dict[int, list[int]] = {}
        self.scope: dict[int, str] = {}
        self.absorbed: dict[int, list[int]] = {}

    @initialize(num_blocks=st.integers(4, 14))
    def make(self, num_blocks: int) -> None:
        self.cache = new_cache(num_blocks)

    @rule(target=rows, token_n=token_lists, scope=scopes)
    def open(self, token_n: list[int], scope: str) -> int:
        row = self.cache.open(token_n, scope)
        hit = self.cache.length(row)
        self.token_n[row], self.scope[row], self.absorbed[row] = token_n[: hit + 1], scope, [hit, max(hit - 1, 0)]
        return row

    @rule(row=rows, gained=token_lists)
    def gain(self, row: int, gained: list[int]) -> None:
        known = self.token_n[row]
        try:
            self.cache.reserve(row, len(gained))
        except CacheFullError:
            return
        new = [known[-1], *gained[:-1]]
        self.cache.keep(row, new, range(len(new)))
        known += gained

    @rule(row=rows)
    def absorb_all(self, row: int) -> None:
        for index in (0, 1):
            self.absorb(row, index, 99)

    @rule(row=rows, index=st.integers(0, 1), room=st.integers(1, 5))
    def absorb(self, row: int, index: int, room: int) -> None:
        pages, store, begin = self.cache.pages(row), self.cache.stores[index], self.absorbed[row][index]
        end = min(begin + room, len(self.token_n[row]) - 1)
        try:
            slot_n = pages.slots(end + index)
        except CacheFullError:
            return
        for position in range(begin + index, end + index):
            self.write(row, store, slot_n[position : position + 1], position)
        if index:
            for position in range(begin, end):
                if position % BLOCK == BLOCK - 1:
                    store.carry_BC[pages.block(position)] = self.value(row, position)
        pages.mark(store, begin, end)
        self.absorbed[row][index] = end

    @rule(row=rows, index=st.integers(0, 1), count=st.integers(1, 6))
    def draft(self, row: int, index: int, count: int) -> None:
        """Nonsense behind what has been absorbed for good, once all has been."""
        anchor = len(self.token_n[row]) - 1
        if self.absorbed[row][index] < anchor:
            return
        store = self.cache.stores[index]
        try:
            slot_n = self.cache.pages(row).slots(anchor + index + count)
        except CacheFullError:
            return
        store.layers[0].key_SGK[store.entry_slots(slot_n[anchor + index :])] = torch.nan

    @rule(target=rows, row=rows)
    def fork(self, row: int) -> int | MultipleResults[int]:
        try:
            twin = self.cache.fork(row)
        except CacheFullError:
            return multiple()
        self.token_n[twin], self.scope[twin] = list(self.token_n[row]), self.scope[row]
        self.absorbed[twin] = list(self.absorbed[row])
        return twin

    @rule(row=consumes(rows))
    def release(self, row: int) -> None:
        self.cache.release(row)
        del self.token_n[row]

    @rule()
    def forget(self) -> None:
        self.cache.forget()

    @invariant()
    def every_row_has_what_it_absorbed(self) -> None:
        self.cache.check_integrity()
        for row in self.token_n:
            for index, store in enumerate(self.cache.stores):
                self.check(row, index, store)

    def check(self, row: int, index: int, store: Store[LayerCache]) -> None:
        end, pages = self.absorbed[row][index], self.cache.pages(row)
        if not end:
            return
        slot_n = pages.slots(end + index)
        for position in range(index, end + index):
            found = store.layers[0].key_SGK[store.entry_slots(slot_n[position : position + 1])]
            assert (found == self.value(row, position)).all(), f"store {index}, position {position} of row {row}"
        if index:
            for position in range(BLOCK - 1, end, BLOCK):
                assert float(store.carry_BC[pages.block(position)]) == self.value(row, position)

    def write(self, row: int, store: Store[LayerCache], slot_n: torch.Tensor, position: int) -> None:
        store.layers[0].key_SGK[store.entry_slots(slot_n)] = self.value(row, position)

    def value(self, row: int, position: int) -> float:
        return value_of(self.scope[row], self.token_n[row][: position + 1])


def test_a_fork_has_the_anchors_entry_where_a_block_begins() -> None:
    machine = StoreMachine()
    machine.make(8)
    row = machine.open([0], "")
    machine.gain(row, [1] * (2 * BLOCK))
    machine.absorb(row, 1, 99)
    machine.fork(row)
    machine.every_row_has_what_it_absorbed()


def test_a_block_taken_anew_is_not_valid() -> None:
    machine = StoreMachine()
    machine.make(3)
    first = machine.open([0], "")
    machine.gain(first, [0] * 2 * BLOCK)
    machine.absorb_all(first)
    machine.release(first)
    machine.gain(machine.open([1], "anna"), [1])  # holds the block that was never valid
    second = machine.open([1], "")
    machine.gain(second, [1] * 2 * BLOCK)
    machine.release(second)
    assert machine.cache.length(machine.cache.open([1] * 3)) == 0, "its entries are still those of the first"


def test_a_block_that_was_absorbed_in_part_is_not_valid() -> None:
    machine = StoreMachine()
    machine.make(4)
    row = machine.open([0], "")
    machine.gain(row, [0] * BLOCK)
    machine.absorb(row, 0, BLOCK - 1)
    machine.absorb(row, 1, 99)
    machine.release(row)
    assert machine.cache.length(machine.cache.open([0] * (BLOCK + 1))) == 0


TestStores = StoreMachine.TestCase
TestStores.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
