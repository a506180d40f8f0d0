"""The field `response_format` as a grammar."""

from __future__ import annotations

from outrider.constrain.grammar import Grammar


def format_of(given: object) -> Grammar | None:
    """None for text. Raises: RequestError naming the field."""
    raise NotImplementedError
