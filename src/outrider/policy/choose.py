"""A policy from its name: `adaptive`, or `fixed:K`, which drafts up to K nodes in every round."""

from __future__ import annotations

from typing import Any

from outrider.drafting.interface import Drafter
from outrider.errors import ConfigError
from outrider.policy.adaptive import Adaptive
from outrider.policy.fixed import Fixed
from outrider.policy.interface import Policy
from outrider.policy.price_file import price_of
from outrider.target.interface import Target

ADAPTIVE = "adaptive"


def fixed_nodes(name: str) -> int | None:
    """How many nodes a fixed policy drafts; None for the adaptive one. Raises: ConfigError for any other name."""
    kind, colon, size = name.partition(":")
    if name == ADAPTIVE:
        return None
    if kind != "fixed" or not colon or not size.isdecimal():
        raise ConfigError(f"draft policy: got '{name}', expected {ADAPTIVE} or fixed:K with a number of nodes K")
    return int(size)


def policy_of(name: str, drafter: Drafter[Any], target: Target) -> Policy:
    """The policy of that name. The adaptive one needs the price of a pass, which may have to be measured first."""
    nodes = fixed_nodes(name)
    if nodes is not None:
        return Fixed(drafter, nodes)
    if not drafter.drafts:
        return Fixed(drafter, 0)
    return Adaptive(drafter, price_of(target), chains=not target.info.trees)
