"""Looking into JSON that somebody else wrote: whatever is not as expected reads as absent."""

from __future__ import annotations

import json


def parsed(text: bytes) -> object:
    """None where it is no JSON."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def at(value: object, *path: str | int) -> object:
    """What is found by following names and indices; None where there is nothing."""
    for step in path:
        if isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        elif isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def count_at(value: object, *path: str | int) -> int | None:
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def text_at(value: object, *path: str | int) -> str:
    found = at(value, *path)
    return found if isinstance(found, str) else ""
