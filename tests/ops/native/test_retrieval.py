"""Native indices against their readable twins: the same trees, scores and memory, through whatever a sequence meets."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native_rows import native_library
from outrider.core.commit import Commit, CommitBatch, Verdict
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.interface import SequenceContext
from outrider.drafting.retrieval import RetrievalDrafter
from outrider.ops.native.retrieval import NativeLookups, NativeNgrams, NativeSuffixes
from stub_target import StubTarget, build, verdict
from toy_vocabulary import ToyVocabulary

native_library()  # skips where none was built
NGRAMS = ("ngram_hash:entries=4096", "ngram_hash:entries=16;floor=0", "ngram_hash:entries=1024;sizes=5/2/1;min=3;max=9")
LOOKUPS = ("prompt_lookup", "prompt_lookup:max=64;max_ngram=3;min_ngram=1")
SUFFIXES = ("suffix", "suffix:floor=0;past=300", "suffix:floor=0.1;past=60;factor=0.7;offset=1.5;max=64;cheap=0",
            "suffix:min_match=3;past=0;floor=0.05", "suffix:floor=0.01;past=2000;factor=0.5;offset=0;max=64")
SCOPES = (("",), ("", "anna", "bo"), tuple("abcdefghijkl"))  # one, some, more than are remembered


@dataclass
class Pair:
    """A native drafter and its twin, told the same."""

    spec: str
    vocab_size: int
    native: Any = field(init=False)
    twin: Any = field(init=False)

    def __post_init__(self) -> None:
        self.native, self.twin = (_drafter(self.spec, native, self.vocab_size) for native in (True, False))

    @property
    def both(self) -> tuple[Any, Any]:
        return self.native, self.twin

    def same_memory(self) -> bool:
        if self.native.memory is None:
            return True
        if hasattr(self.native, "pool"):
            return bytes(self.native.pool.words) == bytes(self.twin.pool.words)
        found, right = self.native.memory.store.outputs(), self.twin.memory.store.outputs()
        return (self.native.memory.num_tokens == self.twin.memory.num_tokens
                and [part.tolist() for part in found] == [part.tolist() for part in right])


def _drafter(spec: str, native: bool, vocab_size: int) -> RetrievalDrafter:
    option = ("native=yes" if native else "native=no")
    drafter = build(f"{spec}{';' if ':' in spec else ':'}{option}", StubTarget(vocab_size))
    assert isinstance(drafter, RetrievalDrafter)
    assert isinstance(drafter.index, NativeLookups | NativeNgrams | NativeSuffixes) == native
    return drafter


class Text:
    """An endless text that copies itself, changes what it copies, often as it did before, and now and then says
    something new.
    """

    def __init__(self, rng: random.Random, vocab_size: int, habit: float) -> None:
        self.rng, self.vocab_size, self.habit = rng, vocab_size, habit
        self.said: list[int] = [rng.randrange(vocab_size)]
        self.place = 0
        self.renamed = {rng.randrange(vocab_size): [rng.randrange(vocab_size) for _ in range(rng.randrange(4))]
                        for _ in range(rng.choice([0, 0, 2]))}

    def next(self, count: int) -> list[int]:
        end = len(self.said) + count
        while len(self.said) < end:
            if self.rng.random() > self.habit or self.place == len(self.said):
                self.place = self.rng.randrange(len(self.said))
                self.said.append(min(int(self.rng.paretovariate(0.7)) - 1, self.vocab_size - 1))
            else:
                token = self.said[self.place]
                self.said += self.renamed.get(token, [token])
                self.place += 1
        return self.said[end - count : end]


class Story:
    """Two drafters, and sequences that begin, gain, fork and end in any order."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair, self.rng = pair, random.Random(seed)
        self.text = Text(self.rng, pair.vocab_size, self.rng.choice([0.3, 0.8, 0.95, 0.995]))
        self.scopes = self.rng.choice(SCOPES)
        self.turns = [self.begin, self.gain, self.gain, self.fork, self.end, self.freeze,
                      *[self.draft] * self.rng.choice([1, 3])]
        self.states: list[tuple[Any, Any]] = []
        self.trees: dict[int, DraftTree] = {}

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.rng.choice(self.turns)()
            for drafter, number in zip(self.pair.both, (0, 1), strict=True):
                drafter.check_integrity([state[number] for state in self.states])
        assert self.pair.same_memory()

    def begin(self) -> None:
        prediction = tuple(self.text.next(self.rng.choice([0, 0, 1, 30])))
        context = SequenceContext(self.text.next(1)[0], prediction=prediction, scope=self.rng.choice(self.scopes),
                                  num_prompt=self.rng.choice([0, 1, 2, 50, 300]),
                                  vocabulary=self.rng.choice([None, ToyVocabulary()]))
        self.states.append(tuple(drafter.start(context) for drafter in self.pair.both))  # type: ignore[arg-type]

    def gain(self) -> None:
        chosen = self.rng.sample(self.states, self.rng.randint(0, len(self.states)))
        commits = tuple(self._commit(state) for state in chosen)
        for drafter, number in zip(self.pair.both, (0, 1), strict=True):
            drafter.commit([state[number] for state in chosen], CommitBatch(commits, drafter.target.device))

    def _commit(self, state: tuple[Any, Any]) -> Commit:
        tokens = self.text.next(self.rng.choice([0, 1, 2, 3, 9, 60, 200]))
        tree = self.trees.pop(id(state), None)
        if not tokens or self.rng.random() < 0.3:
            return Commit(tokens)
        if tree is None or self.rng.random() < 0.5:
            return Commit(tokens, verdict=Verdict(tuple(range(self.rng.randrange(len(tokens) + 3))), tokens[-1]))
        settled = verdict(tree, [*_path(tree, self.rng), *tokens])
        return Commit([*(tree.token_N[node] for node in settled.path), settled.token], None, tree, settled)

    def draft(self) -> None:
        chosen = self.rng.sample(self.states, self.rng.randint(0, len(self.states)))
        budgets = [Budget(self.rng.choice([0, 1, 5, 64, 300]), self.rng.choice([0, 1, 4, 64]),
                          self.rng.choice([0.0, 0.0, 0.2, 0.6])) for _ in chosen]
        found, right = (drafter.propose([state[number] for state in chosen], budgets).trees
                        for drafter, number in zip(self.pair.both, (0, 1), strict=True))
        assert [_content(tree) for tree in found] == [_content(tree) for tree in right]
        for state, tree, budget in zip(chosen, found, budgets, strict=True):
            tree.check(budget)
            self.trees[id(state)] = tree

    def fork(self) -> None:
        if self.states:
            state = self.rng.choice(self.states)
            self.states.append(tuple(drafter.fork(own) for drafter, own  # type: ignore[arg-type]
                                     in zip(self.pair.both, state, strict=True)))

    def end(self) -> None:
        if self.states:
            state = self.states.pop(self.rng.randrange(len(self.states)))
            for drafter, own in zip(self.pair.both, state, strict=True):
                drafter.finish(own)

    def freeze(self) -> None:
        frozen = self.rng.random() < 0.3
        for drafter in self.pair.both:
            if drafter.memory is not None:
                drafter.memory.frozen = frozen


def _answered(pair: Pair, tokens: list[int], scope: str = "") -> None:
    """A sequence that has put out `tokens` ends."""
    for drafter in pair.both:
        state = drafter.start(SequenceContext(0, scope=scope))
        drafter.observe(state, Commit(tokens, verdict=Verdict(tuple(range(len(tokens) - 1)), tokens[-1])))
        drafter.finish(state)


def _started(pair: Pair, tokens: list[int], scope: str = "") -> tuple[Any, Any]:
    states = tuple(drafter.start(SequenceContext(tokens[0], scope=scope)) for drafter in pair.both)
    for drafter, state in zip(pair.both, states, strict=True):
        drafter.observe(state, Commit(tokens[1:]))
    return states  # type: ignore[return-value]


def _drafted(pair: Pair, states: tuple[Any, Any]) -> DraftTree:
    """What both draft."""
    found, right = (drafter.draft(state, Budget(64, 64)) for drafter, state in zip(pair.both, states, strict=True))
    assert _content(found) == _content(right)
    return found


def _path(tree: DraftTree, rng: random.Random) -> list[int]:
    """The tokens of a random path from the anchor."""
    return [tree.token_N[node] for node in tree.path_to(rng.randrange(ANCHOR, len(tree)))]


def _content(tree: DraftTree) -> tuple[list[int], list[int], list[float]]:
    return list(tree.token_N), list(tree.parent_N), list(tree.score_N)


@pytest.mark.parametrize("spec", NGRAMS + LOOKUPS + SUFFIXES)
@settings(max_examples=60)
@given(seed=st.integers(0, 10**9), vocab_size=st.sampled_from([3, 40, 1000, 2**18 + 1]))
def test_sequences_go_as_with_the_twin(spec: str, seed: int, vocab_size: int) -> None:
    Story(Pair(spec, vocab_size), seed).run(80)


@pytest.mark.parametrize("spec", ["ngram_hash", "prompt_lookup:max=64", "suffix:floor=0.02;max=64"])
def test_long_texts_go_as_with_the_twin(spec: str) -> None:
    """Far beyond what a trail keeps, and with states of hundreds of edges."""
    pair = Pair(spec, 2000)
    story = Story(pair, 5)
    story.begin()
    for _ in range(25):
        tokens = story.text.next(600)
        for drafter, state in zip(pair.both, story.states[0], strict=True):
            drafter.observe(state, Commit(tokens, verdict=Verdict(tuple(range(599)), tokens[-1])))
        story.draft()
        story.fork()
    for _ in range(20):
        story.end()
        story.draft()
    assert pair.same_memory()


def test_past_outputs_that_come_while_a_sequence_runs_are_searched_for_its_last_tokens() -> None:
    pair = Pair("suffix:floor=0;factor=0.5;offset=0;max=64", 1000)
    output = list(range(100, 400))
    running = _started(pair, [7, *output[:100]])
    _answered(pair, output)
    assert len(_drafted(pair, running)) == 32  # half of what was walked


@given(seed=st.integers(0, 10**9))
def test_past_outputs_may_grow_behind_a_running_sequence(seed: int) -> None:
    """They split states that it stands in; when it gains tokens or drafts next, it has to notice."""
    rng = random.Random(seed)
    pair = Pair("suffix:floor=0;past=5000", 3)
    _answered(pair, rng.choices(range(3), k=8))
    running = _started(pair, rng.choices(range(3), k=4))
    _drafted(pair, running)
    for _ in range(30):
        _answered(pair, rng.choices(range(3), k=rng.randint(1, 8)))
        gained = Commit(rng.choices(range(3), k=rng.randint(1, 3)))
        for drafter, state in zip(pair.both, running, strict=True):
            drafter.observe(state, gained)
        if rng.random() < 0.2:
            _drafted(pair, running)


def test_the_scopes_unused_for_longest_are_forgotten() -> None:
    pair = Pair("suffix:floor=0", 1000)
    for scope in "abcdefghaij":
        _answered(pair, list(range(ord(scope), ord(scope) + 40)), scope)
    known = [scope for scope in "abcdefghij"
             if len(_drafted(pair, _started(pair, list(range(ord(scope), ord(scope) + 5)), scope)))]
    assert known == list("adefghij")
    assert pair.same_memory()


@pytest.mark.parametrize("spec", ["ngram_hash:entries=4096;floor=0", "suffix:floor=0;past=2000"])
@pytest.mark.parametrize("writer", ["native", "twin"])
def test_memory_written_by_one_is_read_by_both(spec: str, writer: str, tmp_path: Path) -> None:
    taught, fresh = Pair(spec, 50), Pair(spec, 50)
    story = Story(taught, 8)
    story.run(150)
    while story.states:
        story.end()
    getattr(taught, writer).memory.save(tmp_path / "memory")
    later = Story(fresh, 9)
    later.run(20)  # what was known before goes away
    for drafter in fresh.both:
        drafter.memory.load(tmp_path / "memory")
    assert fresh.same_memory()
    later.text.said = story.text.said
    later.run(60)


@pytest.mark.parametrize("spec", ["ngram_hash:entries=4096", "prompt_lookup", "suffix"])
def test_states_that_are_forgotten_are_given_back(spec: str) -> None:
    drafter = _drafter(spec, True, 100)
    states = [drafter.start(SequenceContext(token)) for token in range(5)]
    fork = drafter.fork(states[0])
    with pytest.raises(AssertionError, match="6 native states are held, 5"):
        drafter.check_integrity(states)
    del fork
    gc.collect()
    drafter.check_integrity(states)
    drafter.finish(states.pop())
    drafter.check_integrity(states)


@pytest.mark.parametrize("spec", ["ngram_hash:entries=4096", "prompt_lookup", "suffix"])
def test_a_finished_state_is_not_used_again(spec: str) -> None:
    drafter = _drafter(spec, True, 100)
    state = drafter.start(SequenceContext(1))
    drafter.finish(state)
    for use in (lambda: drafter.draft(state, Budget(4, 4)), lambda: drafter.observe(state, Commit([1])),
                lambda: drafter.fork(state), lambda: drafter.finish(state)):
        with pytest.raises(ValueError, match="finished"):
            use()


@pytest.mark.parametrize("spec", ["ngram_hash:floor=0;max=100000", "prompt_lookup:max=100000",
                                  "suffix:floor=0;max=100000;factor=99999"])
def test_rounds_of_any_size_find_room(spec: str) -> None:
    pair = Pair(spec, 500)
    source = random.Random(1).choices(range(500), k=1000)
    text = [*source, *source[:20]]
    states = [[drafter.start(SequenceContext(1)) for _ in range(40)] for drafter in pair.both]
    for drafter, own in zip(pair.both, states, strict=True):
        drafter.commit(own, CommitBatch(tuple(Commit(text) for _ in own), drafter.target.device))
    budgets = [Budget(nodes, 900) for nodes in range(0, 1000, 25)]
    found, right = (drafter.propose(own, budgets).trees for drafter, own in zip(pair.both, states, strict=True))
    assert [_content(tree) for tree in found] == [_content(tree) for tree in right]
    assert max(len(tree) for tree in found) >= 900


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()
