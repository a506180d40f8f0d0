"""What a user may call a model."""

from __future__ import annotations

import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_sources import make_entry, pieces
from fake_stores import add_file, add_hub, add_ollama, stores_below
from outrider.errors import OutriderError, UnknownReferenceError
from outrider.io import reference as reference_module
from outrider.io.catalogue import Catalogue, Entry
from outrider.io.reference import EntryReference, HubReference, Library, OllamaReference, parse_reference, resolve

CONTENTS = pieces(2)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    entries = (make_entry(CONTENTS, "tiny-model"), make_entry(CONTENTS, "other-model-instruct"))
    return Library(tmp_path / "home", Catalogue(entries), stores_below(tmp_path))


def store(library: Library, entry: Entry) -> Path:
    return add_file(library.home / "models" / f"{entry.name}.gguf", b"".join(CONTENTS))


def test_paths_win(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    add_file(tmp_path / "owner" / "repo")
    assert resolve("owner/repo", library=library) == Path("owner/repo")
    assert resolve(str(tmp_path / "owner" / "repo"), library=library) == tmp_path / "owner" / "repo"


def test_a_directory_means_its_only_gguf_file(library: Library, tmp_path: Path) -> None:
    only = add_file(tmp_path / "one" / "a.gguf")
    assert resolve(str(tmp_path / "one"), library=library) == only
    add_file(tmp_path / "one" / "b.gguf")
    with pytest.raises(UnknownReferenceError, match=r"2 GGUF files; name one: a\.gguf, b\.gguf"):
        resolve(str(tmp_path / "one"), library=library)


def test_a_directory_of_safetensors_is_itself(library: Library, tmp_path: Path) -> None:
    add_file(tmp_path / "m" / "config.json", b"{}")
    add_file(tmp_path / "m" / "model.safetensors")
    assert resolve(str(tmp_path / "m"), library=library) == tmp_path / "m"


@pytest.mark.parametrize("name", ["tiny-model", "Tiny_Model", " tiny-model "])
def test_catalogue_names_by_any_spelling(library: Library, name: str) -> None:
    path = store(library, library.catalogue.entries[0])
    assert resolve(name, library=library) == path


def test_a_file_of_the_wrong_size_is_not_the_model(library: Library) -> None:
    store(library, library.catalogue.entries[0]).write_bytes(b"half")
    with pytest.raises(UnknownReferenceError, match="'outrider pull tiny-model'"):
        resolve("tiny-model", library=library)


def test_fetch_pulls_what_is_not_here(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_module, "pull_entry", lambda entry, home, progress: home / entry.name)
    assert resolve("tiny-model", fetch=True, library=library) == library.home / "tiny-model"


def test_hub_names_lead_to_the_cache_and_to_lm_studio(library: Library) -> None:
    snapshot = add_hub(library.stores, "o/gguf", {"m-q4_k_m.gguf": b"1", "m-q8_0.gguf": b"2"})
    plain = add_hub(library.stores, "o/plain", {"config.json": b"{}", "model.safetensors": b"1"})
    studio = add_file(library.stores.lm_studio[0] / "o" / "studio" / "m-Q6_K.gguf")
    assert resolve("o/gguf", library=library) == snapshot / "m-q4_k_m.gguf"
    assert resolve("o/gguf:Q8_0", library=library) == snapshot / "m-q8_0.gguf"
    assert resolve("o/plain", library=library) == plain
    assert resolve("o/studio:q6_k", library=library) == studio
    with pytest.raises(UnknownReferenceError, match="'outrider pull o/gguf:Q2_K'"):
        resolve("o/gguf:Q2_K", library=library)


def test_the_hub_file_of_a_catalogue_model_is_that_model(library: Library) -> None:
    for text in ("fake/Tiny-GGUF", "fake/tiny-gguf:Q4_K_M"):
        parsed = parse_reference(text, library.catalogue)
        assert isinstance(parsed, EntryReference)
        assert parsed.entry.name == "tiny-model"
    assert parse_reference("fake/Tiny-GGUF:Q8_0", library.catalogue) == HubReference("fake/Tiny-GGUF", "Q8_0")


def test_ollama_models_are_read_in_place(library: Library) -> None:
    blob = add_ollama(library.stores, "registry.ollama.ai/library/qwen", "latest", b"1")
    assert resolve("ollama:qwen", library=library) == blob
    assert resolve("ollama:library/qwen:latest", library=library) == blob
    assert parse_reference("ollama:a/b:c", library.catalogue) == OllamaReference("a/b", "c")
    with pytest.raises(UnknownReferenceError, match="'ollama pull qwen:7b'"):
        resolve("ollama:qwen:7b", library=library)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tiny-modle", "did you mean 'tiny-model'"),
        ("other", "did you mean 'other-model-instruct'"),
        ("", "unknown model ''"),
        ("./no.gguf", "no file or directory at"),
        ("C:\\no\\model.gguf", "no file or directory at"),
        ("ollama:", "unknown model 'ollama:'"),
        ("~nobody-of-this-name/x", "no file or directory at"),
        ("x" * 5000, "unknown model 'xxx"),
        ("zero\0byte", "unknown model 'zero"),
        ("a/b/c", "unknown model 'a/b/c'"),
    ],
)
def test_what_leads_nowhere_says_what_to_do(library: Library, text: str, complaint: str) -> None:
    with pytest.raises(UnknownReferenceError) as caught:
        resolve(text, library=library)
    assert complaint in str(caught.value)
    assert "outrider models" in str(caught.value) or "a catalogue name" in str(caught.value)


@example("ollama:a\0b")
@given(st.text(alphabet=string.printable + "\0" + "äß\u2581\U0001f600", max_size=30))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    library = Library(Path("/nowhere"), Catalogue(), stores_below(Path("/nowhere")))
    with contextlib.suppress(OutriderError):
        resolve(text, library=library)
