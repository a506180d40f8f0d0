"""Outrider: language models answer faster, and every token stays the same."""

from __future__ import annotations

__version__ = "0.1.0"
