"""How far a target's next-token distributions are from a reference's: Kullback-Leibler divergence, perplexity, top-1.

Both read the same text in windows that begin with an empty cache, and are compared after every token:

    KL(reference || target) = sum over tokens v of p(v) (log p(v) - log q(v)), in nats
    perplexity              = exp of the mean of -log p(token that comes next)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from outrider.bench.pairs import mixed_workload
from outrider.core.tree import DraftTree
from outrider.errors import RequestError, VocabularyError
from outrider.io.tokenizer import Tokenizer
from outrider.target.interface import Target
from outrider.target.load import LoadedModel
from outrider.target.pack import Entry, pack

WINDOW = 1024  # positions read in one context
_PASS = 128  # tokens of a forward pass
_SLICE = 16  # rows in float64 at once: a vocabulary of 150,000 takes 20 MB for them


@dataclass(frozen=True, slots=True)
class Sums:
    """What adds up over positions; `kl_max` is the largest."""

    positions: int = 0
    kl: float = 0.0
    kl_max: float = 0.0
    loss: float = 0.0
    loss_reference: float = 0.0
    same_top: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """`kl_mean` and `kl_max` are in nats; `perplexity_change` is relative, 0.01 for one per cent more."""

    model: str
    against: str
    positions: int
    kl_mean: float
    kl_max: float
    perplexity: float
    perplexity_reference: float
    perplexity_change: float
    top1_agreement: float

    def document(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    def lines(self) -> list[str]:
        """The same for people."""
        return [f"{self.positions} positions of {self.model} against {self.against}",
                f"KL divergence    {self.kl_mean:.5f} nats on average, {self.kl_max:.3f} at most",
                f"perplexity       {self.perplexity:.4f}, of the reference {self.perplexity_reference:.4f} "
                f"({self.perplexity_change:+.3%})",
                f"same first token {self.top1_agreement:.2%}"]


def compare(model: LoadedModel, reference: LoadedModel, windows: Sequence[Sequence[int]],
            tell: Callable[[str], None]) -> Quality:
    """Reads every window with both. Raises: VocabularyError where they do not speak the same tokens."""
    check_vocabulary(model, reference)
    sums, total = Sums(), sum(len(window) - 1 for window in windows)
    for window in windows:
        cursors = (_Cursor(model.target, len(window)), _Cursor(reference.target, len(window)))
        for begin in range(0, len(window) - 1, _PASS):
            tell(f"position {sums.positions} of {total}")
            end = min(begin + _PASS, len(window) - 1)
            logits_TV, wanted_TV = (cursor.read(window[begin:end]) for cursor in cursors)
            sums = _added(sums, logits_TV, wanted_TV, window[begin + 1 : end + 1])
    return _quality(model.name, reference.name, sums)


def windows_of(tokenizer: Tokenizer, text: str, positions: int, window: int = WINDOW) -> list[list[int]]:
    """Stretches of the text with `positions` predicted tokens in all. Raises: RequestError where it is too short."""
    ids, prefix = tokenizer.encode(text, special=False), tokenizer.with_bos([])  # beginning-of-text, where there is one
    overlap = 0 if prefix else 1  # without one, a window begins with the last token of the window before
    if len(ids) < positions + overlap:
        raise RequestError(f"the text has {len(ids)} tokens, too few for {positions} positions: give a longer "
                           "--text or fewer --positions")
    counts = ((begin, min(window, positions - begin)) for begin in range(0, positions, window))
    return [[*prefix, *ids[begin : begin + count + overlap]] for begin, count in counts]


def shipped_text() -> str:
    """Code and prose that the package ships: the frozen workloads' prompts, one of each in turn."""
    return "\n\n".join(prompt.text or "\n".join(message.content for message in prompt.messages)
                       for prompt in mixed_workload().prompts)


def check_vocabulary(model: LoadedModel, reference: LoadedModel) -> None:
    """Raises: VocabularyError."""
    ours, theirs = model.target, reference.target
    if (ours.fingerprint, ours.vocab_size) != (theirs.fingerprint, theirs.vocab_size):
        raise VocabularyError(f"{model.name} and {reference.name} do not have the same vocabulary: give two files of "
                              "one model")


class _Cursor:
    """A target part of the way through one window."""

    def __init__(self, target: Target, num_tokens: int) -> None:
        self._target, self._cache = target, target.new_cache(num_tokens)
        self._row = self._cache.open()

    def read(self, token_n: Sequence[int]) -> Tensor:
        """Logits after each of the tokens, which are committed."""
        entry = Entry(self._row, token_n[:1], DraftTree.chain(token_n[1:]))
        logits_TV = self._target.forward(pack(self._cache, [entry], self._target.device), self._cache).logits_RV
        self._cache.keep(self._row, token_n, range(len(token_n)))
        return logits_TV


def _added(sums: Sums, logits_TV: Tensor, wanted_TV: Tensor, next_n: Sequence[int]) -> Sums:
    for begin in range(0, len(next_n), _SLICE):
        rows = slice(begin, begin + _SLICE)
        log_q = torch.log_softmax(logits_TV[rows].double(), -1)
        log_p = torch.log_softmax(wanted_TV[rows].double().to(log_q.device), -1)
        kl_n = (log_p.exp() * (log_p - log_q)).sum(-1)
        next_n1 = torch.tensor(next_n[rows], device=log_q.device)[:, None]
        sums = replace(
            sums, positions=sums.positions + len(kl_n), kl=sums.kl + float(kl_n.sum()),
            kl_max=max(sums.kl_max, float(kl_n.max())), loss=sums.loss - float(log_q.gather(1, next_n1).sum()),
            loss_reference=sums.loss_reference - float(log_p.gather(1, next_n1).sum()),
            same_top=sums.same_top + int((log_p.argmax(-1) == log_q.argmax(-1)).sum()))
    return sums


def _quality(model: str, against: str, sums: Sums) -> Quality:
    perplexity, of_reference = (math.exp(loss / sums.positions) for loss in (sums.loss, sums.loss_reference))
    return Quality(model=model, against=against, positions=sums.positions, kl_mean=sums.kl / sums.positions,
                   kl_max=sums.kl_max, perplexity=perplexity, perplexity_reference=of_reference,
                   perplexity_change=perplexity / of_reference - 1, top1_agreement=sums.same_top / sums.positions)
