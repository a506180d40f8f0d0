"""The body of `/infill`, as llama.cpp's clients send it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from outrider.serve.schema.sampled import Body, Count, Flag, Number, Sampled, Text


class ExtraBody(Body):
    """A piece of another file."""

    text: Text
    filename: Text | None = None


class InfillBody(Sampled):
    """Code before and behind a gap. `prompt` is the part of the cursor's line that is before it.

    `t_max_prompt_ms` and `cache_prompt` are taken and change nothing: prompts are always read to their end, and what
    was read is always kept.
    """

    input_prefix: Text
    input_suffix: Text
    input_extra: Annotated[list[ExtraBody], Field(max_length=1024)] | None = None
    prompt: Text | None = None
    n_predict: int | None = Field(None, strict=True, ge=-1, le=2**31 - 1)
    n_indent: Count | None = None
    t_max_prompt_ms: Number | None = None
    t_max_predict_ms: Number | None = None
    cache_prompt: Flag | None = None
    id_slot: int | None = Field(None, strict=True, ge=-1, le=2**31 - 1)
    samplers: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)] | None = None
    repeat_penalty: Number | None = Field(None, ge=0.001, le=1000)
    response_fields: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=256)] | None = None
