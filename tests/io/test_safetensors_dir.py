"""Published model directories as checkpoints: config dialects, files, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from outrider.core.spec import ModelSpec, RopeSpec
from outrider.errors import CheckpointError
from outrider.io.checkpoint import open_checkpoint
from outrider.io.fields import Fields
from outrider.io.hf_config import read_spec
from tiny_checkpoints import SPECS, random_tensors, safetensors_tensors, write_safetensors

Config = dict[str, object]

_SIZES: Config = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 48,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-05,
    "rope_theta": 50000.0,
    "eos_token_id": 3,
    "bos_token_id": 1,
}
_LLAMA = {**_SIZES, "model_type": "llama"}
_GEMMA = {
    **_SIZES,
    "model_type": "gemma3_text",
    "num_hidden_layers": 7,
    "head_dim": 8,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "query_pre_attn_scalar": 8,
    "sliding_window": 16,
    "sliding_window_pattern": 6,
}
CONFIGS: dict[str, Config] = {
    "llama": _LLAMA,
    "qwen2": {**_SIZES, "model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {**_SIZES, "model_type": "qwen3", "head_dim": 16},
    "mistral": {**_SIZES, "model_type": "mistral", "sliding_window": None},
    "gemma3_text": _GEMMA,
}
EXPECTED: dict[str, ModelSpec] = {
    "llama": SPECS["llama"],
    "qwen2": SPECS["qwen2"],
    "qwen3": SPECS["qwen3"],
    "mistral": replace(SPECS["llama"], family="mistral"),
    "gemma3_text": replace(SPECS["gemma3"], norm_offset=1.0),
}
# Written out once, so that the names do not come from the table under test.
GEMMA_LAYER = (
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "pre_feedforward_layernorm.weight",
    "post_feedforward_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
)


def spec_of(config: Config, generation: Config | None = None) -> ModelSpec:
    return read_spec(Fields("config.json", config), Fields("generation_config.json", generation or {}))


def fails(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tiny(folder: Path, family: str = "llama", num_files: int = 1, **changes: object) -> Path:
    tensors = safetensors_tensors(EXPECTED[family], random_tensors(EXPECTED[family]))
    return write_safetensors(folder, {**CONFIGS[family], **changes}, tensors, num_files=num_files)


@pytest.mark.parametrize("num_files", [1, 3])
@pytest.mark.parametrize("family", CONFIGS)
def test_spec_and_tensors_of_every_family(tmp_path: Path, family: str, num_files: int) -> None:
    checkpoint = open_checkpoint(tiny(tmp_path, family, num_files))
    expected = random_tensors(EXPECTED[family])
    assert checkpoint.spec == EXPECTED[family]
    assert set(checkpoint.names) == set(expected)
    for name, values in expected.items():
        assert np.array_equal(checkpoint.tensor(name, torch.float32).numpy(), values), name
        assert checkpoint.packed(name) is None


@pytest.mark.supports("formats", "safetensors {name}", "read", "random")
@pytest.mark.parametrize(("name", "dtype"), [("F16", torch.float16), ("BF16", torch.bfloat16)])
def test_half_precision_files(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    values = random_tensors(EXPECTED["llama"])
    write_safetensors(tmp_path, _LLAMA, safetensors_tensors(EXPECTED["llama"], values), dtype)
    found = open_checkpoint(tmp_path).tensor("layers.1.mlp.down.weight", torch.float32)
    assert torch.equal(found, torch.from_numpy(values["layers.1.mlp.down.weight"]).to(dtype).float())


@pytest.mark.parametrize(
    ("prefix", "head"),
    [
        ("model.language_model.", "lm_head.weight"),
        ("language_model.model.", "language_model.lm_head.weight"),
        ("model.", "lm_head.weight"),
        ("", "lm_head.weight"),
    ],
)
def test_the_language_model_inside_a_model_that_sees_images(tmp_path: Path, prefix: str, head: str) -> None:
    spec = EXPECTED["gemma3_text"]
    rng = np.random.default_rng(5)
    known = safetensors_tensors(spec, random_tensors(spec), prefix)
    assert {name for name in known if "layers.5." in name} == {f"{prefix}layers.5.{name}" for name in GEMMA_LAYER}
    separate = rng.normal(size=(48, 32)).astype(np.float32)
    known |= {head: separate, "vision_tower.layers.0.weight": separate.copy()}
    text = {key: value for key, value in _GEMMA.items() if key != "model_type"}
    config = {"model_type": "gemma3", "text_config": text, "tie_word_embeddings": False, "eos_token_id": [3, 7]}
    checkpoint = open_checkpoint(write_safetensors(tmp_path, config, known))
    assert checkpoint.spec == replace(spec, tied_head=False, eos_ids=(3, 7))
    assert np.array_equal(checkpoint.tensor("head.weight", torch.float32).numpy(), separate)


def test_gemma_defaults_that_published_files_leave_out() -> None:
    text: Config = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    text["rope_scaling"] = {"factor": 8.0, "rope_type": "linear"}
    spec = spec_of({"model_type": "gemma3", "text_config": text, "eos_token_id": [1, 106]})
    assert (spec.vocab_size, spec.num_heads, spec.num_kv_heads, spec.head_size) == (262_208, 8, 4, 256)
    assert (spec.max_positions, spec.norm_eps, spec.tied_head) == (131_072, 1e-6, True)
    assert spec.rope == RopeSpec(theta=1e6, scaling="linear", factor=8.0)
    assert spec.local_rope == RopeSpec(theta=10_000.0)
    assert spec.attention_scale is None and spec.eos_ids == (1, 106)
    assert [layer for layer in range(34) if not spec.is_sliding(layer)] == [5, 11, 17, 23, 29]


def test_gemma_query_scale_and_soft_caps() -> None:
    spec = spec_of({**_GEMMA, "query_pre_attn_scalar": 168, "final_logit_softcapping": 30.0})
    assert spec.attention_scale == 168**-0.5 and spec.final_softcap == 30.0


LLAMA3 = {
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
LLAMA3_ROPE = RopeSpec(theta=500_000.0, scaling="llama3", factor=32.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rope_theta": 500000.0, "rope_scaling": LLAMA3}, LLAMA3_ROPE),
        ({"rope_theta": None, "rope_parameters": {**LLAMA3, "rope_theta": 500000.0}}, LLAMA3_ROPE),
        ({"rope_theta": 500000, "rope_parameters": LLAMA3}, LLAMA3_ROPE),
        ({"rope_scaling": {"type": "linear", "factor": 4}}, RopeSpec(theta=50_000.0, scaling="linear", factor=4.0)),
        ({"rope_scaling": {"rope_type": "default"}}, RopeSpec(theta=50_000.0)),
        ({"rope_theta": None}, RopeSpec(theta=10_000.0)),
    ],
)
def test_old_and_new_rotary_settings(changes: Config, expected: RopeSpec) -> None:
    assert spec_of({**_LLAMA, **changes}).rope == expected


def test_new_rotary_settings_for_each_kind_of_layer() -> None:
    kinds: Config = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 3e4},
    }
    config = {key: value for key, value in _GEMMA.items() if not key.startswith("rope_")}
    spec = spec_of({**config, "rope_parameters": kinds})
    assert spec.rope == RopeSpec(theta=2e6, scaling="linear", factor=8.0)
    assert spec.local_rope == RopeSpec(theta=3e4)


@pytest.mark.parametrize(
    ("family", "changes", "window", "sliding"),
    [
        ("mistral", {"sliding_window": 16}, 16, (True, True)),
        ("mistral", {"sliding_window": None}, 0, ()),
        ("qwen2", {"sliding_window": 16, "use_sliding_window": False, "max_window_layers": 1}, 0, ()),
        ("qwen2", {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}, 16, (False, True)),
        ("qwen2", {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 2}, 0, ()),
        (
            "qwen3",
            {"sliding_window": 9, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]},
            9,
            (True, False),
        ),
    ],
)
def test_sliding_windows(family: str, changes: Config, window: int, sliding: tuple[bool, ...]) -> None:
    spec = spec_of({**CONFIGS[family], **changes})
    assert (spec.window, spec.sliding) == (window, sliding)
    assert spec.local_rope == (spec.rope if window else None)


def test_a_mistral_that_leaves_the_window_out_has_the_default_one() -> None:
    config = {key: value for key, value in CONFIGS["mistral"].items() if key != "sliding_window"}
    assert spec_of(config).window == 4096


def test_attention_bias_of_llama_covers_the_output_projection(tmp_path: Path) -> None:
    spec = replace(EXPECTED["llama"], qkv_bias=True, out_bias=True)
    tensors = safetensors_tensors(spec, random_tensors(spec))
    folder = write_safetensors(tmp_path, {**_LLAMA, "attention_bias": True}, tensors)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.spec == spec
    assert checkpoint.tensor("layers.0.attn.o.bias", torch.float32).shape == (32,)


def test_end_tokens_of_both_configs(tmp_path: Path) -> None:
    folder = tiny(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 3]}))
    assert open_checkpoint(folder).spec.eos_ids == (9, 3)


def test_a_repeated_embedding_is_not_a_second_head(tmp_path: Path) -> None:
    tensors = safetensors_tensors(EXPECTED["qwen2"], random_tensors(EXPECTED["qwen2"]))
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    checkpoint = open_checkpoint(write_safetensors(tmp_path, CONFIGS["qwen2"], tensors))
    assert "head.weight" not in checkpoint.names


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "mamba"}, "'mamba' is not supported; supported: llama, qwen2, qwen3, mistral, gemma3_text"),
        ({"model_type": None}, "the key 'model_type' is missing"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope_type = 'longrope' is not supported; supported: def"),
        ({"rope_theta": 1.0, "rope_scaling": {"rope_type": "yarn", "factor": 4}}, "yarn needs more than 1"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4}}, "type = 'dynamic' is not supported; supported: default"),
        ({"rope_scaling": {**LLAMA3, "factor": None}}, "config.json: rope_scaling: the key 'factor' is missing"),
        ({"rope_scaling": "linear"}, "'rope_scaling' must be an object, not 'linear'"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu' is not supported; supported: silu"),
        ({"mlp_bias": True}, "mlp_bias = True is not supported; supported: False"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 is not supported"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised safetensors are not supported"),
        ({"hidden_size": "big"}, "'hidden_size' must be a whole number, not 'big'"),
        ({"hidden_size": None}, "the key 'hidden_size' is missing"),
        ({"num_hidden_layers": 10**9}, "'num_hidden_layers' must be a number from 1 to 10000"),
        ({"num_hidden_layers": 3}, "the tensor 'model.layers.2.input_layernorm.weight' is missing"),
        ({"num_hidden_layers": 1}, "'model.layers.1.input_layernorm.weight' is part of a layer"),
        ({"vocab_size": 50}, "'model.embed_tokens.weight' has the shape [48, 32], expected [50, 32]"),
        ({"head_dim": 7}, "the head size 7 is odd"),
        ({"attention_bias": True}, "'model.layers.0.self_attn.q_proj.bias' is missing"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: Config, expected: str) -> None:
    assert expected in fails(tiny(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention = True is not supported"),
        ({"hidden_activation": "silu"}, "hidden_activation = 'silu' is not supported; supported: gelu_pytorch_tanh"),
        ({"layer_types": ["full_attention"]}, "'layer_types' lists 1 layers, expected 7"),
        ({"layer_types": ["chunked_attention"] * 7}, "layer_types = 'chunked_attention' is not supported"),
    ],
)
def test_gemma_settings_that_do_not_fit_are_refused(tmp_path: Path, changes: Config, expected: str) -> None:
    assert expected in fails(tiny(tmp_path, "gemma3_text", **changes))


def test_unsupported_tensor_types_are_named(tmp_path: Path) -> None:
    tensors = safetensors_tensors(EXPECTED["llama"], random_tensors(EXPECTED["llama"]))
    write_safetensors(tmp_path, _LLAMA, tensors, torch.float8_e4m3fn)
    assert "has the type F8_E4M3, which is not supported; supported: F32, F16, BF16" in fails(tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    assert "config.json: missing" in fails(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(_LLAMA))
    assert "neither model.safetensors nor model.safetensors.index.json is there" in fails(tmp_path)
    tiny(tmp_path / "b", num_files=3)
    (tmp_path / "b" / "model-00002-of-00003.safetensors").unlink()
    assert "the file model-00002-of-00003.safetensors is missing (1 of 3)" in fails(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", "[" * 100_000])
def test_damaged_json_is_a_one_line_error(tmp_path: Path, text: str) -> None:
    tiny(tmp_path)
    (tmp_path / "config.json").write_text(text)
    assert "config.json: " in fails(tmp_path)


def test_truncated_files_are_refused_wherever_they_were_cut(tmp_path: Path) -> None:
    whole = (tiny(tmp_path) / "model.safetensors").read_bytes()
    for size in [0, 4, 8, 20, 1000, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "model.safetensors").write_bytes(whole[:size])
        assert "truncated or damaged safetensors file" in fails(tmp_path)


def test_a_hostile_header_length_is_refused(tmp_path: Path) -> None:
    tiny(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert "truncated or damaged safetensors file" in fails(tmp_path)


def test_an_index_may_not_lead_out_of_its_directory(tmp_path: Path) -> None:
    tiny(tmp_path, num_files=2)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.embed_tokens.weight": "../other.safetensors"}}))
    assert "'../other.safetensors' must be a file name in the same directory" in fails(tmp_path)


def test_a_tensor_that_the_index_promises_must_be_in_its_file(tmp_path: Path) -> None:
    index = tiny(tmp_path, num_files=2) / "model.safetensors.index.json"
    values = json.loads(index.read_text())
    values["weight_map"]["model.norm.extra"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps(values))
    assert "the tensor 'model.norm.extra' is missing, though" in fails(tmp_path)


def test_a_tensor_that_the_index_leaves_out_counts_as_missing(tmp_path: Path) -> None:
    index = tiny(tmp_path, num_files=2) / "model.safetensors.index.json"
    values = json.loads(index.read_text())
    del values["weight_map"]["model.norm.weight"]
    index.write_text(json.dumps(values))
    assert "the tensor 'model.norm.weight' is missing" in fails(tmp_path)
