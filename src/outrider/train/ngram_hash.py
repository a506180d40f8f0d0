"""Teaching the drafter `ngram_hash` a repository: one pass over its files, into a pool file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outrider.drafters.ngram_hash import NgramHashDrafter
from outrider.drafting.ngram_pool import NgramPool
from outrider.errors import ConfigError
from outrider.io.tokenizer import Tokenizer
from outrider.train.repository import Survey, texts

MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a training run did. `fill` is the share of the pool's entries in use."""

    files: int
    tokens: int
    fill: float
    file_bytes: int
    skipped: dict[str, int]


def train(tokenizer: Tokenizer, directory: Path, out: Path, *, config: NgramHashDrafter.Config | None = None,
          max_file_bytes: int = MAX_FILE_BYTES) -> Learnt:
    """Learns every text file of `directory` that .gitignore leaves and writes the pool to `out`.

    Raises: ConfigError where there is no text; CheckpointError where `out` cannot be written.
    """
    config = config or NgramHashDrafter.Config()
    pool = NgramPool(tokenizer.vocab_size, config.entries, config.sizes, tokenizer.fingerprint())
    survey, num_tokens = Survey(), 0
    for text in texts(directory, max_file_bytes, survey):
        tokens = tokenizer.encode(text, special=False)
        pool.learn(tokens)
        num_tokens += len(tokens)
    if not num_tokens:
        raise ConfigError(f"'{directory}' has no text files to learn{_reasons(survey)}")
    pool.save(out)
    return Learnt(survey.num_files, num_tokens, pool.num_used / pool.entries, out.stat().st_size, survey.skipped)


def _reasons(survey: Survey) -> str:
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(survey.skipped.items()))
    return f" (skipped: {listed})" if listed else ""
