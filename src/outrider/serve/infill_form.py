"""What `/infill` answers, in llama.cpp's names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence

from outrider.core.stats import Stats
from outrider.serve.errors import ApiError
from outrider.serve.infill_ending import InfillText
from outrider.serve.infill_reading import Infill
from outrider.serve.infill_turns import Turn
from outrider.serve.running import Running
from outrider.serve.service import Service
from outrider.serve.stream import event


class InfillAnswer:
    """One answer on its way: read `pieces` to the end, then `document` tells all of it."""

    def __init__(self, infill: Infill, running: Running, turn: Turn, service: Service) -> None:
        self.infill, self._running, self._turn, self._service = infill, running, turn, service
        self._text = InfillText(infill.rules)

    async def pieces(self) -> AsyncIterator[str]:
        """The text as it comes. Raises: ApiError, OutriderError and whatever else kept the engine from answering."""
        try:
            async for news in self._running.news():
                if self.infill.is_warm:
                    continue
                piece = self._text.push(news.delta)
                if piece:
                    yield piece
                if self._text.is_over:
                    break
        except ApiError:
            if not self._turn.is_superseded:
                raise
            self._text.stop_type = "superseded"
        finally:
            self._running.stop()

    async def events(self, first: str, rest: AsyncIterator[str], fields: Sequence[str]) -> AsyncIterator[bytes]:
        """`pieces` as events; the last one is the document, with no text."""
        yield self._event(first)
        async for piece in rest:
            yield self._event(piece)
        yield event(json.dumps(chosen({**self.document(), "content": ""}, fields)))

    def document(self) -> dict[str, object]:
        text, request = self._text, self.infill.request
        stats = self._running.stats()
        held = len(request.token_n) + len(text.token_n)
        is_full = text.stop_type == "limit" and held >= self._service.context
        return {
            "index": 0, "content": text.text, "tokens": text.token_n, "stop": True, "id_slot": self.infill.slot,
            "model": self._service.names[0],
            "tokens_predicted": len(text.token_n), "tokens_evaluated": len(request.token_n), "tokens_cached": held,
            "truncated": self.infill.is_cut or is_full, "stop_type": text.stop_type, "stopping_word": "",
            "has_new_line": "\n" in text.text, "generation_settings": self._settings(),
            "timings": _timings(stats, len(text.token_n))}

    def _event(self, piece: str) -> bytes:
        told = {"index": 0, "content": piece, "tokens": [], "stop": False, "tokens_predicted": len(self._text.token_n),
                "tokens_evaluated": len(self.infill.request.token_n)}
        return event(json.dumps(told))

    def _settings(self) -> dict[str, object]:
        sampling, rules = self.infill.request.sampling, self.infill.rules
        return {"n_ctx": self._service.context, "n_predict": 0 if self.infill.is_warm else sampling.max_tokens,
                "temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p,
                "min_p": sampling.min_p, "seed": sampling.seed, "stop": list(sampling.stop), "n_indent": rules.indent,
                "t_max_predict_ms": round(rules.limit_s * 1000)}


def chosen(document: Mapping[str, object], paths: Sequence[str]) -> dict[str, object]:
    """The fields that are asked for, by their paths, flat; those that there are not are left out. None asked: all."""
    if not paths:
        return dict(document)
    found: dict[str, object] = {}
    for path in paths:
        value: object = document
        for name in path.split("/"):
            value = value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
        if value is not _MISSING:
            found[path] = value
    return found


_MISSING = object()


def _timings(stats: Stats, num_told: int) -> dict[str, object]:
    """`prompt_n` are the tokens that were read, not those found warm; `predicted_n` those that are told."""
    read = max(stats.prompt_tokens - stats.cached_tokens, 0)
    prompt_ms, predicted_ms = stats.prefill_s * 1000, stats.decode_s * 1000
    told: dict[str, object] = {"cache_n": stats.cached_tokens}
    for name, count, spent_ms in (("prompt", read, prompt_ms), ("predicted", num_told, predicted_ms)):
        told |= {f"{name}_n": count, f"{name}_ms": round(spent_ms, 3),
                 f"{name}_per_token_ms": round(spent_ms / count, 3) if count else 0.0,
                 f"{name}_per_second": round(count * 1000 / spent_ms, 3) if spent_ms else 0.0}
    return {**told, "draft_n": stats.drafted, "draft_n_accepted": stats.accepted}
