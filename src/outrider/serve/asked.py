"""`Asked`: an HTTP request once it is read, on its way to the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from outrider.core.request import Request
from outrider.serve.answer.reader import AnswerReader


@dataclass(frozen=True, slots=True)
class Show:
    """How an answer is to be told. `top_logprobs` None: without log-probabilities."""

    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    drafters: bool = False
    echo: bool = False
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One engine request for each prompt; `prompts` are their texts, where they came as text and are to be told."""

    requests: tuple[Request, ...]
    show: Show
    prompts: tuple[str, ...] = ()
    new_reader: Callable[[], AnswerReader] | None = None  # of a chat: one for each sample

    @property
    def has_prediction(self) -> bool:
        return any(request.prediction for request in self.requests)
