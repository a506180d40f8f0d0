"""When a draft model stops, and what a head over fewer ids changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from native_targets import native_target, readable_target
from outrider.core.commit import Commit, CommitBatch
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftTree
from outrider.drafters import model
from outrider.drafters.model import ModelDrafter
from outrider.drafting.interface import SequenceContext
from outrider.drafting.price import Price
from outrider.errors import ConfigError
from outrider.target.load import LoadedModel
from outrider.testing import check_drafter

CHAIN = ModelDrafter.Config("toy", thrift=False)
SAMPLINGS = (Sampling(), Sampling(temperature=0.9), Sampling(logit_bias={90: 50.0, 7: 1.0}))
past_tokens = st.lists(st.integers(0, 95), min_size=1, max_size=12)
Draft = Callable[..., DraftTree]


@pytest.fixture
def draft(monkeypatch: pytest.MonkeyPatch) -> Draft:
    """A proposal of a toy for itself."""
    target = native_target("llama", threads=1)
    monkeypatch.setattr(model, "load_model", lambda *_, **__: LoadedModel("toy", target, None))

    def drafted(config: ModelDrafter.Config, past: Sequence[int], sampling: Sampling = SAMPLINGS[0],
                price: Price | None = None) -> DraftTree:
        drafter = ModelDrafter(config, target)
        if price is not None:
            monkeypatch.setattr(drafter, "_price", price)
        state = drafter.start(SequenceContext(3, sampling, NoiseKey(5)))
        drafter.commit([state], CommitBatch((Commit(past),), target.device))
        return drafter.propose([state], [Budget(16, 8)]).trees[0]

    return drafted


def test_a_draft_as_large_as_its_target_gets_a_single_pass(draft: Draft) -> None:
    assert len(draft(ModelDrafter.Config("toy", max=6), [5, 6])) <= 1
    assert len(draft(replace(CHAIN, max=6), [5, 6])) == 6


def test_a_chain_goes_on_as_long_as_it_pays(draft: Draft) -> None:
    """It is the beginning of the chain that knows no prices."""
    whole = draft(replace(CHAIN, max=8), [5, 6])
    for level in (0.0, 0.1, 0.2, 0.4, 0.69):
        price = Price(level, row=0.01)
        chain = draft(replace(CHAIN, max=8), [5, 6], price=price)
        pays = [price.pays_level([survival]) for survival in whole.score_N]
        paid = pays.index(False) + 1 if False in pays else 8
        wanted = min(paid, sum(survival >= price.floor for survival in whole.score_N))
        assert list(chain.token_N) == list(whole.token_N[:wanted])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_only_ids_of_the_head_are_drafted(draft: Draft, sampling: Sampling) -> None:
    @settings(max_examples=6, deadline=None)
    @given(past_tokens, st.integers(1, 96))
    def check(past: list[int], head: int) -> None:
        whole, some = draft(CHAIN, past, sampling), draft(replace(CHAIN, head=head), past, sampling)
        assert all(token < head for token in some.token_N)
        inside = next((depth for depth, token in enumerate(whole.token_N) if token >= head), len(whole))
        assert list(some.token_N[:inside]) == list(whole.token_N[:inside]), "these the head could have given"

    check()


def test_a_head_larger_than_the_vocabulary_is_all_of_it(draft: Draft) -> None:
    assert draft(replace(CHAIN, head=1000), [5, 6]) == draft(CHAIN, [5, 6])


def test_a_head_of_less_than_nothing_is_refused(draft: Draft) -> None:
    with pytest.raises(ConfigError, match="head=-1: expected how many ids"):
        draft(replace(CHAIN, head=-1), [5])


def test_only_native_ops_have_smaller_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    target = readable_target("llama")
    monkeypatch.setattr(model, "load_model", lambda *_, **__: LoadedModel("toy", target, None))
    with pytest.raises(ConfigError, match="by a draft model on native ops"):
        ModelDrafter(replace(CHAIN, head=50), target)


@pytest.mark.parametrize("options", ["head=50;thrift=no", "head=96;branch=2;thrift=no"])
def test_contract_with_a_smaller_head(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drafted never shows in the tokens: those outside the head come as corrections."""
    toy = native_target("llama", seed=1, threads=1)
    monkeypatch.setattr(model, "load_model", lambda *_, **__: LoadedModel("toy", toy, None))
    check_drafter(f"model:target=toy;{options}", target=native_target("llama", threads=1))


def test_ids_outside_the_head_are_not_drawn_either() -> None:
    biased = Sampling(temperature=1.0, logit_bias={90: 50.0, 7: 1.0})
    assert model._known(biased, 96) is biased and model._known(biased, 90).logit_bias == {7: 1.0}
