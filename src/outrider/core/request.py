"""Requests and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from outrider.core.constraint import Constraint
from outrider.core.sampling import Sampling
from outrider.core.stats import Stats
from outrider.errors import RequestError, suggestion

FinishReason = Literal["stop", "length", "abort"]
MAX_LOGPROBS = 100  # best tokens beside the chosen one


@dataclass(frozen=True, slots=True)
class Speculation:
    """What may be drafted for one request. It changes when tokens come, never which.

    `drafter` names those of the engine's drafters that may be asked, joined by `+`; empty: all of them. `max_draft`
    nodes in a round at most; -1: as many as the engine allows. Raises: RequestError.
    """

    enabled: bool = True
    drafter: str = ""
    max_draft: int = -1

    def __post_init__(self) -> None:
        for name, value, kind, what in (("enabled", self.enabled, bool, "true or false"),
                                        ("drafter", self.drafter, str, "a name"),
                                        ("max_draft", self.max_draft, int, "a whole number from 0 on")):
            if type(value) is not kind:
                raise RequestError(f"speculation: {name}: got {value!r:.80}, expected {what}")
        if self.max_draft < -1:
            raise RequestError(f"speculation: max_draft: got {self.max_draft}, expected a whole number from 0 on")

    @classmethod
    def of(cls, given: Speculation | Mapping[str, object] | None) -> Speculation:
        """From a mapping, in which None stands for the default; unknown keys are errors. Raises: RequestError."""
        if isinstance(given, Speculation):
            return given
        if given is not None and not isinstance(given, Mapping):
            raise RequestError(f"speculation: got {given!r:.80}, expected a mapping such as {{'enabled': False}}")
        known = [item.name for item in fields(cls)]
        for key in given or ():
            if key not in known:
                raise RequestError(f"speculation: unknown key {key!r}{suggestion(str(key), known)}; "
                                   f"known: {', '.join(known)}")
        chosen = {key: value for key, value in (given or {}).items() if value is not None}
        return cls(**chosen)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Request:
    """A tokenised prompt and what is asked of it.

    `prediction` is text the user expects in the answer, tokenised, for drafters that copy; it is never forwarded.
    `scope` separates users: prefix pages and drafter memories are shared only within one. `prompt_logprobs` asks for
    the prompt's own log-probabilities as `Sampling.logprobs` does for the answer's; all of the prompt is then computed.
    `constraint` is what the answer must look like.
    """

    token_n: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    prediction: tuple[int, ...] = ()
    scope: str = ""
    speculation: Speculation = field(default_factory=Speculation)
    prompt_logprobs: int | None = None
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        count: object = self.prompt_logprobs
        if count is not None and (type(count) is not int or not 0 <= count <= MAX_LOGPROBS):
            raise RequestError(f"prompt_logprobs: got {count!r:.80}, expected a whole number from 0 to {MAX_LOGPROBS}")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural log of the target's own probability of a token."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Logprobs:
    """One token's log-probability and the best `n` beside it, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """What one round added to one sample: new text, its token ids, and who guessed each.

    `source_n` has one bit set a token (bit i: the drafter's i-th source), 0 for tokens that were the target's own
    correction or bonus. `logprobs` has an entry a token where they were asked for. Text may lag behind ids where a
    character or a possible stop string is still incomplete. `drafted` nodes were verified for it.
    """

    sample: int
    text: str
    token_n: tuple[int, ...]
    source_n: tuple[int, ...]
    finish_reason: FinishReason | None
    logprobs: tuple[Logprobs, ...] = ()
    drafted: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One of a request's `n` answers."""

    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[Logprobs, ...]
    stats: Stats


@dataclass(frozen=True, slots=True)
class Result:
    """An answer. `str(result)` is its text; with `n` above 1 the fields are the first sample's, `samples` has all.

    `prompt_logprobs` has an entry a prompt token where they were asked for; nothing foretells the first: None.
    """

    samples: tuple[Sample, ...]
    prompt_ids: tuple[int, ...]
    prompt_logprobs: tuple[Logprobs | None, ...] = ()

    @property
    def text(self) -> str:
        return self.samples[0].text

    @property
    def ids(self) -> tuple[int, ...]:
        return self.samples[0].ids

    @property
    def finish_reason(self) -> FinishReason:
        return self.samples[0].finish_reason

    @property
    def logprobs(self) -> tuple[Logprobs, ...]:
        return self.samples[0].logprobs

    @property
    def stats(self) -> Stats:
        return self.samples[0].stats

    def __str__(self) -> str:
        return self.text
