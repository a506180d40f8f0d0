"""Toy targets, a toy tokenizer, a drafter that forges trees around the truth, and a slow engine to compare with.

Targets are in float64: sums then differ by 1e-16 with the rows they are computed beside, so that tokens are compared
without a margin for near-ties.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import tokenizers
import torch
from torch import Tensor

from outrider.core.commit import Commit
from outrider.core.distribution import History, choose
from outrider.core.noise import NoiseKey
from outrider.core.request import Request, Result
from outrider.core.sampling import Sampling
from outrider.core.spec import ModelSpec, RopeSpec
from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import Drafter, HostDrafter, SequenceContext
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.io.tokenizer import Tokenizer, TokenRoles, TokenTable
from outrider.target.decoder import DecoderTarget
from outrider.target.load import LoadedModel
from outrider.target.pack import Entry, pack
from outrider.target.tiny import TINY, tiny_target

VOCAB = TINY.vocab_size
EOS = VOCAB - 1
SPECS: Mapping[str, ModelSpec] = {
    "llama": TINY,
    "windowed": replace(
        TINY, family="gemma3", num_layers=3, sliding=(True, False, True), window=7, local_rope=RopeSpec(theta=100.0),
        qk_norm=True, post_norms=True, activation="gelu_tanh", norm_offset=1.0, attention_softcap=20.0,
        final_softcap=30.0, num_kv_heads=1),
}
Truths = Mapping[tuple[tuple[int, ...], int], Sequence[int]]


@cache
def target_of(kind: str = "llama", seed: int = 0, spread: float = 1.0) -> DecoderTarget:
    """A float64 toy with an end-of-text token; the same object for the same arguments."""
    spec = replace(SPECS[kind], eos_ids=(EOS,))
    return tiny_target(seed, spec, spread=spread, dtype=torch.float64, device=os.environ.get("OUTRIDER_DEVICE", "cpu"))


@cache
def tiny_tokenizer() -> Tokenizer:
    """Letters, some pairs of them, a space, a newline, both bytes of é on their own, and `<eos>` as the last id."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1) if chr(code).isalnum()]
    pieces = [*letters, "Ġ", "Ċ", "Ã", "©", ".", ",", *(first + second for first in "abcd" for second in "xyz")]
    pieces += [f"w{index}" for index in range(VOCAB - 1 - len(pieces))] + ["<eos>"]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({piece: token for token, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    special = frozenset({EOS})
    table = TokenTable(pieces=tuple(pieces), added=special, special=special, spell=_spell)
    return Tokenizer(backend, table, TokenRoles(eos_id=EOS))


def _spell(piece: str) -> bytes:
    return b"".join({"Ġ": b" ", "Ċ": b"\n", "Ã": b"\xc3", "©": b"\xa9"}.get(char, char.encode()) for char in piece)


def loaded(kind: str = "llama", seed: int = 0) -> LoadedModel:
    return LoadedModel("toy", target_of(kind, seed), tiny_tokenizer())


@dataclass(slots=True)
class ForgerState:
    context: SequenceContext
    tokens: list[int]


class Forger(HostDrafter[ForgerState]):
    """Trees of random shape that hold random stretches of the truth, sometimes all of it, sometimes none.

    `truths` maps a prompt and a sample to what plain decoding gives; the forger may look at it, as any drafter may
    look at anything.
    """

    @dataclass(frozen=True, slots=True)
    class Config:
        truths: Truths
        seed: int = 0
        siblings: int = 2
        faith: float = 0.8

    def start(self, context: SequenceContext) -> ForgerState:
        return ForgerState(context, [context.token])

    def observe(self, state: ForgerState, commit: Commit) -> None:
        state.tokens += commit.token_n

    def draft(self, state: ForgerState, budget: Budget) -> DraftTree:
        draw = random.Random(hash((self.config.seed, tuple(state.tokens))))
        ahead = self._ahead(state)
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        on_truth = {-1: 0}  # node: how many tokens of the truth lead to it
        for _ in range(draw.randint(0, budget.nodes)):
            parent = draw.randint(max(-1, len(tokens) - 1 - self.config.siblings), len(tokens) - 1)
            depth = 1 if parent == -1 else depths[parent] + 1
            known = on_truth.get(parent)
            truthful = known is not None and known < len(ahead) and draw.random() < self.config.faith
            token = ahead[known] if truthful and known is not None else draw.randrange(self.target.vocab_size)
            if depth > budget.depth or (parent, token) in zip(parents, tokens, strict=True):
                continue
            if known is not None and known < len(ahead) and token == ahead[known]:
                on_truth[len(tokens)] = known + 1
            tokens.append(token)
            parents.append(parent)
            depths.append(depth)
        return DraftTree(tokens, parents)

    def _ahead(self, state: ForgerState) -> Sequence[int]:
        for (prompt, sample), output in self.config.truths.items():
            if sample == state.context.noise.sample and tuple(state.tokens[: len(prompt)]) == prompt:
                return output[len(state.tokens) - len(prompt) :]
        return ()


def generate(target: DecoderTarget, drafter: object, requests: Sequence[Request],
             tokenizer: Tokenizer | None = None, **options: Any) -> list[Result]:
    """All requests at once through one engine, which must be clean afterwards; all that is drafted is verified."""
    config = EngineConfig(**{"draft_policy": "fixed:64", **options})
    engine = Engine(target, drafter_of(drafter, target), tokenizer, config)
    groups = [engine.add(request) for request in requests]
    engine.run()
    engine.check_integrity()
    return [Result(tuple(item.result() for item in group), request.token_n)
            for request, group in zip(requests, groups, strict=True)]


def forger(target: DecoderTarget, results: Sequence[Result], seed: int = 0, siblings: int = 2,
           faith: float = 0.8) -> Drafter[ForgerState]:
    """A forger who knows these results."""
    truths = {(result.prompt_ids, index): sample.ids
              for result in results for index, sample in enumerate(result.samples)}
    return Forger(Forger.Config(truths, seed, siblings, faith), target)


def ids(results: Sequence[Result]) -> list[list[tuple[int, ...]]]:
    return [[sample.ids for sample in result.samples] for result in results]


def dense_logits(target: DecoderTarget, tokens: Sequence[int]) -> Tensor:
    """Logits after every token, in one pass over an empty cache."""
    cache = target.new_cache(len(tokens))
    entry = Entry(cache.open(), tokens[:1], DraftTree.chain(tokens[1:]))
    return target.forward(pack(cache, [entry], target.device), cache).logits_RV


def slow_generate(target: DecoderTarget, prompt: Sequence[int], sampling: Sampling, sample: int = 0) -> list[int]:
    """Plain decoding as one would write it on a page: everything computed again for every token."""
    assert sampling.seed is not None
    output: list[int] = []
    stop_ids = {*sampling.stop_ids, *(() if sampling.ignore_eos else target.spec.eos_ids)}
    while len(output) < sampling.max_tokens:
        text = [*prompt, *output]
        history = History.of(list(prompt), output, target.vocab_size, target.device)
        logits_V = dense_logits(target, text)[-1]
        output.append(choose(logits_V, sampling, NoiseKey(sampling.seed, sample), len(text), history))
        if output[-1] in stop_ids:
            break
    return output
