"""From bodies to `Asked`: the one place where names of the API become names of ours."""

from __future__ import annotations

from dataclasses import replace

from outrider.core.request import Request, Speculation
from outrider.core.sampling import MAX_SEED, Sampling
from outrider.engine.limits import limits_of
from outrider.serve import refusals
from outrider.serve.asked import Asked, Show
from outrider.serve.errors import ApiError, refused
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
    _check(body, service)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs", code="invalid_value")
    for name in ("response_format", "tools"):
        _refuse_for_now(name, getattr(body, name))
    if body.tool_choice not in (None, "none", "auto"):
        raise refused("tool_choice", "needs tools")
    text = service.prompts.render(plain_messages(body.messages), template_variables(body.chat_template_kwargs, service))
    token_n = tuple(service.tokenizer.with_bos(await service.encode(text, special=True)))
    room = service.room(len(token_n), "messages")
    top = (body.top_logprobs or 0) if body.logprobs else None
    sampling = _sampling(body, _most(body.max_completion_tokens, body.max_tokens, room), top)
    expected = await service.encode(body.prediction.text(), special=False) if body.prediction else []
    request = _request(body, service, token_n, sampling, scope)
    return Asked((replace(request, prediction=tuple(expected)),), _show(body, top))


async def read_completion(body: CompletionBody, service: Service, scope: str) -> Asked:
    """Raises: ApiError, RequestError, ConfigError."""
    _check(body, service)
    if body.best_of not in (None, 1, body.n):
        raise refused("best_of", "is not supported; ask for n answers and choose")
    if body.suffix:
        raise refused("suffix", "is not supported yet")
    show = _show(body, body.logprobs)
    if show.stream and show.echo and show.top_logprobs is not None:
        raise refused("echo", "cannot be streamed together with logprobs")
    requests, texts = [], []
    for prompt in body.prompts():
        token_n = tuple(await _prompt_ids(prompt, service))
        room = service.room(len(token_n))
        most = _DEFAULT_COMPLETION if body.max_tokens is None else body.max_tokens
        request = _request(body, service, token_n, _sampling(body, min(max(most, 1), room), body.logprobs), scope)
        requests.append(replace(request, prompt_logprobs=body.logprobs if show.echo else None))
        texts.append(prompt if isinstance(prompt, str) else service.tokenizer.decode(prompt, skip_special=False))
    return Asked(tuple(requests), replace(show, echo=bool(body.echo), empty=body.max_tokens == 0), tuple(texts))


def scope_of(key_scope: str, cache_salt: str | None) -> str:
    """Users never share memories; a salt divides those of one user further."""
    return f"{key_scope}/{cache_salt}" if cache_salt else key_scope


def _check(body: Sampled, service: Service) -> None:
    service.check_model(body.model)
    refusals.check(body.extra())
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options: needs stream to be true", param="stream_options", code="invalid_value")


def _refuse_for_now(name: str, value: object) -> None:
    if value and value != {"type": "text"}:
        raise refused(name, "is not supported yet")


async def _prompt_ids(prompt: str | list[int], service: Service) -> list[int]:
    if not isinstance(prompt, str):
        service.check_ids(prompt, "prompt")
        return prompt
    return service.tokenizer.with_bos(await service.encode(prompt, special=True)) if prompt else []


def _request(body: Sampled, service: Service, token_n: tuple[int, ...], sampling: Sampling, scope: str) -> Request:
    spoken = body.speculation
    given = {} if spoken is None else {**spoken.extra(), "enabled": spoken.enabled, "drafter": spoken.drafter,
                                       "max_draft": spoken.max_draft}
    speculation = Speculation.of(given)
    limits_of(speculation, service.llm.llm.engine.drafter)
    return Request(token_n, sampling, scope=scope_of(scope, body.cache_salt), speculation=speculation)


def _sampling(body: Sampled, max_tokens: int, logprobs: int | None) -> Sampling:
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
