"""`Fields`: typed reading of other people's metadata (a config.json, the head of a GGUF file).

Every mistake in such a file becomes a one-line `CheckpointError` that names the file, the key and what was found.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from outrider.errors import CheckpointError

_MAX_FLOAT = sys.float_info.max  # whole numbers in JSON may be longer
MAX_SIZE = 2**31 - 1  # no dimension of a model is larger; more means a damaged or hostile file


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping of unchecked values and the name of where they came from.

    A value of None (JSON null) counts as absent. Raises: CheckpointError from every method.
    """

    where: str
    values: Mapping[str, object]

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def mentions(self, key: str) -> bool:
        """Whether the key is there at all, be it with None."""
        return key in self.values

    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def integer(self, key: str, default: int | None = None, *, low: int = 0, high: int = MAX_SIZE) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number", value)
        if not low <= value <= high:
            raise self._wrong(key, f"a number from {low} to {high}", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MAX_FLOAT:
            raise self._wrong(key, "a finite number", value)
        return float(value)

    def positive(self, key: str, default: float | None = None) -> float:
        value = self.number(key, default)
        if value <= 0:
            raise self._wrong(key, "a number above 0", value)
        return value

    def optional_positive(self, key: str) -> float | None:
        return self.positive(key) if self.has(key) else None

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def section(self, key: str) -> Fields:
        """The mapping under `key`; empty where there is none."""
        value = self.values.get(key)
        if value is None:
            return Fields(f"{self.where}: {key}", {})
        if not isinstance(value, dict):
            raise self._wrong(key, "an object", value)
        return Fields(f"{self.where}: {key}", value)

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of strings under `key`, or one string as a list of one; empty where there is none."""
        value = self.values.get(key)
        found = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise self._wrong(key, "a list of strings", value)
        return tuple(found)

    def integers(self, key: str) -> tuple[int, ...]:
        """The list of integers under `key`, or one integer as a list of one; empty where there is none."""
        value = self.values.get(key)
        found = [] if value is None else [value] if isinstance(value, int) else value
        if not isinstance(found, list) or not all(type(item) is int for item in found):
            raise self._wrong(key, "a list of whole numbers", value)
        return tuple(found)

    def unsupported(self, key: str, value: object, supported: str) -> CheckpointError:
        return CheckpointError(f"{self.where}: {key} = {_brief(value)} is not supported; supported: {supported}")

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise CheckpointError(f"{self.where}: the key '{key}' is missing")
        return value

    def _wrong(self, key: str, expected: str, value: object) -> CheckpointError:
        return CheckpointError(f"{self.where}: '{key}' must be {expected}, not {_brief(value)}")


def _brief(value: object) -> str:
    """The value as at most one short line."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"a {type(value).__name__} of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
