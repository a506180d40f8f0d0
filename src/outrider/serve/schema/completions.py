"""The body of `/v1/completions`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from outrider.serve.schema.sampled import Count, Flag, Sampled, Text

Ids = Annotated[list[Count], Field(min_length=1)]


class CompletionBody(Sampled):
    prompt: Text | Ids | Annotated[list[Text], Field(min_length=1)] | Annotated[list[Ids], Field(min_length=1)]
    echo: Flag | None = None
    logprobs: int | None = Field(None, strict=True, ge=0, le=100)
    best_of: int | None = Field(None, strict=True, ge=1, le=1024)
    suffix: Text | None = None

    def prompts(self) -> list[str | list[int]]:
        """One or more texts or lists of ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)
