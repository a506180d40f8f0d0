"""Drafters written for other programs: what comes back, bit for bit, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny_drafters as tiny
from outrider.core.draft_spec import DFlashSpec, DraftSpec
from outrider.errors import CheckpointError, ConfigError
from outrider.io.drafters.export import Draft, Exported, TrainedDraft, export
from outrider.io.drafters.open import open_drafter

Writer = Callable[[], tuple[tiny.Config, tiny.Tensors]]


def window(*, causal: bool | None) -> tuple[tiny.Config, tiny.Tensors]:
    said = {} if causal is None else {"is_causal": causal}
    kinds = ["sliding_attention", "full_attention"]
    config = tiny.zlab_config(layer_types=kinds, sliding_window=7, use_sliding_window=True, **said)
    return config, tiny.dflash_tensors()


ZLAB: dict[str, Writer] = {
    "plain": lambda: (tiny.zlab_config(), tiny.dflash_tensors()),
    "second": lambda: (tiny.zlab2_config(), tiny.dflash2_tensors()),
    "window": lambda: window(causal=None),
    "window both ways": lambda: window(causal=False),
}


def bits(folder: Path) -> dict[str, bytes]:
    return {name: value.view(-1).view(torch.uint8).numpy().tobytes() for name, value in load(folder).items()}


def load(folder: Path) -> tiny.Tensors:
    return load_file(folder / "model.safetensors")


def write(folder: Path, config: tiny.Config, tensors: tiny.Tensors) -> Draft:
    return open_drafter(tiny.write_drafter(folder, config, tensors))


@pytest.mark.parametrize("name", ZLAB)
def test_zlab_to_speculators_and_back(name: str, tmp_path: Path) -> None:
    first = write(tmp_path / "1", *ZLAB[name]())
    export(first, tmp_path / "2", "speculators", verifier="Qwen/Qwen3-4B")
    second = open_drafter(tmp_path / "2")
    assert second.format == "speculators"
    assert second.spec == replace(first.spec, verifier="Qwen/Qwen3-4B")
    export(second, tmp_path / "3", "z-lab")
    assert open_drafter(tmp_path / "3").spec == first.spec
    assert bits(tmp_path / "1") == bits(tmp_path / "2") == bits(tmp_path / "3")


def test_speculators_to_safeailab_and_back(tmp_path: Path) -> None:
    layer = {**tiny.eagle3_config(), "architectures": None}
    config = tiny.speculators_config("eagle3", transformer_layer_config=layer)
    embedding = tiny.filled({"embed_tokens.weight": (tiny.VOCAB, tiny.WIDTH)}, 5)
    first = write(tmp_path / "1", config, tiny.eagle3_tensors("layers.0.") | embedding)
    written = export(first, tmp_path / "2", "eagle3")
    assert any("norm_before_residual" in note for note in written.notes)
    second = open_drafter(tmp_path / "2")
    assert second.format == "eagle3"
    assert second.spec == replace(first.spec, verifier="")
    assert set(load(tmp_path / "2")) == set(tiny.eagle3_tensors()) | set(embedding)
    export(second, tmp_path / "3", "speculators", verifier="Qwen/Qwen3-4B")
    assert open_drafter(tmp_path / "3").spec == first.spec
    assert bits(tmp_path / "1") == bits(tmp_path / "3")


def test_taps_are_counted_as_each_layout_does(tmp_path: Path) -> None:
    draft = write(tmp_path / "1", *ZLAB["plain"]())
    export(draft, tmp_path / "2", "speculators")
    export(draft, tmp_path / "3", "z-lab")
    inputs = json.loads((tmp_path / "2/config.json").read_text())["aux_hidden_state_layer_ids"]
    outputs = json.loads((tmp_path / "3/config.json").read_text())["dflash_config"]["target_layer_ids"]
    assert inputs == [tap + 1 for tap in tiny.TAPS]
    assert outputs == list(tiny.TAPS)


def test_dspark_keeps_its_heads(tmp_path: Path) -> None:
    first = write(tmp_path / "1", tiny.speculators_config("dspark"), tiny.dspark_tensors())
    export(first, tmp_path / "2", "speculators")
    assert open_drafter(tmp_path / "2").spec == first.spec
    assert bits(tmp_path / "1") == bits(tmp_path / "2")


def dflash(folder: Path, **changes: object) -> DFlashSpec:
    spec = write(folder, *ZLAB["plain"]()).spec
    assert isinstance(spec, DFlashSpec)
    return replace(spec, **changes)  # type: ignore[arg-type]


REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "softcap": ("speculators", {"softcap": 20.0}, "final_logit_softcapping"),
    "scale in": ("speculators", {"input_scale": 2.0}, "input_embedding_scale"),
    "scale out": ("speculators", {"output_scale": 2.0}, "output_multiplier"),
    "causal": ("speculators", {"causal": (True, True)}, "look back only"),
    "mixed": ("z-lab", {"causal": (True, False)}, "both ways"),
    "anchor": ("z-lab", {"from_anchor": True}, "anchor"),
    "markov": ("z-lab", {"markov_rank": 3}, "DSpark"),
    "reduced": ("z-lab", {"draft_vocab_size": 8}, "reduced"),
    "kind": ("eagle3", {}, "EAGLE-3 drafters only"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_layout_cannot_hold_is_named(name: str, tmp_path: Path) -> None:
    layout, changes, words = REFUSED[name]
    draft = TrainedDraft(dflash(tmp_path / "1", **changes), {})
    with pytest.raises(ConfigError, match=words):
        export(TrainedDraft(draft.spec, {"fc.weight": torch.zeros(1)}), tmp_path / "2", layout)
    assert not (tmp_path / "2").exists()


def test_a_head_of_its_own_is_not_dropped_silently(tmp_path: Path) -> None:
    own = tiny.filled({"lm_head.weight": (tiny.VOCAB, tiny.WIDTH)}, 3)
    draft = write(tmp_path / "1", tiny.zlab_config(), tiny.dflash_tensors() | own)
    with pytest.raises(ConfigError, match=r"lm_head\.weight"):
        export(draft, tmp_path / "2", "z-lab")
    export(draft, tmp_path / "2", "z-lab", borrow=True)
    assert set(load(tmp_path / "2")) == set(tiny.dflash_tensors())


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    draft = write(tmp_path / "1", *ZLAB["plain"]())
    with pytest.raises(ConfigError, match="in use"):
        export(draft, tmp_path / "1", "z-lab")


def test_commands(tmp_path: Path) -> None:
    draft = write(tmp_path / "1", *ZLAB["plain"]())
    assert commands(draft, tmp_path / "2", "z-lab") == (
        f"vllm serve Qwen/Qwen3-4B --speculative-config "
        f"""'{{"method": "dflash", "model": "{tmp_path}/2", "num_speculative_tokens": 3}}'""",
        f"python -m sglang.launch_server --model-path Qwen/Qwen3-4B --speculative-algorithm DFLASH "
        f"--speculative-draft-model-path {tmp_path}/2 --speculative-num-draft-tokens 4",
    )
    assert commands(draft, tmp_path / "3", "speculators")[0] == f"vllm serve {tmp_path}/3"


def commands(draft: Draft, folder: Path, layout: str) -> tuple[str, ...]:
    written: Exported = export(draft, folder, layout, verifier="Qwen/Qwen3-4B")
    return written.commands


def test_a_trained_network_is_written_like_a_file(tmp_path: Path) -> None:
    opened = open_drafter(tiny.write_drafter(tmp_path / "1", *ZLAB["plain"]()))
    spec: DraftSpec = opened.spec
    trained = TrainedDraft(spec, {name: opened.tensor(name, torch.bfloat16) for name in opened.names}, thinking=False)
    export(trained, tmp_path / "2", "z-lab")
    again = open_drafter(tmp_path / "2")
    assert (again.spec, again.thinking) == (spec, False)
    assert bits(tmp_path / "1") == bits(tmp_path / "2")


def test_an_unfilled_weight_is_not_exported(tmp_path: Path) -> None:
    tensors = tiny.dflash_tensors()
    tensors["norm.weight"][3] = torch.nan
    draft = write(tmp_path / "1", tiny.zlab_config(), tensors)
    with pytest.raises(CheckpointError, match="NaN"):
        export(draft, tmp_path / "2", "z-lab")
