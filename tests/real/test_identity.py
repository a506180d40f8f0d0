"""The same tokens on a real model: every drafter, greedy and sampled, alone and in a batch.

`scripts/identity` does the same at length; here a few tokens guard each change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import real_models
from outrider.bench.pairs import Reference, check_pair, mixed_workload, reference
from outrider.bench.settings import Setting
from outrider.bench.workload import Workload
from outrider.core.sampling import Sampling
from outrider.drafting import registry
from outrider.target.load import LoadedModel, load_model

pytestmark = pytest.mark.real_model

MODEL = "smollm2-135m-instruct"
NUM_PROMPTS, NUM_TOKENS = 4, 40
DRAFTERS = ["none", "ngram_hash", "prompt_lookup", "suffix", "recycling", "suffix+recycling",
            "model:target={model};max=5;thrift=no"]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(real_models.path(MODEL))


@pytest.fixture(scope="module")
def plain(model: LoadedModel) -> Callable[[float], Reference]:
    """The baseline at a temperature, computed once: short prompts and one that is copied from."""
    prompts = mixed_workload(("code", "chat", "math", "summary")).prompts[:NUM_PROMPTS]

    @cache
    def at(temperature: float) -> Reference:
        sampling = Sampling(temperature=temperature, seed=7, max_tokens=NUM_TOKENS)
        return reference(model, Workload("mixed", prompts), sampling, NUM_PROMPTS * NUM_TOKENS)

    return at


@pytest.mark.supports("drafters", "{drafter}", "kernels, CPU", "real")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_the_tokens_are_those_of_plain_decoding(model: LoadedModel, plain: Callable[[float], Reference], drafter: str,
                                                temperature: float, batch: int) -> None:
    needed = {part.partition(":")[0] for part in drafter.split("+")} | ({"mix"} if "+" in drafter else set())
    if missing := needed - set(registry.names()):
        pytest.skip(f"there is no drafter {', '.join(missing)} yet")
    pair = check_pair(model, drafter.format(model=real_models.path(MODEL)), plain(temperature), Setting(batch))
    assert pair.tokens > NUM_PROMPTS * NUM_TOKENS / 2
    assert pair.exact and pair.divergences == ()
