"""`outrider bench ACTION …`: find the measurement and run it."""

from __future__ import annotations

import importlib
from types import ModuleType

from outrider.errors import ConfigError, suggestion

SUMMARY = "measure: drafters, the cost of verifying, quality, other engines, policies, servers"
# Action and module; one called `run` would take the place of the function below.
_HOMES = {"run": "drafters", "cost": "cost", "quality": "quality", "peers": "peers", "record": "record",
          "simulate": "simulate", "serve": "serve"}


def run(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print(help_text())
        return 0
    if not argv or argv[0] not in _HOMES:
        given = f"unknown action '{argv[0]}'{suggestion(argv[0], _HOMES)}" if argv else "no action given"
        raise ConfigError(f"{given}; expected 'outrider bench run MODEL', see 'outrider bench --help'")
    code: int = _load(argv[0]).run(argv[1:])
    return code


def help_text() -> str:
    """What `outrider bench --help` prints."""
    rows = [f"  {action:<10}{_load(action).SUMMARY}" for action in _HOMES]
    return "\n".join(["usage: outrider bench ACTION MODEL [options]", "", *rows, "",
                      "  outrider bench ACTION --help   options of an action"])


def _load(action: str) -> ModuleType:
    return importlib.import_module(f"outrider.cli.bench.{_HOMES[action]}")
