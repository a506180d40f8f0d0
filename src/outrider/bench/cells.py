"""Is speculation ever slower? Cells of a table: a model, a workload and a batch, every setting paired with `none`.

A cell has parts, `batch` requests each. In a part all settings run the same requests one after the other, in an order
drawn anew, with engines that live as long as the cell: what a drafter has learnt it keeps, as in service. A part gives
one ratio of decoding speeds for each setting. The figure of a cell is their geometric mean, with its 95 % interval.

The speed of a part is that of a full batch: tokens a second from the moment when all its requests have their first
token to that when one of them ends. Prompts are no part of it, nor what happens when a batch runs empty.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import geometric_mean

from outrider.bench.entrant import Entrant, entrant
from outrider.bench.interval import Interval, ratio_interval
from outrider.bench.workload import Message, Prompt, load
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.prompt import PromptReader
from outrider.engine.sequence import Sequence as Running
from outrider.errors import ConfigError
from outrider.target.load import LoadedModel

_PROMPTS = 8192  # tokens of prompts in a pass: all of a part's requests start together
WORKLOADS = ("edit", "code", "chat", "math", "summary", "random", "long")
_WORDS = (
    "amber", "basin", "cobalt", "drift", "ember", "fathom", "gravel", "harbour", "iris", "jetty", "kelp", "lantern",
    "marble", "needle", "orchid", "pebble", "quarry", "ripple", "saddle", "timber", "umber", "velvet", "walnut",
    "yonder", "zephyr", "anchor", "bridle", "copper", "dagger", "engine")


@dataclass(frozen=True, slots=True)
class CellConfig:
    """How much is run: `parts` of `batch` requests, `max_tokens` each; `context` tokens of text before a long one."""

    batch: int
    parts: int
    max_tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """A geometric mean of paired ratios with its 95 % interval, which for a single pair is all there is."""

    mean: float
    low: float
    high: float
    pairs: tuple[float, ...]

    @classmethod
    def of(cls, pairs: Sequence[float]) -> Ratio:
        interval = ratio_interval(pairs) or Interval(0.0, inf)
        return cls(geometric_mean(pairs), interval.low, interval.high, tuple(pairs))


@dataclass(frozen=True, slots=True)
class Part:
    """One setting's go at the requests of a part: `tokens` in `seconds` while the batch was full."""

    outputs: list[list[int]]
    tokens: int
    seconds: float
    rounds: int

    @property
    def tok_s(self) -> float:
        """Of all sequences together."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """A setting in a cell. `ratio` is its decoding speed over that of `none`."""

    model: str
    workload: str
    batch: int
    setting: str
    tokens: int
    tok_s: float
    tokens_per_round: float
    ratio: Ratio
    identical: bool


def run_cell(model: LoadedModel, workload: str, settings: Sequence[str], config: CellConfig,
             tell: Callable[[str], None]) -> list[Cell]:
    """All settings of a cell, each a drafter or DRAFTER@POLICY, `none` first."""
    requests = _requests(model, workload, config)
    engines = {setting: _engine(model, entrant(setting), requests, config) for setting in ("none", *settings)}
    done: dict[str, list[Part]] = {name: [] for name in engines}
    draw = random.Random(workload)
    try:
        for engine in engines.values():  # a text that all share is read once
            run_part(engine, [replace(requests[0], sampling=replace(requests[0].sampling, max_tokens=2))])
        for part in range(config.parts):
            chosen = requests[part * config.batch : (part + 1) * config.batch]
            for name in draw.sample(list(engines), len(engines)):
                done[name].append(run_part(engines[name], chosen))
            tell(f"{workload}, batch {config.batch}, part {part + 1} of {config.parts}")
    finally:
        for engine in engines.values():
            engine.close()
    return [_cell(model.name, workload, config.batch, name, parts, done["none"]) for name, parts in done.items()]


def run_part(engine: Engine, requests: Sequence[Request]) -> Part:
    """All requests at once, to their ends."""
    sequences = [engine.add(request)[0] for request in requests]
    while not all(sequence.num_output for sequence in sequences):
        engine.step()
    before, begin_s, rounds = _emitted(sequences), time.perf_counter(), 0
    while all(sequence.finish_reason is None for sequence in sequences):
        engine.step()
        rounds += len(sequences)
    tokens, seconds = _emitted(sequences) - before, time.perf_counter() - begin_s
    if not tokens:
        raise ConfigError("one request ended before the last had its first token: give them more tokens each")
    engine.run()  # what is left of the others
    return Part([sequence.output for sequence in sequences], tokens, seconds, rounds)


def _emitted(sequences: Sequence[Running]) -> int:
    return sum(sequence.num_output for sequence in sequences)


def _engine(model: LoadedModel, setting: Entrant, requests: Sequence[Request], config: CellConfig) -> Engine:
    longest = max(len(request.token_n) for request in requests) + config.max_tokens + 96
    sizes = EngineConfig(max_sequences=config.batch, cache_tokens=(config.batch + 1) * longest,
                         prefill_tokens=_PROMPTS, draft_policy=setting.policy)
    return Engine(model.target, drafter_of(setting.drafter, model.target), model.tokenizer, sizes)


def _requests(model: LoadedModel, workload: str, config: CellConfig) -> list[Request]:
    """As many as the cell needs; a workload with fewer prompts starts over, with other seeds and a number in front.

    Behind a long text the number stands at the end, so that the text is still shared.
    """
    reader = PromptReader(model.tokenizer)
    prompts = _prompts(workload, config)
    sampling = Sampling(max_tokens=config.max_tokens, ignore_eos=True, seed=1,
                        temperature=1.0 if workload == "random" else 0.0)
    requests = []
    for index in range(config.parts * config.batch):
        turn, place = divmod(index, len(prompts))
        prompt = prompts[place]
        text = reader.render([{"role": one.role, "content": _numbered(one.content, turn, workload == "long")}
                              for one in prompt.messages], {}) if prompt.text is None else prompt.text
        requests.append(reader.request(text, replace(sampling, seed=index)))
    return requests


def _numbered(text: str, turn: int, behind: bool) -> str:
    if not turn:
        return text
    return f"{text} ({turn})" if behind else f"({turn}) {text}"


def _prompts(workload: str, config: CellConfig) -> Sequence[Prompt]:
    if workload == "random":
        draw = random.Random(0)
        return [Prompt(" ".join(draw.choices(_WORDS, k=60))) for _ in range(config.parts * config.batch)]
    if workload == "long":
        return _long(config.context)
    return load(workload).prompts


def _long(context: int) -> list[Prompt]:
    """Questions behind one long text, made of the summaries' texts; about four characters make a token."""
    texts = [prompt.messages[-1].content.partition("\n\n")[2] for prompt in load("summary").prompts]
    body, number = "", 0
    while len(body) < 4.2 * context:
        body += f"Part {number + 1}.\n\n{texts[number % len(texts)]}\n\n"
        number += 1
    asked = [f"Write a short story of your own about something that part {part} mentions." for part in range(1, 5)]
    asked += [f"Quote two paragraphs of part {part} word for word." for part in range(1, 5)]
    return [Prompt(None, (Message("user", f"{body}{question}"),)) for question in asked]


def _cell(model: str, workload: str, batch: int, name: str, parts: Sequence[Part], base: Sequence[Part]) -> Cell:
    pairs = [one.tok_s / plain.tok_s for one, plain in zip(parts, base, strict=True)]
    tokens, seconds = sum(part.tokens for part in parts), sum(part.seconds for part in parts)
    identical = all(one.outputs == plain.outputs for one, plain in zip(parts, base, strict=True))
    return Cell(model, workload, batch, name, tokens, tokens / seconds, tokens / sum(part.rounds for part in parts),
                Ratio.of(pairs), identical)
