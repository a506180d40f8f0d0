"""Log-probabilities of a prompt: the target's own, however it is cut into chunks and whoever asks beside."""

from __future__ import annotations

import pytest
import torch

from outrider import LLM, Sampling
from outrider.core.request import Request
from outrider.errors import RequestError
from tiny_engine import dense_logits, loaded, target_of

PROMPT = tuple(range(1, 40))


@pytest.mark.parametrize("max_tokens", [0, 1, 5])
@pytest.mark.parametrize("prefill_tokens", [1, 7, 512])
def test_they_are_the_targets_own_in_any_chunks(max_tokens: int, prefill_tokens: int) -> None:
    wanted_TV = torch.log_softmax(dense_logits(target_of(), list(PROMPT)).double(), -1)
    sampling = Sampling(max_tokens=max_tokens, n=2, seed=1, temperature=0.7, ignore_eos=True)
    with LLM(loaded(), drafter="suffix", prefill_tokens=prefill_tokens) as llm:
        plain = llm.run([Request(PROMPT, sampling)])[0]
        beside = Request((4, 5, 6, *PROMPT), Sampling(max_tokens=9, seed=2))
        found, _ = llm.run([Request(PROMPT, sampling, prompt_logprobs=3), beside])
        llm.engine.check_integrity()
    assert [sample.ids for sample in found.samples] == [sample.ids for sample in plain.samples]
    assert [len(sample.ids) for sample in found.samples] == [max_tokens] * 2 and found.finish_reason == "length"
    assert found.stats.cached_tokens == 0, "all of it has to be computed"
    assert len(found.prompt_logprobs) == len(PROMPT) and found.prompt_logprobs[0] is None
    for place, item in enumerate(found.prompt_logprobs[1:], 1):
        assert item is not None and item.chosen.token == PROMPT[place]
        best = wanted_TV[place - 1].topk(3)
        torch.testing.assert_close(torch.tensor([item.chosen.logprob, *(one.logprob for one in item.top)]).double(),
                                   torch.cat((wanted_TV[place - 1, PROMPT[place], None], best.values)))
        assert [one.token for one in item.top] == best.indices.tolist()


def test_a_prompt_of_one_token_has_nothing_to_foretell() -> None:
    with LLM(loaded(), drafter="none") as llm:
        assert llm.run([Request((3,), Sampling(max_tokens=2), prompt_logprobs=0)])[0].prompt_logprobs == (None,)
        assert llm.run([Request((3,), Sampling(max_tokens=2))])[0].prompt_logprobs == ()


def test_nothing_asked_of_the_answer_only_warms_the_cache() -> None:
    with LLM(loaded(), drafter="suffix") as llm:
        assert llm.run([Request(PROMPT, Sampling(max_tokens=0))])[0].ids == ()
        assert llm.run([Request(PROMPT, Sampling(max_tokens=1))])[0].stats.cached_tokens == 32


@pytest.mark.parametrize("count", [-1, 101, True, 1.5])
def test_bad_counts_are_named(count: int) -> None:
    with pytest.raises(RequestError, match="prompt_logprobs"):
        Request(PROMPT, prompt_logprobs=count)
