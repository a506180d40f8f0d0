"""What of a text has to wait because it may be the beginning of a tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """A text up to a tag: what is before it, which one it is, and what follows. Without one, `tag` is empty and
    `after` what may yet become one.
    """

    before: str
    tag: str
    after: str


def cut_at(text: str, tags: Sequence[str]) -> Cut:
    """At the first of the tags that stands whole in the text."""
    found = [(text.index(tag), tag) for tag in tags if tag in text]
    if found:
        at, tag = min(found)
        return Cut(text[:at], tag, text[at + len(tag) :])
    held = max((_overlap(text, tag) for tag in tags), default=0)
    return Cut(text[: len(text) - held], "", text[len(text) - held :])


def _overlap(text: str, tag: str) -> int:
    """How much of the end of `text` is a beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
