"""Telling what a model thinks aloud from what it says: <think> … </think> in front of the answer."""

from __future__ import annotations

from outrider.serve.answer.held import cut_at
from outrider.serve.answer.parts import Content, Reasoning

OPEN, CLOSE = "<think>", "</think>"


def is_open(prompt: str) -> bool:
    """Whether a rendered prompt ends within thoughts, as templates do that open the tag themselves."""
    return prompt.rstrip().endswith(OPEN)


class ThoughtSplitter:
    """Cuts a text into thoughts and answer; blanks around either are left out at the tags.

    Thoughts are at the beginning or nowhere: a tag further down is part of the text.
    """

    def __init__(self, inside: bool) -> None:
        self._held = ""
        self._inside, self._before = inside, not inside  # before: it is not known yet whether there are thoughts
        self._trim = inside  # blanks are left out until something else comes

    def push(self, text: str) -> list[Content | Reasoning]:
        self._held += text
        if self._before and not self._begun():
            return []
        if not self._inside:
            return self._content()
        cut = cut_at(self._trimmed(self._held), (CLOSE,))
        thought = cut.before.rstrip()  # what ends it may be blanks and the tag
        parts: list[Content | Reasoning] = [Reasoning(thought)] if thought else []
        if not cut.tag:
            self._held = cut.before[len(thought) :] + cut.after
            self._trim = self._trim and not thought
            return parts
        self._inside, self._trim, self._held = False, True, cut.after
        return [*parts, *self._content()]

    def finish(self) -> list[Content | Reasoning]:
        held, self._held = self._held, ""
        if self._inside:
            return [Reasoning(held.rstrip())] if held.strip() else []
        return [Content(held)] if held and not self._trim else []

    def _begun(self) -> bool:
        """Whether the text has shown whether it begins with thoughts."""
        start = self._held.lstrip()
        if OPEN.startswith(start) and start != OPEN:
            return False
        self._before = False
        if start.startswith(OPEN):
            self._held, self._inside, self._trim = start.removeprefix(OPEN), True, True
        return True

    def _content(self) -> list[Content | Reasoning]:
        text, self._held = self._trimmed(self._held), ""
        self._trim = self._trim and not text
        return [Content(text)] if text else []

    def _trimmed(self, text: str) -> str:
        return text.lstrip() if self._trim else text
