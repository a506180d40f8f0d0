"""A drafter's directory in the place of a model: which target it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outrider.errors import ConfigError, OutriderError
from outrider.io.drafters.catalogue import load_drafters
from outrider.io.drafters.deepspec import is_deepspec
from outrider.io.drafters.specblock import is_specblock
from outrider.io.drafters.speculators import TYPE, is_speculators, verifier_of
from outrider.io.drafters.zlab import is_zlab
from outrider.io.fields import Fields
from outrider.io.reference import Library, locate, parse_reference
from outrider.io.safetensors_dir import read_json


@dataclass(frozen=True, slots=True)
class DrafterPlace:
    """`drafter` is the name of what runs it, `verifier` the reference of its target."""

    path: Path
    drafter: str
    verifier: str


def find_drafter(reference: str, library: Library | None = None) -> DrafterPlace | None:
    """The drafter that `reference` means; None where it means a model, or nothing that is here.

    Raises: ConfigError where it is a drafter that names no target, and is not known as published for one.
    """
    try:
        library = library or Library.of_user()
        path = locate(parse_reference(reference, library.catalogue), library)
        config = read_json(path / "config.json") if path is not None and path.is_dir() else None
    except OutriderError:
        return None  # whoever loads it as a model says what is wrong
    drafter = _drafter_of(config) if config is not None else ""
    if path is None or config is None or not drafter:
        return None
    published = load_drafters().at(path)
    verifier = verifier_of(config) or (published.target if published else "")
    if not verifier:
        use = f"--drafter {drafter}:checkpoint={reference}"
        raise ConfigError(f"'{reference}' is a drafter and names no target: give the target as the model, and {use}")
    return DrafterPlace(path, drafter, verifier)


def _drafter_of(config: Fields) -> str:
    if is_speculators(config):
        return "eagle3" if config.text(TYPE) == "eagle3" else "dflash"
    if is_specblock(config):
        return "specblock"
    if is_zlab(config) or is_deepspec(config):
        return "dflash"
    return "eagle3" if any("eagle3" in name.lower() for name in config.texts("architectures")) else ""
