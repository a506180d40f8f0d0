"""Words of the command line that become data."""

from __future__ import annotations

import pytest

from outrider.cli.options import read_variables
from outrider.errors import ConfigError


def test_template_variables_are_read_as_what_they_look_like() -> None:
    words = ("enable_thinking=false", "tools=true", "budget=12", "name=a=b")
    assert read_variables(words) == {"enable_thinking": False, "tools": True, "budget": 12, "name": "a=b"}


@pytest.mark.parametrize("word", ["enable_thinking", "=1", ""])
def test_a_variable_without_a_name_or_value_is_one_line(word: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        read_variables((word,))
