"""Prices on disk: what was measured for a model on a machine is good for the next time.

    HOME/prices/KEY.json      KEY: hash of whatever the price depends on, written into the file as well

A price that turns out to be far too high was measured on a busy machine: its file is removed, so that the next process
measures anew. A price must not stop decoding: a file that cannot be read, or is not what it should be, is measured
again, and a folder that cannot be written to stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from outrider.io.cache_home import cache_home
from outrider.policy.pass_price import Curve, PassPrice
from outrider.policy.price_probe import measured, probe_context
from outrider.target.interface import Target

_VERSION = 2  # of the file, and of the kernels as far as they change what a pass costs
_MOST_BYTES = 1 << 16
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class PriceFile:
    """Where the price of a target on this machine lies, and of what it is the price."""

    path: Path
    facts: Mapping[str, str]

    @classmethod
    def of(cls, target: Target, home: Path) -> PriceFile:
        """The file of a target in a cache directory."""
        facts = _facts(target)
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
        return cls(home / "prices" / f"{key}.json", facts)

    def read(self) -> Curve | None:
        """The price, if there is a sound one."""
        try:
            with self.path.open("rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
            return _curve(found["curve"]) if found["facts"] == self.facts else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def write(self, curve: Curve) -> None:
        """In one step, so that no other process reads half of it."""
        text = json.dumps({"facts": dict(self.facts), "curve": {
            "rows_n": curve.rows_n, "base_n": curve.base_n,
            "context_rows_n": curve.context_rows_n, "slope_n": curve.slope_n}}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        except OSError:
            return
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            os.replace(name, self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """So that the price is measured again, by the next process."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def price_of(target: Target, home: Path | None = None) -> PassPrice:
    """The price of a target's pass on this machine: the one in the cache directory, or measured and put there."""
    file = PriceFile.of(target, home or cache_home())
    curve = file.read()
    if curve is None:
        curve = measured(target)
        file.write(curve)
    return PassPrice(curve, file.remove)


def _curve(found: Any) -> Curve:
    """Raises: ValueError, KeyError, TypeError, OverflowError for what is no curve."""
    rows, context_rows = ([_number(row, int) for row in found[name]] for name in ("rows_n", "context_rows_n"))
    base, slopes = ([float(_number(value, int, float)) for value in found[name]] for name in ("base_n", "slope_n"))
    return Curve(tuple(rows), tuple(base), tuple(context_rows), tuple(slopes))


def _number(value: Any, *kinds: type) -> Any:
    """Raises: TypeError for anything else; a truth value is no number."""
    if type(value) not in kinds:
        raise TypeError(f"{value!r} is not a number")
    return value


def _facts(target: Target) -> dict[str, str]:
    facts = {
        "file": _VERSION, "target": type(target).__name__, "vocabulary": target.fingerprint,
        "weight_bytes": target.weight_bytes, "num_layers": target.num_layers, "hidden_size": target.hidden_size,
        "vocab_size": target.vocab_size, "device": _device(target.device), "threads": target.threads,
        "probe_context": probe_context(target), "machine": f"{platform.machine()} {_processor()}",
    }
    return {name: str(fact) for name, fact in facts.items()}


def _device(device: torch.device) -> str:
    return f"{device.type} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def _processor() -> str:
    """Its model, as far as the system tells without being asked much."""
    try:
        text = _CPU_INFO.read_text(errors="replace")
    except OSError:
        return platform.processor()
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor()
