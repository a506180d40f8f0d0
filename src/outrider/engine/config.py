"""`EngineConfig`: how much the engine does at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Sizes are in tokens. `cache_tokens` 0 means room for `max_sequences` of the full context, at most 32,768."""

    max_sequences: int = 8
    max_draft: int = 64
    prefill_tokens: int = 512
    cache_tokens: int = 0
    context: int = 0  # 0: what the model was made for, at most 32,768

    def context_of(self, max_positions: int) -> int:
        limit = min(max_positions, 32_768)
        return min(self.context, max_positions) if self.context else limit

    def cache_of(self, context: int) -> int:
        return self.cache_tokens or min(self.max_sequences * (context + self.max_draft), 32_768)
