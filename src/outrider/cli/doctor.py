"""`outrider doctor`: what a bug report needs to know about this machine and installation."""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import outrider
from outrider.bench.bandwidth import read_bandwidth
from outrider.cli.flags import parse
from outrider.cli.machine import Processor, read_gpus, read_processor
from outrider.io.cache_home import models_directory
from outrider.io.disk import size_of
from outrider.io.local_stores import found_models
from outrider.io.progress import readable_size
from outrider.io.reference import Library

SUMMARY = "describe this machine and installation, for a bug report"
PACKAGES = ("numpy", "safetensors", "gguf", "tokenizers", "jinja2", "huggingface_hub", "tyro", "rich")


@dataclass(frozen=True, slots=True)
class Doctor:
    """Describe this machine and installation: what a bug report needs. Takes about a second."""

    json: bool = False
    """Print one JSON document instead of lines."""


@dataclass(frozen=True, slots=True)
class Store:
    """A place with models in it; only stores that have any are listed."""

    name: str
    num_models: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    version: str
    python: str
    system: str
    processor: Processor
    read_gb_per_s: float | None
    torch: str
    gpus: tuple[str, ...]
    packages: dict[str, str]
    extras: dict[str, bool]
    home: str
    stores: tuple[Store, ...]


def run(argv: list[str]) -> int:
    options = parse(Doctor, argv, "outrider doctor")
    findings = examine()
    print(json.dumps(asdict(findings)) if options.json else "\n".join(_lines(findings)))
    return 0


def examine() -> Findings:
    """Look at everything; nothing is changed and torch is not imported."""
    processor = read_processor()
    library = Library.of_user()
    return Findings(
        version=outrider.__version__,
        python=f"{platform.python_version()} ({sys.executable})",
        system=platform.platform(),
        processor=processor,
        read_gb_per_s=read_bandwidth(processor.num_usable),
        torch=_torch_build(),
        gpus=tuple(read_gpus()),
        packages={name: _version(name) or "missing" for name in PACKAGES},
        extras=_extras(),
        home=str(library.home),
        stores=_stores(library),
    )


def _torch_build() -> str:
    """Version and accelerator of the installed torch, read from its files."""
    version = _version("torch")
    spec = importlib.util.find_spec("torch")
    if version is None or spec is None or spec.origin is None:
        return "missing; see the install section of the README"
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^(cuda|hip)[^=\n]*=\s*'([^']+)'", text, re.MULTILINE)
    return f"{version}, {found[1]} {found[2]}" if found else f"{version}, CPU only"


def _extras() -> dict[str, bool]:
    """Which optional parts are installed: an extra is, if every package that it asks for is."""
    try:
        requirements = metadata.requires("outrider") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, bool] = {}
    for requirement in requirements:
        match = re.match(r"([\w.-]+).*;.*\bextra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if match:
            found[match[2]] = found.get(match[2], True) and _version(match[1]) is not None
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _stores(library: Library) -> tuple[Store, ...]:
    ours = models_directory(library.home)
    stores = {"Outrider": Store("Outrider", len(list(ours.glob("*.gguf"))), size_of(ours))}
    for model in found_models(library.stores):
        before = stores.get(model.store, Store(model.store, 0, 0))
        stores[model.store] = Store(model.store, before.num_models + 1, before.num_bytes + model.num_bytes)
    unfinished = size_of(library.home / ".partial")
    if unfinished:
        stores["unfinished"] = Store("unfinished pulls", 0, unfinished)
    return tuple(stores.values())


def _lines(findings: Findings) -> list[str]:
    cpu = findings.processor
    limit = f", limited to {cpu.cgroup_limit:g} by its control group" if cpu.cgroup_limit else ""
    bandwidth = f"{findings.read_gb_per_s:.1f} GB/s" if findings.read_gb_per_s else "not measured: too little memory"
    extras = [f"{name} {'installed' if there else 'not installed'}" for name, there in findings.extras.items()]
    stores = [f"{store.name} {store.num_models} ({readable_size(store.num_bytes)})" for store in findings.stores]
    rows = {
        "outrider": findings.version,
        "python": findings.python,
        "system": findings.system,
        "processor": cpu.model,
        "instructions": cpu.instructions,
        "threads": f"{cpu.num_usable} usable of {cpu.num_cpus}{limit}",
        "memory reads": bandwidth,
        "torch": findings.torch,
        "gpu": "; ".join(findings.gpus) or "none",
        "packages": ", ".join(f"{name} {version}" for name, version in findings.packages.items()),
        "extras": ", ".join(extras) or "unknown: outrider is not installed as a package",
        "cache": findings.home,
        "models": ", ".join(stores),
    }
    return [f"{label:<14}{value}" for label, value in rows.items()]
