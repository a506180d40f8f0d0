"""For those who write drafters: `check_drafter` runs the contract suite, `tiny_model` is something to try them on."""

from __future__ import annotations

from outrider.testing.contract import check_drafter
from outrider.testing.tiny import tiny_model

__all__ = ["check_drafter", "tiny_model"]
