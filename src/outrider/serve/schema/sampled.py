"""The fields that chat and completions share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
StopText = Annotated[str, Field(strict=True, min_length=1, max_length=1000)]
MOST_STOPS = 64
MOST_BIASES = 4096


class Body(BaseModel):
    """Fields that nobody here knows are let through; `refusals.py` says which of them are not."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def extra(self) -> dict[str, Any]:
        """What came beside the declared fields."""
        return self.model_extra or {}


class StreamOptions(Body):
    include_usage: Flag | None = None
    continuous_usage_stats: Flag | None = None


class SpeculationBody(Body):
    """What may be drafted for this request; it changes when tokens come, never which."""

    enabled: Flag | None = None
    drafter: Text | None = None
    max_draft: Count | None = None


class Sampled(Body):
    """How tokens are chosen, where they stop, how they are told. Null stands for the default everywhere."""

    model: Text | None = None
    temperature: Number | None = Field(None, ge=0, le=100)
    top_p: Number | None = Field(None, ge=1e-9, le=1)
    top_k: int | None = Field(None, strict=True, ge=-1, le=2**31 - 1)
    min_p: Number | None = Field(None, ge=0, le=1)
    repetition_penalty: Number | None = Field(None, ge=0.001, le=1000)
    presence_penalty: Number | None = Field(None, ge=-100, le=100)
    frequency_penalty: Number | None = Field(None, ge=-100, le=100)
    logit_bias: dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], Number] | None = Field(
        None, max_length=MOST_BIASES)
    seed: int | None = Field(None, strict=True, ge=-(2**63), le=2**64 - 1)
    n: int | None = Field(None, strict=True, ge=1, le=1024)
    max_tokens: Count | None = None
    min_tokens: Count | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=MOST_STOPS)] | None = None
    stop_token_ids: Annotated[list[Count], Field(max_length=MOST_STOPS)] | None = None
    ignore_eos: Flag | None = None
    stream: Flag | None = None
    stream_options: StreamOptions | None = None
    user: Text | None = None
    cache_salt: Text | None = Field(None, max_length=256)
    speculation: SpeculationBody | None = None
    return_drafters: Flag | None = None
