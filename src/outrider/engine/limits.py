"""From what a request says of speculation to what the policy may do for it."""

from __future__ import annotations

from typing import Any

from outrider.core.request import Speculation
from outrider.drafting.auto import AUTO
from outrider.drafting.interface import Drafter
from outrider.errors import RequestError, suggestion
from outrider.policy.interface import Limits

_ALL = -1


def limits_of(speculation: Speculation, drafter: Drafter[Any], draws: bool = False) -> Limits:
    """The members that may be asked, and for how much. Raises: RequestError for a name that is none of them."""
    members = _members(speculation.drafter, drafter) if speculation.enabled else 0
    most = Limits().max_draft if speculation.max_draft < 0 else speculation.max_draft
    return Limits(members, most, draws)


def member_names(drafter: Drafter[Any]) -> list[str]:
    """What requests call the members, in order."""
    return ["+".join(member.sources) for member in drafter.members]


def _members(wanted: str, drafter: Drafter[Any]) -> int:
    """A bit set; all of them for `auto` and for no name, none of them for `none`."""
    if wanted.strip() in ("", AUTO):
        return _ALL
    names = member_names(drafter)
    if wanted.strip() == "none":
        return 0
    found = 0
    for word in wanted.split("+"):
        name = word.strip().replace("-", "_")
        if name not in names:
            raise RequestError(f"speculation: unknown drafter '{word.strip()}'{suggestion(name, names)}; "
                               f"this engine has: {', '.join(names)}")
        found |= sum(1 << index for index, member in enumerate(names) if member == name)
    return found
