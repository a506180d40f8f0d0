"""`Sampling`: what a request asks of its tokens. Checked once, here; never changed afterwards."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace

from outrider.errors import ConfigError, suggestion

MAX_SEED = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen and when to stop.

    The order of operations is fixed: logit bias, penalties, temperature, top-k, top-p, min-p, keyed noise; ties go to
    the lowest token id. `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 are off. The repetition penalty
    (1 is off) looks at prompt and output, the presence and frequency penalties at the output only.

    `seed` None stands for 64 fresh random bits. `logprobs` None asks for none, 0 for the chosen token's, n for the n
    best beside it; they are the target's own, before any of the operations above.

    Before `min_tokens` tokens are out, neither an end token nor one of `stop_ids` is chosen; a stop string still ends
    the text.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    n: int = 1
    max_tokens: int = 256
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", _listed("stop", self.stop, str))
        object.__setattr__(self, "stop_ids", _listed("stop_ids", self.stop_ids, int))
        for name, low, high, whole in _RANGES:
            _check_number(name, getattr(self, name), low, high, whole)
        if self.min_tokens > self.max_tokens:
            raise ConfigError(f"min_tokens: got {self.min_tokens}, expected at most max_tokens ({self.max_tokens})")
        if any(not isinstance(text, str) or not text for text in self.stop):
            raise ConfigError("stop: expected non-empty strings")
        if any(not _is_id(token) for token in self.stop_ids):
            raise ConfigError(f"stop_ids: got {self.stop_ids!r}, expected token ids")
        bias: object = self.logit_bias
        if not isinstance(bias, Mapping) or any(not _is_id(key) or not _is_finite(bias[key]) for key in bias):
            raise ConfigError("logit_bias: expected token ids with a finite number each")

    @classmethod
    def of(cls, base: Sampling | None = None, **changes: object) -> Sampling:
        """`base` (or the defaults) with `changes`; an unknown name is an error with a suggestion."""
        known = [f.name for f in fields(cls)]
        for name in changes:
            if name not in known:
                raise ConfigError(f"unknown sampling option '{name}'{suggestion(name, known)}")
        try:
            return replace(base or cls(), **changes)  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(f"sampling: {error}") from None

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def has_penalties(self) -> bool:
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0

    @property
    def is_plain_greedy(self) -> bool:
        """Greedy with nothing that changes the logits: the choice is their argmax."""
        return self.is_greedy and not self.has_penalties and not self.logit_bias

    def seeded(self) -> Sampling:
        """The same sampling with a seed in place of None."""
        return self if self.seed is not None else replace(self, seed=secrets.randbits(64))


_INF = math.inf
_RANGES: tuple[tuple[str, float, float, bool], ...] = (
    ("temperature", 0.0, 100.0, False),
    ("top_k", 0, _INF, True),
    ("top_p", 1e-9, 1.0, False),
    ("min_p", 0.0, 1.0, False),
    ("repetition_penalty", 1e-3, 1e3, False),
    ("presence_penalty", -100.0, 100.0, False),
    ("frequency_penalty", -100.0, 100.0, False),
    ("seed", 0, MAX_SEED - 1, True),
    ("n", 1, 1024, True),
    ("max_tokens", 0, _INF, True),
    ("min_tokens", 0, _INF, True),
    ("logprobs", 0, 100, True),
)


def _listed(name: str, value: object, single: type) -> tuple[object, ...]:
    """One value or several as a tuple."""
    if isinstance(value, single):
        return (value,)
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name}: got {value!r}, expected a list")
    return tuple(value)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_number(name: str, value: object, low: float, high: float, whole: bool) -> None:
    if value is None and name in ("seed", "logprobs"):
        return
    kind = "a whole number" if whole else "a number"
    allowed = (int,) if whole else (int, float)
    span = f"from {low:g} to {high:g}" if high < _INF else f"of at least {low:g}"
    if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
        raise ConfigError(f"{name}: got {value!r}, expected {kind} {span}")
