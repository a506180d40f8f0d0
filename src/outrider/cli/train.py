"""`outrider train`: make what a drafter can learn beforehand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from outrider.cli.flags import parse
from outrider.errors import ConfigError, suggestion

SUMMARY = "teach a drafter beforehand"
_KINDS = ("ngram_hash",)
_USAGE = "usage: outrider train ngram_hash --target MODEL DIR --out FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainNgramHash:
    """Learn a directory's text files (.gitignore is respected) into a pool, for the drafter ngram_hash:pool=FILE."""

    directory: tyro.conf.Positional[Path]
    """What to learn: a repository, or any directory with text files."""
    target: str
    """The model whose tokens to learn: path, catalogue name, owner/repo or ollama:NAME:TAG."""
    out: Path
    """The pool file to write."""
    sizes: tuple[int, ...] = ()
    """n of the n-grams; the drafter's own unless given, and then the drafter needs the same."""
    entries: int = 0
    """Size of the pool, a power of two; the drafter's own unless given, and then the drafter needs the same."""
    max_file_kib: int = 1024
    """Files larger than this are passed over."""


def run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(f"{_USAGE}\n\n{SUMMARY}; see 'outrider train ngram_hash --help'")
        return 0
    kind = argv[0].replace("-", "_")
    if kind not in _KINDS:
        raise ConfigError(f"no training for '{argv[0]}'{suggestion(kind, _KINDS)}; known: {', '.join(_KINDS)}")
    _ngram_hash(parse(TrainNgramHash, argv[1:], "outrider train ngram_hash"))
    return 0


def _ngram_hash(options: TrainNgramHash) -> None:
    from outrider.drafters.ngram_hash import NgramHashDrafter
    from outrider.io.model_tokenizer import open_tokenizer
    from outrider.io.reference import resolve
    from outrider.train.ngram_hash import train

    usual = NgramHashDrafter.Config()
    config = NgramHashDrafter.Config(sizes=options.sizes or usual.sizes, entries=options.entries or usual.entries)
    tokenizer = open_tokenizer(resolve(options.target, fetch=True))
    start_s = time.perf_counter()
    learnt = train(tokenizer, options.directory, options.out, config=config,
                   max_file_bytes=options.max_file_kib * 1024)
    seconds = time.perf_counter() - start_s
    print(f"learnt {learnt.tokens:,} tokens of {learnt.files:,} files in {seconds:.1f} s, pool {learnt.fill:.0%} full")
    for reason, count in sorted(learnt.skipped.items()):
        print(f"passed over {count:,} files: {reason}")
    print(f"wrote {options.out} ({learnt.file_bytes / 2**20:.1f} MiB); use it as --drafter {_use(options)}")


def _use(options: TrainNgramHash) -> str:
    settings = [f"pool={options.out}"]
    if options.sizes:
        settings.append(f"sizes={'/'.join(map(str, options.sizes))}")
    if options.entries:
        settings.append(f"entries={options.entries}")
    return f"'ngram_hash:{';'.join(settings)}'"
