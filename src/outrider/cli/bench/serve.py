"""`outrider bench serve`: load on servers, ours or others, by the same client."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from outrider.cli.bench.screen import show, tell
from outrider.cli.flags import parse
from outrider.cli.options import Words, check_counts
from outrider.errors import ConfigError, UnknownReferenceError, suggestion

if TYPE_CHECKING:
    from outrider.bench.serve.contender import Contender
    from outrider.bench.serve.load import Level
    from outrider.bench.serve.offline import Offline
    from outrider.bench.serve.trial import Plan, Row
    from outrider.bench.workload import Prompt
    from outrider.cli.serve import Serve
    from outrider.engine.llm import LLM

SUMMARY = "a server under load, ours or any that speaks OpenAI's interface"
SPECULATION = {"on": True, "off": False, "as-is": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchServe:
    """Keep so many requests in flight, or let them fall at a rate, and measure what comes back.

    With a MODEL, a server of ours is started for it and stopped at the end. Several servers, or several settings of
    speculation, are measured in turns, and compared with the first one run by run.
    """

    server: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="URL|MODEL")]
    """Address of a server such as http://127.0.0.1:8000, or a model to serve; NAME=URL gives it a name in tables."""
    beside: Words = ()
    """Another URL or MODEL, measured in turns with the first; may be repeated."""
    concurrency: str = "1,4,8,16,32"
    """Requests in flight, numbers separated by commas."""
    rate: str = ""
    """Requests a second, numbers separated by commas: they begin at random moments (Poisson), answered or not."""
    prompts: str = "code"
    """Shipped workloads (edit, code, chat, math, summary) or .jsonl files, separated by commas."""
    max_tokens: int = 64
    """Length of every answer in tokens, where the server takes ignore_eos; else at most."""
    requests: int = 0
    """Requests of each run; 0: twice as many as are in flight, at least 8."""
    repeat: int = 1
    """Runs of each server at each load: medians are printed, and from two on the 95 % interval of ratios."""
    offline: bool = False
    """Also put the MODEL under the same load in this process, without a server: what the server costs."""
    speculation: str = "as-is"
    """on, off or as-is (what the server does unless told); several, separated by commas, are measured in turns.
    Servers beside the first are measured as they are.
    """
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    """Seed of every request and of the moments at which they begin."""
    warm: bool = False
    """Let servers find prompts in their caches; unless given, each run has a cache_salt of its own."""
    served_model: str = ""
    """What the servers call the model; unless given, the first that each one names."""
    api_key: str = ""
    """Sent as a bearer token."""
    serve_options: str = ""
    """Options for `outrider serve`, as in --serve-options="--threads 2 --drafter none"."""
    serve_log: Path | None = None
    """Where the log of the server goes that is started for the first MODEL."""
    timeout: float = 600.0
    """Seconds after which a request counts as failed."""
    plot: Path | None = None
    """Draw rates and latencies over load into this .svg file."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    options = parse(BenchServe, argv, "outrider bench serve")
    check_counts(options, "requests", "seed")
    check_counts(options, "max_tokens", "repeat", least=1)
    if options.timeout <= 0.0:
        raise ConfigError(f"--timeout: got {options.timeout:g}, expected seconds")
    if options.plot is not None:
        check_file(options.plot, "--plot", ".svg")
    if options.serve_log is not None:
        check_file(options.serve_log, "--serve-log", "")
    levels, modes = read_levels(options), read_modes(options.speculation)

    from outrider.bench.serve.ask import Wish
    from outrider.bench.serve.trial import Plan, Server, hold
    from outrider.bench.workload import load

    wish = Wish(max_tokens=options.max_tokens, temperature=options.temperature, seed=options.seed,
                is_fresh=not options.warm)
    plan = Plan(levels=tuple(levels), wish=wish, requests=options.requests, repeat=options.repeat,
                timeout_s=options.timeout)
    prompts = [prompt for name in options.prompts.split(",") for prompt in load(name.strip()).prompts]
    with ExitStack() as stack:
        contenders = _contenders(options, modes, prompts, plan, stack)
        entrants = [*(_offline(options, modes, stack) if options.offline else ()), *map(Server, contenders)]
        return _measure(options, contenders, hold(entrants, prompts, plan, tell))


def read_levels(options: BenchServe) -> list[Level]:
    """What `--rate` says, or else `--concurrency`. Raises: ConfigError."""
    from outrider.bench.serve.load import Level

    if options.rate:
        return [Level(rate=rate) for rate in _numbers(options.rate, "--rate", "2,4.5")]
    counts = _numbers(options.concurrency, "--concurrency", "1,8")
    if any(count != int(count) for count in counts):
        raise ConfigError(f"--concurrency: got '{options.concurrency}', expected whole numbers such as 1,8")
    if 0 < options.requests < max(counts):
        raise ConfigError(f"--requests: got {options.requests}, expected at least as many as are in flight, "
                          f"{max(counts):g}")
    return [Level(at_once=int(count)) for count in counts]


def _numbers(words: str, flag: str, example: str) -> list[float]:
    try:
        numbers = [float(word) for word in words.split(",")]
    except ValueError:
        numbers = [0.0]
    if not all(0.0 < number < 1e6 for number in numbers):
        raise ConfigError(f"{flag}: got '{words}', expected numbers above 0 separated by commas, such as {example}")
    return numbers


def read_modes(words: str) -> dict[str, bool | None]:
    """Settings of speculation by their names. Raises: ConfigError."""
    names = [word.strip() for word in words.split(",")]
    for name in names:
        if name not in SPECULATION:
            raise ConfigError(f"--speculation: got '{name}'{suggestion(name, SPECULATION)}, "
                              f"expected {', '.join(SPECULATION)}")
    return {name: SPECULATION[name] for name in names}


def check_file(path: Path, flag: str, suffix: str) -> None:
    """Raises: ConfigError, UnknownReferenceError for a file that could not be written at the end."""
    if not path.name.endswith(suffix):
        raise ConfigError(f"{flag}: got '{path}', expected a file that ends in {suffix}")
    if not path.expanduser().parent.is_dir():
        raise UnknownReferenceError(f"{flag}: there is no folder '{path.parent}'")


def _contenders(options: BenchServe, modes: dict[str, bool | None], prompts: Sequence[Prompt], plan: Plan,
                stack: ExitStack) -> list[Contender]:
    """Every server in every mode; servers of ours are started, and end with `stack`."""
    import shlex

    from outrider.bench.serve.ask import OPTIONAL, Terms
    from outrider.bench.serve.child import our_command, started
    from outrider.bench.serve.contender import introduce, model_at
    from outrider.bench.serve.wire import site_of

    found: list[Contender] = []
    for word in (options.server, *options.beside):
        own = {"as-is": None} if found else modes
        name, reference = split_name(word)
        if "://" in reference:
            site = site_of(reference, options.api_key)
        else:
            tell(f"starting a server for {reference}")
            command = our_command(reference, shlex.split(options.serve_options))
            site = stack.enter_context(started(command, reference, None if found else options.serve_log))
        model = options.served_model or model_at(site)
        for mode, speculation in own.items():
            label = f"{name or site.name} {mode}" if len(own) > 1 else name or site.name
            terms = Terms(model=model, taken=frozenset(OPTIONAL), speculation=speculation)
            found.append(introduce(label, site, terms, prompts[0], plan.wish))
    if len({one.name for one in found}) < len(found):
        raise ConfigError("two servers have the same name: give them names as in --beside other=http://127.0.0.1:8001")
    return found


def split_name(word: str) -> tuple[str, str]:
    """`NAME=URL` or `NAME=MODEL`; without a name, "" and a model's name is its own."""
    name, equals, reference = word.partition("=")
    if equals and "/" not in name:
        return name, reference
    return ("" if "://" in word else Path(word).name.removesuffix(".gguf")), word


def _offline(options: BenchServe, modes: dict[str, bool | None], stack: ExitStack) -> list[Offline]:
    """The engine that `outrider serve` would make, in every mode."""
    import shlex

    from outrider.bench.serve.offline import Offline
    from outrider.cli.serve import Serve

    _, reference = split_name(options.server)
    if "://" in reference:
        raise ConfigError(f"--offline: got the address {reference}, expected a MODEL")
    tell(f"loading {reference}")
    llm = stack.enter_context(_llm_of(parse(Serve, [reference, *shlex.split(options.serve_options)], "outrider serve")))
    return [Offline(f"offline {mode}" if len(modes) > 1 else "offline", llm, on) for mode, on in modes.items()]


def _llm_of(options: Serve) -> LLM:
    from outrider.cli.session import open_model
    from outrider.engine.llm import LLM
    from outrider.engine.pair import paired

    pair = paired(options.model, options.drafter)
    return LLM(open_model(replace(options, model=pair.model), options.context), drafter=pair.drafter,
               max_draft=options.max_draft, context=options.context, draft_policy=options.draft_policy,
               max_sequences=options.max_sequences, cache_tokens=options.cache_tokens,
               prefill_tokens=options.prefill_tokens, overlap=options.overlap)


def _measure(options: BenchServe, contenders: Sequence[Contender], rows: Sequence[Row]) -> int:
    from outrider.bench.serve.report import document, latency_table, notes, rate_table

    tell("")
    show(rate_table(rows))
    print()
    show(latency_table(rows))
    for line in notes(contenders, rows):
        print(line)
    if options.plot is not None:
        from outrider.bench.serve.plot import drawing

        options.plot.expanduser().write_text(drawing(rows), encoding="utf-8")
    if options.json:
        print(document(contenders, rows, options.prompts))
    return 0 if all(one.figures.completed for row in rows for one in row.rounds) else 1
