"""A grammar's state over llguidance, which masks with an Earley parser over lexemes and a trie of the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import llguidance


class Matcher:
    """See `core.constraint.ConstraintState`."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: llguidance.LLTokenizer) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary

    @property
    def is_over(self) -> bool:
        return self._matcher.is_stopped() and self._matcher.is_accepting() and not self._matcher.is_error()

    @property
    def failure(self) -> str:
        return first_line(self._matcher.get_error())

    def mask(self) -> bytes:
        found = b"" if self._matcher.is_error() else self._matcher.compute_bitmask()
        return self._only_ends() if self._matcher.is_error() else found  # working it out may have met a limit

    def allows(self, token: int) -> bool:
        if token in self._vocabulary.eos_tokens:
            return self._matcher.is_accepting()
        return self._may_be(token) and self._matcher.validate_tokens([token]) == 1

    def advance(self, token: int) -> bool:
        if token in self._vocabulary.eos_tokens:
            return False
        return self._may_be(token) and self._matcher.try_consume_tokens([token]) == 1

    def rollback(self, count: int) -> None:
        self._matcher.rollback(count)

    def fork(self) -> Matcher:
        return Matcher(self._matcher.deep_copy(), self._vocabulary)

    def forced(self) -> list[int]:
        return [] if self._matcher.is_stopped() else self._matcher.compute_ff_tokens()

    def _may_be(self, token: int) -> bool:
        """llguidance takes any spelling of text that must come, but its masks allow only the tokenizer's own."""
        forced = self.forced()
        return not self._matcher.is_stopped() and (not forced or token == forced[0])

    def _only_ends(self) -> bytes:
        bits = bytearray((self._vocabulary.vocab_size + 31) // 32 * 4)
        for token in self._vocabulary.eos_tokens:
            bits[token // 8] |= 1 << token % 8
        return bytes(bits)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledConstraint:
    """See `core.constraint.Constraint`. `start` copies a matcher that has read nothing, which takes microseconds."""

    matcher: Matcher

    def start(self) -> Matcher:
        return self.matcher.fork()


def first_line(message: str) -> str:
    """llguidance's errors go on with the grammar and a caret."""
    return " ".join((message.strip().splitlines() or [""])[0].split())
