"""The kernels' decoder: near its readable twin, and the same bits for a row whatever else is in the pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from native_targets import CONTEXT, NATIVE_SPECS, library, native_target, readable_target, weights_of
from outrider.core.step import Step
from outrider.core.tree import ANCHOR, DraftTree
from outrider.ops.native import screen
from outrider.ops.native.matrix import Kind
from outrider.target.interface import Target
from outrider.target.native import NativeTarget
from outrider.target.pack import Entry, pack
from outrider.target.weights import obstacle
from trees import draft_trees

KINDS = sorted(NATIVE_SPECS)
pending_lists = st.lists(st.integers(0, 95), min_size=1, max_size=40)


def logits_of(target: Target, tokens: list[int]) -> Tensor:
    """Of every position, all in one pass, nothing else in it."""
    cache = target.new_cache(len(tokens))
    entry = Entry(cache.open(), tokens[:1], DraftTree.chain(tokens[1:]))
    return target.forward(pack(cache, [entry], target.device), cache).logits_RV


def chunked(target: NativeTarget, tokens: list[int], size: int) -> Tensor:
    """The last token's logits, `size` tokens a pass, beside another sequence that does something else."""
    cache = target.new_cache(CONTEXT)
    row, other = cache.open(), cache.open()
    for begin in range(0, len(tokens), size):
        part = tokens[begin : begin + size]
        entries = [Entry(other, [7, 7, 7]), Entry(row, part)]
        found = target.forward(pack(cache, entries, target.device), cache)
        cache.keep(row, part, range(len(part)))
        cache.keep(other, [7], [0])
    return found.logits_RV[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_near_the_readable_ones(kind: str) -> None:
    """Half precision keys and values are the only difference where matrices are floats."""
    tokens = torch.randint(0, 95, (60,), generator=torch.Generator().manual_seed(3)).tolist()
    torch.testing.assert_close(logits_of(native_target(kind), tokens).double(),
                               logits_of(readable_target(kind), tokens).double(), rtol=5e-3, atol=3e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_activations_cost_little(kind: str) -> None:
    tokens = torch.randint(0, 95, (60,), generator=torch.Generator().manual_seed(4)).tolist()
    found = logits_of(native_target(kind, kind=Kind.BYTE_HALF), tokens).double().log_softmax(-1)
    wanted = logits_of(readable_target(kind, kind=Kind.BYTE_HALF), tokens).double().log_softmax(-1)
    assert float((wanted.exp() * (wanted - found)).sum(-1).mean()) < 1e-2


@settings(max_examples=30)
@given(st.sampled_from(KINDS), st.lists(st.tuples(pending_lists, draft_trees(vocab=96, nodes=12)), min_size=1,
                                        max_size=3), st.integers(1, 3), st.booleans())
def test_a_node_has_the_bits_of_its_path_alone(kind: str, cases: list[tuple[list[int], DraftTree]], threads: int,
                                               rounded: bool) -> None:
    form = Kind.BYTE_HALF if rounded else Kind.FLOAT
    target, alone = native_target(kind, threads=threads, kind=form), native_target(kind, threads=1, kind=form)
    cache = target.new_cache(CONTEXT)
    poison(cache.layers)
    entries = [Entry(cache.open(), pending, tree) for pending, tree in cases]
    found = target.forward(pack(cache, entries, target.device), cache).logits_RV
    wanted = [logits_of(alone, [*pending, *(tree.token_N[step] for step in tree.path_to(node))])[-1]
              for pending, tree in cases for node in range(ANCHOR, len(tree))]
    assert torch.equal(found, torch.stack(wanted))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_do_not_show(kind: str, size: int) -> None:
    tokens = torch.randint(0, 95, (131,), generator=torch.Generator().manual_seed(5)).tolist()
    target = native_target(kind, kind=Kind.BYTE_HALF)
    assert torch.equal(chunked(target, tokens, size), logits_of(target, tokens)[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_hit_and_moved_entries_do_not_show(kind: str) -> None:
    """Twenty tokens come from another row's pages; then the second branch of a tree is kept and moved down."""
    target, prefix = native_target(kind, kind=Kind.BYTE_HALF), list(range(5, 25))
    cache = target.new_cache(CONTEXT)
    first = cache.open(prefix)
    target.forward(pack(cache, [Entry(first, prefix)], target.device), cache)
    cache.keep(first, prefix, range(20))
    row = cache.open([*prefix, 40])
    assert cache.length(row) == 16
    tree = DraftTree([50, 51, 52, 53], [ANCHOR, 0, ANCHOR, 2])
    target.forward(pack(cache, [Entry(row, [*prefix[16:], 40], tree)], target.device), cache)
    cache.keep(row, [*prefix[16:], 40, 52, 53], [0, 1, 2, 3, 4, 7, 8])
    found = target.forward(pack(cache, [Entry(row, [60])], target.device), cache).logits_RV[0]
    assert torch.equal(found, logits_of(target, [*prefix, 40, 52, 53, 60])[-1])


@pytest.mark.parametrize("name", library().names())
def test_every_kernel_set_gives_the_same_logits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Integers are exact everywhere, floating point goes in the same order."""
    monkeypatch.setenv("OUTRIDER_ISA", name)
    target = NativeTarget(library(), NATIVE_SPECS["windowed"], weights_of("windowed", kind=Kind.BYTE_HALF), CONTEXT, 2)
    monkeypatch.undo()
    tokens = list(range(5, 60))
    assert torch.equal(logits_of(target, tokens), logits_of(native_target("windowed", kind=Kind.BYTE_HALF), tokens))


def test_a_flushing_caller_does_not_show() -> None:
    tokens = list(range(5, 60))
    wanted = logits_of(native_target("llama"), tokens)
    assert torch.set_flush_denormal(True), "this machine cannot flush subnormal numbers"
    try:
        assert torch.equal(logits_of(native_target("llama"), tokens), wanted)
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("kind", KINDS)
def test_taps_head_and_embedding(kind: str) -> None:
    target, readable = native_target(kind), readable_target(kind)
    tokens = list(range(5, 30))
    features = []
    for one in (target, readable):
        cache = one.new_cache(64)
        output = one.forward(pack(cache, [Entry(cache.open(), tokens)], one.device), cache, taps=(0, 1))
        assert output.feature_TF is not None
        features.append(output.feature_TF.double())
    torch.testing.assert_close(*features, rtol=5e-3, atol=3e-2)
    token_T = torch.tensor([3, 90, 3])
    torch.testing.assert_close(target.embed(token_T).double(), readable.embed(token_T), rtol=1e-6, atol=1e-6)
    hidden_TD = torch.randn(3, target.hidden_size, generator=torch.Generator().manual_seed(0))
    found, wanted = target.head(hidden_TD), readable.head(hidden_TD.double())
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-5, atol=1e-4)


def test_a_pass_that_wants_no_logits() -> None:
    target = native_target("llama")
    cache = target.new_cache(64)
    row = cache.open()
    step = pack(cache, [Entry(row, [1, 2, 3], all_logits=False)], target.device)
    assert target.forward(step, cache).logits_RV.shape == (0, target.vocab_size)
    cache.keep(row, [1, 2, 3], range(3))
    found = target.forward(pack(cache, [Entry(row, [4])], target.device), cache).logits_RV[0]
    assert torch.equal(found, logits_of(target, [1, 2, 3, 4])[-1])


def test_an_empty_pass_does_nothing() -> None:
    target = native_target("llama")
    none = torch.empty(0, dtype=torch.int64)
    assert target.forward(Step(none, none, none, (), none), target.new_cache(16)).logits_RV.shape[0] == 0


def test_sizes_that_kernels_cannot_take_are_told() -> None:
    spec = NATIVE_SPECS["llama"]
    assert obstacle(spec) == ""
    assert "head size is 8" in obstacle(replace(spec, head_size=8, num_heads=8))
    assert "head size is 528, the kernels take at most 512" in obstacle(replace(spec, head_size=528, num_heads=2))
    assert "inner size is 40" in obstacle(replace(spec, inner_size=40))


@pytest.mark.parametrize("tap", [-1, 2])
def test_taps_of_no_layer_are_refused_and_nothing_of_them_stays(tap: int) -> None:
    target, step = native_target("llama"), Step(*[torch.empty(0, dtype=torch.int64)] * 3, (), torch.tensor([]).long())
    with pytest.raises(IndexError, match="of a model with layers 0 … 1"):
        target.forward(step, target.new_cache(16), taps=(0, tap))
    test_taps_head_and_embedding("llama")


def test_positions_beyond_the_tables_are_refused() -> None:
    target = NativeTarget(library(), NATIVE_SPECS["llama"], weights_of("llama"), 8, 1)
    cache = target.new_cache(64)
    tree = DraftTree([1, 2, 3], [ANCHOR, ANCHOR, ANCHOR])
    row = cache.open()
    target.forward(pack(cache, [Entry(row, [1] * 7, tree)], target.device), cache)  # rows beyond, positions within
    with pytest.raises(IndexError, match="positions beyond the 8"):
        target.forward(pack(cache, [Entry(row, [1] * 9)], target.device), cache)


def test_the_default_type_of_torch_does_not_show() -> None:
    tokens = list(range(5, 20))
    wanted = logits_of(native_target("llama"), tokens)
    torch.set_default_dtype(torch.bfloat16)
    try:
        target = NativeTarget(library(), NATIVE_SPECS["llama"], weights_of("llama"), CONTEXT, 2)
        assert torch.equal(logits_of(target, tokens), wanted)
        assert target.head(torch.zeros(2, target.hidden_size)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def poison(layers: tuple[object, ...]) -> None:
    """What nobody owns is not a number."""
    for layer in layers:
        layer.key_PGKL.fill_(torch.nan)  # type: ignore[attr-defined]
        layer.value_PGLK.fill_(torch.nan)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_head_gives_the_first_logits(kind: str) -> None:
    whole, tokens = native_target(kind), [3, 90, 95, 7]
    for count in (1, 16, 37, 96):
        part = whole.with_head(count)
        found = logits_of(part, tokens)
        assert found.shape == (4, count)
        hidden_TD = torch.randn(2, whole.hidden_size)
        assert part.head(hidden_TD).equal(whole.head(hidden_TD)[:, :count])
        assert part.weight_bytes <= whole.weight_bytes and part.vocab_size == whole.vocab_size
        assert found.equal(logits_of(whole, tokens)[:, :count])


# ---- the best alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_wants_the_best_alone_gets_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_PATIENCE", 1)
    monkeypatch.setattr(screen, "_MUCH", 100.0)  # so few tokens are all much alike
    target = NativeTarget(library(), NATIVE_SPECS[kind], weights_of(kind, 0, Kind.BYTE_HALF), CONTEXT, 2, "toy")
    tokens = torch.randint(0, 95, (50,), generator=torch.Generator().manual_seed(5)).tolist()
    whole = logits_of(target, tokens)
    screened = []
    for _ in range(3):
        cache = target.new_cache(len(tokens))
        entry = Entry(cache.open(), tokens[:1], DraftTree.chain(tokens[1:]))
        found = target.forward(pack(cache, [entry], target.device, best_only=True), cache).logits_RV
        assert torch.equal(found.argmax(-1), whole.argmax(-1)) and torch.equal(found.amax(-1), whole.amax(-1))
        screened.append(not torch.equal(found, whole))
    is_capped = NATIVE_SPECS[kind].final_softcap is not None
    assert screened == [False, not is_capped, not is_capped]  # not before it pays, not behind a softcap
    assert torch.equal(logits_of(target, tokens), whole)


def test_float_heads_are_not_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_PATIENCE", 0)
    target, cache = native_target("llama"), native_target("llama").new_cache(64)
    step = pack(cache, [Entry(cache.open(), [1, 2, 3])], target.device, best_only=True)
    found = target.forward(step, cache).logits_RV
    assert torch.equal(found, target.forward(replace(step, best_only=False), cache).logits_RV)
