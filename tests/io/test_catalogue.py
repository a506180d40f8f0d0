"""The catalogue agrees with itself and, where the models are here, with their files."""

from __future__ import annotations

import pytest

import real_models
from outrider.io.catalogue import load_catalogue
from outrider.io.model_facts import read_facts


def test_the_catalogue_adds_up() -> None:
    for entry in load_catalogue().entries:
        assert sum(part.num_bytes for part in entry.parts) == entry.num_bytes
        assert all(len(checksum) == 64 for checksum in [entry.sha256, *(part.sha256 for part in entry.parts)])
    assert len({entry.name for entry in load_catalogue().entries}) == 4


@pytest.mark.real_model
@pytest.mark.parametrize("name", load_catalogue().names)
def test_the_catalogue_knows_each_vocabulary(name: str) -> None:
    entry = load_catalogue().find(name)
    assert entry is not None
    facts = read_facts(real_models.path(name))
    assert facts.vocabulary.fingerprint == entry.vocabulary
    assert entry.arch.startswith(f"{facts.architecture}, {facts.num_layers} layers")
    assert facts.vocabulary.has_template == (name != "gemma-3-270m")
    assert bool(facts.vocabulary.infill_tokens) == name.startswith("qwen2.5-coder")
