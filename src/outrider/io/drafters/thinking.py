"""For which mode of the target a drafter was trained."""

from __future__ import annotations

THINKING = "enable_thinking"  # our key: other projects' configs do not say
