"""Recording on a toy: plain decoding, with what every member says at every position noted beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outrider.bench.recorder import Recorder, record
from outrider.bench.recording import Recording
from outrider.bench.run import BenchConfig, requests_of
from outrider.bench.workload import Prompt, Workload
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget
from outrider.drafting.interface import HostDrafter, SequenceContext
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.prompt import PromptReader
from outrider.policy.interface import Fate, Pass
from outrider.target.load import load_model
from stub_target import after
from tiny_engine import loaded, slow_generate, target_of
from tiny_models import write_tiny_model

TOY = Workload("toy", (Prompt("abcx abcx abcx"), Prompt("hello hello"), Prompt("abcx abcx")))
DRAFTER = "suffix:native=false;past=0+prompt_lookup:native=false"
SAMPLING = Sampling(max_tokens=30, seed=3, temperature=0.8, ignore_eos=True)
CONFIG = BenchConfig(drafters=(), sampling=SAMPLING, max_draft=16)


def requests() -> list[Request]:
    return requests_of(TOY, PromptReader(loaded().tokenizer), CONFIG)


def recorded() -> Recording:
    return record(loaded(), [TOY], DRAFTER, CONFIG, lambda line: None)


def test_answers_are_those_of_plain_decoding() -> None:
    found = recorded()
    assert [seat.name for seat in found.setting.seats] == ["suffix", "prompt_lookup"]
    assert not any(seat.has_network for seat in found.setting.seats) and found.setting.max_draft == 16
    for answer, request in zip(found.answers, requests(), strict=True):
        assert list(answer.token_n) == slow_generate(target_of(), request.token_n, SAMPLING)
        assert (answer.workload, answer.num_prompt, answer.remaining) == ("toy", len(request.token_n), 29)
        assert all(len(own) == answer.num_rounds for own in answer.by_seat)
        assert min(answer.prompt_s, answer.pass_s, answer.host_s) > 0.0


def test_every_position_has_what_a_member_says_there() -> None:
    sizes = []
    for answer, request in zip(recorded().answers, requests(), strict=True):
        text = [*request.token_n, *answer.token_n]
        for name, own in zip(DRAFTER.split("+"), answer.by_seat, strict=True):
            for at, proposal in enumerate(own):
                drafter = drafter_of(name, target_of())
                assert isinstance(drafter, HostDrafter)
                context, depth = SequenceContext(text[0], num_prompt=answer.num_prompt), min(16, 28 - at)
                state = after(drafter, text[: answer.num_prompt + at + 1], context)
                tree = drafter.draft(state, Budget(16, depth, 0.01)) if depth else proposal.tree
                assert (proposal.tree, proposal.debt) == (tree, 0)
                sizes.append(len(tree))
    assert max(sizes) > 3


def test_networks_are_recorded_with_their_debt(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    found = record(load_model(path), [TOY], f"suffix+model:target={path}", CONFIG, lambda line: None)
    suffix, model = found.setting.seats
    assert model.has_network and not suffix.has_network and found.setting.weight_bytes > 0
    own = found.answers[0].by_seat[1]
    assert own[0].debt == found.answers[0].num_prompt + 1
    assert max(one.debt for one in own[1:]) <= 2
    assert max(len(one.tree) for one in own) > 2
    hits = sum(one.tree.token_N[0] == token for one, token in zip(own, found.answers[0].token_n[1:], strict=True)
               if len(one.tree))
    assert hits > 20  # the same model with the same noise


class Listener(Recorder):
    """Also keeps what it was told of passes."""

    passes: list[Pass]

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        self.passes.append(spent)
        super().settle(fates, spent)


def test_a_policy_is_told_which_passes_had_prompts() -> None:
    """The pass that ends a prompt is one of them, though its first token is there when the policy hears of it."""
    drafter = drafter_of("none", target_of())
    listener = Listener(drafter)
    listener.passes = []
    engine = Engine(target_of(), drafter, None, EngineConfig(prefill_tokens=4), policy=listener)
    engine.add(Request((1, 2, 3, 4, 5, 6), Sampling(max_tokens=3, seed=0, ignore_eos=True)))
    engine.run()
    assert [(one.prefill, one.loads[0].rows) for one in listener.passes] == \
        [(True, 4), (True, 2), (False, 1), (False, 1)]
