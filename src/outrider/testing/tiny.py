"""A toy model and toy requests, on which any drafter has something to find."""

from __future__ import annotations

import torch

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.target.load import LoadedModel
from outrider.target.tiny import tiny_target

_ROUND = (5, 6, 7, 8, 9, 10)


def tiny_model(seed: int = 0, device: torch.device | str = "cpu") -> LoadedModel:
    """A random model of 96 tokens without a tokenizer: give it token ids.

    It is in float64, so that its tokens do not depend on what is computed beside them.
    """
    return LoadedModel(f"tiny-{seed}", tiny_target(seed, dtype=torch.float64, device=device), None)


def tiny_requests(max_tokens: int = 24) -> list[Request]:
    """Prompts that repeat themselves, each greedy and sampled; prefix hits, a prediction, a second user, samples."""
    greedy = Sampling(max_tokens=max_tokens, seed=1)
    hot = Sampling(max_tokens=max_tokens, temperature=0.7, top_p=0.9, seed=2, n=2)
    fussy = Sampling(max_tokens=max_tokens, temperature=0.5, repetition_penalty=1.2, frequency_penalty=0.2, seed=3)
    long, short = _ROUND * 6, (11, *_ROUND, 12, *_ROUND)
    return [
        Request(long, greedy), Request(short, hot), Request((3,), fussy),
        Request(long, hot), Request(short, greedy, prediction=(40, 41, 42, *_ROUND)),
        Request(long, greedy, scope="anna"),
    ]
