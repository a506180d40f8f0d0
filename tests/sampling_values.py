"""Hypothesis strategies of sampling values."""

from __future__ import annotations

from hypothesis import strategies as st

from outrider.core.sampling import Sampling


@st.composite
def samplings(draw: st.DrawFn, *, vocab: int, greedy: bool = True, max_tokens: int = 256, n: int = 1) -> Sampling:
    """Every option on its own in about half of all draws, with values exact in binary."""
    return Sampling(
        temperature=draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0] if greedy else [0.25, 0.5, 1.0, 2.0])),
        top_k=draw(st.one_of(st.just(0), st.integers(1, vocab + 2))),
        top_p=draw(st.sampled_from([1.0, 1.0, 0.9, 0.51, 0.2, 1e-6])),
        min_p=draw(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0])),
        repetition_penalty=draw(st.sampled_from([1.0, 2.0, 0.5])),
        presence_penalty=draw(st.sampled_from([0.0, 0.5, -1.0])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.25, -0.5])),
        logit_bias=draw(st.dictionaries(st.integers(0, vocab - 1), st.sampled_from([-2.0, 0.5, 4.0]), max_size=3)),
        seed=draw(st.integers(0, 2**64 - 1)),
        n=draw(st.integers(1, n)),
        max_tokens=draw(st.integers(1, max_tokens)),
    )
