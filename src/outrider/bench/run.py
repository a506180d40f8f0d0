"""Benchmark runs: every drafter over the same requests, the baseline `none` first, all through the same loop.

One drafter may run under several policies (`bench.entrant`); each of them counts as a drafter here.

In a pass every drafter has an engine and a cache of its own, all empty at its beginning; what a drafter learns from one
prompt it may use for the next, as in service. The drafters take turns, `batch` requests each, so that a machine whose
speed drifts slows all of them alike. Passes are repeated, and times are medians over them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from outrider.bench.entrant import entrant
from outrider.bench.identity import Divergence, audit
from outrider.bench.interval import ratio_interval
from outrider.bench.workload import Workload
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.stats import Stats
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.prompt import PromptReader
from outrider.target.load import LoadedModel

BASELINE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """What is run. `batch` requests are in the engine at once; `limit` 0 takes every prompt. `draft_policy` is for
    drafters that name none of their own.
    """

    drafters: tuple[str, ...]
    sampling: Sampling
    batch: int = 1
    limit: int = 0
    repeat: int = 1
    max_draft: int = 64
    context: int = 0
    prefill: int = 512
    draft_policy: str = ""

    @property
    def all_drafters(self) -> tuple[str, ...]:
        """The baseline first, each drafter once."""
        return tuple(dict.fromkeys((BASELINE, *self.drafters)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One drafter on one workload: a row of the table and of the JSON document. Times are in seconds.

    `tok_s` is decoding speed, first to last token: emitted over the time of it, per request when alone, from the first
    request's first token to the last one's last in a batch. `speedup` is its ratio to the baseline's, `speedup_total`
    that of whole requests (tokens over `total_s`). `speedup_pairs` are the ratios of decoding speed pass by pass; their
    geometric mean is known to lie from `speedup_low` to `speedup_high` with 95 % (None after a single pass).
    `ttft_s` is the median time to the first token once a request runs.
    `draft_s`, `target_s`, `verify_s` and `host_s` are sums over all rounds, prefill included.
    """

    drafter: str
    workload: str
    prompts: int
    tokens: int
    tok_s: float
    prefill_tok_s: float
    ttft_s: float
    total_s: float
    speedup: float
    speedup_total: float
    rounds: int
    drafted: int
    accepted: int
    tokens_per_round: float
    accept_rate: float
    accepted_at_depth: list[int]
    draft_s: float
    target_s: float
    host_s: float
    identical: bool
    verify_s: float
    tok_s_range: tuple[float, float]
    divergences: tuple[Divergence, ...]
    speedup_pairs: tuple[float, ...] = ()
    speedup_low: float | None = None
    speedup_high: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One pass of one drafter: what came out and how long it took."""

    outputs: list[list[int]]
    stats: Stats
    first_token_s: list[float]
    decode_s: float
    total_s: float
    divergences: tuple[Divergence, ...] = ()

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.outputs))

    @property
    def tok_s(self) -> float:
        return self.stats.emitted / self.decode_s if self.decode_s else 0.0

    @property
    def total_tok_s(self) -> float:
        return self.num_tokens / self.total_s

    def joined(self, other: Trial) -> Trial:
        """This part and the next one of the same pass."""
        stats = Stats()
        stats.add(self.stats)
        stats.add(other.stats)
        return Trial([*self.outputs, *other.outputs], stats, [*self.first_token_s, *other.first_token_s],
                     self.decode_s + other.decode_s, self.total_s + other.total_s)

    @property
    def prefill_tok_s(self) -> float:
        computed = self.stats.prompt_tokens - self.stats.cached_tokens
        return computed / self.stats.prefill_s if self.stats.prefill_s else 0.0


def bench(model: LoadedModel, workload: Workload, config: BenchConfig, tell: Callable[[str], None]) -> list[Run]:
    """All drafters over one workload; `tell` hears what is being run. Raises: OutriderError."""
    requests = requests_of(workload, PromptReader(model.tokenizer), config)
    warm_up = replace(config, drafters=())
    _pass(model, [_shortened(requests[0])], warm_up, lambda line: None)  # threads and memory
    trials: dict[str, list[Trial]] = {drafter: [] for drafter in config.all_drafters}
    for number in range(config.repeat):
        tell(f"{workload.name}: pass {number + 1} of {config.repeat}")
        for drafter, trial in _pass(model, requests, config, tell).items():
            trials[drafter].append(trial)
    base = trials[BASELINE]
    return [_run(drafter, workload.name, done, base) for drafter, done in trials.items()]


def requests_of(workload: Workload, reader: PromptReader, config: BenchConfig) -> list[Request]:
    """The workload's prompts as requests with a seed; messages go through the chat template."""
    sampling = config.sampling.seeded()
    chosen = workload.prompts[: config.limit or None]
    texts = [reader.render([{"role": message.role, "content": message.content} for message in prompt.messages], {})
             if prompt.text is None else prompt.text for prompt in chosen]
    return [reader.request(text, sampling) for text in texts]


def new_engine(model: LoadedModel, name: str, requests: Sequence[Request], config: BenchConfig) -> Engine:
    """A fresh engine with a fresh drafter, and a cache for `batch` of the longest request twice over."""
    chosen = entrant(name, config.draft_policy)
    longest = max(len(request.token_n) + request.sampling.max_tokens for request in requests) + config.max_draft + 32
    sizes = EngineConfig(max_sequences=config.batch, max_draft=config.max_draft, context=config.context,
                         prefill_tokens=config.prefill, cache_tokens=2 * config.batch * longest,
                         draft_policy=chosen.policy)
    return Engine(model.target, drafter_of(chosen.drafter, model.target), model.tokenizer, sizes)


def _pass(model: LoadedModel, requests: Sequence[Request], config: BenchConfig,
          tell: Callable[[str], None]) -> dict[str, Trial]:
    """All requests through all drafters in turns, and then the audit against the baseline."""
    engines = {drafter: new_engine(model, drafter, requests, config) for drafter in config.all_drafters}
    trials: dict[str, Trial] = {}
    try:
        for begin in range(0, len(requests), config.batch):
            for drafter, engine in engines.items():
                tell(f"requests {begin + 1} to {min(begin + config.batch, len(requests))}: {drafter}")
                part = timed(engine, requests[begin : begin + config.batch], config.batch)
                trials[drafter] = trials[drafter].joined(part) if drafter in trials else part
        expected = trials[BASELINE].outputs
        return {drafter: replace(trial, divergences=audit(engines[drafter], requests, expected, trial.outputs))
                for drafter, trial in trials.items()}
    finally:
        for engine in engines.values():
            engine.close()


def _shortened(request: Request) -> Request:
    return replace(request, sampling=replace(request.sampling, max_tokens=2))


def timed(engine: Engine, requests: Sequence[Request], batch: int) -> Trial:
    """One go at these requests, all added at once."""
    sequences = [engine.add(request)[0] for request in requests]
    begin_s = time.perf_counter()
    engine.run()
    total_s = time.perf_counter() - begin_s
    stats = Stats()
    for sequence in sequences:
        stats.add(sequence.stats)
    decode_s = stats.decode_s
    if batch > 1:
        decode_s = max(sequence.last_s for sequence in sequences) - min(sequence.first_s for sequence in sequences)
    first_token_s = [sequence.stats.prefill_s for sequence in sequences]
    return Trial([sequence.output for sequence in sequences], stats, first_token_s, decode_s, total_s)


def _run(drafter: str, workload: str, trials: Sequence[Trial], base: Sequence[Trial]) -> Run:
    def median(read: Callable[[Trial], float], of: Sequence[Trial] = trials) -> float:
        return statistics.median(read(trial) for trial in of)

    def ratio(read: Callable[[Trial], float]) -> float:
        below = median(read, base)
        return median(read) / below if below else 0.0

    stats = trials[0].stats
    pairs = tuple(trial.tok_s / plain.tok_s for trial, plain in zip(trials, base, strict=True) if plain.tok_s)
    interval = ratio_interval(pairs)
    speeds = [trial.tok_s for trial in trials]
    divergences = tuple(dict.fromkeys(divergence for trial in trials for divergence in trial.divergences))
    return Run(
        drafter=drafter, workload=workload,
        prompts=len(trials[0].outputs),
        tokens=trials[0].num_tokens,
        tok_s=median(lambda trial: trial.tok_s),
        prefill_tok_s=median(lambda trial: trial.prefill_tok_s),
        ttft_s=median(lambda trial: statistics.median(trial.first_token_s)),
        total_s=median(lambda trial: trial.total_s),
        speedup=ratio(lambda trial: trial.tok_s),
        speedup_total=ratio(lambda trial: trial.total_tok_s),
        rounds=stats.rounds,
        drafted=stats.drafted,
        accepted=stats.accepted,
        tokens_per_round=stats.tokens_per_round,
        accept_rate=stats.accept_rate,
        accepted_at_depth=stats.accepted_at_depth,
        draft_s=median(lambda trial: trial.stats.draft_s),
        target_s=median(lambda trial: trial.stats.target_s),
        host_s=median(lambda trial: trial.stats.host_s),
        identical=not divergences,
        verify_s=median(lambda trial: trial.stats.verify_s),
        tok_s_range=(min(speeds), max(speeds)),
        divergences=divergences,
        speedup_pairs=pairs,
        speedup_low=interval.low if interval else None,
        speedup_high=interval.high if interval else None,
    )
