"""What `/v1/chat/completions` answers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from outrider.core.request import Result, Sample
from outrider.serve.asked import Asked
from outrider.serve.chunks import ChunkWriter, Head, reason
from outrider.serve.logprob_forms import LogprobForms
from outrider.serve.running import News
from outrider.serve.service import Service
from outrider.serve.stream import quote

KIND = "chat.completion"
CHUNK_KIND = "chat.completion.chunk"


class ChatChunks(ChunkWriter):
    """Chunks of chat: the role first, then content, then the finish reason alone."""

    def __init__(self, head: Head, asked: Asked, service: Service) -> None:
        super().__init__(head, asked, service)
        self._forms = LogprobForms(service.tokenizer)
        self._begun: set[int] = set()

    def choices(self, news: News) -> list[str]:
        delta, found = news.delta, []
        if news.choice not in self._begun:
            self._begun.add(news.choice)
            found.append(self._choice(news, '{"role":"assistant","content":""}'))
        logprobs = "null"
        if self.show.top_logprobs is not None and delta.token_n:
            logprobs = json.dumps(self._forms.chat(delta.logprobs))
        if delta.text or logprobs != "null" or (self.show.drafters and delta.token_n):
            found.append(self._choice(news, f'{{"content":{quote(delta.text)}}}', logprobs, self.extension(news)))
        if delta.finish_reason is not None:
            found.append(self._choice(news, "{}", finish=reason(news)))
        return found

    def _choice(self, news: News, delta: str, logprobs: str = "null", extension: str = "", finish: str = "null") -> str:
        return f'{{"index":{news.choice},"delta":{delta},"logprobs":{logprobs},"finish_reason":{finish}{extension}}}'


def choices(asked: Asked, service: Service, results: Sequence[Result]) -> list[dict[str, object]]:
    """The whole answer."""
    forms = LogprobForms(service.tokenizer)
    return [_choice(index, sample, asked, forms) for index, sample in enumerate(results[0].samples)]


def _choice(index: int, sample: Sample, asked: Asked, forms: LogprobForms) -> dict[str, object]:
    return {"index": index, "message": {"role": "assistant", "content": sample.text, "refusal": None},
            "finish_reason": sample.finish_reason,
            "logprobs": None if asked.show.top_logprobs is None else forms.chat(sample.logprobs)}
