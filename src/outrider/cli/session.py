"""What the verbs that generate have in common: open the model, stream one request, say how it went."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Sequence as Seq
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from outrider.cli.explain_view import show
from outrider.cli.options import AnswerOptions, LoadOptions
from outrider.core.request import Delta
from outrider.core.stats import Stats
from outrider.engine.journal import Journal, journal_of
from outrider.engine.llm import LLM
from outrider.engine.pair import paired
from outrider.engine.sequence import Sequence
from outrider.target.load import LoadedModel, load_model


def open_model(options: LoadOptions, context: int) -> LoadedModel:
    """Loads the model with room for `context` positions, 0 for all; a note on the terminal says so meanwhile."""
    options.check()
    if options.threads:
        torch.set_num_threads(options.threads)
    note = f"loading {options.model} …" if sys.stderr.isatty() else ""
    print(note, end="", file=sys.stderr, flush=True)
    try:
        return load_model(options.model, dtype=options.dtype, device=options.device, context=context, ops=options.ops,
                          weights=options.weights, threads=options.threads)
    finally:
        print("\r\x1b[K" if note else "", end="", file=sys.stderr, flush=True)


def open_llm(options: AnswerOptions) -> LLM:
    """One sequence at a time, or as many as a request has samples."""
    pair = paired(options.model, options.drafter, options.rule)
    model = open_model(replace(options, model=pair.model), options.context)
    return LLM(model, drafter=pair.drafter, max_draft=options.max_draft, context=options.context, rule=options.rule,
               draft_policy=options.draft_policy)


def stream(llm: LLM, sequences: Seq[Sequence], show: Callable[[Delta], None]) -> None:
    """Runs what was added; whatever stops it early, `show` still gets all that came and nothing stays behind."""
    try:
        while any(sequence.finish_reason is None for sequence in sequences):
            for sequence in llm.engine.step():
                show(sequence.delta())
    finally:
        for sequence in sequences:
            if sequence.finish_reason is None:
                llm.engine.abort(sequence)
                show(sequence.delta())


def write(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def say(line: str) -> None:
    """A line beside the answer: on standard error, dim on a terminal."""
    sys.stdout.flush()
    print(f"\x1b[2m{line}\x1b[0m" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def explained(llm: LLM, is_wanted: bool) -> AbstractContextManager[Journal | None]:
    """A journal of the rounds, if one is wanted."""
    return journal_of(llm.engine) if is_wanted else nullcontext()


def report(llm: LLM, sequences: Seq[Sequence], journal: Journal | None = None) -> None:
    """The line of statistics that ends an answer, behind the journal's rounds if there is one."""
    if journal is not None:
        sys.stdout.flush()
        show(journal)
    stats = Stats()
    for sequence in sequences:
        stats.add(sequence.stats)
    say(statistics_line(stats, sum(sequence.num_output for sequence in sequences), llm.engine.drafter.sources))


def statistics_line(stats: Stats, num_tokens: int, sources: Seq[str]) -> str:
    """Speed, tokens per round and who guessed what, in one line."""
    parts = [f"{num_tokens} tokens", f"{stats.tok_s:.1f} tok/s", f"{stats.tokens_per_round:.2f} tokens per round"]
    if stats.drafted:
        counts = [*stats.accepted_by_source, *[0] * len(sources)]
        shares = ", ".join(f"{name} {count}" for name, count in zip(sources, counts, strict=False))
        parts.append(f"accepted {stats.accepted} of {stats.drafted} drafted ({shares})")
    parts.append(f"prompt {stats.prompt_tokens} tokens in {stats.prefill_s:.2f} s")
    return " · ".join(parts)
