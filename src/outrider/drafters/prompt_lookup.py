"""`prompt_lookup`: finds the last n tokens earlier in the text and proposes what followed them there.

n goes from the longest gram down to the shortest, and the newest occurrence wins; at equal length the prediction, if
there is one, goes before the text. Every gram's newest end is kept in an index, so a token costs the same however long
the text has grown, and nothing is ever scanned.

Source: Saxena, "Prompt Lookup Decoding" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext, TargetView
from outrider.drafting.rolling import Gram, Trail, grams
from outrider.errors import ConfigError


@dataclass(slots=True)
class IndexedText:
    """A text that knows where each of its grams last ended: `ends` maps a key to the position of the token after."""

    trail: Trail
    tokens: list[int] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)

    def extend(self, token_n: Sequence[int], levels: Sequence[Gram]) -> None:
        hash_n = self.trail.hash_n
        for token in token_n:
            here = len(self.tokens)
            for gram in levels:
                if gram.size <= here:
                    self.ends[gram.key(hash_n[-1], hash_n[-1 - gram.size])] = here
            self.tokens.append(token)
            self.trail.extend((token,))
        self.trail.trim()

    def copy(self) -> IndexedText:
        return IndexedText(self.trail.copy(), self.tokens.copy(), self.ends.copy())


@dataclass(slots=True)
class LookupState:
    """The sequence so far and, apart from it, the text that the user expects."""

    text: IndexedText
    expected: IndexedText


@dataclass(frozen=True, slots=True)
class Match:
    """Where a copy may begin, and how many tokens agree before it."""

    source: IndexedText
    position: int
    length: int


class PromptLookupDrafter(HostDrafter[LookupState]):
    """Copies from the prompt, the output so far and the prediction."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max: longest draft. max_ngram, min_ngram: the longest and the shortest match that is looked for."""

        max: int = 10
        max_ngram: int = 8
        min_ngram: int = 2

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: PromptLookupDrafter.Config = self.config
        if not 1 <= config.min_ngram <= config.max_ngram:
            raise ConfigError(f"prompt_lookup: min_ngram {config.min_ngram} and max_ngram {config.max_ngram}: "
                              "expected 1 <= min_ngram <= max_ngram")
        self._levels = grams(range(config.max_ngram, config.min_ngram - 1, -1))

    def start(self, context: SequenceContext) -> LookupState:
        reach = self.config.max_ngram
        state = LookupState(IndexedText(Trail(reach)), IndexedText(Trail(reach)))
        state.expected.extend(context.prediction, self._levels)
        state.text.extend((context.token,), self._levels)
        return state

    def observe(self, state: LookupState, commit: Commit) -> None:
        state.text.extend(commit.token_n, self._levels)

    def fork(self, state: LookupState) -> LookupState:
        return LookupState(state.text.copy(), state.expected.copy())

    def draft(self, state: LookupState, budget: Budget) -> DraftTree:
        match = self._find(state)
        if match is None:
            return EMPTY_TREE
        count = min(self.config.max, budget.nodes, budget.depth)
        tokens = match.source.tokens[match.position : match.position + count]
        # A longer match is believed more; what was copied adds to the match as the draft goes on.
        scores: list[float] = []
        survival = 1.0
        for depth in range(len(tokens)):
            survival *= 1.0 - 0.8 * 0.75 ** (match.length + depth)
            scores.append(survival)
        kept = sum(score >= budget.min_survival for score in scores)
        return DraftTree.chain(tokens[:kept], scores[:kept])

    def _find(self, state: LookupState) -> Match | None:
        hash_n, tokens = state.text.trail.hash_n, state.text.tokens
        for gram in self._levels:
            if gram.size > len(tokens):
                continue
            key = gram.key(hash_n[-1], hash_n[-1 - gram.size])
            for source in (state.expected, state.text):
                end = source.ends.get(key)
                # The tokens are compared, so that not even a collision of 64 bits drafts nonsense.
                if end is not None and source.tokens[end - gram.size : end] == tokens[-gram.size:]:
                    return Match(source, end, gram.size)
        return None
