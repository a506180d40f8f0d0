"""When an infill is over before the model says so: by its lines, by the clock, or since an end is likely enough.

`n_indent` and `t_max_predict_ms` are llama.cpp's: a line that is indented by less ends the text before it, and once the
time is up the text ends with the line. Its sampler `infill` lets a text end where an end is likely, not only where it
is likeliest, and where nothing is likely; so do we, and choose the likeliest token otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from outrider.core.request import Delta, Logprobs
from outrider.io.tokenizer import Tokenizer
from outrider.serve.pieces import PieceSplitter

_LEAST = 0.2  # probability of the likeliest token; below it the text ends
_WEIGHT = 3  # times the number of candidates: how much an end weighs against a text that goes on


@dataclass(frozen=True, slots=True)
class EndRules:
    """`indent` in characters, 0: any; `limit_s` from the first token, 0 or less: none. `weighs_ends` among the
    candidates of a token that make `top_p`; `ends` are the tokens that end a text."""

    tokenizer: Tokenizer
    stops: tuple[str, ...]
    indent: int = 0
    limit_s: float = 0.0
    weighs_ends: bool = False
    top_p: float = 1.0
    ends: frozenset[int] = frozenset()

    def ends_here(self, entry: Logprobs) -> bool:
        """Whether the text ends before this token."""
        pieces, chances = self._candidates(entry)
        ending = sum(chance for token, chance in zip(pieces, chances, strict=True) if token in self.ends)
        if _WEIGHT * ending * len(chances) > 1 - ending:
            return True
        return max(chances) < _LEAST and self._likeliest_merged(pieces, chances) < _LEAST

    def _candidates(self, entry: Logprobs) -> tuple[list[int], list[float]]:
        """Tokens and probabilities of those that make `top_p`, likeliest first."""
        chances = [math.exp(item.logprob) for item in entry.top]
        wanted, sum_, count = self.top_p * sum(chances), 0.0, 0
        while count < len(chances) and (sum_ < wanted or not count):
            sum_ += chances[count]
            count += 1
        return [item.token for item in entry.top[:count]], [chance / sum_ for chance in chances[:count]]

    def _likeliest_merged(self, tokens: Sequence[int], chances: Sequence[float]) -> float:
        """The best probability where tokens that begin a likelier one, or begin with it, count as the same."""
        spelt = [(self.tokenizer.token_bytes(token), chance) for token, chance in zip(tokens, chances, strict=True)]
        return max(sum(chance for other, chance in spelt if other.startswith(piece) or piece.startswith(other))
                   for piece, _ in spelt)


class InfillText:
    """The text of an infill as it comes. Feed it every delta until it is over; `told` is what may be shown so far."""

    def __init__(self, rules: EndRules) -> None:
        self.text = ""
        self.token_n: list[int] = []
        self.stop_type = "none"
        self._rules = rules
        self._splitter = PieceSplitter(rules.tokenizer, rules.stops)
        self._first_s: float | None = None
        self._line = 0  # where the line begins that is not known to be indented enough

    @property
    def is_over(self) -> bool:
        return self.stop_type != "none"

    def push(self, delta: Delta, now_s: float | None = None) -> str:
        """The text gained, cut where a rule ends it."""
        now_s = time.perf_counter() if now_s is None else now_s
        self._first_s = now_s if self._first_s is None else self._first_s
        before = len(self.text)
        for index, (token, piece) in enumerate(zip(delta.token_n, self._splitter.split(delta), strict=True)):
            if self._rules.weighs_ends and self._rules.ends_here(delta.logprobs[index]):
                self.stop_type = "eos"
                break
            self.token_n.append(token)
            self.text += piece
        if not delta.token_n:
            self.text += delta.text
        if not self.is_over and delta.finish_reason is not None:
            self.stop_type = self._reason(delta)
        self._check_lines(before, now_s - self._first_s)
        return self.text[before:]

    def _check_lines(self, before: int, seconds: float) -> None:
        rules, found = self._rules, self.text.find("\n", self._line)
        while rules.indent and found >= 0:
            line = self.text[found + 1:]
            if not line.strip(" \t"):
                break
            if len(line) - len(line.lstrip(" \t")) < rules.indent:
                self._cut(found + 1)
                return
            self._line = found + 1
            found = self.text.find("\n", self._line)
        end = self.text.rfind("\n") + 1
        if not self.is_over and end > before and 0 < rules.limit_s < seconds:
            self._cut(end)

    def _cut(self, end: int) -> None:
        self.text, self.stop_type = self.text[:end], "limit"

    def _reason(self, delta: Delta) -> str:
        if delta.finish_reason == "length":
            return "limit"
        is_token = bool(delta.token_n) and delta.token_n[-1] in self._rules.ends
        return "eos" if is_token else "word"
