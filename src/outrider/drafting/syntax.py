"""The one way to name drafters: `NAME[:key=value;key=value]`, joined by `+` into a mixture.

    suffix
    ngram_hash:max=32;pool=repo.pool
    auto+model:target=qwen2.5-coder-0.5b-instruct

`auto` stands for the drafters of `drafting.auto`; one of them that is also named takes the place of its own. Hyphen and
underscore are equal in names and keys. Values take the type of the drafter's Config field. A comma separates runs of a
benchmark and is split before any of this.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from outrider.drafting import registry
from outrider.drafting.auto import AUTO, AUTO_MEMBERS
from outrider.drafting.interface import Drafter, NoOptions, TargetView
from outrider.errors import ConfigError, suggestion


@dataclass(frozen=True, slots=True)
class DrafterSpec:
    """A drafter class with its config: everything but the target it will serve."""

    name: str
    drafter: type[Drafter[Any]]
    config: Any

    def build(self, target: TargetView) -> Drafter[Any]:
        return self.drafter(self.config, target)


def drafter_of(wanted: object, target: TargetView) -> Drafter[Any]:
    """A drafter for `target` from whatever a user may give: the syntax, a Config, a Drafter, or a list of these."""
    if isinstance(wanted, Drafter):
        if not hasattr(wanted, "target"):
            wanted.bind(target)
        if wanted.target is not target:
            raise ConfigError(f"this {type(wanted).__name__} serves another model already: make one for each model")
        return wanted
    return spec_of(wanted).build(target)


def spec_of(wanted: object) -> DrafterSpec:
    """The same, short of building it; a list is a mixture. Raises: ConfigError."""
    if isinstance(wanted, DrafterSpec):
        return wanted
    if isinstance(wanted, str):
        return parse(wanted)
    if isinstance(wanted, list | tuple):
        members = [member if isinstance(member, Drafter) else spec_of(member) for member in wanted]
        only = members[0] if len(members) == 1 else None
        return only if isinstance(only, DrafterSpec) else mixture(members)
    if isinstance(wanted, type) and issubclass(wanted, Drafter):
        return DrafterSpec(wanted.__name__, wanted, _config(wanted.__name__, wanted.Config, {}))
    return of_config(wanted)


def parse(text: str) -> DrafterSpec:
    """Reads one drafter or a `+` mixture. Raises: ConfigError, naming the word that is wrong."""
    parts = [part.strip() for part in text.split("+")]
    if not all(parts):
        raise ConfigError(f"drafter '{text}': expected NAME[:key=value;...], joined by +")
    specs = [_parse_one(part) for part in parts]
    return specs[0] if len(specs) == 1 else mixture(specs)


def of_config(config: object) -> DrafterSpec:
    """The drafter whose `Config` this is."""
    for name in registry.names():
        found = registry.find(name)
        if isinstance(config, found.Config) and not isinstance(config, NoOptions):
            return DrafterSpec(name, found, config)
    raise ConfigError(f"no drafter takes a config of type {type(config).__name__}")


def mixture(members: Sequence[DrafterSpec | Drafter[Any]]) -> DrafterSpec:
    """Several drafters at once, through the drafter `mix`; `auto` among them gives its members."""
    mix = registry.find("mix")
    name = "+".join(type(member).__name__ if isinstance(member, Drafter) else member.name for member in members)
    return DrafterSpec(name, mix, mix.Config(members=_flat(members)))


def split_runs(text: str) -> list[str]:
    """The comma-separated drafters of a benchmark."""
    runs = [run.strip() for run in text.split(",")]
    if not all(runs):
        raise ConfigError(f"drafters '{text}': expected names separated by commas")
    return runs


def _flat(members: Sequence[DrafterSpec | Drafter[Any]]) -> tuple[DrafterSpec | Drafter[Any], ...]:
    """The members with those of `auto` in its place, without any that is named besides."""
    named = {member.name for member in members if isinstance(member, DrafterSpec)}
    flat: list[DrafterSpec | Drafter[Any]] = []
    for member in members:
        if isinstance(member, DrafterSpec) and member.name == AUTO and member.drafter is registry.find("mix"):
            own = [one for one in member.config.members if one.name not in named]
            named |= {one.name for one in own}
            flat += own
        else:
            flat.append(member)
    return tuple(flat)


def _auto() -> DrafterSpec:
    return replace(parse(AUTO_MEMBERS), name=AUTO)


def _parse_one(text: str) -> DrafterSpec:
    name, _, options = text.partition(":")
    if name.strip() == AUTO:
        if options:
            raise ConfigError(f"drafter '{text}': '{AUTO}' has no options; name a drafter beside it to set it, such as "
                              f"{AUTO}+suffix:max=16")
        return _auto()
    found = registry.find(name)
    pairs = [pair for pair in options.split(";") if pair.strip()]
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"drafter '{text}': expected key=value, got '{pair}'")
        key = key.strip().replace("-", "_")
        if key in values:
            raise ConfigError(f"drafter '{text}': option '{key}' is given twice")
        values[key] = value.strip()
    label = Path(name).stem if name.endswith(".py") else name.replace("-", "_")
    return DrafterSpec(label, found, _config(label, found.Config, values))


def _config(name: str, config: type[Any], values: dict[str, str]) -> Any:
    hints = typing.get_type_hints(config)
    known = [field.name for field in fields(config)]
    for key in values:
        if key not in known:
            raise ConfigError(f"drafter '{name}' has no option '{key}'{suggestion(key, known)}; "
                              f"its options: {', '.join(known) or 'none'}")
    required = [field.name for field in fields(config)
                if field.default is MISSING and field.default_factory is MISSING and field.name not in values]
    if required:
        raise ConfigError(f"drafter '{name}' needs {', '.join(f'{key}=...' for key in required)}")
    return config(**{key: _value(name, key, hints[key], text) for key, text in values.items()})


def _value(name: str, key: str, hint: Any, text: str) -> object:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kind = next(kind for kind in kinds if kind is not type(None))
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(typing.get_args(kind)[0](part) for part in text.split("/"))
        return kind(text)
    except (KeyError, ValueError, TypeError):
        shown = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"drafter '{name}': option {key} takes {shown}, got '{text}'") from None
