"""From the body of `/infill` to a request and the rules by which its answer ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.io.infill_tokens import InfillTokens
from outrider.serve.errors import refused
from outrider.serve.infill_ending import EndRules
from outrider.serve.infill_gap import ended_by_marks, marks_of
from outrider.serve.infill_prompt import Around, File, InfillPrompt, Room, infill_prompt
from outrider.serve.reading import check_body, request_of, sampling_of
from outrider.serve.schema.infill import ExtraBody, InfillBody
from outrider.serve.service import Service

_REPO_NAME, _FILE_NAME, _EXTRA_NAME = "myproject\n", "filename\n", "tmp"  # llama.cpp's, as nobody tells us better ones
_WINDOW_LINES = 256  # what llama.vim shows of a longer file
_MOST_UNSEEN = 8192  # tokens for drafters to copy from
_CANDIDATES = 40  # tokens among which the `infill` sampler weighs an end, unless `top_k` says otherwise
_SAMPLER_OF = {"top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "repetition_penalty": "penalties",
               "presence_penalty": "penalties", "frequency_penalty": "penalties"}
_KNOWN_SAMPLERS = frozenset({
    "infill", "temperature", "top_k", "top_p", "min_p", "penalties",
    "dry", "top_n_sigma", "typ_p", "typical_p", "xtc"})  # the last five do nothing by themselves; `refusals` knows


@dataclass(frozen=True, slots=True)
class Infill:
    """`is_warm`: nothing is to be generated, the prompt is to be read. `is_cut`: not all other files had room. `slot`
    is the client's number for what it has under way, -1 where it has none."""

    request: Request
    rules: EndRules
    is_warm: bool
    is_cut: bool
    slot: int


async def read_infill(body: InfillBody, service: Service, scope: str) -> Infill:
    """Raises: ApiError, RequestError, ConfigError."""
    check_body(body, service)
    marks = marks_of(service, "input_prefix")
    if body.n not in (None, 1):
        raise refused("n", "there is one infill a request")
    for name in body.samplers or ():
        if name not in _KNOWN_SAMPLERS:
            raise refused("samplers", f"'{name}' is not known; there are: {', '.join(sorted(_KNOWN_SAMPLERS))}")
    most = _most(body)
    longest = min(service.context - 1, service.settings.max_prompt_tokens or service.context)
    prompt = await _prompt(body, service, marks, max(1, min(longest, service.context - min(most, longest // 4))))
    room = service.room(len(prompt.token_n), "input_prefix")
    sampling = ended_by_marks(_sampling(body, max(1, min(most, room))), service)
    request = request_of(body, service, prompt.token_n, sampling, scope)
    rules = EndRules(service.tokenizer, sampling.stop, body.n_indent or 0, (body.t_max_predict_ms or 0) / 1000,
                     weighs_ends=_is_weighing(body), top_p=sampling.top_p,
                     ends=marks.ends | service.tokenizer.eos_ids)
    return Infill(replace(request, prediction=prompt.unseen_n[-_MOST_UNSEEN:]), rules, most == 0,
                  prompt.num_files < len(body.input_extra or ()), -1 if body.id_slot is None else body.id_slot)


async def _prompt(body: InfillBody, service: Service, marks: InfillTokens, longest: int) -> InfillPrompt:
    async def ids(text: str) -> tuple[int, ...]:
        return tuple(await service.encode(text, special=False))

    tokenizer = service.tokenizer
    files = await _files(body.input_extra or (), service, marks, longest + _MOST_UNSEEN)
    start = tuple(tokenizer.with_bos([]))
    if files and marks.repo is not None:
        start += (marks.repo, *await ids(_REPO_NAME))
    head = (marks.file, *await ids(_FILE_NAME)) if marks.file is not None else await ids("\n\n")
    before = await ids(body.input_prefix) + await ids(body.prompt or "")
    around = Around(before, await ids(body.input_suffix), tuple(files),
                    body.input_prefix.count("\n") >= _WINDOW_LINES, start, head)
    beside = len(start) + len(head) + len(marks.marks)
    return infill_prompt(around, marks, Room.of(max(1, longest - beside)),
                         lambda token: tokenizer.token_bytes(token).endswith(b"\n"))


async def _files(extras: Sequence[ExtraBody], service: Service, marks: InfillTokens, most: int) -> list[File]:
    """The newest of them, until there are so many tokens; what is older can neither be read nor copied from."""
    found: list[File] = []
    for extra in reversed(extras):
        if sum(map(len, found)) > most:
            break
        found.append(await _file(extra, service, marks))
        await asyncio.sleep(0)  # others' streams go on in between
    return found[::-1]


async def _file(extra: ExtraBody, service: Service, marks: InfillTokens) -> File:
    name = extra.filename or _EXTRA_NAME
    head = await service.encode(f"{name}\n" if marks.file is not None else f"\n\n--- {name} ---\n\n", special=False)
    text = await service.encode(extra.text, special=False)
    return File((marks.file, *head) if marks.file is not None else tuple(head), tuple(text))


def _most(body: InfillBody) -> int:
    """Tokens to generate; -1 and nothing mean as many as there is room for."""
    given = body.max_tokens if body.n_predict is None else body.n_predict
    return 2**31 if given is None or given < 0 else given


def _is_weighing(body: InfillBody) -> bool:
    return "infill" in (body.samplers or ())


def _sampling(body: InfillBody, max_tokens: int) -> Sampling:
    """What the samplers that are named do to the tokens, in our order; `infill` chooses the likeliest."""
    named = frozenset(body.samplers) if body.samplers is not None else None
    changes: dict[str, object] = {}
    if body.repeat_penalty is not None and body.repetition_penalty is None:
        changes["repetition_penalty"] = body.repeat_penalty
    for name, sampler in _SAMPLER_OF.items():
        if named is not None and sampler not in named:
            changes[name] = None
    if _is_weighing(body) or named is None:
        changes["temperature"] = 0.0 if _is_weighing(body) else body.temperature or 0.0
    elif "temperature" not in named:
        changes["temperature"] = 1.0
    found = sampling_of(body.model_copy(update=changes), max_tokens, None)
    return replace(found, logprobs=min(found.top_k or _CANDIDATES, _CANDIDATES)) if _is_weighing(body) else found
