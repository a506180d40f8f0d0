"""A sequence of the drafter `suffix`: its text with an automaton, its output, and where it stands in past outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.core.hunk import News
from outrider.drafting.alignment import NOWHERE, Alignment
from outrider.drafting.suffix_automaton import ROOT, SuffixAutomaton

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
    num_known: int = 0  # tokens before those that came last

    def expect_output(self, num_prompt: int) -> None:
        """It begins behind so many tokens more; 0 where nobody knows."""
        if num_prompt:
            self.alignment.output = len(self.tokens) + num_prompt

    def extend(self, token_n: Sequence[int]) -> None:
        automaton = self.automaton
        self.alignment.edits.news.clear()
        self.num_known = len(self.tokens)
        for token in token_n:
            automaton.append(token)
            self.tokens.append(token)
            match_length = automaton.length[automaton.longest_seen_suffix()]
            self.alignment.observe(self.tokens, automaton.match_end, match_length)
        for cursor in self.cursors:
            cursor.advance(token_n)

    def news(self) -> News:
        output, edits = self.alignment.output, self.alignment.edits
        has_begun = self.num_known <= output < len(self.tokens)
        return News(output if has_begun else NOWHERE, tuple(edits.news))

    def separate(self) -> None:
        self.automaton.separate()
        self.tokens.append(_SEPARATOR)

    def copy(self) -> SuffixState:
        return SuffixState(self.scope, self.automaton.copy(), self.tokens.copy(), self.alignment.copy(),
                           self.output.copy(), [cursor.copy() for cursor in self.cursors], self.num_known)

    def place_cursors(self, automata: Sequence[SuffixAutomaton]) -> None:
        """One cursor for each automaton of past outputs; one that came up meanwhile walks the last tokens first."""
        if [cursor.automaton for cursor in self.cursors] == automata:
            return
        known = {id(cursor.automaton): cursor for cursor in self.cursors}
        self.cursors = [known.get(id(automaton)) or _placed(automaton, self.tokens) for automaton in automata]


def _placed(automaton: SuffixAutomaton, token_n: Sequence[int]) -> Cursor:
    cursor = Cursor(automaton)
    recent = token_n[-_PLACING_TOKENS:]
    cursor.advance(recent[recent.index(_SEPARATOR) + 1 :] if _SEPARATOR in recent else recent)
    return cursor
