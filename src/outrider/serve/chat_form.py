"""What `/v1/chat/completions` answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from outrider.core.request import Result, Sample
from outrider.serve.answer.parts import CallDelta, Content, Part, Reasoning
from outrider.serve.answer.reader import AnswerReader
from outrider.serve.asked import Asked
from outrider.serve.chunks import ChunkWriter, Head
from outrider.serve.logprob_forms import LogprobForms
from outrider.serve.running import News
from outrider.serve.service import Service
from outrider.serve.stream import quote

KIND = "chat.completion"
CHUNK_KIND = "chat.completion.chunk"


class ChatChunks(ChunkWriter):
    """Chunks of chat: the role first, then what is said, then the finish reason alone."""

    def __init__(self, head: Head, asked: Asked, service: Service) -> None:
        super().__init__(head, asked, service)
        self._forms = LogprobForms(service.tokenizer)
        self._readers: dict[int, AnswerReader] = {}

    def choices(self, news: News) -> list[str]:
        delta, found = news.delta, []
        reader = self._readers.get(news.choice)
        if reader is None:
            reader = self._readers[news.choice] = _reader(self.asked)
            found.append(_chunk(news.choice, '{"role":"assistant","content":""}'))
        pieces = self.pieces(news)
        parts_n = [reader.push(piece) for piece in pieces]
        if delta.finish_reason is not None:
            parts_n[-1].extend(reader.finish())
        said = _delta_of(part for parts in parts_n for part in parts)
        logprobs = "null"
        if self.show.top_logprobs is not None and delta.token_n:
            logprobs = json.dumps(self._forms.chat(delta.logprobs))
        extension = self.extension(news, [_text(parts, Content) for parts in parts_n],
                                   [_text(parts, Reasoning) for parts in parts_n]) if self.show.drafters else ""
        if said != "{}" or logprobs != "null" or (extension and delta.token_n):
            found.append(_chunk(news.choice, said, logprobs, extension))
        if delta.finish_reason is not None:
            found.append(_chunk(news.choice, "{}", finish=quote(_reason(delta.finish_reason, reader))))
        return found


def choices(asked: Asked, service: Service, results: Sequence[Result]) -> list[dict[str, object]]:
    """The whole answer."""
    forms = LogprobForms(service.tokenizer)
    return [_choice(index, sample, asked, forms) for index, sample in enumerate(results[0].samples)]


def _choice(index: int, sample: Sample, asked: Asked, forms: LogprobForms) -> dict[str, object]:
    reader = _reader(asked)
    parts = [*reader.push(sample.text), *reader.finish()]
    return {"index": index, "message": _message(parts), "finish_reason": _reason(sample.finish_reason, reader),
            "logprobs": None if asked.show.top_logprobs is None else forms.chat(sample.logprobs)}


def _message(parts: Sequence[Part]) -> dict[str, object]:
    content, thoughts = _text(parts, Content), _text(parts, Reasoning)
    calls: list[dict[str, object]] = []
    for index, _ in enumerate({part.index for part in parts if isinstance(part, CallDelta)}):
        pieces = [part for part in parts if isinstance(part, CallDelta) and part.index == index]
        function = {"name": pieces[0].name, "arguments": "".join(piece.arguments for piece in pieces)}
        calls.append({"id": pieces[0].id, "type": "function", "function": function})
    message: dict[str, object] = {"role": "assistant", "content": content if content or not calls else None,
                                  "refusal": None}
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def _reader(asked: Asked) -> AnswerReader:
    assert asked.new_reader is not None, "a chat was read without a reader for its answer"
    return asked.new_reader()


def _reason(reason: str, reader: AnswerReader) -> str:
    return "tool_calls" if reason == "stop" and reader.has_calls else reason


def _text(parts: Iterable[Part], kind: type[Content] | type[Reasoning]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


def _delta_of(parts: Iterable[Part]) -> str:
    """One delta for all parts; clients put content, thoughts and calls together each by themselves."""
    parts = list(parts)
    told = [f'"{key}":{quote(text)}' for key, text in (("reasoning_content", _text(parts, Reasoning)),
                                                       ("content", _text(parts, Content))) if text]
    if calls := [_call(part) for part in parts if isinstance(part, CallDelta)]:
        told.append(f'"tool_calls":{json.dumps(calls)}')
    return f'{{{",".join(told)}}}'


def _call(part: CallDelta) -> Mapping[str, object]:
    if not part.id:
        return {"index": part.index, "function": {"arguments": part.arguments}}
    return {"index": part.index, "id": part.id, "type": "function",
            "function": {"name": part.name, "arguments": part.arguments}}


def _chunk(choice: int, delta: str, logprobs: str = "null", extension: str = "", finish: str = "null") -> str:
    return f'{{"index":{choice},"delta":{delta},"logprobs":{logprobs},"finish_reason":{finish}{extension}}}'
