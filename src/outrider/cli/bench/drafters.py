"""`outrider bench run`: drafters against plain decoding on the same prompts."""

from __future__ import annotations

from dataclasses import dataclass

from outrider.cli.bench.place import machine_of
from outrider.cli.bench.screen import show, tell
from outrider.cli.flags import parse
from outrider.cli.options import ModelOptions, check_counts
from outrider.core.sampling import Sampling
from outrider.drafting.auto import AUTO

SUMMARY = "drafters against plain decoding, over the same prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun(ModelOptions):
    """Run the baseline `none` and every drafter over the same prompts, compare the tokens, print a table.

    Times are medians over --repeat passes; every pass begins with an empty cache and an empty drafter.
    """

    drafter: str = AUTO
    """Drafters, separated by commas; `none` comes first whether named or not. DRAFTER@POLICY, such as auto@fixed:8,
    runs one under a policy of its own.
    """
    prompts: str = "edit"
    """Shipped workloads (edit, code, chat, math, summary) or .jsonl files, separated by commas."""
    max_tokens: int = 256
    """Length of an answer in tokens, at most."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    """Seed of every request."""
    batch: int = 1
    """Requests in the engine at once."""
    limit: int = 0
    """Prompts of each workload, the first ones; 0 takes all."""
    repeat: int = 1
    """Passes, of which medians are printed, and from two on the 95 % interval of the speedup, paired pass by pass."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    return _run(parse(BenchRun, argv, "outrider bench run"))


def _run(options: BenchRun) -> int:
    options.check()
    check_counts(options, "batch", "repeat", least=1)
    check_counts(options, "limit")
    sampling = Sampling(temperature=options.temperature, seed=options.seed, max_tokens=options.max_tokens)
    from outrider.bench.entrant import entrant
    from outrider.bench.report import divergence_lines, document, table
    from outrider.bench.run import BenchConfig, bench
    from outrider.bench.workload import load
    from outrider.cli.session import open_model
    from outrider.drafting.syntax import split_runs

    drafters = split_runs(options.drafter)
    for drafter in drafters:
        entrant(drafter)  # a misspelt one must not cost the others' time
    workloads = [load(name.strip()) for name in options.prompts.split(",")]
    model = open_model(options, options.context)
    config = BenchConfig(drafters=tuple(drafters), sampling=sampling, batch=options.batch, limit=options.limit,
                         repeat=options.repeat, max_draft=options.max_draft, context=options.context,
                         draft_policy=options.draft_policy)
    runs = [row for workload in workloads for row in bench(model, workload, config, tell)]
    tell("")
    show(table(runs))
    for line in divergence_lines(runs):
        print(line)
    if options.json:
        print(document(model.name, machine_of(model), runs))
    return 0
