"""A model and its drafter from what a user names: a drafter's directory stands for its target, with it as drafter."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from outrider.core.rule import RuleName
from outrider.drafting import registry
from outrider.drafting.auto import AUTO
from outrider.drafting.syntax import DrafterSpec, mixture, parse
from outrider.io.drafters.pair import find_drafter

_log = logging.getLogger(__name__)

DEFAULT_DRAFTER = AUTO


@dataclass(frozen=True, slots=True)
class Pair:
    """`model` is a reference, `drafter` anything that `drafter_of` takes."""

    model: str
    drafter: object


def paired(model: str, drafter: object, rule: RuleName = "match") -> Pair:
    """The same two, unless `model` is a drafter; it then drafts, if no other was chosen, together with `auto`.

    Under the rules that need drafts to be drawn it drafts alone: the others draw nothing.

    Raises: ConfigError where its target is not known.
    """
    found = find_drafter(model)
    if found is None:
        return Pair(model, drafter)
    _log.warning("%s is a drafter for %s, which is loaded as the model", model, found.verifier)
    if drafter != DEFAULT_DRAFTER:
        return Pair(found.verifier, drafter)
    kind = registry.find(found.drafter)
    own = DrafterSpec(found.drafter, kind, kind.Config(checkpoint=str(found.path)))
    return Pair(found.verifier, mixture([parse(AUTO), own]) if rule == "match" else own)
