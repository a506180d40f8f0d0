"""`prompt_lookup`: finds the last n tokens earlier in the text and proposes what followed them there.

n goes from the longest gram down to the shortest, and the newest occurrence wins; at equal length the prediction, if
there is one, goes before the text. Every gram's newest end is kept in an index, so a token costs the same however long
the text has grown, and nothing is ever scanned.

Source: Saxena, "Prompt Lookup Decoding" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

from outrider.drafting.interface import TargetView
from outrider.drafting.lookup_index import LookupRules, lookup_index
from outrider.drafting.retrieval import RetrievalDrafter
from outrider.errors import ConfigError


class PromptLookupDrafter(RetrievalDrafter):
    """Copies from the prompt, the output so far and the prediction."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max: longest draft. max_ngram, min_ngram: the longest and the shortest match that is looked for.
        native: look up in C++ where that is built; the same drafts.
        """

        max: int = 10
        max_ngram: int = 8
        min_ngram: int = 2
        native: bool = True

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: PromptLookupDrafter.Config = self.config
        if not 1 <= config.min_ngram <= config.max_ngram:
            raise ConfigError(f"prompt_lookup: min_ngram {config.min_ngram} and max_ngram {config.max_ngram}: "
                              "expected 1 <= min_ngram <= max_ngram")
        sizes = tuple(range(config.max_ngram, config.min_ngram - 1, -1))
        self.index = lookup_index(LookupRules(config.max, sizes), config.native)
