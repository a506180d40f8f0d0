"""What an answer cost and what speculation brought, in the words of other people's tools."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from outrider.core.request import Result
from outrider.core.stats import Stats
from outrider.serve.asked import Asked
from outrider.serve.running import Running


def usage(running: Running, asked: Asked) -> dict[str, object]:
    """`usage` of all prompts and choices together; each prompt counts once, however many answers it has.

    Of predictions there are counts only where one was given.
    """
    results = running.results()
    samples = [sample for result in results for sample in result.samples]
    num_prompt = sum(len(result.prompt_ids) for result in results)
    told = counted(num_prompt, sum(len(sample.ids) for sample in samples))
    cached = sum(max(sample.stats.cached_tokens for sample in result.samples) for result in results)
    told["prompt_tokens_details"] = {"cached_tokens": cached}
    if asked.has_prediction:
        counts = running.predicted()
        told["completion_tokens_details"] = {"accepted_prediction_tokens": counts.accepted,
                                             "rejected_prediction_tokens": counts.rejected}
    return told


def counted(num_prompt: int, num_output: int) -> dict[str, object]:
    """The part that is known while an answer comes."""
    return {"prompt_tokens": num_prompt, "completion_tokens": num_output, "total_tokens": num_prompt + num_output}


def metrics(results: Sequence[Result], max_draft: int) -> dict[str, object]:
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
