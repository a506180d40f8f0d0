"""What a benchmark runs: a drafter, and the policy that says how much of it is used.

    auto                 the drafter `auto` under the policy of the whole benchmark
    auto@fixed:8         under a policy of its own
    suffix:max=8@adaptive
"""

from __future__ import annotations

from dataclasses import dataclass

from outrider.drafting.syntax import spec_of
from outrider.errors import ConfigError
from outrider.policy.choose import fixed_nodes


@dataclass(frozen=True, slots=True)
class Entrant:
    """`drafter` is the drafter syntax; the policy "" is the engine's own choice."""

    drafter: str
    policy: str


def entrant(text: str, policy: str = "") -> Entrant:
    """Reads `DRAFTER` or `DRAFTER@POLICY`; `policy` holds where none is named. Raises: ConfigError."""
    drafter, at, own = text.rpartition("@")
    if not at:
        drafter, own = text, policy
    elif not drafter.strip() or not own.strip():
        raise ConfigError(f"'{text}': expected DRAFTER@POLICY, such as auto@fixed:8 or suffix@adaptive")
    chosen = Entrant(drafter.strip(), own.strip())
    spec_of(chosen.drafter)
    if chosen.policy:
        fixed_nodes(chosen.policy)
    return chosen
