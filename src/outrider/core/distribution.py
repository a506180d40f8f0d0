"""The one place where logits become scores and probabilities.

Fixed order: logit bias, penalties, temperature, top-k, top-p, min-p. Scores are float64; what a filter removes has
score -inf; softmax of the scores is the distribution that tokens are drawn from. Greedy is the one-hot distribution
at the argmax, which a score row with temperature 0 gives through `choose` and `distribution` alike.
Each row is computed from that row alone, so neighbours cannot change it. Ties go to the lowest token id everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from outrider.core.noise import NoiseKey, gumbel
from outrider.core.sampling import Sampling


@dataclass(slots=True)
class History:
    """Token counts that penalties look at; shapes [V] float64. Kept only for requests that use penalties."""

    in_prompt_V: Tensor
    output_V: Tensor

    @classmethod
    def of(cls, prompt: list[int], output: list[int], vocab_size: int, device: torch.device) -> History:
        history = cls(torch.zeros(vocab_size, dtype=torch.float64, device=device),
                      torch.zeros(vocab_size, dtype=torch.float64, device=device))
        history.in_prompt_V[torch.tensor(prompt, dtype=torch.int64, device=device)] = 1.0
        for token in output:
            history.output_V[token] += 1.0
        return history

    def copy(self) -> History:
        """To count on along a branch that may be left; the prompt's part is shared."""
        return History(self.in_prompt_V, self.output_V.clone())

    def count(self, token: int, times: int = 1) -> None:
        """One more output token; `times` -1 takes it back."""
        self.output_V[token] += times


def scores(logits_V: Tensor, sampling: Sampling, history: History | None = None) -> Tensor:
    """Float64 scores [V] of one row; at temperature 0 the biased, penalised logits themselves."""
    score_V = logits_V.to(torch.float64)
    if sampling.logit_bias:
        score_V = _biased(score_V, sampling)
    if history is not None and sampling.has_penalties:
        score_V = _penalised(score_V, sampling, history)
    if sampling.is_greedy:
        return score_V
    # The best at 0, so that no temperature, however small, turns scores into infinities.
    score_V = (score_V - score_V.max()) / sampling.temperature
    if sampling.top_k or sampling.top_p < 1.0:
        score_V = _top(score_V, sampling)
    if sampling.min_p > 0.0:
        floor = score_V.max() + torch.log(torch.tensor(sampling.min_p, dtype=torch.float64, device=score_V.device))
        score_V = score_V.masked_fill(score_V < floor, -torch.inf)
    return score_V


def distribution(logits_V: Tensor, sampling: Sampling, history: History | None = None) -> Tensor:
    """Probabilities [V], float64, of one row."""
    score_V = scores(logits_V, sampling, history)
    if sampling.is_greedy:
        return torch.nn.functional.one_hot(score_V.argmax(), len(score_V)).to(torch.float64)
    return score_V.softmax(-1)


def noisy(score_V: Tensor, sampling: Sampling, key: NoiseKey, position: int) -> Tensor:
    """Scores plus the keyed noise of `position`: their argmax is the choice, the next best are its likely siblings."""
    if sampling.is_greedy:
        return score_V
    words_13 = torch.tensor([key.words(position)], dtype=torch.int64, device=score_V.device)
    token_V = torch.arange(len(score_V), device=score_V.device)
    return score_V + gumbel(words_13, token_V)[0]


def choose(logits_V: Tensor, sampling: Sampling, key: NoiseKey, position: int, history: History | None = None) -> int:
    """The target's choice at `position`, the absolute index of the token being chosen."""
    return int(noisy(scores(logits_V, sampling, history), sampling, key, position).argmax())


@dataclass(frozen=True, slots=True)
class Best:
    """The best tokens of a row by score + noise, best first; none that has no chance."""

    token_K: list[int]
    value_K: list[float]


def best(noisy_V: Tensor, count: int) -> Best:
    """The `count` best of `noisy`'s sum."""
    border = noisy_V.topk(min(count, len(noisy_V))).values[-1]  # topk itself takes any of equals
    token_C = ((noisy_V >= border) & (noisy_V > -torch.inf)).nonzero()[:, 0]
    top_C = noisy_V[token_C].sort(descending=True, stable=True)
    return Best(token_C[top_C.indices[:count]].tolist(), top_C.values[:count].tolist())


def _biased(score_V: Tensor, sampling: Sampling) -> Tensor:
    token_C = torch.tensor(list(sampling.logit_bias), dtype=torch.int64, device=score_V.device)
    bias_C = torch.tensor(list(sampling.logit_bias.values()), dtype=torch.float64, device=score_V.device)
    return score_V.index_add(0, token_C, bias_C)


def _penalised(score_V: Tensor, sampling: Sampling, history: History) -> Tensor:
    if sampling.repetition_penalty != 1.0:
        seen_V = (history.in_prompt_V + history.output_V) > 0
        weaker_V = torch.where(score_V > 0, score_V / sampling.repetition_penalty,
                               score_V * sampling.repetition_penalty)
        score_V = torch.where(seen_V, weaker_V, score_V)
    score_V = score_V - sampling.frequency_penalty * history.output_V
    return score_V - sampling.presence_penalty * (history.output_V > 0)


def _top(score_V: Tensor, sampling: Sampling) -> Tensor:
    """Keeps the `top_k` best, then of these the fewest whose probabilities reach `top_p`."""
    if sampling.top_k and sampling.top_k < len(score_V):
        score_V = _keep_best(score_V, sampling.top_k)
    if sampling.top_p < 1.0:
        best_V = score_V.sort(descending=True, stable=True)
        before_V = best_V.values.softmax(-1).cumsum(-1).roll(1)
        before_V[0] = 0.0
        dropped_V = best_V.indices[before_V >= sampling.top_p]
        score_V = score_V.index_fill(0, dropped_V, -torch.inf)
    return score_V


def _keep_best(score_V: Tensor, count: int) -> Tensor:
    """All but the `count` best become -inf; of equals at the border the lowest ids stay."""
    border = score_V.topk(count).values[-1]
    above_V = score_V > border
    level_V = score_V == border
    room = count - above_V.sum()
    kept_V = above_V | (level_V & (level_V.cumsum(0) <= room))
    return score_V.masked_fill(~kept_V, -torch.inf)
