"""What a format's reader makes of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outrider.core.draft_spec import DraftSpec


@dataclass(frozen=True, slots=True)
class Reading:
    """The facts, and the file's name for each canonical one."""

    spec: DraftSpec
    files: Mapping[str, str]
