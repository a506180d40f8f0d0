"""Sequences that draft from their own text and from past outputs: which contexts a draft is grown out of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from outrider.core.commit import Commit
from outrider.core.hunk import News
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.alignment import Source
from outrider.drafting.output_memory import OutputShelves, OutputStore
from outrider.drafting.retrieval import IndexTwin, RetrievalIndex, native_library
from outrider.drafting.suffix_automaton import ROOT, SuffixAutomaton
from outrider.drafting.suffix_growth import (
    COPY_TRUST,
    ESCAPE,
    Context,
    CopyContext,
    EditContext,
    SuffixContext,
    change,
    grow,
)
from outrider.drafting.suffix_state import SuffixState
from outrider.drafting.thrift import Thrift
from outrider.ops.native.retrieval import NativeSuffixes

_MAX_CONTEXTS = 6
_GUESSED = 2  # tokens of a change after which it is taken for a single token's; fewer count as agreement
_EDIT_MATCH = 4  # tokens of agreement that a change that came again is worth


@dataclass(frozen=True, slots=True)
class SuffixRules:
    """max: nodes of a draft. min_match: shortest match that drafts. floor: least survival drafted, a quarter of it for
    `cheap` nodes. factor, offset: a draft is at most factor x match + offset deep.
    """

    max: int
    min_match: int
    floor: float
    cheap: int
    factor: float
    offset: float


class SuffixIndex(RetrievalIndex[Any], Protocol):
    """Its sequences' outputs go into `past` when they are finished. `num_news` sequences had any in the last ingest."""

    num_news: int

    @property
    def past(self) -> OutputStore: ...
    def news(self, state: Any) -> News:
        """Of the last ingest."""

    def text(self, state: Any, begin: int, end: int) -> list[int]:
        """Tokens of the sequence, as far as there are any between these positions; -1 is a separator."""

    def teach(self, state: Any, old_n: Sequence[int], new_n: Sequence[int], told: bool) -> None:
        """While it copies, it may replace `old_n` by `new_n`; `told` says that the request asks for it."""


def suffix_index(rules: SuffixRules, max_past: int, native: bool) -> SuffixIndex:
    """The native index of sequences, where there is one and it is wanted, or else its twin."""
    found = native_library(native)
    if found is None:
        return SuffixTwin(rules, OutputShelves(max_past))
    return NativeSuffixes(found, max_past, ESCAPE, COPY_TRUST, longest=rules.max, min_match=rules.min_match,
                          floor=rules.floor, cheap=rules.cheap, factor=rules.factor, offset=rules.offset)


class SuffixTwin(IndexTwin[SuffixState]):
    """The readable index."""

    def __init__(self, rules: SuffixRules, past: OutputShelves) -> None:
        self.rules, self.past, self.num_news = rules, past, 0

    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> SuffixState:
        state = SuffixState(scope)
        if prediction:
            state.extend(prediction)
            state.separate()
        state.place_cursors(self.past.automata(scope))
        state.expect_output(num_prompt)
        state.extend((token,))
        return state

    def observe(self, state: SuffixState, commit: Commit, frozen: bool) -> None:
        state.extend(commit.token_n)
        if commit.verdict is not None:
            # The prompt's last commit brings the first token of the answer along.
            state.output.extend(commit.token_n[-(commit.verdict.accepted + 1):])

    def ingest(self, states: Sequence[SuffixState], commits: Sequence[Commit], frozen: bool) -> None:
        super().ingest(states, commits, frozen)
        news = [state.news() for state in states]
        self.num_news = sum(one.output >= 0 or bool(one.hunks) for one in news)

    def news(self, state: SuffixState) -> News:
        return state.news()

    def text(self, state: SuffixState, begin: int, end: int) -> list[int]:
        return state.tokens[begin:end]

    def teach(self, state: SuffixState, old_n: Sequence[int], new_n: Sequence[int], told: bool) -> None:
        state.alignment.edits.teach(old_n, new_n, told)

    def fork(self, state: SuffixState) -> SuffixState:
        return state.copy()

    def finish(self, state: SuffixState, frozen: bool) -> None:
        if not frozen:
            self.past.learn(state.output, state.scope)

    def draft(self, state: SuffixState, budget: Budget) -> DraftTree:
        rules = self.rules
        state.place_cursors(self.past.automata(state.scope))
        found = _contexts(state)
        copied, guessed = _copies(state)
        longest = max(found[0].length if found else 0, copied.length if copied else 0, 1 if guessed else 0)
        limit = Budget(nodes=min(rules.max, budget.nodes),
                       depth=min(budget.depth, int(rules.factor * longest + rules.offset)))
        if longest < rules.min_match or not limit:
            return EMPTY_TREE
        thrift = Thrift.within(budget, rules.floor, rules.cheap)
        first: list[Context] = [copied.context] if copied else []
        return grow([*first, *found, *guessed], limit, thrift)


@dataclass(frozen=True, slots=True)
class Copied:
    """Where a copy goes on, and how long a match it is worth."""

    context: CopyContext | EditContext
    length: int


def _contexts(state: SuffixState) -> list[SuffixContext]:
    """Every context that ends here, longest first, the sequence's own before those of past outputs."""
    own = state.automaton
    match = own.longest_seen_suffix()
    found = _linked(own, match, own.length[match])
    for cursor in state.cursors:
        cursor.settle()
        found += _linked(cursor.automaton, cursor.state, cursor.length)
    found.sort(key=lambda context: -context.length)
    return found[:_MAX_CONTEXTS]


def _linked(automaton: SuffixAutomaton, state: int, length: int) -> list[SuffixContext]:
    """A match and the shorter contexts that its suffix links lead to."""
    found: list[SuffixContext] = []
    while state > ROOT and len(found) < _MAX_CONTEXTS:
        found.append(SuffixContext(automaton, state, length))
        state = automaton.link[state]
        length = automaton.length[state]
    return found


def _copies(state: SuffixState) -> tuple[Copied | None, list[CopyContext]]:
    """Where the sequence is copying, or may be, after a change or anew; and, right after a change, as if one token was
    replaced.
    """
    tokens, alignment = state.tokens, state.alignment
    edits = alignment.edits
    if alignment.is_copying:
        return Copied(CopyContext(tokens, alignment.at, alignment.run, edits), alignment.run), []
    if not alignment.is_changing:
        return _copied(state, alignment.fresh), []
    done = len(tokens) - alignment.begun
    guessed = [CopyContext(tokens, alignment.at + 1, _GUESSED - done, edits, True)] if done <= _GUESSED else []
    if (edit := alignment.begun_edit(tokens)) is not None:
        return Copied(change(tokens, edit, alignment.at, edits, done), _EDIT_MATCH), guessed
    source, fresh = alignment.resume(tokens), alignment.fresh
    if fresh is not None and (source is None or fresh.length > source.length):
        source = fresh
    return _copied(state, source), guessed


def _copied(state: SuffixState, source: Source | None) -> Copied | None:
    if source is None:
        return None
    return Copied(CopyContext(state.tokens, source.position, source.length, state.alignment.edits), source.length)
