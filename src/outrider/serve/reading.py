"""From bodies to `Asked`: the one place where names of the API become names of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from outrider.constrain.grammar import Grammar
from outrider.core.request import Request, Speculation
from outrider.core.sampling import MAX_SEED, Sampling
from outrider.engine.limits import limits_of
from outrider.serve import refusals
from outrider.serve.answer.reader import AnswerReader
from outrider.serve.answer.response_format import format_of
from outrider.serve.answer.tools import choice_of, tools_of
from outrider.serve.asked import Asked, Show
from outrider.serve.errors import ApiError, refused
from outrider.serve.infill_gap import ended_by_marks, read_gap
from outrider.serve.messages import plain_messages, template_variables
from outrider.serve.schema.chat import ChatBody
from outrider.serve.schema.completions import CompletionBody
from outrider.serve.schema.sampled import Sampled
from outrider.serve.service import Service

_DEFAULT_COMPLETION = 16  # tokens, where none are named: OpenAI's
_SAME_NAMES = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "n",
               "ignore_eos")


async def read_chat(body: ChatBody, service: Service, scope: str) -> Asked:
    """Raises: ApiError, RequestError, ConfigError."""
    check_body(body, service)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs", code="invalid_value")
    talk = _talk(body, service)
    token_n = tuple(service.tokenizer.with_bos(await service.encode(talk.prompt, special=True)))
    room = service.room(len(token_n), "messages")
    top = (body.top_logprobs or 0) if body.logprobs else None
    sampling = sampling_of(body, _most(body.max_completion_tokens, body.max_tokens, room), top)
    expected = await service.encode(body.prediction.text(), special=False) if body.prediction else []
    constraint = await asyncio.to_thread(service.compiler.compile, talk.grammar) if talk.grammar else None
    request = replace(request_of(body, service, token_n, sampling, scope), prediction=tuple(expected),
                      constraint=constraint)
    return Asked((request,), _show(body, top), new_reader=talk.new_reader)


async def read_completion(body: CompletionBody, service: Service, scope: str) -> Asked:
    """Raises: ApiError, RequestError, ConfigError."""
    check_body(body, service)
    if body.best_of not in (None, 1, body.n):
        raise refused("best_of", "is not supported; ask for n answers and choose")
    show = _show(body, body.logprobs)
    if body.suffix and show.echo and show.top_logprobs is not None:
        raise refused("suffix", "cannot be had together with echo and logprobs")
    if show.stream and show.echo and show.top_logprobs is not None:
        raise refused("echo", "cannot be streamed together with logprobs")
    requests, texts = [], []
    prompts = body.prompts()
    service.check_choices(len(prompts) * (body.n or 1))
    for prompt in prompts:
        token_n = tuple(await (read_gap(prompt, body.suffix, service) if body.suffix else _prompt_ids(prompt, service)))
        room = service.room(len(token_n))
        most = _DEFAULT_COMPLETION if body.max_tokens is None else body.max_tokens
        sampling = sampling_of(body, min(most, room), body.logprobs)
        sampling = ended_by_marks(sampling, service) if body.suffix else sampling
        request = request_of(body, service, token_n, sampling, scope)
        requests.append(replace(request, prompt_logprobs=body.logprobs if show.echo else None))
        texts.append(prompt if isinstance(prompt, str) else service.tokenizer.decode(prompt, skip_special=False))
    return Asked(tuple(requests), show, tuple(texts))


def scope_of(key_scope: str, cache_salt: str | None) -> str:
    """Users never share memories; a salt divides those of one user further."""
    return f"{key_scope}/{cache_salt}" if cache_salt else key_scope


def check_body(body: Sampled, service: Service) -> None:
    """What is wrong with any body. Raises: ApiError."""
    service.check_model(body.model)
    refusals.check(body.extra())
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options: needs stream to be true", param="stream_options", code="invalid_value")


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation as the model is given it, and how its answer is held to a form and read."""

    prompt: str
    grammar: Grammar | None
    new_reader: Callable[[], AnswerReader]


def _talk(body: ChatBody, service: Service) -> _Talk:
    tools = tools_of(body.tools)
    choice = choice_of(body.tool_choice, tools, body.parallel_tool_calls)
    wanted = format_of(body.response_format)
    said = service.dialect.conversation(plain_messages(body.messages), tools, choice)
    variables = {**template_variables(body.chat_template_kwargs, service), **said.variables}
    prompt = service.prompts.render(said.messages, variables)
    return _Talk(prompt, service.dialect.grammar(wanted, tools, choice, prompt),
                 lambda: service.dialect.reader(tools, choice, prompt))


async def _prompt_ids(prompt: str | list[int], service: Service) -> list[int]:
    if not isinstance(prompt, str):
        service.check_ids(prompt, "prompt")
        return prompt
    return service.tokenizer.with_bos(await service.encode(prompt, special=True)) if prompt else []


def request_of(body: Sampled, service: Service, token_n: tuple[int, ...], sampling: Sampling, scope: str) -> Request:
    """The request that a body makes of a prompt. Raises: RequestError for what it says of speculation."""
    spoken = body.speculation
    given = {} if spoken is None else {**spoken.extra(), "enabled": spoken.enabled, "drafter": spoken.drafter,
                                       "max_draft": spoken.max_draft}
    speculation = Speculation.of(given)
    limits_of(speculation, service.llm.llm.engine.drafter)
    return Request(token_n, sampling, scope=scope_of(scope, body.cache_salt), speculation=speculation)


def sampling_of(body: Sampled, max_tokens: int, logprobs: int | None) -> Sampling:
    """How a body wants its tokens chosen. Raises: ConfigError."""
    given = {name: getattr(body, name) for name in _SAME_NAMES if getattr(body, name) is not None}
    if body.min_tokens:
        given["min_tokens"] = body.min_tokens
    if body.seed is not None:
        given["seed"] = body.seed % MAX_SEED
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    bias = {int(token): value for token, value in (body.logit_bias or {}).items()}
    return Sampling.of(None, **{"temperature": 1.0, **given}, top_k=max(body.top_k or 0, 0), stop=tuple(stop),
                       stop_ids=tuple(body.stop_token_ids or ()), logit_bias=bias, max_tokens=max_tokens,
                       logprobs=logprobs)


def _most(first: int | None, second: int | None, room: int) -> int:
    """The first limit that is given, and never more than there is room for."""
    given = first if first is not None else second
    if given == 0:
        raise ApiError(400, "max_tokens: expected at least 1", param="max_tokens", code="invalid_value")
    return room if given is None else min(given, room)


def _show(body: Sampled, top: int | None) -> Show:
    options = body.stream_options
    usage = bool(options and options.include_usage)
    return Show(bool(body.stream), usage, bool(options and options.continuous_usage_stats),
                bool(body.return_drafters), bool(getattr(body, "echo", False)), top)
