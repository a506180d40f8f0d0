"""Choosing first and asking afterwards gives what masking everything first gives."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from json_engine import json_compiler, json_tokenizer, schemas
from outrider.constrain.grammar import Grammar, json_schema, regex
from outrider.core.distribution import History
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import DraftBatch, DraftTree
from outrider.engine.checked import CheckedChooser
from outrider.engine.choices import Chooser, NativeChooser, ReferenceChooser
from outrider.engine.hold import Hold, keep_only
from outrider.engine.masks import MaskedChooser
from outrider.engine.sequence import Sequence
from outrider.engine.text import TextStream
from outrider.ops.native import library
from sampling_values import samplings
from tiny_engine import EOS, VOCAB
from trees import draft_trees

CPU = torch.device("cpu")
grammars = st.none() | schemas.map(json_schema) | st.sampled_from([regex("[a-c]{1,3}( [a-c]*)?"), regex("(ab|abc|b)*")])


def inners() -> list[Chooser]:
    native = library.load()
    return [ReferenceChooser(), *([] if native is None else [NativeChooser(native)])]


def begun(sampling: Sampling, grammar: Grammar | None, said: int) -> Sequence:
    """Some tokens into its answer, whichever its grammar allows."""
    constraint = None if grammar is None else json_compiler().compile(grammar)
    sequence = Sequence(Request((1, 2, 3), sampling.seeded(), constraint=constraint), 0,
                        TextStream(json_tokenizer(), ()))
    if sampling.has_penalties:
        sequence.history = History.of([1, 2, 3], [], VOCAB, CPU)
    for _ in range(said):
        options = range(VOCAB) if sequence.constraint is None else allowed(sequence)
        token = next((token for token in options if token != EOS), EOS)
        if token == EOS or sequence.gain(token, 0, frozenset({EOS}), 1000):
            break
    return sequence


def allowed(sequence: Sequence) -> list[int]:
    bits = Hold(sequence.constraint, frozenset(), 0, VOCAB).mask(0)
    return np.flatnonzero(np.unpackbits(bits, count=VOCAB, bitorder="little")).tolist()


@st.composite
def likely_trees(draw: st.DrawFn) -> DraftTree:
    """Of tokens that the logits of `test_twins` favour, so that walks go some way."""
    tree = draw(draft_trees(vocab=len(likely()), nodes=8))
    return DraftTree([likely()[token] for token in tree.token_N], tree.parent_N)


@cache
def likely() -> list[int]:
    return [*(json_tokenizer().encode(letter, special=False)[0] for letter in "abc{1"), EOS]


@settings(max_examples=60)
@given(st.lists(st.tuples(samplings(vocab=VOCAB, max_tokens=24), st.sampled_from([0, 0, 3, 9]), grammars,
                          st.integers(0, 6), likely_trees()), min_size=1, max_size=3), st.integers(0, 2**32))
def test_twins(batch: list[tuple[Sampling, int, Grammar | None, int, DraftTree]], seed: int) -> None:
    """The same verdicts, with either chooser behind; and nothing of a sequence has moved."""
    sequences = [begun(replace(sampling, min_tokens=min(least, sampling.max_tokens)), grammar, said)
                 for sampling, least, grammar, said, _ in batch]
    draft = DraftBatch.of([tree for *_, tree in batch], CPU)
    first_rows = [sum(1 + len(tree) for tree in draft.trees[:index]) for index in range(len(batch))]
    logits_RV = torch.randn((sum(draft.counts) + len(batch), VOCAB), generator=torch.Generator().manual_seed(seed)) * 4
    logits_RV[:, likely()] += 8.0
    before = [allowed(sequence) for sequence in sequences]
    for inner in inners():
        found, wanted = (kind(inner, {EOS}).verdicts(logits_RV, draft, sequences, first_rows,
                                                     [len(sequence.tokens) for sequence in sequences])
                         for kind in (CheckedChooser, MaskedChooser))
        assert torch.equal(found.count_B, wanted.count_B)
        assert torch.equal(found.token_BW, wanted.token_BW) and torch.equal(found.node_BW, wanted.node_BW)
    assert [allowed(sequence) for sequence in sequences] == before
    assert all(sequence.history is None or sequence.history.output_V.sum() == sequence.num_output
               for sequence in sequences)


@settings(max_examples=30)
@given(schemas, st.integers(0, 20), st.integers(0, 2**32))
def test_one_bit_is_the_same_asked_alone(schema: dict[str, object], steps: int, seed: int) -> None:
    """The question about one token answers as the mask does, for every token."""
    state, draw = json_compiler().compile(json_schema(schema)).start(), np.random.default_rng(seed)
    for _ in range(steps):
        hold = Hold(state, frozenset(), 0, VOCAB)
        bits = np.unpackbits(hold.mask(0), count=VOCAB, bitorder="little")
        assert [hold.may_say(token, 0) for token in range(VOCAB)] == bits.astype(bool).tolist()
        if not state.advance(int(draw.choice(np.flatnonzero(bits)))):
            break


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_rows_keep_what_is_allowed(share: float) -> None:
    draw = np.random.default_rng(3)
    logits_V, allowed_V = draw.normal(size=1001).astype(np.float32), draw.random(1001) < share
    kept_V = np.zeros(1001, np.float32)
    keep_only(kept_V, logits_V, np.packbits(allowed_V, bitorder="little"))
    assert np.array_equal(kept_V, np.where(allowed_V, logits_V, -np.inf))


def test_masks_are_asked_for_only_where_the_choice_is_forbidden() -> None:
    sequence = begun(Sampling(), regex("a(b|c)d"), 0)
    a, b, x, d = (json_tokenizer().encode(letter, special=False)[0] for letter in "abxd")
    logits_RV = torch.zeros(4, VOCAB)
    for row, best in enumerate((a, x, d, EOS)):
        logits_RV[row, best] = 5.0
    logits_RV[1, b] = 3.0
    asked = list[int]()
    assert sequence.constraint is not None
    made, sequence.constraint = sequence.constraint, None

    class Counted:
        def __getattr__(self, name: str) -> object:
            if name == "mask":
                asked.append(1)
            return getattr(made, name)

    sequence.constraint = Counted()  # type: ignore[assignment]
    draft = DraftBatch.of([DraftTree.chain([a, b, d])], CPU)
    found = CheckedChooser(ReferenceChooser(), {EOS}).verdicts(logits_RV, draft, [sequence], [0], [3])
    assert found.token_BW[0].tolist() == [a, b, d, EOS] and len(asked) == 1
