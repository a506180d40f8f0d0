"""From grammars to constraints for one model's vocabulary."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection

import llguidance

from outrider.constrain.bounds import check, limits
from outrider.constrain.grammar import Grammar
from outrider.constrain.matcher import CompiledConstraint, Matcher, first_line
from outrider.constrain.vocabulary import vocabulary_of
from outrider.core.constraint import Constraint
from outrider.errors import RequestError
from outrider.io.tokenizer import Tokenizer

MAX_KEPT = 64  # compiled grammars


class Compiler:
    """One a model; threads may share it. The last grammars that were compiled are kept.

    `size` is the target's vocabulary, `end_ids` end its texts. The first compilation prepares the vocabulary, which
    takes up to half a second.
    """

    def __init__(self, tokenizer: Tokenizer | None, size: int, end_ids: Collection[int]) -> None:
        self._tokenizer, self._size = tokenizer, size
        self._end_ids = frozenset(token for token in end_ids if token < size)
        self._kept: OrderedDict[Grammar, CompiledConstraint] = OrderedDict()
        self._vocabulary: llguidance.LLTokenizer | None = None
        self._lock = threading.Lock()

    def compile(self, grammar: Grammar) -> Constraint:
        """May take a second for a large schema. Raises: RequestError, one line that begins with `grammar.field`."""
        with self._lock:
            kept = self._kept.get(grammar)
            if kept is not None:
                self._kept.move_to_end(grammar)
                return kept
            vocabulary = self._vocabulary = self._vocabulary or self._prepared()
        made = _compiled(grammar, vocabulary)  # others need not wait
        with self._lock:
            self._kept[grammar] = made
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return made

    def _prepared(self) -> llguidance.LLTokenizer:
        if self._tokenizer is None:
            raise RequestError("this model was loaded without a tokenizer: its answers cannot be constrained")
        if not self._end_ids:
            raise RequestError("this model has no end token: its answers cannot be constrained")
        return vocabulary_of(self._tokenizer, self._size, self._end_ids)


def _compiled(grammar: Grammar, vocabulary: llguidance.LLTokenizer) -> CompiledConstraint:
    check(grammar)
    matcher = llguidance.LLMatcher(vocabulary, _source(grammar), log_level=0, limits=limits())
    if not matcher.is_error():
        matcher.compute_bitmask()  # some limits and all that can never match show up here only
    if matcher.is_error():
        message = first_line(matcher.get_error())
        raise RequestError(f"{grammar.field}: " + (_NOTHING if message.startswith("NoExtension") else message))
    return CompiledConstraint(Matcher(matcher, vocabulary))


_NOTHING = "nothing can match this: expected something that a text can end with"


def _source(grammar: Grammar) -> str:
    if grammar.kind == "json":
        return llguidance.LLMatcher.grammar_from_json_schema(grammar.text)
    if grammar.kind == "regex":
        return llguidance.LLMatcher.grammar_from_regex(grammar.text)
    return llguidance.LLMatcher.grammar_from_lark(grammar.text)
