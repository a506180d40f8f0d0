"""The names of the rules by which drafts can be verified."""

from __future__ import annotations

from typing import Literal, get_args

RuleName = Literal["match", "ratio", "block"]
RULES: tuple[RuleName, ...] = get_args(RuleName)
