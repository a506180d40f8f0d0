"""For which mode of the target a drafter was trained: with thinking, or without."""

from __future__ import annotations

from pathlib import Path

from outrider.io.drafters.catalogue import load_drafters
from outrider.io.fields import Fields

THINKING = "enable_thinking"  # our key, called like the template's: other projects' configs do not say


def read_thinking(config: Fields, path: Path) -> bool | None:
    """What the config says, else what is known of the published drafter; None where neither does."""
    if config.has(THINKING):
        return config.flag(THINKING)
    published = load_drafters().at(path)
    return published.thinking if published else None
