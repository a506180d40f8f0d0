"""A model and its drafter from what a user names: a drafter's directory stands for its target, with it as drafter."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from outrider.drafting import registry
from outrider.drafting.syntax import DrafterSpec
from outrider.io.drafters.pair import find_drafter

_log = logging.getLogger(__name__)

DEFAULT_DRAFTER = "suffix"


@dataclass(frozen=True, slots=True)
class Pair:
    """`model` is a reference, `drafter` anything that `drafter_of` takes."""

    model: str
    drafter: object


def paired(model: str, drafter: object) -> Pair:
    """The same two, unless `model` is a drafter; it then drafts, if no other was chosen.

    Raises: ConfigError where its target is not known.
    """
    found = find_drafter(model)
    if found is None:
        return Pair(model, drafter)
    _log.warning("%s is a drafter for %s, which is loaded as the model", model, found.verifier)
    if drafter != DEFAULT_DRAFTER:
        return Pair(found.verifier, drafter)
    kind = registry.find(found.drafter)
    return Pair(found.verifier, DrafterSpec(found.drafter, kind, kind.Config(checkpoint=str(found.path))))
