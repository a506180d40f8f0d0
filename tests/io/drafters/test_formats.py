"""The formats that are read only, and the quirks of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_drafters as tiny
from outrider.core.draft_spec import DFlashSpec, Eagle3Spec, SpecBlockSpec
from outrider.core.spec import RopeSpec
from outrider.errors import CheckpointError, UnknownReferenceError
from outrider.io.drafters.open import DraftCheckpoint, open_drafter
from tiny_checkpoints import interleaved
from tiny_drafters_gguf import in_gguf, write_gguf

Tensors = tiny.Tensors


def opened(folder: Path, config: tiny.Config, tensors: Tensors, layers: int = 0) -> DraftCheckpoint:
    return open_drafter(tiny.write_drafter(folder, config, tensors), num_target_layers=layers)


# --- EAGLE-3 as SafeAILab has it -------------------------------------------------------------------------------------


def test_eagle3_without_a_list_taps_what_published_readers_tap(tmp_path: Path) -> None:
    config = tiny.eagle3_config(eagle_config=None)
    draft = opened(tmp_path, config, tiny.eagle3_tensors(), layers=32)
    assert draft.spec.taps == (1, 15, 28)
    with pytest.raises(CheckpointError, match="num_target_layers"):
        open_drafter(tmp_path)


def test_a_list_beside_the_rest_counts_inputs(tmp_path: Path) -> None:
    config = tiny.eagle3_config(eagle_config=None, eagle_aux_hidden_state_layer_ids=[2, 4, 6])
    assert opened(tmp_path, config, tiny.eagle3_tensors()).spec.taps == (1, 3, 5)


def test_eagle3_rotates_by_its_own_base_only(tmp_path: Path) -> None:
    assert opened(tmp_path / "1", tiny.eagle3_config(), tiny.eagle3_tensors()).spec.stack.rope == RopeSpec(theta=1e4)
    said = tiny.eagle3_config(rope_theta=500_000.0)
    assert opened(tmp_path / "2", said, tiny.eagle3_tensors()).spec.stack.rope.theta == 5e5


def test_norms_of_taps_are_found_by_their_weights(tmp_path: Path) -> None:
    norms = {f"aux_norm_{name}.weight": (tiny.WIDTH,) for name in ("low", "mid", "high")}
    draft = opened(tmp_path, tiny.eagle3_config(), tiny.eagle3_tensors() | tiny.filled(norms, 4))
    assert isinstance(draft.spec, Eagle3Spec)
    assert draft.spec.fc_norm
    assert "fc_norms.2.weight" in draft.names


def test_a_full_vocabulary_borrows_the_head(tmp_path: Path) -> None:
    config = tiny.eagle3_config(draft_vocab_size=None)
    tensors = {
        key: value for key, value in tiny.eagle3_tensors().items() if key not in ("d2t", "t2d", "lm_head.weight")
    }
    draft = opened(tmp_path, config, tensors)
    assert not draft.spec.has_reduced_vocab
    assert "head.weight" not in draft.names


# --- DFlash's quirks -------------------------------------------------------------------------------------------------


def test_older_files_keep_the_block_beside_the_rest(tmp_path: Path) -> None:
    own = {"mask_token_id": 39, "target_layer_ids": [1, 3, 5]}
    draft = opened(tmp_path, tiny.zlab_config(block_size=6, dflash_config=own), tiny.dflash_tensors())
    assert isinstance(draft.spec, DFlashSpec)
    assert (draft.spec.block_size, draft.spec.num_drafts) == (6, 5)


def test_layers_that_nobody_named_follow_the_rule(tmp_path: Path) -> None:
    own = {"mask_token_id": 39}
    tensors = tiny.dflash_tensors() | tiny.filled({"fc.weight": (tiny.WIDTH, 2 * tiny.WIDTH)}, 0)
    config = tiny.zlab_config(dflash_config=own, num_target_layers=36)
    assert opened(tmp_path, config, tensors).spec.taps == (1, 33)


def test_sliding_layers_without_a_window_still_look_back_only(tmp_path: Path) -> None:
    config = tiny.zlab_config(layer_types=["sliding_attention", "full_attention"], sliding_window=None)
    spec = opened(tmp_path, config, tiny.dflash_tensors()).spec
    assert isinstance(spec, DFlashSpec)
    assert spec.causal == (True, False)
    assert spec.stack.window == 0


def test_a_vendor_says_causal(tmp_path: Path) -> None:
    own = {"mask_token_id": 39, "target_layer_ids": [1, 3, 5], "causal": True}
    spec = opened(tmp_path, tiny.zlab_config(dflash_config=own), tiny.dflash_tensors()).spec
    assert isinstance(spec, DFlashSpec)
    assert spec.causal == (True, True)


def test_scales_of_gemma_and_vendor_names(tmp_path: Path) -> None:
    own = {"mask_token_id": 4, "target_layer_ids": [1, 3, 5], "input_embedding_scale": 4.0, "output_multiplier": 0.5}
    own |= {"final_logit_softcapping": 20.0, "block_size": 4}
    names = {"fc.weight": "context_proj.weight", "hidden_norm.weight": "context_norm.weight"}
    names["norm.weight"] = "final_norm.weight"
    tensors = {names.get(key, key): value for key, value in tiny.dflash_tensors().items()}
    spec = opened(tmp_path, tiny.zlab_config(dflash_config=own), tensors).spec
    assert isinstance(spec, DFlashSpec)
    assert (spec.input_scale, spec.output_scale, spec.softcap) == (4.0, 0.5, 20.0)


def test_copies_of_the_verifier_are_passed_over(tmp_path: Path) -> None:
    copies = {"verifier_lm_head.weight": (tiny.VOCAB, tiny.WIDTH), "verifier_norm.weight": (tiny.WIDTH,)}
    copies |= {"embed_tokens.weight": (tiny.VOCAB, tiny.WIDTH), "rotary_emb.inv_freq": (4,)}
    draft = opened(tmp_path, tiny.speculators_config("dflash"), tiny.dflash_tensors() | tiny.filled(copies, 9))
    assert len(draft.names) == len(tiny.dflash_tensors()) + 1
    assert "embed.weight" in draft.names


def test_what_speculators_leaves_out_is_its_class_default(tmp_path: Path) -> None:
    layer = {"num_hidden_layers": 1}
    config = tiny.speculators_config("dflash", transformer_layer_config=layer, draft_vocab_size=None)
    with pytest.raises(CheckpointError, match=r"expected \[4096, 12288\]"):
        opened(tmp_path, config, tiny.dflash_tensors())


def test_deepspec(tmp_path: Path) -> None:
    flat = {key: value for key, value in tiny.zlab_config().items() if key != "dflash_config"}
    flat |= {"architectures": ["Qwen3DSparkModel"], "block_size": 4, "target_layer_ids": [1, 3, 5], "num_anchors": 8}
    flat |= {"mask_token_id": 39, "markov_rank": 3, "markov_head_type": "vanilla", "enable_confidence_head": True}
    flat["confidence_head_with_markov"] = True
    ends = {"embed_tokens.weight": (tiny.VOCAB, tiny.WIDTH), "lm_head.weight": (tiny.VOCAB, tiny.WIDTH)}
    draft = opened(tmp_path, flat, tiny.dspark_tensors(reduced=False) | tiny.filled(ends, 3))
    assert isinstance(draft.spec, DFlashSpec)
    assert (draft.format, draft.spec.taps, draft.spec.from_anchor) == ("deepspec", (1, 3, 5), True)
    assert (draft.spec.markov_rank, draft.spec.confidence, draft.spec.num_drafts) == (3, "hidden_markov", 4)


# --- SpecBlock -------------------------------------------------------------------------------------------------------


def specblock_tensors() -> Tensors:
    shapes: dict[str, tuple[int, ...]] = {
        "input_layer.condition_proj.weight": (tiny.WIDTH, 3 * tiny.WIDTH),
        "input_layer.fuse.weight": (tiny.WIDTH, 3 * tiny.WIDTH),
        "input_layer.condition_norm.weight": (tiny.WIDTH,),
        "input_layer.token_norm.weight": (tiny.WIDTH,),
        "input_layer.query_norm.weight": (tiny.WIDTH,),
        "input_layer.position_queries.weight": (4, tiny.WIDTH),
        "shift_proj.0.weight": (tiny.WIDTH, 2 * tiny.WIDTH),
        "norm.weight": (tiny.WIDTH,),
        "lm_head.weight": (len(tiny.KEPT), tiny.WIDTH),
        "rank_head.0.weight": (6, tiny.WIDTH + 15),
        "rank_head.2.weight": (4, 6),
    }
    layers = tiny.layer_shapes("layers.0.", tiny.WIDTH) | tiny.layer_shapes("layers.1.", tiny.WIDTH)
    return tiny.filled(shapes | layers, 7) | tiny.kept_map()


def test_specblock(tmp_path: Path) -> None:
    config = tiny.eagle3_config(eagle_config=None, num_hidden_layers=2, diffspec_draft_token_num=4, rank_classes=4)
    config["architectures"] = ["LlamaForCausalLMSpecBlockShift"]
    draft = opened(tmp_path, config, specblock_tensors(), layers=36)
    assert isinstance(draft.spec, SpecBlockSpec)
    assert (draft.format, draft.spec.num_slots, draft.spec.rank_size) == ("specblock", 4, 6)
    assert draft.spec.taps == (1, 17, 32)
    assert draft.tensor("slots.weight", torch.float32).shape == (4, tiny.WIDTH)
    assert {"shifts.0.weight", "rank.down.weight", "fuse_norms.slot.weight"} <= set(draft.names)


# --- GGUF ------------------------------------------------------------------------------------------------------------


def test_dflash_of_llama_cpp(tmp_path: Path) -> None:
    folder = tiny.write_drafter(tmp_path / "z-lab", tiny.zlab2_config(), tiny.dflash2_tensors())
    path = write_gguf(
        tmp_path / "draft.gguf",
        "dflash",
        in_gguf(tiny.dflash2_tensors()),
        block_size=4,
        conv_kernel_size=2,
        conv_group_size=4,
        selector_rank=3,
        selector_top_k=5,
        **{"attention.causal": False},
    )
    theirs, ours = open_drafter(path), open_drafter(folder)
    assert theirs.format == "gguf"
    assert theirs.spec == replace(ours.spec, num_target_layers=0)
    assert set(theirs.names) == set(ours.names)
    for name in ours.names:
        assert torch.equal(theirs.tensor(name, torch.float32), ours.tensor(name, torch.float32)), name


def test_windows_of_llama_cpp(tmp_path: Path) -> None:
    slides = {"attention.sliding_window": 7, "attention.sliding_window_pattern": [True, False]}
    spec = open_drafter(write_gguf(tmp_path / "w.gguf", "dflash", in_gguf(tiny.dflash_tensors()), **slides)).spec
    assert isinstance(spec, DFlashSpec)
    assert (spec.stack.sliding, spec.stack.window, spec.causal) == ((True, False), 7, (True, False))


def test_dspark_of_llama_cpp(tmp_path: Path) -> None:
    draft = open_drafter(write_gguf(tmp_path / "d.gguf", "dflash", in_gguf(tiny.dspark_tensors()), block_size=4))
    assert isinstance(draft.spec, DFlashSpec)
    assert (draft.spec.markov_rank, draft.spec.from_anchor, draft.spec.confidence) == (3, True, "hidden_markov")
    assert draft.tensor("draft_ids", torch.int64).tolist() == list(tiny.KEPT)


def test_eagle3_of_llama_cpp_has_the_rows_of_llama_files(tmp_path: Path) -> None:
    tensors = tiny.eagle3_tensors("layers.0.")
    stored = in_gguf(tensors)
    for name, heads in (("blk.0.attn_q.weight", tiny.HEADS), ("blk.0.attn_k.weight", tiny.KV_HEADS)):
        stored[name] = torch.from_numpy(interleaved(stored[name].float().numpy(), heads))
    path = write_gguf(tmp_path / "e.gguf", "eagle3", stored, target_hidden_size=tiny.WIDTH, norm_before_residual=True)
    draft = open_drafter(path)
    assert isinstance(draft.spec, Eagle3Spec)
    assert (draft.spec.taps, draft.spec.norm_before_residual) == (tiny.TAPS, True)
    for name, published in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj")):
        values = draft.tensor(f"layers.0.attn.{name}.weight", torch.float32)
        assert torch.equal(values, tensors[f"layers.0.self_attn.{published}.weight"].float())


def test_an_ordinary_model_is_no_drafter(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"general\.architecture = 'llama'"):
        open_drafter(write_gguf(tmp_path / "m.gguf", "llama", tiny.dflash_tensors()))


# --- pickles ---------------------------------------------------------------------------------------------------------


def write_pickle(folder: Path, values: object) -> Path:
    tiny.write_drafter(folder, tiny.eagle3_config(), tiny.eagle3_tensors())
    (folder / "model.safetensors").unlink()
    torch.save(values, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_read_on_request_only(tmp_path: Path) -> None:
    folder = write_pickle(tmp_path, tiny.eagle3_tensors())
    with pytest.raises(CheckpointError, match="allow_pickle"):
        open_drafter(folder)
    draft = open_drafter(folder, allow_pickle=True)
    assert torch.equal(draft.tensor("fc.weight", torch.bfloat16), tiny.eagle3_tensors()["fc.weight"])


def test_a_map_in_a_file_of_its_own_is_read_on_request(tmp_path: Path) -> None:
    tensors = {key: value for key, value in tiny.eagle3_tensors().items() if key not in tiny.kept_map()}
    tiny.write_drafter(tmp_path, tiny.eagle3_config(), tensors)
    torch.save(tiny.kept_map(), tmp_path / "vocab_mapping.pt")
    with pytest.raises(CheckpointError, match=r"vocab_mapping\.pt, a pickle"):
        open_drafter(tmp_path)
    draft = open_drafter(tmp_path, allow_pickle=True)
    assert draft.tensor("draft_ids", torch.int64).tolist() == list(tiny.KEPT)


class Trap:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch trapped",)


@pytest.mark.parametrize("values", [Trap(), {"fc.weight": Trap()}, {"fc.weight": 3}, [1, 2]])
def test_a_pickle_of_anything_else_is_refused(values: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        open_drafter(write_pickle(tmp_path, values), allow_pickle=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trapped").exists()


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(tiny.WIDTH, 3 * tiny.WIDTH)
    folder = write_pickle(tmp_path, tiny.eagle3_tensors() | {"fc.weight": huge})
    with pytest.raises(CheckpointError, match="larger than what is stored"):
        open_drafter(folder, allow_pickle=True)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownReferenceError):
        open_drafter(tmp_path / "none")
