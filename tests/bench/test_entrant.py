"""What a benchmark runs, read from a word."""

from __future__ import annotations

import pytest

from outrider.bench.entrant import Entrant, entrant
from outrider.errors import ConfigError


@pytest.mark.parametrize(("text", "wanted"), [
    ("auto", Entrant("auto", "")), ("auto@fixed:8", Entrant("auto", "fixed:8")),
    ("suffix:max=8;floor=0.1 @ adaptive", Entrant("suffix:max=8;floor=0.1", "adaptive")),
    ("auto+model:target=x@adaptive", Entrant("auto+model:target=x", "adaptive")),
])
def test_a_drafter_and_its_policy(text: str, wanted: Entrant) -> None:
    assert entrant(text) == wanted


def test_the_policy_of_all_is_for_those_that_name_none() -> None:
    assert entrant("suffix", "fixed:4").policy == "fixed:4"
    assert entrant("suffix@adaptive", "fixed:4").policy == "adaptive"


@pytest.mark.parametrize(("text", "message"), [
    ("auto@", "expected DRAFTER@POLICY"), ("@fixed:8", "expected DRAFTER@POLICY"), ("auto@fixed", "fixed:K"),
    ("auto@fixd:8", "got 'fixd:8'"), ("auto@fixed:-1", "fixed:K"), ("atuo@fixed:8", "did you mean 'auto'"),
    ("auto@fixed:8@fixed:9", "unknown drafter 'auto@fixed'"),
])
def test_mistakes_are_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        entrant(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)
