"""What one request got: when text came, how many tokens it was, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from outrider.bench.serve.document import at, count_at, parsed, text_at
from outrider.bench.serve.reply import Event, Reply, read_reply
from outrider.bench.serve.wire import Exchange

OK = 200
_TEXTS = (("text",), ("delta", "content"), ("delta", "reasoning_content"), ("delta", "reasoning"))
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Drafts:
    """Tokens proposed by a drafter, and those of them that became part of an answer."""

    drafted: int
    accepted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Times are those of one clock. `texts_s`: when each chunk that brought text came; `last_s` when the answer was
    complete. `tokens` is what the server counted, None where it does not tell. `error` is "" for an answer that came
    to its end, otherwise the kind of error; `detail` what the server said.
    """

    begin_s: float
    last_s: float
    texts_s: tuple[float, ...] = ()
    tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    drafts: Drafts | None = None
    finish_reason: str = ""
    text: str = ""
    error: str = ""
    detail: str = ""

    @property
    def num_tokens(self) -> int:
        """As the server counted, or else chunks: then several tokens in a chunk count as one."""
        return len(self.texts_s) if self.tokens is None else self.tokens


def read_answer(seen: Exchange) -> Answer:
    """Makes sense of a streamed reply; one that makes none is an error of a kind."""
    answer = Answer(begin_s=seen.begin_s, last_s=seen.end_s)
    reply = read_reply(seen)
    if reply.status == OK:
        answer = _read_stream(answer, reply)
        return replace(answer, error=seen.fault) if seen.fault else answer
    if seen.fault or not seen.reads:
        return replace(answer, error=seen.fault or "connection lost")
    if reply.status == 0:
        return replace(answer, error="not HTTP", detail=_shortened(reply.body))
    return replace(answer, error=f"HTTP {reply.status}", detail=_message(reply.body))


def _read_stream(answer: Answer, reply: Reply) -> Answer:
    events = list(reply.events())
    is_done = bool(events) and events[-1].data.strip() == _DONE
    found = _read_events(answer, events[:-1] if is_done else events)
    if found.error:
        return found
    if reply.is_whole and not events:
        return replace(found, error="not a stream", detail=_shortened(reply.body))
    if not reply.is_whole or not (is_done or found.finish_reason):
        return replace(found, error="stream cut short")
    return found


def _read_events(answer: Answer, events: Iterable[Event]) -> Answer:
    times_s: list[float] = []
    texts: list[str] = []
    for event in events:
        document = parsed(event.data)
        if not isinstance(document, dict):
            return replace(answer, texts_s=tuple(times_s), error="not JSON", detail=_shortened(event.data))
        if document.get("error"):
            kind = text_at(document, "error", "type") or "error"
            return replace(answer, texts_s=tuple(times_s), error=f"{kind} in the stream", detail=_message(event.data))
        text = _text_of(document)
        if text is not None:
            times_s.append(event.time_s)
            texts.append(text)
        answer = _with_counts(answer, document, event.time_s)
    last_s = answer.last_s if answer.finish_reason else times_s[-1] if times_s else answer.last_s
    return replace(answer, texts_s=tuple(times_s), text="".join(texts), last_s=last_s)


def _text_of(document: object) -> str | None:
    """Text that a chunk brings; "" for a piece of a tool call, None for nothing."""
    choice = at(document, "choices", 0)
    text = "".join(text_at(choice, *path) for path in _TEXTS)
    return text or ("" if at(choice, "delta", "tool_calls") else None)


def _with_counts(answer: Answer, document: object, time_s: float) -> Answer:
    finish_reason = text_at(document, "choices", 0, "finish_reason")
    if finish_reason:
        answer = replace(answer, finish_reason=finish_reason, last_s=time_s)
    tokens = count_at(document, "usage", "completion_tokens")
    if tokens is not None:
        answer = replace(answer, tokens=tokens, prompt_tokens=count_at(document, "usage", "prompt_tokens"),
                         cached_tokens=count_at(document, "usage", "prompt_tokens_details", "cached_tokens"))
    drafts = _drafts_of(document)
    return answer if drafts is None else replace(answer, drafts=drafts)


def _drafts_of(document: object) -> Drafts | None:
    """As vLLM and we tell of them, or as llama.cpp does."""
    ours = at(document, "metrics", "speculative_decoding")
    drafted = count_at(ours, "num_draft_tokens")
    accepted = count_at(ours, "num_accepted_draft_tokens")
    if drafted is None or accepted is None:
        drafted = count_at(document, "timings", "draft_n")
        accepted = count_at(document, "timings", "draft_n_accepted")
    return None if drafted is None or accepted is None else Drafts(drafted, accepted)


def _message(body: bytes) -> str:
    document = parsed(body)
    found = text_at(document, "error", "message") or text_at(document, "message") or text_at(document, "error")
    return _shortened((found or text_at(document, "detail")).encode() or body)


def _shortened(body: bytes, limit: int = 200) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= limit else text[:limit] + "…"
