"""The events of a stream, written by hand: a stream is hundreds of small objects, mostly the same bytes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from outrider.serve.asked import Asked
from outrider.serve.pieces import PieceSplitter, drafted_by
from outrider.serve.running import News, Running
from outrider.serve.service import Service
from outrider.serve.stream import event, quote
from outrider.serve.usage import counted, metrics, usage


@dataclass(frozen=True, slots=True)
class Head:
    """What is the same in every object of one response."""

    id: str
    kind: str
    created: int
    model: str
    system_fingerprint: str

    def fields(self) -> dict[str, object]:
        return {"id": self.id, "object": self.kind, "created": self.created, "model": self.model,
                "system_fingerprint": self.system_fingerprint}

    def opening(self) -> str:
        """An object's text up to its choices."""
        return json.dumps(self.fields())[:-1] + ',"choices":'


class ChunkWriter(ABC):
    """Turns the news of one response into events; what a choice looks like is for the API to say."""

    def __init__(self, head: Head, asked: Asked, service: Service) -> None:
        self.asked, self.show, self.service = asked, asked.show, service
        self._opening = head.opening()
        self._num_prompt = sum(len(request.token_n) for request in asked.requests)
        self._num_output = 0
        self._splitters: dict[int, PieceSplitter] = {}

    async def events(self, running: Running, first: News, rest: AsyncIterator[News]) -> AsyncIterator[bytes]:
        """All events but the last; `first` was awaited already, since an error before it has a status of its own."""
        try:
            yield self._events_of(first)
            async for news in rest:
                if data := self._events_of(news):
                    yield data
            yield self._last(running)
        finally:
            running.stop()

    @abstractmethod
    def choices(self, news: News) -> list[str]:
        """The JSON texts of choices that tell these news, an object each."""

    def pieces(self, news: News) -> list[str]:
        """The new text: a piece for each token where drafters are to be told, else in one."""
        if not self.show.drafters or not news.delta.token_n:
            return [news.delta.text]
        if news.choice not in self._splitters:
            stops = self.asked.requests[0].sampling.stop
            self._splitters[news.choice] = PieceSplitter(self.service.tokenizer, stops)
        return self._splitters[news.choice].split(news.delta)

    def extension(self, news: News, texts: list[str], thoughts: list[str]) -> str:
        """Who drafted what, and what each token added to the text and to the thoughts; begins with a comma."""
        delta = news.delta
        told: dict[str, object] = {"token_ids": list(delta.token_n),
                                   "drafted_by": drafted_by(delta.source_n, self.service.llm.sources), "texts": texts,
                                   "drafted": delta.drafted}
        if any(thoughts):
            told["reasoning_texts"] = thoughts
        return f',"outrider":{json.dumps(told)}'

    def _events_of(self, news: News) -> bytes:
        self._num_output += len(news.delta.token_n)
        return b"".join(event(f"{self._opening}[{choice}]{self._usage()}}}") for choice in self.choices(news))

    def _usage(self) -> str:
        if self.show.continuous_usage:
            return f',"usage":{json.dumps(counted(self._num_prompt, self._num_output))}'
        return ',"usage":null' if self.show.include_usage else ""

    def _last(self, running: Running) -> bytes:
        """Nothing, or the usage of all, which carries the metrics too."""
        if not self.show.include_usage:
            return b""
        told = {"usage": usage(running, self.asked), "metrics": metrics(running.results(), self.service.max_draft)}
        return event(f"{self._opening}[],{json.dumps(told)[1:]}")


def reason(news: News) -> str:
    """The finish reason as JSON."""
    return quote(news.delta.finish_reason) if news.delta.finish_reason else "null"
