"""The bodies of `/tokenize` and `/detokenize`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from outrider.serve.schema.chat import MessageBody
from outrider.serve.schema.sampled import Body, Count, Flag, Text


class TokenizeBody(Body):
    """A text (`prompt`, or `content` as llama.cpp calls it), or messages to go through the chat template."""

    model: Text | None = None
    prompt: Text | None = None
    content: Text | None = None
    messages: Annotated[list[MessageBody], Field(min_length=1)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: Flag | None = None
    return_token_strs: Flag | None = None


class DetokenizeBody(Body):
    model: Text | None = None
    tokens: list[Count]
