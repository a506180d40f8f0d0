"""`suffix`: continues the longest suffix that was seen before, in this sequence or in past outputs.

A suffix automaton per sequence (prediction, prompt and output) and those of past outputs give every context that ends
here, from the longest down its suffix links; while the sequence copies a text in order, as edits do, the place where
the copy should go on is asked before the shorter of them. The tree is grown best first by path probability, until
nothing above the floor is left or the budget is full: on fresh text, where matches are short, that is at once.

Source: Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), §3-4; Hu et al., "SAM Decoding" (arXiv 2411.10666), §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.alignment import FIRM_MATCH, Alignment
from outrider.drafting.interface import HostDrafter, SequenceContext, TargetView
from outrider.drafting.output_memory import OutputMemory
from outrider.drafting.suffix_automaton import ROOT, SuffixAutomaton
from outrider.drafting.suffix_growth import CopyContext, SuffixContext, grow
from outrider.drafting.thrift import Thrift
from outrider.errors import ConfigError

_MAX_CONTEXTS = 6
_PLACING_TOKENS = 64
_SEPARATOR = -1


@dataclass(slots=True)
class Cursor:
    """The longest match in one automaton of past outputs."""

    automaton: SuffixAutomaton
    state: int = ROOT
    length: int = 0

    def advance(self, token_n: Sequence[int]) -> None:
        self.settle()
        for token in token_n:
            self.state, self.length = self.automaton.advance(self.state, self.length, token)

    def settle(self) -> None:
        """Past outputs may have grown since, and split the state."""
        self.state = self.automaton.settle(self.state, self.length)

    def copy(self) -> Cursor:
        return Cursor(self.automaton, self.state, self.length)


@dataclass(slots=True)
class SuffixState:
    """A sequence: its text (a prediction before it), what it put out, and where it stands in itself and the past."""

    scope: str
    automaton: SuffixAutomaton = field(default_factory=SuffixAutomaton)
    tokens: list[int] = field(default_factory=list)
    alignment: Alignment = field(default_factory=Alignment)
    output: list[int] = field(default_factory=list)
    cursors: list[Cursor] = field(default_factory=list)

    def extend(self, token_n: Sequence[int]) -> None:
        automaton = self.automaton
        for token in token_n:
            automaton.append(token)
            self.tokens.append(token)
            match_length = automaton.length[automaton.longest_seen_suffix()]
            self.alignment.observe(automaton.match_end, match_length, len(self.tokens) - 1)
        for cursor in self.cursors:
            cursor.advance(token_n)

    def separate(self) -> None:
        self.automaton.separate()
        self.tokens.append(_SEPARATOR)

    def copy(self) -> SuffixState:
        return SuffixState(self.scope, self.automaton.copy(), self.tokens.copy(), self.alignment.copy(),
                           self.output.copy(), [cursor.copy() for cursor in self.cursors])


class SuffixDrafter(HostDrafter[SuffixState]):
    """Copies from the text itself and from past outputs; the default."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max: nodes of a draft. min_match: shortest match that drafts. floor: least survival drafted, a quarter of it
        for the first `cheap` nodes. factor, offset: a draft is at most factor x match + offset deep. past: tokens of
        past outputs kept; 0 keeps none. frozen: learn no more outputs.
        """

        max: int = 32
        min_match: int = 1
        floor: float = 0.4
        cheap: int = 4
        factor: float = 4.0
        offset: float = 4.0
        past: int = 131072
        frozen: bool = False

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: SuffixDrafter.Config = self.config
        if config.min_match < 1 or config.factor < 0 or config.past < 0:
            raise ConfigError(f"suffix: min_match {config.min_match}, factor {config.factor} and past {config.past}: "
                              "expected min_match from 1 on, factor and past from 0 on")
        self.outputs = self.memory = OutputMemory(config.past, target.fingerprint)
        self.outputs.frozen = config.frozen

    def start(self, context: SequenceContext) -> SuffixState:
        state = SuffixState(context.scope)
        if context.prediction:
            state.extend(context.prediction)
            state.separate()
        self._place_cursors(state)
        state.extend((context.token,))
        return state

    def observe(self, state: SuffixState, commit: Commit) -> None:
        state.extend(commit.token_n)
        if commit.verdict is not None:
            # The prompt's last commit brings the first token of the answer along.
            state.output.extend(commit.token_n[-(commit.verdict.accepted + 1):])

    def fork(self, state: SuffixState) -> SuffixState:
        return state.copy()

    def finish(self, state: SuffixState) -> None:
        self.outputs.learn(state.output, state.scope)

    def draft(self, state: SuffixState, budget: Budget) -> DraftTree:
        self._place_cursors(state)
        contexts = _contexts(state)
        longest = contexts[0].length if contexts else 0
        limit = Budget(nodes=min(self.config.max, budget.nodes),
                       depth=min(budget.depth, int(self.config.factor * longest + self.config.offset)))
        if longest < self.config.min_match or not limit:
            return EMPTY_TREE
        near = _near_copy(state) if longest < FIRM_MATCH else None
        thrift = Thrift.within(budget, self.config.floor, self.config.cheap)
        return grow([near, *contexts] if near else contexts, limit, thrift)

    def _place_cursors(self, state: SuffixState) -> None:
        """One cursor for each automaton of past outputs; one that came up meanwhile walks the last tokens first."""
        automata = self.outputs.automata(state.scope)
        if [cursor.automaton for cursor in state.cursors] == automata:
            return
        known = {id(cursor.automaton): cursor for cursor in state.cursors}
        state.cursors = [known.get(id(automaton)) or _placed(automaton, state.tokens) for automaton in automata]


def _placed(automaton: SuffixAutomaton, token_n: Sequence[int]) -> Cursor:
    cursor = Cursor(automaton)
    recent = token_n[-_PLACING_TOKENS:]
    cursor.advance(recent[recent.index(_SEPARATOR) + 1 :] if _SEPARATOR in recent else recent)
    return cursor


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


def _near_copy(state: SuffixState) -> CopyContext | None:
    source = state.alignment.resume(state.tokens)
    return CopyContext(state.tokens, source.position, source.length) if source else None
