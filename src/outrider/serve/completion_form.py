"""What `/v1/completions` answers."""

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

KIND = "text_completion"


class CompletionChunks(ChunkWriter):
    """Chunks of completions: text, older log-probabilities, the finish reason with the last text."""

    def __init__(self, head: Head, asked: Asked, service: Service) -> None:
        super().__init__(head, asked, service)
        self._forms = LogprobForms(service.tokenizer)
        self._offsets: dict[int, int] = {}  # of the text told so far, by choice

    def choices(self, news: News) -> list[str]:
        delta = news.delta
        text, logprobs = delta.text, "null"
        is_first = news.choice not in self._offsets
        offset = self._offsets.get(news.choice, 0)
        if self.show.top_logprobs is not None and delta.token_n:
            logprobs = json.dumps(self._forms.legacy(delta.token_n, delta.logprobs, offset))
        self._offsets[news.choice] = offset + len(delta.text)
        if is_first and self.show.echo:
            text = self.asked.prompts[news.choice // self.asked.requests[0].sampling.n] + text
        if not text and logprobs == "null" and delta.finish_reason is None and not self.show.drafters:
            return []
        extension = self.extension(news, self.pieces(news), []) if self.show.drafters else ""
        return [f'{{"index":{news.choice},"text":{quote(text)},"logprobs":{logprobs},'
                f'"finish_reason":{reason(news)}{extension}}}']


def choices(asked: Asked, service: Service, results: Sequence[Result]) -> list[dict[str, object]]:
    """The whole answer, choices numbered prompt by prompt."""
    forms = LogprobForms(service.tokenizer)
    found: list[dict[str, object]] = []
    for number, result in enumerate(results):
        for sample in result.samples:
            found.append(_choice(len(found), asked, number, result, sample, forms))
    return found


def _choice(index: int, asked: Asked, number: int, result: Result, sample: Sample,
            forms: LogprobForms) -> dict[str, object]:
    show = asked.show
    choice: dict[str, object] = {
        "index": index, "text": asked.prompts[number] + sample.text if show.echo else sample.text,
        "finish_reason": sample.finish_reason, "logprobs": None}
    if show.top_logprobs is not None:
        prompt_n, before = (result.prompt_ids, result.prompt_logprobs) if show.echo else ((), ())
        choice["logprobs"] = forms.legacy((*prompt_n, *sample.ids), (*before, *sample.logprobs), 0)
    return choice
