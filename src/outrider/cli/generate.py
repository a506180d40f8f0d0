"""`outrider generate`: continue a text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from outrider.cli.flags import parse
from outrider.cli.options import AnswerOptions, read_prompt, read_text
from outrider.errors import ConfigError

if TYPE_CHECKING:
    from outrider.core.request import Request
    from outrider.engine.journal import Journal
    from outrider.engine.llm import LLM

SUMMARY = "continue a text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(AnswerOptions):
    """Continue a text as it stands (`outrider chat --message` asks a question); statistics follow on standard error."""

    prompt: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="PROMPT")] = None
    """The text; - reads it from standard input."""
    prompt_file: Path | None = None
    """A file with the text."""
    prediction: Path | None = None
    """A file with text that is expected in the answer, for drafters that copy."""
    n: int = 1
    """Samples, each with noise of its own; with several, each is printed when all are done."""
    logprobs: int | None = None
    """With --json: log-probabilities of the tokens and of this many others at each position."""
    json: bool = False
    """Print one JSON document when the answer is complete."""


def run(argv: list[str]) -> int:
    options = parse(Generate, argv, "outrider generate")
    if options.logprobs is not None and not options.json:
        raise ConfigError("--logprobs are shown only in the JSON document: add --json")
    if options.explain and options.n > 1:
        raise ConfigError(f"--explain tells of one answer: got --n {options.n}")
    sampling = options.sampling().seeded()
    prompt = read_prompt(options.prompt, options.prompt_file)
    prediction = read_text(options.prediction, "--prediction") if options.prediction else None
    from outrider.cli.session import explained, open_llm

    with open_llm(options) as llm, explained(llm, options.explain) as journal:
        request = llm.prompts.request(prompt, sampling, prediction)
        if options.json:
            print(_document(llm, request, journal))
        else:
            _print(llm, request, journal)
    return 0


def _print(llm: LLM, request: Request, journal: Journal | None) -> None:
    """A single answer streams; several come one after the other when all are done."""
    from outrider.cli.session import report, stream, write

    is_single = request.sampling.n == 1
    sequences = llm.engine.add(request)
    try:
        stream(llm, sequences, lambda delta: write(delta.text if is_single else ""))
    finally:
        if not is_single:
            write("\n".join(f"--- sample {number}\n{item.text.text}" for number, item in enumerate(sequences, start=1)))
        write("\n")
        report(llm, sequences, journal)


def _document(llm: LLM, request: Request, journal: Journal | None) -> str:
    from outrider.cli.explain_view import rows

    result = llm.run([request])[0]
    samples = [{"text": sample.text, "ids": sample.ids, "finish_reason": sample.finish_reason,
                "logprobs": [asdict(entry) for entry in sample.logprobs], "stats": asdict(sample.stats)}
               for sample in result.samples]
    return json.dumps({"model": llm.model.name, "drafter": list(llm.engine.drafter.sources),
                       "seed": request.sampling.seed, "samples": samples,
                       **({} if journal is None else {"rounds": rows(journal)})})
