"""Loading through transformers: from a directory, what is said where that fails, and how a way of running is found."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hf_models import GOLDEN, hf_target, module_of
from outrider.core.sampling import Sampling
from outrider.core.tree import DraftTree
from outrider.engine.llm import LLM
from outrider.errors import CheckpointError, ConfigError
from outrider.target.hf import adapt, load_hf
from outrider.target.hf_model import HfModel
from outrider.target.hf_packed import MaskKind, PackedTarget
from outrider.target.hf_states import REPLAY, ChainTarget, StateCache
from outrider.target.load import load_model
from outrider.target.pack import Entry, pack

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model directory with weights, configuration and a vocabulary of letters."""
    path = tmp_path / "model"
    shutil.copytree(GOLDEN / "llama", path)
    letters = {chr(ord("a") + token): token for token in range(26)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({**letters, "Ġ": 26, "Ċ": 27}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(path / "tokenizer.json"))
    return path


def test_a_directory_gives_the_same_text_either_way(folder: Path) -> None:
    sampling = Sampling(max_tokens=20, ignore_eos=True)
    texts = []
    for options in ({"ops": "hf"}, {"ops": "reference"}, {"ops": "hf", "drafter": "none", "dtype": "float32"}):
        with LLM(str(folder), device="cpu", **options) as llm:  # type: ignore[arg-type]
            texts.append(llm.generate("abcabcabc", sampling=sampling).ids)
    assert texts[0] == texts[1] == texts[2]
    target = load_model(folder, ops="hf", device="cpu", context=40, dtype="bfloat16").target
    assert isinstance(target, PackedTarget) and target.context == 40 and target.model.dtype == torch.bfloat16


def test_options_that_do_not_go_with_it(folder: Path) -> None:
    for options in ({"weights": "q8"}, {"threads": 1}):
        with pytest.raises(ConfigError, match=r"ops hf: .*leave out --weights and --threads"):
            load_model(folder, ops="hf", device="cpu", **options)  # type: ignore[arg-type]
    (folder / "model.gguf").touch()
    with pytest.raises(ConfigError, match=r"ops hf: expected a directory .*, got the file model\.gguf"):
        load_model(folder / "model.gguf", ops="hf", device="cpu")


def test_a_family_that_only_the_library_knows_is_pointed_to_it(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "olmo2"}))
    with pytest.raises(CheckpointError, match=r"model_type = 'olmo2' is not supported; .*others with --ops hf"):
        load_model(folder, device="cpu")


@pytest.mark.parametrize(("damage", "message"), [
    ("tensor", r"tensors are missing or of another shape: model\.norm\.weight \(of 1 in all\)"),
    ("shape", "tensors are missing or of another shape|cannot load it"),
    ("cut", "cannot load it"), ("kind", "cannot load it"), ("weights", "cannot load it"), ("config", "cannot load it"),
])
def test_damaged_directories_are_one_line(folder: Path, damage: str, message: str) -> None:
    weights = folder / "model.safetensors"
    tensors, config = load_file(weights), json.loads((folder / "config.json").read_text())
    if damage == "tensor":
        save_file({name: value for name, value in tensors.items() if name != "model.norm.weight"}, weights,
                  metadata={"format": "pt"})
    elif damage == "shape":
        save_file({**tensors, "model.norm.weight": torch.ones(5)}, weights, metadata={"format": "pt"})
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-99])
    elif damage == "weights":
        weights.unlink()
    else:
        text = json.dumps({**config, "model_type": "no_such_kind"}) if damage == "kind" else "{"
        (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message) as found:
        load_hf(folder, torch.float32, CPU)
    assert "\n" not in str(found.value)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "strange.C", "AutoModelForCausalLM": "strange.M"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "strange", "auto_map": own}))
    (folder / "strange.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(CheckpointError, match="cannot load it"):
        load_hf(folder, torch.float32, CPU)


def test_masks_that_are_not_obeyed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control of the trial: where every row sees everything, trees are not offered."""
    module = module_of("llama")
    assert isinstance(adapt(module), PackedTarget)
    monkeypatch.setattr(MaskKind, "mask", lambda *_: torch.zeros(1, 1, 1, 1))
    assert isinstance(adapt(module), ChainTarget)


def test_code_that_takes_one_token_at_a_time_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        target = adapt(module_of("mamba"))
    assert not target.info.rollback and not target.info.trees
    assert "takes one token at a time: nothing will be drafted" in caplog.text


def test_a_cache_that_does_not_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HfModel, "plain", lambda self, token_T: torch.randn(len(token_T), self.vocab_size))
    with pytest.raises(CheckpointError, match="gives other logits than the whole text"):
        adapt(module_of("delta"))


def test_layers_that_are_not_there() -> None:
    target = hf_target("llama")
    cache = target.new_cache(16)
    step = pack(cache, [Entry(cache.open(), [1, 2])], target.device)
    for tap in (-1, 3):
        with pytest.raises(IndexError, match=r"layers 0 … 2"):
            target.forward(step, cache, (tap,))


class Watched:
    """A chain target that notes how many rows each pass has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.target, self.sizes = hf_target("delta"), list[int]()
        self.cache = self.target.new_cache(512)
        assert isinstance(self.cache, StateCache)
        self.row = self.cache.open()
        self.text: list[int] = []
        run = HfModel.run

        def noted(model: HfModel, token_T: Tensor, *args: Any, **options: Any) -> object:
            self.sizes.append(len(token_T))
            return run(model, token_T, *args, **options)

        monkeypatch.setattr(HfModel, "run", noted)

    def round(self, anchor: int, draft: Sequence[int], accepted: int) -> None:
        """One round, checked against the whole text."""
        step = pack(self.cache, [Entry(self.row, [anchor], DraftTree.chain(draft))], self.target.device)
        logits_RV = self.target.forward(step, self.cache).logits_RV
        wanted = self.target.model.plain(torch.tensor([*self.text, anchor, *draft]))[-1 - len(draft):]
        assert float((logits_RV - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
        kept = [anchor, *draft[:accepted]]
        self.cache.keep(self.row, kept, range(len(kept)))
        self.text += kept


def test_rejected_tails_are_replayed_in_front_of_the_next_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    for accepted in (3, 1, 0, 3, 3, 2):
        watched.round(len(watched.text) % 90, (7, 8, 9), accepted)
    # All kept, two of four, one more, all of four behind the three replayed, all, three of four.
    assert watched.sizes == [4, 4, 2 + 4, 3 + 4, 4, 4]


def test_a_long_tail_is_replayed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    while sum(watched.sizes) < 400:
        watched.round(len(watched.text) % 90, (7, 8, 9), 0)
    assert max(watched.sizes) == REPLAY + 4
    assert watched.sizes.count(REPLAY + 1) >= 1


def test_single_rows_take_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.setattr("outrider.target.hf_states.State.copied", lambda self: pytest.fail("a copy was taken"))
    for token in range(5):
        watched.round(token, (), 0)
    assert watched.sizes == [1] * 5


def test_an_interrupted_pass_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.round(5, (7, 8, 9), 3)
    step = pack(watched.cache, [Entry(watched.row, [4, 3, 2])], watched.target.device)
    run = HfModel.run

    def broken(*args: Any, **options: Any) -> object:
        run(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(HfModel, "run", broken)
        watched.target.forward(step, watched.cache)
    watched.round(4, (3, 2), 1)
    watched.round(6, (1,), 1)
