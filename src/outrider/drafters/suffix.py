"""`suffix`: continues the longest suffix that was seen before, in this sequence or in past outputs.

A suffix automaton per sequence (prediction, prompt and output) and those of past outputs give every context that ends
here, from the longest down its suffix links. While the sequence copies a text in order, as edits do, the place where
the copy goes on is asked first; what was changed there before, a name say, is drafted changed (`drafting.edits`). So is
a place of the prompt that agrees and was not put out yet (`drafting.alignment`). The tree is grown best first by path
probability, until nothing above the floor is left or the budget is full: on fresh text, where matches are short, that
is at once.

Source: Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), §3-4; Hu et al., "SAM Decoding" (arXiv 2411.10666), §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from outrider.drafting.interface import TargetView
from outrider.drafting.output_memory import OutputMemory
from outrider.drafting.retrieval import RetrievalDrafter
from outrider.drafting.suffix_index import SuffixRules, suffix_index
from outrider.errors import ConfigError


class SuffixDrafter(RetrievalDrafter):
    """Copies from the text itself and from past outputs; part of `auto`."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max: nodes of a draft. min_match: shortest match that drafts. floor: least survival drafted, a quarter of it
        for the first `cheap` nodes. factor, offset: a draft is at most factor x match + offset deep. past: tokens of
        past outputs kept; 0 keeps none. frozen: learn no more outputs. native: search in C++ where that is built; the
        same drafts.
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

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: SuffixDrafter.Config = self.config
        if config.min_match < 1 or config.factor < 0 or config.past < 0:
            raise ConfigError(f"suffix: min_match {config.min_match}, factor {config.factor} and past {config.past}: "
                              "expected min_match from 1 on, factor and past from 0 on")
        rules = SuffixRules(config.max, config.min_match, config.floor, config.cheap, config.factor, config.offset)
        self.index = index = suffix_index(rules, config.past, config.native)
        self.outputs = self.memory = OutputMemory(index.past, target.fingerprint)
        self.outputs.frozen = config.frozen
