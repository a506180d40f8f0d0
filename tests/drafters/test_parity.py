"""Our neural drafters compute what the published ones do, on every recorded checkpoint, from file to tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from draft_goldens import DraftGolden, draft_golden, golden_names
from outrider.core.commit import Commit
from outrider.core.step import ROOT, Step
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafters.dflash import DFlashDrafter
from outrider.drafters.eagle3 import Eagle3Drafter
from outrider.drafters.specblock import SpecBlockDrafter, _Branching, _Origin
from outrider.drafting.interface import SequenceContext
from outrider.drafting.levels import Candidate, Growth
from outrider.drafting.neural import NeuralDrafter, NeuralState
from outrider.drafting.rows import stacked
from outrider.errors import CheckpointError
from outrider.nn.network import Outputs
from outrider.target.decoder import DecoderTarget
from outrider.target.network import Network
from outrider.target.tiny import TINY, tiny_target
from outrider.testing.tape import Stage, Tape

RELATIVE = 1e-5


@dataclass(slots=True)
class Spy:
    """A network that remembers what its passes gave."""

    inner: Network
    seen: list[tuple[str, Outputs]]

    @property
    def read_bytes(self) -> int:
        return self.inner.read_bytes

    def run(self, name: str, step: Step, store: Any, input_TF: Tensor | None = None) -> Outputs:
        outputs = self.inner.run(name, step, store, input_TF)
        self.seen.append((name, outputs))
        return outputs


@dataclass(frozen=True, slots=True)
class Round:
    """What a drafter made of one anchor."""

    tree: DraftTree
    passes: list[tuple[str, Outputs]]


def lending_target(golden: DraftGolden) -> DecoderTarget:
    """A toy with the recorded embedding and head; its layers are never run."""
    vocab, size = golden.embed.shape
    target = tiny_target(0, replace(TINY, vocab_size=vocab, hidden_size=size, num_layers=golden.target_layers,
                                    max_positions=64))
    target.decoder.embed.weight.data = golden.embed
    target.decoder.head.weight.data = golden.head
    return target


def rounds(golden: DraftGolden, drafter: NeuralDrafter[Any]) -> Iterator[Round]:
    """One proposal behind each recorded anchor, in turns of a few tokens or all at once."""
    spy = Spy(drafter.network, [])
    drafter.network = spy
    for start in golden.starts:
        stage = Stage(drafter, drafter.target.new_cache(64, drafter.payloads))  # type: ignore[attr-defined]
        actor = stage.start(Tape(SequenceContext(golden.tokens[0]), []))
        step = start if start % 2 else 3
        for begin in range(0, start, max(step, 1)):
            end = min(begin + step, start)
            stage.tell([actor], [Commit(golden.tokens[begin + 1 : end + 1], golden.features[begin:end])])
            drafter.absorb([actor.state])
        spy.seen.clear()
        tree = drafter.propose([actor.state], [Budget(64, 64)]).trees[0]
        yield Round(tree, list(spy.seen))


def assert_near(found: Tensor, wanted: Tensor) -> None:
    """Within `RELATIVE` of the largest."""
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= RELATIVE * float(wanted.abs().max())


@pytest.mark.supports("checkpoints of drafters", "{name}", "safetensors", "random")
@pytest.mark.parametrize("name", golden_names("dflash"))
def test_dflash(name: str) -> None:
    golden = draft_golden(name)
    drafter = DFlashDrafter(DFlashDrafter.Config(str(golden.folder), nodes=64), lending_target(golden))
    for index, found in enumerate(rounds(golden, drafter)):
        (_, outputs), = (one for one in found.passes if one[0] == "block")
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None
        assert_near(outputs.logits_RV, golden.arrays["logits"][index])
        assert_near(outputs.hidden_RD, golden.arrays["hidden"][index] * drafter.spec.output_scale)
        assert list(found.tree.token_N) == golden.arrays["drafts"][index].tolist()


@pytest.mark.supports("checkpoints of drafters", "{name}", "safetensors", "random")
@pytest.mark.parametrize("name", golden_names("eagle3"))
def test_eagle3(name: str) -> None:
    golden = draft_golden(name)
    depth = golden.arrays["drafts"].shape[1]
    config = Eagle3Drafter.Config(str(golden.folder), max=depth, branch=1)
    drafter = Eagle3Drafter(config, lending_target(golden))
    for index, found in enumerate(rounds(golden, drafter)):
        steps = [outputs.logits_RV for name, outputs in found.passes if name == "step"]
        assert_near(torch.cat([x for x in steps if x is not None]), golden.arrays["chain_logits"][index][1:])
        assert list(found.tree.token_N) == golden.arrays["drafts"][index].tolist()


@pytest.mark.supports("checkpoints of drafters", "{name}", "safetensors", "random")
@pytest.mark.parametrize("name", golden_names("specblock"))
def test_specblock(name: str) -> None:
    golden = draft_golden(name)
    drafter = SpecBlockDrafter(SpecBlockDrafter.Config(str(golden.folder)), lending_target(golden))
    for index, start in enumerate(golden.starts):
        state = absorbed(golden, drafter, start)
        assert state.hidden is not None and state.logits is not None
        assert_near(state.hidden, golden.arrays["hidden"][start - 1])
        assert_near(narrowed(drafter, state.logits), golden.arrays["logits"][start - 1])
        slots, tokens = (golden.arrays[key][index].tolist() for key in ("second_slots", "second_tokens"))
        outputs = second_blocks(drafter, state, slots, tokens)
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None
        assert_near(outputs.logits_RV, golden.arrays["second_logits"][index].flatten(0, 1))
        if drafter._ranks is not None:
            wanted = golden.arrays["second_rank_logits"][index].flatten(0, 1).argmax(-1).tolist()
            assert drafter._rank_classes(outputs.hidden_RD, drafter.widened(outputs.logits_RV)) == wanted


def absorbed(golden: DraftGolden, drafter: NeuralDrafter[Any], start: int) -> NeuralState:
    """A sequence whose anchor is the token at `start`."""
    stage = Stage(drafter, drafter.target.new_cache(64, drafter.payloads))  # type: ignore[attr-defined]
    actor = stage.start(Tape(SequenceContext(golden.tokens[0]), []))
    stage.tell([actor], [Commit(golden.tokens[1 : start + 1], golden.features[:start])])
    drafter.absorb([actor.state])
    state: NeuralState = actor.state
    return state


def narrowed(drafter: NeuralDrafter[Any], logits_RV: Tensor) -> Tensor:
    """By the draft's own ids again."""
    return logits_RV if drafter._draft_ids is None else logits_RV[:, drafter._draft_ids]


def second_blocks(drafter: SpecBlockDrafter, state: NeuralState, slots: list[int], tokens: list[int]) -> Outputs:
    """One pass over blocks that hang from slots of the anchor's block."""
    assert state.hidden is not None
    tree = _Branching(state, Growth(Budget(99, 99), state.token_n[-1]), [],
                      list(range(ROOT, drafter.spec.num_slots - 1)))
    for slot, token in zip(slots, tokens, strict=True):
        tree.growth.pool.append(Candidate(token, ANCHOR, slot + 1, 1.0))
        tree.origins.append(_Origin(slot, state.hidden[slot : slot + 1]))
    tree.growth.frontier = list(range(len(slots)))
    rows = drafter._block_rows(tree)
    condition_TD = torch.cat([origin.hidden_1D for origin in tree.origins])
    return drafter.network.run("block", stacked([rows], drafter.target.device), drafter.store(state),
                               condition_TD.repeat_interleave(drafter.spec.num_slots, 0))


@pytest.mark.parametrize("allowed", [False, True])
def test_pickles_are_read_on_request_only(allowed: bool, tmp_path: Path) -> None:
    golden = draft_golden("eagle3-safeailab")
    shutil.copy(golden.folder / "config.json", tmp_path)
    torch.save(load_file(golden.folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    target = lending_target(golden)
    if allowed:
        assert Eagle3Drafter(Eagle3Drafter.Config(str(tmp_path), pickle=True), target).spec.draft_vocab_size == 29
    else:
        with pytest.raises(CheckpointError, match="pickle"):
            Eagle3Drafter(Eagle3Drafter.Config(str(tmp_path)), target)
