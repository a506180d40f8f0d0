"""From what a user writes to a `Request`: text, messages or token ids, with sampling as an object or as keywords."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from outrider.core.constraint import Constraint
from outrider.core.request import Request, Speculation
from outrider.core.sampling import Sampling
from outrider.errors import RequestError
from outrider.io.chat_template import ChatTemplate, Message
from outrider.io.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

_THINKING = "enable_thinking"  # what templates call it; they think unless told not to

Messages = Sequence[Message | Mapping[str, object]]
Prompt = str | Sequence[int]
Control = Speculation | Mapping[str, object] | None


class PromptReader:
    """Turns prompts into requests with one model's tokenizer and chat template.

    `thinking` is the mode of the template that the drafter was trained in, if that is known; another one is warned of
    once, since it costs speed and nothing else.
    """

    def __init__(self, tokenizer: Tokenizer | None, thinking: bool | None = None) -> None:
        self.tokenizer = tokenizer
        self._thinking = thinking
        self._template: ChatTemplate | None = None

    def request(self, prompt: Prompt, sampling: Sampling, prediction: str | None = None, scope: str = "",
                speculation: Control = None, constraint: Constraint | None = None) -> Request:
        """Text is encoded with its special tokens read as such; ids are taken as they are."""
        if isinstance(prompt, str):
            tokenizer = self._need_tokenizer()
            ids = tokenizer.with_bos(tokenizer.encode(prompt, special=True))
            if not prompt:
                raise RequestError("the prompt is empty: expected some text")
        else:
            ids = _ids(prompt)
        expected = self._need_tokenizer().encode(prediction, special=False) if prediction else []
        return Request(tuple(ids), sampling, tuple(expected), scope, Speculation.of(speculation),
                       constraint=constraint)

    def render(self, messages: Messages, variables: Mapping[str, object]) -> str:
        """Messages through the model's chat template, ready for the assistant's turn."""
        if not messages:
            raise RequestError("no messages: expected at least one")
        if self._template is None:
            self._template = ChatTemplate.of(self._need_tokenizer())
        if self._thinking is not None and _THINKING in self._template.variables:
            self._compare(bool(variables.get(_THINKING, True)), self._thinking)
        return self._template.render(messages, variables=variables)

    def _compare(self, asked: bool, trained: bool) -> None:
        if asked != trained:
            words = {True: "with", False: "without"}
            _log.warning("the drafter was trained %s thinking, and the model answers %s: fewer drafts will be accepted",
                         words[trained], words[asked])
            self._thinking = None  # once

    def _need_tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            raise RequestError("this model was loaded without a tokenizer: give token ids instead of text")
        return self.tokenizer


def _ids(prompt: object) -> list[int]:
    if not isinstance(prompt, Sequence) or any(not isinstance(token, int) for token in prompt):
        raise RequestError(f"got {prompt!r:.80} as a prompt: expected text or a list of token ids")
    return list(prompt)
