"""`EngineConfig`: how much the engine does at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outrider.core.rule import RULES, RuleName
from outrider.errors import ConfigError
from outrider.policy.choose import ADAPTIVE, fixed_nodes
from outrider.target.load import MAX_CONTEXT

Overlap = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Sizes are in tokens. `cache_tokens` 0 means room for `max_sequences` of the full context, at most 32,768.

    `rule` says how drafts are verified. `match` gives the tokens of plain decoding. `ratio` and `block` give their law
    only, for drafters that draw from a distribution; greedy requests are the same under all three.

    `draft_policy` says how much is drafted: `adaptive`, what pays, or `fixed:K`. Unless given, it is adaptive under
    `match`. Under the other rules tokens depend on what was drafted, and an adaptive policy reads clocks: there the
    drafters' own limits hold, so that a seed still gives the same answer.

    `overlap` launches a round before the one before it is resolved, where nothing is drafted; `auto` where it pays.
    """

    max_sequences: int = 8
    max_draft: int = 64
    prefill_tokens: int = 512
    cache_tokens: int = 0
    context: int = 0  # 0: what the model was made for, at most 32,768
    rule: RuleName = "match"
    draft_policy: str = ""
    overlap: Overlap = "auto"

    def __post_init__(self) -> None:
        for name, low in (("max_sequences", 1), ("max_draft", 0), ("prefill_tokens", 1), ("cache_tokens", 0),
                          ("context", 0)):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least {low}")
        if self.rule not in RULES:
            raise ConfigError(f"rule: got {self.rule!r}, expected one of {', '.join(RULES)}")
        if self.overlap not in ("auto", "on", "off"):
            raise ConfigError(f"overlap: got {self.overlap!r}, expected auto, on or off")
        fixed_nodes(self.policy)

    @property
    def policy(self) -> str:
        """The draft policy that holds."""
        return self.draft_policy or (ADAPTIVE if self.rule == "match" else f"fixed:{self.max_draft}")

    def cache_of(self, context: int, margin: int) -> int:
        """Tokens of room; unless told otherwise one sequence fits, however long, with `margin` behind it."""
        usual = min(self.max_sequences * (context + self.max_draft), MAX_CONTEXT)
        return self.cache_tokens or max(usual, context + margin)
