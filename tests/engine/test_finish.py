"""Where an answer ends: stop string, then stop token or end of text, then length; nothing behind it leaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.request import Request, Result
from outrider.core.sampling import Sampling
from outrider.target.tiny import TINY, tiny_target
from tiny_engine import EOS, VOCAB, dense_logits, forger, generate, ids, target_of, tiny_tokenizer

BASE = Sampling(max_tokens=40, temperature=0.9, seed=12, ignore_eos=True)
PROMPT = (7, 8, 9, 10)


def both_ways(sampling: Sampling, prompt: tuple[int, ...] = PROMPT, **options: int) -> Result:
    """The answer by plain decoding and with whole answers drafted in one go, which must be the same in all respects."""
    target, tokenizer, request = target_of(), tiny_tokenizer(), Request(prompt, sampling)
    endless = replace(sampling, max_tokens=60, stop=(), stop_ids=(), ignore_eos=True, logprobs=None)
    beyond = generate(target, "none", [Request(prompt, endless)])
    plain = generate(target, "none", [request], tokenizer, **options)[0]
    # The forger drafts what plain decoding would say behind the end, too.
    drafted = generate(target, forger(target, beyond, 5, 0, 1.0), [request], tokenizer, **options)[0]
    for one, other in zip(plain.samples, drafted.samples, strict=True):
        assert (one.text, one.ids, one.finish_reason) == (other.text, other.ids, other.finish_reason)
        assert len(one.logprobs) == len(other.logprobs) == (0 if sampling.logprobs is None else len(one.ids))
    return drafted


def endless() -> Result:
    return both_ways(BASE)


def text_of(ids: tuple[int, ...]) -> str:
    return tiny_tokenizer().decode(ids, continues=True)


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 17, 40])
def test_length_is_exact(max_tokens: int) -> None:
    found = both_ways(replace(BASE, max_tokens=max_tokens, logprobs=2))
    assert found.ids == endless().ids[:max_tokens] and found.finish_reason == "length"
    assert found.text == text_of(found.ids)


def test_the_context_is_an_end() -> None:
    found = both_ways(replace(BASE, max_tokens=10_000), context=20)
    assert len(found.ids) == 20 - len(PROMPT) and found.finish_reason == "length"
    last = both_ways(replace(BASE, max_tokens=9), prompt=tuple(range(19)), context=20)
    assert len(last.ids) == 1 and last.finish_reason == "length"


@pytest.mark.parametrize("at", [0, 1, 9, 20])
def test_a_stop_token_is_the_last_token(at: int) -> None:
    whole = endless()
    stop_id = whole.ids[at]
    first = whole.ids.index(stop_id)
    found = both_ways(replace(BASE, stop_ids=(stop_id,), logprobs=0))
    assert found.ids == whole.ids[: first + 1] and found.finish_reason == "stop"
    assert found.text == text_of(found.ids[:-1]), "the stop token has no text"


def test_end_of_text_stops_unless_ignored() -> None:
    eager = replace(BASE, logit_bias={EOS: 7.0}, ignore_eos=False)
    found, ignored = both_ways(eager), both_ways(replace(eager, ignore_eos=True))
    assert found.finish_reason == "stop" and found.ids[-1] == EOS and EOS not in found.ids[:-1]
    assert ignored.ids[: len(found.ids)] == found.ids and len(ignored.ids) == 40


@pytest.mark.parametrize(("begin", "size"), [(0, 1), (5, 3), (11, 4), (30, 6)])
def test_a_stop_string_is_cut_off_wherever_tokens_end(begin: int, size: int) -> None:
    whole = endless().text
    stop = whole[begin : begin + size]
    found = both_ways(replace(BASE, stop=(stop,), logprobs=1))
    assert found.finish_reason == "stop" and found.text == whole[: whole.index(stop)]
    assert endless().ids[: len(found.ids)] == found.ids
    assert stop in text_of(found.ids) and stop not in text_of(found.ids[:-1]), "the token that completes it is the last"


def test_a_stop_string_goes_before_a_stop_token_and_that_before_length() -> None:
    whole = endless()
    at = next(at for at in range(4, 40) if whole.ids[at] not in whole.ids[:at])
    piece = text_of((whole.ids[at],))
    stops = {"stop": (text_of(whole.ids[:at])[-1] + piece,), "stop_ids": (whole.ids[at],), "max_tokens": at + 1}
    everything = both_ways(replace(BASE, **stops))
    assert everything.ids == whole.ids[: at + 1] and everything.finish_reason == "stop"
    assert everything.text == text_of(whole.ids[:at])[:-1], "the stop string cuts into the text before it"
    token_only = both_ways(replace(BASE, stop_ids=(whole.ids[at],), max_tokens=at + 1))
    assert token_only.text == text_of(whole.ids[:at]) and token_only.finish_reason == "stop"
    length_only = both_ways(replace(BASE, max_tokens=at + 1))
    assert length_only.text == text_of(whole.ids[: at + 1]) and length_only.finish_reason == "length"


def test_what_was_held_back_is_shown_at_the_end() -> None:
    whole = endless()
    tail = whole.text[-2:]
    found = both_ways(replace(BASE, stop=(tail + "never",)))
    assert found.text == whole.text and found.finish_reason == "length"


def test_half_a_character_at_the_end_is_marked() -> None:
    half = tiny_tokenizer().token_id("Ã")
    assert half is not None
    found = both_ways(replace(BASE, logit_bias={half: 100.0}, max_tokens=3))
    assert found.ids == (half,) * 3 and found.text == "�" * 3


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(1, 5), st.lists(st.integers(0, VOCAB - 1), max_size=3), st.integers(1, 40),
       st.booleans())
def test_any_ends_are_the_same_plain_and_drafted(begin: int, size: int, stop_ids: list[int], max_tokens: int,
                                                  ignore_eos: bool) -> None:
    stop = endless_text()[begin : begin + size]
    both_ways(replace(BASE, stop=(stop,), stop_ids=tuple(stop_ids), max_tokens=max_tokens, ignore_eos=ignore_eos,
                      logprobs=1, n=2))


def endless_text(_cache: list[str] = []) -> str:  # noqa: B006 - computed once
    if not _cache:
        _cache.append(endless().text)
    return _cache[0]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_logprobs_are_the_targets_own(temperature: float) -> None:
    """Before bias, penalties and filters, from a pass without drafts or cache."""
    odd = {"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.5, "logit_bias": {4: 2.0}} if temperature else {}
    found = both_ways(replace(BASE, temperature=temperature, logprobs=4, **odd))
    logits_TV = dense_logits(target_of(), [*PROMPT, *found.ids])[len(PROMPT) - 1 : -1]
    wanted_TV = logits_TV.double().log_softmax(-1)
    for row, (token, logprobs) in enumerate(zip(found.ids, found.logprobs, strict=True)):
        best = wanted_TV[row].sort(descending=True, stable=True)
        assert logprobs.chosen.token == token
        assert logprobs.chosen.logprob == pytest.approx(float(wanted_TV[row, token]), abs=1e-6)
        assert [item.token for item in logprobs.top] == best.indices[:4].tolist()
        assert [item.logprob for item in logprobs.top] == pytest.approx(best.values[:4].tolist(), abs=1e-6)


def test_logprobs_of_a_small_vocabulary() -> None:
    target = tiny_target(spec=replace(TINY, vocab_size=12))
    found = generate(target, "none", [Request((1,), Sampling(max_tokens=2, logprobs=20))])[0]
    assert [len(item.top) for item in found.logprobs] == [12, 12]


def test_statistics_add_up() -> None:
    """Rounds exclude prefill, tokens the first; accepted nodes are counted by depth and by source."""
    target = target_of()
    for size in (1, 2, 33):
        request = Request(tuple(range(size)), replace(BASE, max_tokens=30))
        plain = generate(target, "none", [request])
        found = generate(target, forger(target, plain, faith=0.9), [request], prefill_tokens=16)
        stats = found[0].stats
        assert ids(found) == ids(plain)
        assert stats.emitted == len(found[0].ids) - 1 == plain[0].stats.emitted == plain[0].stats.rounds
        assert stats.accepted + stats.rounds - stats.emitted in (0, 1), "the last token may be an accepted one"
        assert stats.accepted == sum(stats.accepted_at_depth) == sum(stats.accepted_by_source) <= stats.drafted
