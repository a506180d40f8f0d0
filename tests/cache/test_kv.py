"""The paged cache against a naive model: rows as plain lists, every entry's value known from its prefix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from outrider.cache.blocks import BlockPool
from outrider.cache.kv import CacheShape, KVCache, dense_layers
from outrider.core.step import LayerCache
from outrider.core.tree import DraftTree
from outrider.errors import CacheFullError
from trees import draft_trees

BLOCK = 4
CPU = torch.device("cpu")
token_lists = st.lists(st.integers(0, 1), min_size=1, max_size=14)
scopes = st.sampled_from(["", "", "anna"])


def new_cache(num_blocks: int, device: torch.device = CPU) -> KVCache[LayerCache]:
    shape = CacheShape(2, 1, 1, num_blocks, BLOCK)
    return KVCache(shape, dense_layers(shape, shape.num_slots, torch.float64, device), device)


def value_of(scope: str, prefix: tuple[int, ...]) -> float:
    """What stands for the key of a prefix's last token: depends on all of the prefix, as keys in a model do."""
    return float(hash((scope, prefix)) % 2**40)


def write(cache: KVCache, row: int, values: list[float]) -> None:
    slot_N = cache.slots(row, len(values))[cache.length(row) :]
    for layer in cache.layers:
        layer.key_SGK[slot_N, 0, 0] = torch.tensor(values, dtype=torch.float64)
        layer.value_SGK[slot_N, 0, 0] = -torch.tensor(values, dtype=torch.float64)


def contents(cache: KVCache, row: int) -> list[float]:
    slot_L = cache.slots(row, 0)
    for layer in cache.layers:
        assert torch.equal(layer.key_SGK[slot_L], -layer.value_SGK[slot_L])
        assert torch.equal(layer.key_SGK[slot_L], cache.layers[0].key_SGK[slot_L])
    return cache.layers[0].key_SGK[slot_L, 0, 0].tolist()


class CacheMachine(RuleBasedStateMachine):
    """Opens, appends trees, keeps paths, releases and forgets in any order, on a cache that is often full."""

    rows: Bundle[int] = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.cache = new_cache(1)
        self.tokens: dict[int, tuple[int, ...]] = {}
        self.scope: dict[int, str] = {}

    @initialize(num_blocks=st.integers(3, 14))
    def build(self, num_blocks: int) -> None:
        self.cache = new_cache(num_blocks)

    @rule(target=rows, tokens=token_lists, scope=scopes)
    def open(self, tokens: list[int], scope: str) -> int:
        row = self.cache.open(tokens, scope)
        found = self.cache.length(row)
        assert found % BLOCK == 0 and found < len(tokens)
        self.tokens[row], self.scope[row] = tuple(tokens[:found]), scope
        return row

    @rule(row=rows, pending=token_lists, tree=draft_trees(vocab=2, nodes=7), leaf=st.integers(-1, 6))
    def append(self, row: int, pending: list[int], tree: DraftTree, leaf: int) -> None:
        base, scope = self.tokens[row], self.scope[row]
        before = self.snapshot()
        try:
            self.cache.reserve(row, len(pending) + len(tree))
        except CacheFullError as error:
            assert self.snapshot() == before and "\n" not in str(error)
            return
        path = tree.path_to(min(leaf, len(tree) - 1))
        chains = [base + tuple(pending[: size + 1]) for size in range(len(pending))]
        chains += [base + tuple(pending) + tuple(tree.token_N[step] for step in tree.path_to(node))
                   for node in range(len(tree))]
        write(self.cache, row, [value_of(scope, chain) for chain in chains])
        tokens = [*pending, *(tree.token_N[node] for node in path)]
        self.cache.keep(row, tokens, [*range(len(pending)), *(len(pending) + node for node in path)])
        self.tokens[row] = base + tuple(tokens)

    @rule(row=consumes(rows))
    def release(self, row: int) -> None:
        self.cache.release(row)
        del self.tokens[row]

    @rule()
    def forget(self) -> None:
        self.cache.forget()

    @rule()
    def poison(self) -> None:
        """What no row holds and nobody can find again may hold anything."""
        for layer in self.cache.layers:
            for block in self.cache._pool._unused:
                layer.key_SGK[block * BLOCK : (block + 1) * BLOCK] = torch.nan
                layer.value_SGK[block * BLOCK : (block + 1) * BLOCK] = torch.nan

    @precondition(lambda self: not self.tokens)
    @rule()
    def nothing_leaks(self) -> None:
        assert self.cache.num_available == self.cache.shape.num_blocks

    @invariant()
    def rows_hold_their_own(self) -> None:
        self.cache.check_integrity()
        for row, tokens in self.tokens.items():
            assert self.cache.length(row) == len(tokens)
            wanted = [value_of(self.scope[row], tokens[: size + 1]) for size in range(len(tokens))]
            assert contents(self.cache, row) == wanted

    def snapshot(self) -> tuple[object, ...]:
        pool = self.cache._pool
        return (list(pool.references), list(pool._unused), list(pool._kept), dict(pool._digest_of),
                {row: self.cache.num_blocks(row) for row in self.tokens})


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def filled(cache: KVCache, tokens: list[int], scope: str = "") -> int:
    row = cache.open(tokens, scope)
    rest = tokens[cache.length(row) :]
    cache.reserve(row, len(rest))
    prefix = tuple(tokens[: cache.length(row)])
    write(cache, row, [value_of(scope, prefix + tuple(rest[: size + 1])) for size in range(len(rest))])
    cache.keep(row, rest, range(len(rest)))
    return row


def test_a_prefix_is_found_again_within_its_scope_alone() -> None:
    cache = new_cache(16)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5]
    first = filled(cache, tokens, "anna")
    same, other, shorter = (cache.open(tokens, "anna"), cache.open(tokens, "ben"), cache.open(tokens[:8], "anna"))
    assert [cache.length(row) for row in (same, other, shorter)] == [8, 0, 4], "the last token is always computed"
    assert torch.equal(cache.slots(same, 0), cache.slots(first, 0)[:8]), "the very same slots"
    for row in (first, same, other, shorter):
        cache.release(row)
        cache.check_integrity()
    again = cache.open(tokens, "anna")
    assert cache.length(again) == 8, "released blocks stay findable"
    cache.forget()
    assert cache.length(cache.open(tokens, "anna")) == 0
    cache.check_integrity()


def test_a_scope_spelt_like_a_digest_finds_nothing() -> None:
    cache = new_cache(8)
    filled(cache, [1, 2, 3, 4, 5])
    digests = list(cache._pool._block_of)
    for digest in digests:
        row = cache.open([5, 6, 7, 8, 9], digest.decode("latin-1"))
        assert cache.length(row) == 0


def test_the_oldest_prefix_is_evicted_first_and_its_end_before_its_beginning() -> None:
    cache = new_cache(4)
    for tokens in ([1] * 9, [2] * 5):
        cache.release(filled(cache, tokens))
    row = cache.open([9] * 8)
    cache.reserve(row, 8)  # one block was never used, one has to go: the second block of the ones
    assert cache.length(cache.open([1] * 9)) == 4
    assert cache.length(cache.open([2] * 5)) == 4
    cache.check_integrity()


def test_shared_blocks_are_never_written() -> None:
    cache = new_cache(8)
    tokens = [1, 2, 3, 4, 5, 6]
    first = filled(cache, tokens)
    second = cache.open(tokens)
    cache.reserve(second, 5)
    write(cache, second, [-1.0] * 5)
    cache.keep(second, [7, 8], [0, 3])
    assert contents(cache, first) == [value_of("", tuple(tokens[: size + 1])) for size in range(6)]


@pytest.mark.parametrize("path", [[], [0], [0, 1, 2], [0, 2, 4], [1, 2, 5], [3], [5]])
def test_any_path_is_kept(path: list[int]) -> None:
    cache = new_cache(8)
    row = filled(cache, [7, 7])
    cache.reserve(row, 6)
    write(cache, row, [float(entry) for entry in range(6)])
    cache.keep(row, path, path)
    assert contents(cache, row)[2:] == path
    cache.check_integrity()


def test_a_full_cache_says_what_to_do() -> None:
    cache = new_cache(2)
    row = cache.open([1])
    with pytest.raises(CacheFullError, match="fewer sequences"):
        cache.reserve(row, 9)
    assert cache.num_available == 2
    cache.reserve(row, 8)
    cache.check_integrity()


def test_the_check_sees_what_it_should() -> None:
    """Negative controls: a lost reference, a lost block, a row that lies about its length."""
    def broken(cache: KVCache, row: int, how: str) -> None:
        if how == "reference":
            cache._pool.references[cache._rows[row].blocks[0]] += 1
        elif how == "block":
            cache._pool._unused.pop()
        elif how == "length":
            cache._rows[row].length += 1
        else:
            cache._rows[row].slot_C = cache._rows[row].slot_C[:-1]

    for how in ("reference", "block", "length", "slots"):
        cache = new_cache(8)
        row = filled(cache, [1, 2, 3, 4, 5])
        cache.check_integrity()
        broken(cache, row, how)
        with pytest.raises(AssertionError):
            cache.check_integrity()


def test_the_pool_gives_each_block_once() -> None:
    pool = BlockPool(3)
    assert sorted(pool.take() for _ in range(3)) == [0, 1, 2]
    with pytest.raises(CacheFullError):
        pool.take()
    pool.drop(1)
    assert pool.take() == 1
