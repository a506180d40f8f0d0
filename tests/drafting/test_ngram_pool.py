from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting import ngram_pool
from outrider.drafting.ngram_pool import MAX_CONFIDENCE, NgramPool
from outrider.drafting.rolling import Gram, Trail, grams
from outrider.errors import CheckpointError, ConfigError, VocabularyError


def slow_learn(pool: NgramPool, token_n: list[int]) -> None:
    """The readable twin: token by token, gram by gram."""
    trail = Trail(pool.sizes[0])
    for token in token_n:
        pool.follow(trail, grams(pool.sizes), [token])


def entry(pool: NgramPool, context: list[int]) -> tuple[int, int] | None:
    """(token, confidence) that the pool has for a context of one of its sizes."""
    trail = Trail(len(context))
    trail.extend(context)
    gram: Gram = grams([len(context)])[0]
    key = gram.key(trail.hash_n[-1], trail.hash_n[0])
    word = pool.words[key >> pool.index_shift]
    if (word ^ key) & pool.tag_mask or not word & pool.confidence_mask:
        return None
    return word >> pool.token_shift, word & pool.confidence_mask


@pytest.mark.parametrize("vocab_size", [1000, 300_000])
@given(seed=st.integers(0, 10**6), entries=st.sampled_from([2, 16, 256, 2**14]), distinct=st.sampled_from([1, 3, 300]))
def test_learning_in_bulk_equals_learning_one_by_one(vocab_size: int, seed: int, entries: int, distinct: int) -> None:
    rng = random.Random(seed)
    text = [rng.randrange(distinct) for _ in range(rng.randrange(96, 400))]
    bulk, single = (NgramPool(vocab_size, entries, (5, 2, 1)) for _ in range(2))
    bulk.learn(text)
    slow_learn(single, text)
    assert bytes(bulk.words) == bytes(single.words)


def test_a_text_in_blocks_equals_the_text_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = random.Random(3).choices(range(50), k=1000)
    whole, blocks = (NgramPool(1000, 2**12, (4, 2)) for _ in range(2))
    whole.learn(text)
    monkeypatch.setattr(ngram_pool, "_BLOCK", 130)
    blocks.learn(text)
    assert bytes(whole.words) == bytes(blocks.words)


def test_confidence_rises_to_its_top_and_falls_one_by_one() -> None:
    pool = NgramPool(1000, 2**16, (2,))
    for _ in range(10):
        pool.learn([1, 2, 3])
    assert entry(pool, [1, 2]) == (3, MAX_CONFIDENCE)
    for left in range(MAX_CONFIDENCE - 1, 0, -1):
        pool.learn([1, 2, 4])
        assert entry(pool, [1, 2]) == (3, left)
    pool.learn([1, 2, 4])
    assert entry(pool, [1, 2]) == (4, 1), "given away only at zero"


def test_a_crowded_pool_ages_entry_by_entry() -> None:
    """What is confirmed outlives what was seen once, and nothing is ever emptied at a stroke."""
    pool = NgramPool(1000, 2**8, (2,))
    for _ in range(MAX_CONFIDENCE):
        pool.learn([1, 2, 3])
    used = []
    rng = random.Random(1)
    for _ in range(40):
        pool.learn([rng.randrange(1000) for _ in range(20)])
        used.append(pool.num_used)
    assert entry(pool, [1, 2]) is not None
    assert used == sorted(used) and used[-1] <= 2**8


def test_a_collision_is_not_taken_for_a_match() -> None:
    """In a pool of two places nearly every look-up finds another gram's entry: the tag lets 1 in 2048 through."""
    pool = NgramPool(10_000, 2, (2,))
    pool.learn(list(range(10)))
    wrong = sum(entry(pool, [token, token + 1]) is not None for token in range(1000, 3000))
    assert wrong <= 12  # Poisson of mean 0.98: more than 12 has a chance below 1e-9, had the keys been drawn


def test_memory_is_bounded_and_sized_as_promised() -> None:
    pool = NgramPool(151_936, 2**22, (4, 2))
    assert pool.num_bytes == 16 * 2**20
    assert NgramPool(262_144, 2**10, (2,)).num_bytes == 4 * 2**10
    assert NgramPool(262_145, 2**10, (2,)).num_bytes == 8 * 2**10
    pool.learn(list(range(5000)))
    assert pool.num_bytes == 16 * 2**20


def test_the_largest_tokens_fit() -> None:
    for vocab_size in (2**18, 2**31):
        pool = NgramPool(vocab_size, 2**10, (1,))
        pool.learn([5, vocab_size - 1] * 60)
        assert entry(pool, [5]) == (vocab_size - 1, MAX_CONFIDENCE)


def test_scopes_do_not_see_each_other() -> None:
    pool = NgramPool(1000, 2**16, (2,))
    pool.learn([1, 2, 3], "someone")
    assert entry(pool, [1, 2]) is None
    assert pool.num_used == 1


def test_frozen_it_learns_nothing() -> None:
    pool = NgramPool(1000, 2**10, (2,))
    pool.frozen = True
    pool.learn(list(range(200)))
    assert pool.num_used == 0


def test_a_pool_survives_its_file(tmp_path: Path) -> None:
    pool = NgramPool(1000, 2**10, (3, 2), "words")
    pool.learn(list(range(300)))
    pool.save(tmp_path / "pool")
    other = NgramPool(1000, 2**10, (2, 3), "words")
    other.load(tmp_path / "pool")
    assert bytes(other.words) == bytes(pool.words)
    other.learn([1, 2, 9])
    assert bytes(other.words) != bytes(pool.words), "a loaded pool goes on learning"


@pytest.mark.parametrize(("settings", "message"), [
    ((1000, 2**11, (3, 2), "words"), "entries is 1024, this drafter has 2048"),
    ((1000, 2**10, (4, 2), "words"), "sizes=3/2"),
    ((2**19, 2**10, (3, 2), "words"), "18-bit tokens"),
    ((1000, 2**10, (3, 2), "others"), "another vocabulary"),
])
def test_a_pool_of_other_settings_is_refused(tmp_path: Path, settings: tuple[int, int, tuple[int, ...], str],
                                             message: str) -> None:
    NgramPool(1000, 2**10, (3, 2), "words").save(tmp_path / "pool")
    pool = NgramPool(*settings)
    with pytest.raises((CheckpointError, VocabularyError), match=message):
        pool.load(tmp_path / "pool")
    assert not np.any(np.frombuffer(pool.words, np.uint8)), "nothing was taken over"


@pytest.mark.parametrize(("entries", "sizes"), [(1000, (2,)), (1, (2,)), (16, ()), (16, (2, 2)), (16, (0,))])
def test_senseless_settings_are_refused(entries: int, sizes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        NgramPool(1000, entries, sizes)
