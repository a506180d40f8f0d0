"""A drafter's directory as the model, and the warning about the mode it was trained in."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outrider import LLM
from outrider.cli.main import main
from outrider.core.draft_spec import DFlashSpec
from outrider.drafters.mix import MixDrafter
from outrider.drafting.auto import AUTO
from outrider.drafting.syntax import spec_of
from outrider.engine.pair import paired
from outrider.engine.prompt import PromptReader
from outrider.errors import ConfigError
from outrider.io.chat_template import ChatTemplate
from outrider.io.checkpoint import open_checkpoint
from outrider.io.drafters.export import TrainedDraft, export
from outrider.io.drafters.names import draft_slots
from tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf"))


def write_drafter(folder: Path, model: str, *, to: str, thinking: bool | None = None) -> str:
    target = open_checkpoint(Path(model)).spec
    stack = replace(target, family="qwen3", num_layers=1, qk_norm=True, tied_head=False, eos_ids=(), bos_id=None)
    spec = DFlashSpec(stack=stack, taps=(0,), target_hidden_size=target.hidden_size, draft_vocab_size=target.vocab_size,
                      block_size=4, mask_id=target.vocab_size - 1, causal=(False,))
    generator = torch.Generator().manual_seed(0)
    tensors = {slot.name: torch.randn(slot.shape, generator=generator) * 0.1
               for slot in draft_slots(spec) if not slot.optional}
    export(TrainedDraft(spec, tensors, thinking), folder, to, verifier=model)
    return str(folder)


def test_a_drafter_loads_its_verifier_and_drafts(model: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_drafter(tmp_path / "draft", model, to="speculators")
    expected = LLM(model, drafter="none").generate("hello w", max_tokens=12).text
    with LLM(folder) as llm:
        assert llm.engine.drafter.sources == ("suffix", "ngram_hash", "dflash")
        assert llm.generate("hello w", max_tokens=12).text == expected
    assert main(["generate", folder, "hello w", "--max-tokens", "12"]) == 0
    shown = capsys.readouterr()
    assert shown.out == expected + "\n"
    assert "tokens per round" in shown.err


def test_under_a_rule_that_draws_it_drafts_alone(model: str, tmp_path: Path) -> None:
    folder = write_drafter(tmp_path / "draft", model, to="speculators")
    assert parts(paired(folder, AUTO, "ratio").drafter) == ["dflash"]
    assert parts(paired(folder, AUTO).drafter) == ["suffix", "ngram_hash", "dflash"]


def parts(drafter: object) -> list[str]:
    spec = spec_of(drafter)
    return [member.name for member in spec.config.members] if spec.drafter is MixDrafter else [spec.name]


def test_another_drafter_may_be_chosen(model: str, tmp_path: Path) -> None:
    folder = write_drafter(tmp_path / "draft", model, to="speculators")
    pair = paired(folder, "none")
    assert (pair.model, pair.drafter) == (model, "none")


def test_a_drafter_that_names_no_target_says_what_to_do(model: str, tmp_path: Path) -> None:
    folder = write_drafter(tmp_path / "draft", model, to="z-lab")
    with pytest.raises(ConfigError, match="--drafter dflash:checkpoint="):
        paired(folder, AUTO)


def test_models_and_nonsense_are_left_as_they_are(model: str, tmp_path: Path) -> None:
    for reference in (model, str(tmp_path), str(tmp_path / "none"), "no-such-model", "owner/repo"):
        assert paired(reference, AUTO).model == reference


@pytest.mark.parametrize(("trained", "asked", "warnings"), [
    (False, {}, 1), (False, {"enable_thinking": True}, 1), (False, {"enable_thinking": False}, 0),
    (True, {}, 0), (True, {"enable_thinking": False}, 1), (None, {}, 0),
])
def test_another_mode_is_warned_of_once(trained: bool | None, asked: dict[str, object], warnings: int,
                                        caplog: pytest.LogCaptureFixture) -> None:
    reader = PromptReader(None, trained)
    reader._template = ChatTemplate("{{ enable_thinking }}")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            reader.render([{"role": "user", "content": "?"}], asked)
    assert len([record for record in caplog.records if "thinking" in record.message]) == warnings


def test_the_mode_comes_with_the_drafter(model: str, tmp_path: Path) -> None:
    folder = write_drafter(tmp_path / "draft", model, to="speculators", thinking=False)
    with LLM(model, drafter=f"dflash:checkpoint={folder}") as llm:
        assert llm.engine.drafter.thinking is False
    with LLM(model, drafter=f"suffix+dflash:checkpoint={folder}") as llm:
        assert llm.engine.drafter.thinking is False
