"""What an answer cost and what speculation brought, in the words of other people's tools."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from outrider.core.request import Result
from outrider.core.stats import Stats


def usage(results: Sequence[Result], is_empty: bool = False) -> dict[str, object]:
    """`usage` of all prompts and choices together; each prompt counts once, however many answers it has."""
    samples = [sample for result in results for sample in result.samples]
    cached = sum(max(sample.stats.cached_tokens for sample in result.samples) for result in results)
    num_prompt = sum(len(result.prompt_ids) for result in results)
    return counted(num_prompt, 0 if is_empty else sum(len(sample.ids) for sample in samples), cached)


def counted(num_prompt: int, num_output: int, num_cached: int | None = None) -> dict[str, object]:
    """The same from the numbers; the cached ones are known when an answer has ended."""
    found: dict[str, object] = {"prompt_tokens": num_prompt, "completion_tokens": num_output,
                                "total_tokens": num_prompt + num_output}
    if num_cached is not None:
        found["prompt_tokens_details"] = {"cached_tokens": num_cached}
    return found


def speculative(results: Sequence[Result], max_draft: int) -> dict[str, object]:
    """`metrics` with vLLM's names for it; nothing where there are several answers, which would be mixed up."""
    samples = [sample for result in results for sample in result.samples]
    if len(samples) != 1:
        return {"speculative_decoding": None}
    stats = samples[0].stats
    return {"speculative_decoding": {
        "mean_acceptance_length": stats.tokens_per_round, "draft_acceptance_rate": stats.accept_rate,
        "acceptance_histogram": _histogram(stats), "num_spec_steps": stats.rounds,
        "num_accepted_draft_tokens": stats.accepted, "num_draft_tokens": stats.drafted, "num_spec_tokens": max_draft}}


def _histogram(stats: Stats) -> list[int]:
    """How many rounds accepted 0, 1, 2 … tokens, from how many reached each depth."""
    reached = [stats.rounds, *stats.accepted_at_depth, 0]
    return [here - beyond for here, beyond in pairwise(reached)]
