"""`suffix`: continues the longest suffix that was seen before, in this sequence or in past outputs.

A suffix automaton per sequence (prediction, prompt and output) and those of past outputs give every context that ends
here, from the longest down its suffix links. While the sequence copies a text in order, as edits do, the place where
the copy goes on is asked first; what was changed there before, a name say, is drafted changed (`drafting.edits`), in
all its spellings, and from the start where the prompt asks for it by name (`drafting.respelling`). So is a place of the
prompt that agrees and was not put out yet (`drafting.alignment`). The tree is grown best first by path probability,
until nothing above the floor is left or the budget is full: on fresh text, where matches are short, that is at once.

Source: Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), §3-4; Hu et al., "SAM Decoding" (arXiv 2411.10666), §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outrider.core.commit import Commit, CommitBatch
from outrider.drafting.interface import SequenceContext, TargetView
from outrider.drafting.output_memory import OutputMemory
from outrider.drafting.respelling import READ_TOKENS, Respeller, window
from outrider.drafting.retrieval import RetrievalDrafter
from outrider.drafting.suffix_index import SuffixIndex, SuffixRules, suffix_index
from outrider.errors import ConfigError


class SuffixDrafter(RetrievalDrafter):
    """Copies from the text itself and from past outputs; part of `auto`."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max: nodes of a draft. min_match: shortest match that drafts. floor: least survival drafted, a quarter of it
        for the first `cheap` nodes. factor, offset: a draft is at most factor x match + offset deep. past: tokens of
        past outputs kept; 0 keeps none. frozen: learn no more outputs. native: search in C++ where that is built; the
        same drafts. respell: draft names that are replaced in all their spellings, as soon as the prompt names them.
        """

        max: int = 16
        min_match: int = 1
        floor: float = 0.4
        cheap: int = 4
        factor: float = 4.0
        offset: float = 4.0
        past: int = 131072
        frozen: bool = False
        native: bool = True
        respell: bool = True

    _respeller: Respeller | None = None

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: SuffixDrafter.Config = self.config
        if config.min_match < 1 or config.factor < 0 or config.past < 0:
            raise ConfigError(f"suffix: min_match {config.min_match}, factor {config.factor} and past {config.past}: "
                              "expected min_match from 1 on, factor and past from 0 on")
        rules = SuffixRules(config.max, config.min_match, config.floor, config.cheap, config.factor, config.offset)
        self.index: SuffixIndex = suffix_index(rules, config.past, config.native)
        self.outputs = self.memory = OutputMemory(self.index.past, target.fingerprint)
        self.outputs.frozen = config.frozen

    def start(self, context: SequenceContext) -> Any:
        if self._respeller is None and context.vocabulary is not None and self.config.respell:
            self._respeller = Respeller(context.vocabulary)
        return super().start(context)

    def commit(self, states: Sequence[Any], commits: CommitBatch) -> None:
        super().commit(states, commits)
        self._teach(states)

    def observe(self, state: Any, commit: Commit) -> None:
        super().observe(state, commit)
        self._teach((state,))

    def _teach(self, states: Sequence[Any]) -> None:
        """What the last commits let expect: the index speaks of tokens, and knows no text."""
        if self._respeller is not None and self.index.num_news:
            for state in states:
                self._teach_one(state, self._respeller)

    def _teach_one(self, state: Any, respeller: Respeller) -> None:
        index = self.index
        news = index.news(state)
        if news.output > 0:
            for one in respeller.told(index.text(state, max(news.output - READ_TOKENS, 0), news.output)):
                index.teach(state, one.old_n, one.new_n, True)
        for hunk in news.hunks:
            seen = window(hunk)
            new_n = index.text(state, hunk.put, hunk.end)
            for one in respeller.learnt(index.text(state, seen.begin, seen.end), seen.begin, hunk, new_n):
                index.teach(state, one.old_n, one.new_n, False)
