from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.commit import Commit
from outrider.core.tree import Budget
from outrider.drafters.ngram_hash import NgramHashDrafter
from outrider.drafting.interface import SequenceContext
from outrider.drafting.ngram_pool import MAX_CONFIDENCE
from outrider.drafting.rolling import Trail, grams
from outrider.errors import CheckpointError, ConfigError, VocabularyError
from stub_target import StubTarget, after, build

ALPHABET = range(1, 5)  # no two of its grams share a place of the pool: a dict has no such thing
TEXT = st.lists(st.sampled_from(ALPHABET), min_size=2, max_size=60)
SIZES = (4, 2)


class DictTwin:
    """The readable twin: a dict of n-grams with the pool's rule of confidence, without hashes and without bounds."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.known: dict[tuple[int, ...], list[int]] = {}

    def learn(self, text: list[int]) -> None:
        for at, token in enumerate(text):
            for size in self.sizes:
                if size <= at:
                    self._update(tuple(text[at - size : at]), token)

    def _update(self, context: tuple[int, ...], token: int) -> None:
        entry = self.known.setdefault(context, [token, 0])
        if entry[0] == token:
            entry[1] = min(entry[1] + 1, MAX_CONFIDENCE)
        else:
            entry[1] -= 1
        if entry[1] == 0:
            self.known[context] = [token, 1]

    def draft(self, text: list[int], limit: int) -> list[int]:
        text, start = list(text), len(text)
        while len(text) < start + limit:
            found = [self.known[tuple(text[-size:])][0] for size in self.sizes
                     if size <= len(text) and tuple(text[-size:]) in self.known]
            if not found:
                break
            text.append(found[0])
        return text[start:]


def test_the_grams_of_the_alphabet_have_places_of_their_own() -> None:
    pool, places = NgramHashDrafter.Config().entries, []
    for gram in grams(SIZES):
        for tokens in product(ALPHABET, repeat=gram.size):
            trail = Trail(gram.size)
            trail.extend(tokens)
            places.append(gram.key(trail.hash_n[-1], trail.hash_n[0]) >> 65 - pool.bit_length())
    assert len(set(places)) == len(places) == 4**4 + 4**2


@given(TEXT)
def test_drafts_are_those_of_a_dict(text: list[int]) -> None:
    drafter = build("ngram_hash:sizes=4/2;floor=0")
    twin = DictTwin(SIZES)
    twin.learn(text)
    assert list(drafter.draft(after(drafter, text), Budget(64, 64)).token_N) == twin.draft(text, 64)


@given(TEXT)
def test_a_frozen_drafter_still_copies_from_its_own_text(text: list[int]) -> None:
    """There, the newest successor of a gram wins."""
    drafter = build("ngram_hash:sizes=4/2;floor=0;frozen=yes;entries=1024")
    draft = list(drafter.draft(after(drafter, text), Budget(1, 1)).token_N)
    newest = [text[at] for size in SIZES for at in range(len(text) - 1, size - 1, -1)
              if len(text) >= size and text[at - size : at] == text[-size:]]
    assert draft == newest[:1]


def test_drafts_have_any_length_up_to_max_and_none_under_min() -> None:
    text = [*range(200), 0, 1, 2, 3]
    for wanted in (1, 7, 64, 150):
        drafter = build(f"ngram_hash:max={wanted};floor=0")
        assert len(drafter.draft(after(drafter, text), Budget(500, 500))) == wanted
    assert len(build("ngram_hash:floor=0").draft(after(build("ngram_hash"), text), Budget(500, 500))) <= 64
    short = build("ngram_hash:min=5;floor=0")
    assert not len(short.draft(after(short, [1, 2, 3, 4, 1, 2]), Budget(4, 4)))
    assert len(short.draft(after(short, [1, 2, 3, 4, 1, 2]), Budget(5, 5))) == 5


def test_survival_is_believed_by_length_and_confidence() -> None:
    drafter = build("ngram_hash")
    text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    once = drafter.draft(after(drafter, [*text, 50, 1, 2]), Budget(1, 1)).score(0)
    for _ in range(5):
        after(drafter, text)
    often = drafter.draft(after(drafter, [60, 1, 2]), Budget(1, 1)).score(0)
    long = drafter.draft(after(drafter, [61, *text[:9]]), Budget(1, 1)).score(0)
    assert once < often < long


def test_a_rejected_draft_loses_confidence_until_it_is_replaced() -> None:
    drafter = build("ngram_hash:sizes=2")
    for _ in range(3):
        after(drafter, [1, 2, 3])
    drafts = []
    for _ in range(3):
        state = after(drafter, [70, 1, 2])
        drafts.append(list(drafter.draft(state, Budget(1, 1)).token_N))
        drafter.observe(state, Commit([4]))
    assert drafts == [[3], [3], [3]]
    assert list(drafter.draft(after(drafter, [70, 1, 2]), Budget(1, 1)).token_N) == [4]


def test_a_prediction_does_not_enter_the_pool() -> None:
    drafter = NgramHashDrafter(NgramHashDrafter.Config(entries=1024), StubTarget())
    drafter.start(SequenceContext(1, prediction=tuple(range(50))))
    assert drafter.pool.num_used == 0


def test_a_pool_file_is_drafted_from(tmp_path: Path) -> None:
    teacher = NgramHashDrafter(NgramHashDrafter.Config(entries=4096), StubTarget())
    teacher.pool.learn(list(range(300)))
    teacher.pool.save(tmp_path / "repo.pool")
    pupil = build(f"ngram_hash:entries=4096;pool={tmp_path}/repo.pool;frozen=yes")
    assert list(pupil.draft(after(pupil, list(range(27, 44))), Budget(3, 3)).token_N) == [44, 45, 46]
    with pytest.raises(VocabularyError, match="another vocabulary"):
        build(f"ngram_hash:entries=4096;pool={tmp_path}/repo.pool", StubTarget(fingerprint="other"))
    with pytest.raises(CheckpointError, match="cannot read"):
        build("ngram_hash:pool=no/such/file")


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="power of two"):
        build("ngram_hash:entries=1000")
    with pytest.raises(ConfigError, match="sizes"):
        build("ngram_hash:sizes=3/3")
