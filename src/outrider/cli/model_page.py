"""A model's page in `outrider models show`: as lines and as a document."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict

from outrider.io.model_facts import ModelFacts
from outrider.io.progress import readable_size
from outrider.io.reference import Library

# They look tokens up in what was said before: no parameters, so they fit every model.
RETRIEVAL = ("ngram_hash", "prompt_lookup", "suffix", "recycling")


def find_drafters(facts: ModelFacts, library: Library) -> list[str]:
    """Drafters that fit the model, as `--drafter` takes them: retrieval ones, smaller models of its vocabulary."""
    fitting = [name for name in RETRIEVAL if _exists(name)]
    if _exists("model"):
        fitting += [
            f"model:target={entry.name}"
            for entry in library.catalogue.entries
            if entry.vocabulary == facts.vocabulary.fingerprint and entry.num_bytes < facts.num_bytes
        ]
    return fitting


def facts_lines(facts: ModelFacts, drafters: list[str]) -> list[str]:
    """The page for people: a label and a value a line, unknown values left out."""
    vocabulary = facts.vocabulary
    rows = {
        "path": str(facts.path),
        "architecture": facts.architecture,
        "format": f"{facts.format}, {readable_size(facts.num_bytes)}",
        "parameters": f"{facts.num_parameters / 1e6:,.1f} M" if facts.types else "",
        "quantisation": ", ".join(
            f"{share.type} {100 * share.num_bytes / sum(each.num_bytes for each in facts.types):.1f} %"
            for share in facts.types
        ),
        "context": f"{facts.context:,} tokens" if facts.context else "",
        "layers": str(facts.num_layers or ""),
        "hidden size": str(facts.hidden_size or ""),
        "heads": f"{facts.num_heads}, {facts.num_kv_heads} for keys and values" if facts.num_heads else "",
        "vocabulary": f"{facts.vocab_size:,} tokens" if facts.vocab_size else "",
        "chat template": "" if vocabulary.trouble else ("yes" if vocabulary.has_template else "no: a base model"),
        "infill tokens": "" if vocabulary.trouble else (" ".join(vocabulary.infill_tokens) or "none"),
        "tokenizer": f"cannot be read: {vocabulary.trouble}" if vocabulary.trouble else "",
        "drafters": ", ".join(drafters),
    }
    return [f"{label:<15}{value}" for label, value in rows.items() if value]


def facts_document(facts: ModelFacts, drafters: list[str]) -> dict[str, object]:
    """The page for programs."""
    document = asdict(facts)
    document["path"] = str(facts.path)
    document["num_parameters"] = facts.num_parameters
    document["drafters"] = drafters
    return document


def _exists(drafter: str) -> bool:
    """Whether this version has the drafter; looking does not import it, and so does not import torch."""
    return importlib.util.find_spec(f"outrider.drafters.{drafter}") is not None
