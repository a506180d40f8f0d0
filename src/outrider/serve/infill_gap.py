"""`suffix` of a completion: a gap to fill, with nothing cut."""

from __future__ import annotations

from dataclasses import replace

from outrider.core.sampling import Sampling
from outrider.io.infill_tokens import InfillTokens
from outrider.serve.errors import refused
from outrider.serve.infill_prompt import gap
from outrider.serve.service import Service


async def read_gap(prompt: str | list[int], suffix: str, service: Service) -> list[int]:
    """The ids of a prompt with a suffix; both are code, in which nothing is a control token. Raises: ApiError."""
    marks = marks_of(service, "suffix")
    if not isinstance(prompt, str):
        service.check_ids(prompt, "prompt")
    before = await service.encode(prompt, special=False) if isinstance(prompt, str) else prompt
    behind = await service.encode(suffix, special=False)
    return service.tokenizer.with_bos(gap(tuple(before), tuple(behind), marks))


def ended_by_marks(sampling: Sampling, service: Service) -> Sampling:
    """The same, where a mark ends the text as well: models write one when they have filled the gap."""
    ends = service.tokenizer.infill.ends if service.tokenizer.infill else ()
    return replace(sampling, stop_ids=tuple(sorted({*sampling.stop_ids, *ends})))


def marks_of(service: Service, param: str) -> InfillTokens:
    """Raises: ApiError, which names the field, for a model that was not taught to fill gaps."""
    if service.tokenizer.infill is None:
        raise refused(param, "this model has no tokens for filling in the middle; serve a code model that has, such as "
                             "qwen2.5-coder-0.5b-instruct")
    return service.tokenizer.infill
