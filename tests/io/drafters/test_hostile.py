"""Truncated, mismatched and hostile drafters: one line that says what is wrong, and no other kind of error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_drafters as tiny
from outrider.errors import CheckpointError, OutriderError
from outrider.io.drafters.open import open_drafter
from tiny_drafters_gguf import in_gguf, write_gguf

Change = Callable[[tiny.Config, tiny.Tensors], object]

KINDS: dict[str, Callable[[], tuple[tiny.Config, tiny.Tensors]]] = {
    "z-lab": lambda: (tiny.zlab2_config(), tiny.dflash2_tensors()),
    "dspark": lambda: (tiny.speculators_config("dspark"), tiny.dspark_tensors()),
    "eagle3": lambda: (tiny.eagle3_config(), tiny.eagle3_tensors()),
}


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_drafter(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) - message.count(str(folder)) * len(str(folder)) < 250
    return message


def put(key: str, value: object, section: str = "") -> Change:
    def change(config: tiny.Config, tensors: tiny.Tensors) -> None:
        target = config[section] if section else config
        assert isinstance(target, dict)
        target[key] = value

    return change


def keep(name: str, value: torch.Tensor) -> Change:
    return lambda config, tensors: tensors.__setitem__(name, value)


OFFSETS = tiny.kept_map()["d2t"]
FAULTS: dict[str, tuple[str, Change, str]] = {
    "a missing tensor": ("z-lab", lambda c, t: t.pop("layers.1.mlp.up_proj.weight"), "layers.1.mlp.up_proj.weight"),
    "a wrong shape": ("z-lab", keep("norm.weight", torch.zeros(3)), "'norm.weight' has the shape [3], expected [16]"),
    "a stranger": ("z-lab", keep("prefix_gru.weight_hh_l0", torch.zeros(3)), "prefix_gru"),
    "integers": ("z-lab", keep("norm.weight", torch.zeros(16, dtype=torch.int64)), "int64, expected floating"),
    "the same twice": ("z-lab", keep("model.norm.weight", torch.zeros(16)), "are the same tensor"),
    "too many layers": ("z-lab", put("num_hidden_layers", 9_999), "layers.2."),
    "domino": ("z-lab", put("projector_type", "domino", "dflash_config"), "'domino' is not supported"),
    "an endless number": ("z-lab", put("output_multiplier", 10**400, "dflash_config"), "must be a finite number"),
    "a corrector": ("z-lab", put("lilicorr_rank", 4, "dflash_config"), "lilicorr_rank"),
    "a vendor's window": ("z-lab", put("use_swa", True, "dflash_config"), "use_swa"),
    "pairs that interleave": ("z-lab", put("rope_is_neox_style", False), "rope_is_neox_style"),
    "another variant": ("z-lab", put("model_arch", "dfly", "dflash_config"), "'dfly' is not supported"),
    "a mask of none": ("z-lab", put("mask_token_id", None, "dflash_config"), "'mask_token_id' is missing"),
    "a mask beyond": ("z-lab", put("mask_token_id", 40, "dflash_config"), "at most the last token, 39"),
    "a tap beyond": ("z-lab", put("target_layer_ids", [1, 3, 8], "dflash_config"), "the target has 8 layers"),
    "a tap twice": ("z-lab", put("target_layer_ids", [1, 3, 3], "dflash_config"), "different layers"),
    "odd groups": ("z-lab", put("conv_group_size", 5, "dflash_config"), "groups of 5 do not divide"),
    "a long kernel": ("z-lab", put("conv_kernel_size", 9, "dflash_config"), "'conv_kernel_size' is 9"),
    "an endless block": ("z-lab", put("block_size", 10**9, "dflash_config"), "block_size"),
    "no head fits": ("z-lab", put("num_key_value_heads", 3), "cannot share 3"),
    "quantised": ("z-lab", put("quantization_config", {"bits": 4}), "quantised"),
    "another family": ("z-lab", put("model_type", "mamba"), "'mamba' is not supported"),
    "another scaling": ("z-lab", put("rope_scaling", {"rope_type": "longrope", "factor": 2.0}), "longrope"),
    "the embedding tapped": ("dspark", put("aux_hidden_state_layer_ids", [0, 2, 4]), "before the target's first"),
    "another method": ("dspark", put("speculators_model_type", "peagle"), "'peagle' is not supported"),
    "a head of no kind": ("dspark", put("markov_head_type", "wavy"), "'wavy' is not supported"),
    "no such width": ("dspark", put("target_hidden_size", 32), "'fc.weight' has the shape [16, 48], expected [16, 96]"),
    "more drafts than tokens": ("dspark", put("draft_vocab_size", 41), "at most the vocabulary, 40"),
    "no map": ("dspark", lambda c, t: t.pop("d2t"), "'d2t' is missing"),
    "a map that leads out": ("eagle3", keep("d2t", OFFSETS + 9), "leads out of the vocabulary of 40"),
    "a map that turns back": ("eagle3", keep("d2t", OFFSETS.flip(0)), "ascending"),
    "a map of numbers": ("eagle3", keep("d2t", OFFSETS.float()), "float32 [8], expected int64 [8]"),
    "flags of others": ("eagle3", keep("t2d", torch.zeros(40, dtype=torch.bool)), "keep different tokens"),
    "no norm before the head": ("eagle3", put("norm_output", False), "norm_output"),
    "no head": ("eagle3", lambda c, t: t.pop("lm_head.weight"), "'lm_head.weight' is missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_words(name: str, tmp_path: Path) -> None:
    kind, change, words = FAULTS[name]
    config, tensors = copy.deepcopy(KINDS[kind]())
    change(config, tensors)
    assert words in refusal(tiny.write_drafter(tmp_path, config, tensors))


def test_a_missing_borrowed_embedding_is_missed_where_the_target_has_another_width(tmp_path: Path) -> None:
    config = tiny.eagle3_config(target_hidden_size=8)
    tensors = tiny.eagle3_tensors() | tiny.filled({"fc.weight": (tiny.WIDTH, 24)}, 0)
    assert "'embed_tokens.weight' is missing" in refusal(tiny.write_drafter(tmp_path, config, tensors))


def test_an_ordinary_model_is_no_drafter(tmp_path: Path) -> None:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    tensors = {key: value for key, value in tiny.dflash_tensors().items() if key != "fc.weight"}
    assert "LlamaForCausalLM" in refusal(tiny.write_drafter(tmp_path / "1", config, tensors))
    assert "EAGLE-2" in refusal(tiny.write_drafter(tmp_path / "2", config, tiny.dflash_tensors()))


def test_a_mask_embedding_of_its_own_is_named(tmp_path: Path) -> None:
    tiny.write_drafter(tmp_path, *KINDS["z-lab"]())
    (tmp_path / "mask_embedding.pt").write_bytes(b"")
    assert "mask_embedding.pt" in refusal(tmp_path)


def opens_or_says_why(folder: Path) -> None:
    """Whatever is wrong is said in one line, and what opens can be read."""
    try:
        draft = open_drafter(folder)
        for name in draft.names:
            draft.tensor(name, draft.dtype(name))
    except OutriderError as error:
        assert "\n" not in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", KINDS)
@LIGHT
@given(data=st.data())
def test_any_value_under_any_key(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    config, tensors = copy.deepcopy(KINDS[kind]())
    sections = [config, *(value for value in config.values() if isinstance(value, dict))]
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(sections))
        section[data.draw(st.sampled_from(sorted(section)))] = data.draw(JSON)
    opens_or_says_why(tiny.write_drafter(tmp_path, config, tensors))


@pytest.mark.parametrize("kind", KINDS)
@LIGHT
@given(data=st.data())
def test_any_damage_to_the_tensors(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    folder = tiny.write_drafter(tmp_path, *KINDS[kind]())
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path.write_bytes(bytes(content[:length]))
    opens_or_says_why(folder)


@LIGHT
@given(text=st.text(max_size=30) | JSON.map(json.dumps))
def test_any_config_at_all(text: str, tmp_path: Path) -> None:
    folder = tiny.write_drafter(tmp_path, *KINDS["z-lab"]())
    (folder / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    opens_or_says_why(folder)


@LIGHT
@given(data=st.data())
def test_any_damage_to_a_gguf(data: st.DataObject, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "draft.gguf", "dflash", in_gguf(tiny.dspark_tensors()), block_size=4)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]))
    opens_or_says_why(path)
