"""Figures for Prometheus: our own names, and the aliases of vLLM's that benchmark tools and routers read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outrider.core.request import Result
from outrider.engine.async_llm import AsyncLLM

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of the server, beside those that are read off the engine when somebody asks."""

    def __init__(self, llm: AsyncLLM, model: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(llm, model))
        first = self._times("outrider:time_to_first_token_seconds", "From a request's arrival to its first token")
        whole = self._times("outrider:request_seconds", "From a request's arrival to its last token")
        self._finished = Counter("outrider:answers", "Finished answers by reason", ("model_name", "finish_reason"),
                                 registry=self._registry)
        self._http = Counter("outrider:http_responses", "Responses by route and status", ("route", "status"),
                             registry=self._registry)
        self._first_s, self._whole_s = first.labels(model), whole.labels(model)
        self._model = model
        self._mean_s = 1.0  # of a whole request, recent ones first

    def first_token(self, seconds: float) -> None:
        self._first_s.observe(seconds)

    def finished(self, results: Sequence[Result], seconds: float) -> None:
        self._whole_s.observe(seconds)
        self._mean_s += 0.1 * (seconds - self._mean_s)
        for result in results:
            for sample in result.samples:
                self._finished.labels(self._model, sample.finish_reason).inc()

    def responded(self, route: str, status: int) -> None:
        self._http.labels(route, str(status)).inc()

    def expected_wait_s(self, busy: int) -> int:
        """When a refused client may try again: about when the next answer ends."""
        return max(1, min(60, round(self._mean_s / max(busy, 1))))

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _times(self, name: str, about: str) -> Histogram:
        return Histogram(name, about, ("model_name",), buckets=_SECONDS, registry=self._registry)


class _EngineCollector(Collector):
    """Reads the engine's load and totals at the moment of a scrape."""

    def __init__(self, llm: AsyncLLM, model: str) -> None:
        self._llm, self._model = llm, model

    def collect(self) -> Iterator[Metric]:
        load, totals = self._llm.load(), self._llm.totals()
        for prefix in ("outrider", "vllm"):
            yield self._gauge(f"{prefix}:num_requests_running", "Answers being generated", load.running)
            yield self._gauge(f"{prefix}:num_requests_waiting", "Answers in the queue", load.waiting)
            yield self._counter(f"{prefix}:spec_decode_num_drafts", "Rounds of verification", totals.rounds)
            yield self._counter(f"{prefix}:spec_decode_num_draft_tokens", "Drafted tokens", totals.drafted)
            yield self._counter(f"{prefix}:spec_decode_num_accepted_tokens", "Accepted tokens", totals.accepted)
            yield self._by(f"{prefix}:spec_decode_num_accepted_tokens_per_pos", "Accepted tokens by depth", "position",
                           enumerate(totals.accepted_at_depth))
            yield self._counter(f"{prefix}:prompt_tokens", "Tokens of prompts", totals.prompt_tokens)
            yield self._counter(f"{prefix}:generation_tokens", "Emitted tokens", totals.emitted)
        used = load.cache_used / max(load.cache_total, 1)
        yield self._gauge("vllm:kv_cache_usage_perc", "Share of the cache in use", used)
        yield self._gauge("vllm:gpu_cache_usage_perc", "Share of the cache in use", used)
        yield self._gauge("outrider:cache_tokens_used", "Tokens of the cache in use", load.cache_used)
        yield self._gauge("outrider:cache_tokens", "Tokens that the cache holds", load.cache_total)
        yield self._counter("outrider:cached_prompt_tokens", "Prompt tokens found in the cache", totals.cached_tokens)
        by_source = zip(self._llm.sources, totals.accepted_by_source, strict=False)
        yield self._by("outrider:accepted_tokens_by_drafter", "Accepted tokens by who drafted them", "drafter",
                       by_source)
        parts = (("draft", totals.draft_s), ("target", totals.target_s), ("verify", totals.verify_s),
                 ("host", totals.host_s))
        yield self._by("outrider:engine_seconds", "Where the engine's time went", "part", parts)

    def _gauge(self, name: str, about: str, value: float) -> Metric:
        found = GaugeMetricFamily(name, about, labels=("model_name",))
        found.add_metric((self._model,), value)
        return found

    def _counter(self, name: str, about: str, value: float) -> Metric:
        found = CounterMetricFamily(name, about, labels=("model_name",))
        found.add_metric((self._model,), value)
        return found

    def _by(self, name: str, about: str, label: str, values: Iterable[tuple[object, float]]) -> Metric:
        found = CounterMetricFamily(name, about, labels=("model_name", label))
        for key, value in values:
            found.add_metric((self._model, str(key)), value)
        return found
