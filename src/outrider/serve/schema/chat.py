"""The body of `/v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from outrider.serve.schema.sampled import Count, Flag, Sampled, Text

Role = Literal["system", "developer", "user", "assistant", "tool"]


class TextPart(BaseModel):
    """The one kind of content there is here; pictures and sounds are refused."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["text"]
    text: Text


class MessageBody(BaseModel):
    """Other fields (`name`, `tool_calls`, `tool_call_id`, `reasoning_content`) go to the template as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)
    role: Role
    content: Text | list[TextPart] | None = None

    def text(self) -> str:
        """The content as one string."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)


class PredictionBody(BaseModel):
    """Text that is expected in the answer: https://platform.openai.com/docs/guides/predicted-outputs."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["content"] = "content"
    content: Text | list[TextPart]

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(Sampled):
    messages: Annotated[list[MessageBody], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    logprobs: Flag | None = None
    top_logprobs: int | None = Field(None, strict=True, ge=0, le=20)
    prediction: PredictionBody | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Text | dict[str, Any] | None = None
    parallel_tool_calls: Flag | None = None
