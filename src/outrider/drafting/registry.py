"""Finding drafters: the files of `outrider.drafters`, the entry point `outrider.drafters`, a `.py` file.

The file name is the registration: `drafters/suffix.py` is the drafter `suffix`. A file defines exactly one public
`Drafter` subclass.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from outrider.drafting.auto import AUTO
from outrider.drafting.interface import Drafter
from outrider.errors import ConfigError, suggestion

GROUP = "outrider.drafters"


def names() -> list[str]:
    """Every drafter that can be named, our own first."""
    return [*_own(), *sorted(point.name for point in _plugins())]


def find(name: str) -> type[Drafter[Any]]:
    """The class of a drafter's name (hyphen and underscore are equal) or of a path to a `.py` file.

    Raises: ConfigError for an unknown name, with the nearest known one.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    wanted = name.replace("-", "_")
    if wanted in _own():
        return drafter_class(importlib.import_module(f"{GROUP}.{wanted}"))
    for point in _plugins():
        if point.name.replace("-", "_") == wanted:
            return _loaded(point)
    known = [AUTO, *names()]
    raise ConfigError(f"unknown drafter '{name}'{suggestion(wanted, known)}; known: {', '.join(known)}")


def drafter_class(module: ModuleType) -> type[Drafter[Any]]:
    """The one public Drafter subclass that `module` defines."""
    found = [value for name, value in vars(module).items()
             if inspect.isclass(value) and issubclass(value, Drafter) and not inspect.isabstract(value)
             and value.__module__ == module.__name__ and not name.startswith("_")]
    if len(found) != 1:
        raise ConfigError(f"{module.__file__}: expected one Drafter class, found {len(found)}")
    return found[0]


def _own() -> list[str]:
    package = importlib.util.find_spec(GROUP)
    assert package is not None and package.submodule_search_locations is not None
    return sorted(module.name for module in pkgutil.iter_modules(package.submodule_search_locations))


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _loaded(point: EntryPoint) -> type[Drafter[Any]]:
    value = point.load()
    if inspect.ismodule(value):
        return drafter_class(value)
    if not (inspect.isclass(value) and issubclass(value, Drafter)):
        raise ConfigError(f"entry point '{point.name}' ({point.value}) is not an outrider Drafter")
    return value


def _from_file(path: Path) -> type[Drafter[Any]]:
    if not path.is_file():
        raise ConfigError(f"no drafter file at '{path}'")
    # Known by a name of its own: dataclasses and type hints look their module up.
    name = f"outrider_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"{path}: cannot be loaded: {type(error).__name__}: {reason}") from error
    return drafter_class(module)
