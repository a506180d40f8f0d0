from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.rolling import BASE, MASK, Trail, grams

TOKENS = st.lists(st.integers(0, 3), max_size=30)


@given(TOKENS, TOKENS, st.integers(1, 6))
def test_a_key_tells_the_last_tokens_and_nothing_else(one: list[int], other: list[int], size: int) -> None:
    gram = grams([size])[0]
    if min(len(one), len(other)) < size:
        return
    keys = []
    for text in (one, other):
        trail = Trail(size)
        trail.extend(text)
        keys.append(gram.key(trail.hash_n[-1], trail.hash_n[-1 - size]))
    assert (keys[0] == keys[1]) == (one[-size:] == other[-size:])


@given(TOKENS)
def test_the_last_hash_is_the_polynomial_of_all_tokens(text: list[int]) -> None:
    trail = Trail(4)
    for token in text:
        trail.extend([token])
    assert trail.hash_n[-1] == sum((token + 1) * BASE**power for power, token in enumerate(reversed(text))) & MASK


def test_keys_of_different_sizes_and_scopes_differ() -> None:
    trail = Trail(2)
    trail.extend([7, 7, 7])
    hash_n = trail.hash_n
    keys = {gram.key(hash_n[-1], hash_n[-1 - gram.size])
            for scope in ("", "a", "b", "ab") for gram in grams((1, 2), scope)}
    assert len(keys) == 8


def test_trimming_keeps_what_grams_reach() -> None:
    trail, whole = Trail(3), Trail(3)
    for _ in range(3):
        tokens = list(range(2000))
        trail.extend(tokens)
        whole.extend(tokens)
        trail.trim()
    assert len(trail.hash_n) < 5000 < len(whole.hash_n)
    assert trail.hash_n[-4:] == whole.hash_n[-4:]
