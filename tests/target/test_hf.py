"""Models run through transformers: the same logits and taps as our decoder has, and the same tokens however drafted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hf_models import CHAINED, GOLDEN, PACKED, hf_target, loaded_golden
from outrider.core.tree import DraftTree
from outrider.io.checkpoint import open_checkpoint
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.hf_model import HfModel
from outrider.target.hf_packed import PackedTarget
from outrider.target.hf_states import ChainTarget
from outrider.target.interface import ForwardOutput, Target
from outrider.target.pack import Entry, pack

SHARED = ("llama", "llama3-rope", "qwen2", "qwen2-window", "qwen3", "mistral-window", "gemma3", "gemma3-softcap")
TREE = DraftTree((3, 4, 5, 6, 7, 8, 9), (-1, 0, -1, 2, 2, 1, 4))


def ours(name: str) -> DecoderTarget:
    checkpoint = open_checkpoint(GOLDEN / name)
    decoder = load_decoder(checkpoint.spec, checkpoint.tensor, torch.float32, torch.device("cpu"))
    return DecoderTarget(decoder, checkpoint.spec.max_positions)


def near(found: Tensor | None, wanted: Tensor | None, tolerance: float = 1e-4) -> None:
    assert found is not None and wanted is not None and found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


def rounds(target: Target, taps: Sequence[int] = ()) -> list[ForwardOutput]:
    """Two sequences: prompts beside each other, trees, one of which keeps a branch, and what comes then."""
    cache = target.new_cache(256)
    rows = [cache.open(), cache.open()]
    texts = [[11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21], [2, 9, 4]]
    found = []

    def step(*entries: Entry) -> None:
        found.append(target.forward(pack(cache, entries, target.device), cache, taps))

    step(Entry(rows[0], texts[0][:6], all_logits=False), Entry(rows[1], texts[1]))
    cache.keep(rows[0], texts[0][:6], range(6))
    cache.keep(rows[1], texts[1], range(3))
    step(Entry(rows[0], texts[0][6:], TREE), Entry(rows[1], [20], TREE))
    cache.keep(rows[0], [*texts[0][6:], 5, 7], [0, 1, 2, 3, 4, 5 + 2, 5 + 4])
    cache.keep(rows[1], [20], [0])
    step(Entry(rows[1], [22, 23]), Entry(rows[0], [24], DraftTree.chain([25, 26])))
    for row in rows:
        cache.release(row)
    cache.check_integrity()
    return found


@pytest.mark.supports("families", "{name}", "transformers", "random")
@pytest.mark.parametrize("name", SHARED)
def test_logits_and_taps_are_those_of_our_decoder(name: str) -> None:
    target, twin = loaded_golden(name), ours(name)
    assert isinstance(target, PackedTarget) and target.info.trees and target.info.rollback and target.info.taps
    taps = (twin.num_layers - 1, 0)  # as asked for, not as they come
    for found, wanted in zip(rounds(target, taps), rounds(twin, taps), strict=True):
        near(found.logits_RV, wanted.logits_RV)
        near(found.feature_TF, wanted.feature_TF)


@pytest.mark.parametrize("name", SHARED)
def test_what_drafters_borrow_is_what_our_decoder_lends(name: str) -> None:
    target, twin = loaded_golden(name), ours(name)
    tokens = torch.tensor([3, 1, 4, 1, 5])
    hidden = torch.randn(4, twin.hidden_size, generator=torch.Generator().manual_seed(0))
    near(target.embed(tokens), twin.embed(tokens))
    near(target.head(hidden), twin.head(hidden))
    same = ("vocab_size", "num_layers", "hidden_size", "weight_bytes", "context")
    assert [getattr(target, one) for one in same] == [getattr(twin, one) for one in same]
    assert replace(target.spec, norm_eps=0.0, eos_ids=()) != twin.spec  # the library's own business
    assert (target.spec.eos_ids, target.spec.bos_id) == (twin.spec.eos_ids, twin.spec.bos_id)


@pytest.mark.parametrize("name", SHARED)
def test_whole_texts_have_the_recorded_logits(name: str) -> None:
    golden, target = load_file(GOLDEN / name / "expected.safetensors"), loaded_golden(name)
    cache = target.new_cache(64)
    tokens = golden["tokens"].tolist()
    found = target.forward(pack(cache, [Entry(cache.open(), tokens[:1], DraftTree.chain(tokens[1:]))],
                                target.device), cache)
    near(found.logits_RV, golden["logits"])


@pytest.mark.supports("families", "{name}", "transformers", "random")
@pytest.mark.parametrize("name", PACKED)
def test_families_that_only_the_library_has(name: str) -> None:
    target = hf_target(name)
    assert isinstance(target, PackedTarget) and target.info.taps
    compare_with_texts(target, TREE, [0, 1, 2, 3, 4, 7, 9])


@pytest.mark.supports("families", "{name}", "transformers", "random")
@pytest.mark.parametrize("name", CHAINED)
def test_states_give_the_logits_of_the_whole_text(name: str) -> None:
    target = hf_target(name)
    assert isinstance(target, ChainTarget) and not target.info.trees and target.info.rollback and target.info.taps
    for kept in (0, 2, 4):
        compare_with_texts(target, DraftTree.chain([3, 4, 5, 6]), range(5 + kept))


def compare_with_texts(target: Target, tree: DraftTree, kept: Sequence[int]) -> None:
    """Two sequences in one pass; every row's logits and taps are those of its own text."""
    cache = target.new_cache(256)
    rows, taps = (cache.open(), cache.open()), (1,)
    beginnings = ([11, 12, 13, 14, 15], [2, 9, 4, 4, 6])
    step = pack(cache, [Entry(row, text, tree) for row, text in zip(rows, beginnings, strict=True)], target.device)
    texts = [[*beginning, *(tree.token_N[node] for node in tree.path_to(node))]
             for beginning in beginnings for node in range(-1, len(tree))]
    check_rows(target, target.forward(step, cache, taps), texts, [4 + row for row in range(1 + len(tree))])
    ahead = [31, 32, 33]
    kept_tokens = [tree.token_N[entry - 5] for entry in kept if entry >= 5]
    for row, beginning in zip(rows, beginnings, strict=True):
        cache.keep(row, [*beginning, *kept_tokens], list(kept))
    step = pack(cache, [Entry(row, ahead) for row in rows], target.device)
    texts = [[*beginning, *kept_tokens, *ahead] for beginning in beginnings]
    check_rows(target, target.forward(step, cache, taps), texts, [2])
    for row in rows:
        cache.release(row)
    cache.check_integrity()


def check_rows(target: Target, output: ForwardOutput, texts: Sequence[list[int]], places: Sequence[int]) -> None:
    """`places`: the logit rows of a sequence among its rows."""
    assert output.feature_TF is not None
    per = len(texts) // len(places)
    size = len(output.feature_TF) // per
    for index, text in enumerate(texts):
        alone = plain(target, text)
        near(output.logits_RV[index], alone.logits_RV[-1], 1e-4)
        assert alone.feature_TF is not None
        near(output.feature_TF[index // len(places) * size + places[index % len(places)]], alone.feature_TF[-1], 1e-4)


def plain(target: Target, text: Sequence[int]) -> ForwardOutput:
    """As the library gives it, without any cache of ours."""
    model: HfModel = target.model  # type: ignore[attr-defined]
    with torch.inference_mode():
        seen = model.module(input_ids=torch.tensor([list(text)]), use_cache=False, output_hidden_states=True)
    return ForwardOutput(seen.logits[0], seen.hidden_states[2][0])
