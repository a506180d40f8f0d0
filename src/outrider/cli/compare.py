"""`outrider compare`: the demonstration, plain and speculative decoding side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from outrider.cli.flags import parse
from outrider.cli.options import SamplingOptions, read_prompt, read_text

if TYPE_CHECKING:
    from rich.console import Console

    from outrider.bench.race import Lane
    from outrider.cli.compare_view import Painter
    from outrider.core.request import Request
    from outrider.engine.engine import Engine
    from outrider.target.load import LoadedModel

SUMMARY = "plain and speculative decoding side by side"
DEMO_PROMPT = """\
Write this list of contacts again. Begin each email address with a capital letter.

1. Anna Bergmann, anna.bergmann@example.com, Berlin
2. Boris Petrov, boris.petrov@example.com, Sofia
3. Clara Dubois, clara.dubois@example.com, Lyon
4. David Okafor, david.okafor@example.com, Lagos
5. Elena Rossi, elena.rossi@example.com, Milan
6. Farid Haddad, farid.haddad@example.com, Beirut
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(SamplingOptions):
    """Decode one prompt plainly and speculatively, side by side: the same tokens, sooner.

    One model, two engines; they take turns so that each has the machine to itself and both clocks advance alike.
    Exit code 1 where the tokens differ.
    """

    prompt: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="PROMPT")] = None
    """What to say to the model; - reads it from standard input; none: a demonstration."""
    prompt_file: Path | None = None
    """A file with the prompt."""
    prediction: Path | None = None
    """A file with text that is expected in the answer, for drafters that copy."""
    raw: bool = False
    """Continue the prompt as it stands, without the model's chat template."""


def run(argv: list[str]) -> int:
    options = parse(Compare, argv, "outrider compare")
    sampling = options.sampling().seeded()
    given = options.prompt is not None or options.prompt_file is not None
    prompt = read_prompt(options.prompt, options.prompt_file) if given else DEMO_PROMPT
    prediction = read_text(options.prediction, "--prediction") if options.prediction else None
    from outrider.cli.session import open_model
    from outrider.drafting.syntax import spec_of
    from outrider.engine.prompt import PromptReader

    spec_of(options.drafter)  # a misspelt one is told before the model is loaded
    model = open_model(options, options.context)
    reader = PromptReader(model.tokenizer)
    if not options.raw and model.tokenizer is not None and model.tokenizer.template is not None:
        prompt = reader.render([{"role": "user", "content": prompt}], {})
    return _compare(model, reader.request(prompt, sampling, prediction), options)


def _compare(model: LoadedModel, request: Request, options: Compare) -> int:
    from rich.console import Console

    from outrider.bench.race import lane, race
    from outrider.bench.run import BASELINE
    from outrider.cli.compare_view import LivePanels, Painter, outcome

    engines = [_engine(model, drafter, request, options) for drafter in (BASELINE, options.drafter)]
    _warm_up(model, request, options)
    lanes = [lane(BASELINE, engines[0], request), lane(options.drafter, engines[1], request)]
    assert model.tokenizer is not None, "text was encoded, so there is a tokenizer"
    painters = [Painter(each, model.tokenizer) for each in lanes]
    console = Console()
    try:
        with LivePanels(console, painters) as panels:
            for _ in race(lanes):
                panels.refresh()
    finally:
        for engine in engines:
            engine.close()
        _print_texts(console, painters)
    console.print(outcome(*lanes))
    return _verdict(model, request, lanes)


def _verdict(model: LoadedModel, request: Request, lanes: list[Lane]) -> int:
    """The last line, and the exit code."""
    from outrider.bench.identity import first_difference, gap_between
    from outrider.bench.report import gap_text

    plain, fast = (lane.sequence.output for lane in lanes)
    at = first_difference(plain, fast)
    if at is None:
        print("identical: yes")
        return 0
    gap = float("inf")
    if at < min(len(plain), len(fast)):
        gap = gap_between(model.target, request, plain[:at], plain[at], fast[at])
    print(f"identical: no: first difference at token {at}, {gap_text(gap)}")
    return 1


def _engine(model: LoadedModel, drafter: str, request: Request, options: Compare) -> Engine:
    """Room for this one request and no more."""
    from outrider.drafting.syntax import drafter_of
    from outrider.engine.config import EngineConfig
    from outrider.engine.engine import Engine

    size = len(request.token_n) + request.sampling.max_tokens + options.max_draft + 32
    config = EngineConfig(max_sequences=1, max_draft=options.max_draft, context=options.context, cache_tokens=size,
                          draft_policy=options.draft_policy)
    return Engine(model.target, drafter_of(drafter, model.target), model.tokenizer, config)


def _warm_up(model: LoadedModel, request: Request, options: Compare) -> None:
    """Two tokens on an engine that is thrown away: the first forward pass of a process is slower than the rest."""
    from outrider.bench.run import BASELINE

    engine = _engine(model, BASELINE, request, options)
    engine.add(replace(request, sampling=replace(request.sampling, max_tokens=2)))
    engine.run()
    engine.close()


def _print_texts(console: Console, painters: list[Painter]) -> None:
    """Both answers whole: panels on a terminal, plain text elsewhere."""
    from outrider.cli.compare_view import frame

    if console.is_terminal:
        console.print(frame(painters, console, whole=True))
        return
    for painter in painters:
        print(f"--- {painter.title()}\n{painter.lane.sequence.text.text}\n")
