"""Other programs' models, found where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_stores import add_file, add_hub, add_ollama, stores_below
from outrider.io.local_stores import Stores, find_hub_snapshot, find_ollama, found_models, has_safetensors


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return stores_below(tmp_path)


def test_an_empty_machine_has_nothing(stores: Stores) -> None:
    assert found_models(stores) == []


def test_every_store_is_listed_by_what_to_type(stores: Stores) -> None:
    add_ollama(stores, "registry.ollama.ai/library/qwen", "0.5b", b"12345")
    add_ollama(stores, "registry.ollama.ai/someone/llama", "latest", b"123", "sha256:" + "d" * 64)
    add_ollama(stores, "hf.co/owner/repo", "Q4_0", b"1", "sha256:" + "e" * 64)
    studio = add_file(stores.lm_studio[0] / "owner" / "repo" / "m-Q4_0.gguf")
    add_file(stores.lm_studio[0] / "owner" / "repo" / "mmproj-m-f16.gguf")
    server = add_file(stores.llama_cpp / "owner_repo_m-Q8_0.gguf")
    add_hub(stores, "owner/gguf", {"m-q4_k_m.gguf": b"1234", "part-q8_0-00002-of-00002.gguf": b"1"})
    add_hub(stores, "owner/plain", {"config.json": b"{}", "model.safetensors": b"123456"})
    assert [(model.store, model.reference, model.num_bytes) for model in found_models(stores)] == [
        ("Ollama", "ollama:hf.co/owner/repo:Q4_0", 1),
        ("Ollama", "ollama:qwen:0.5b", 5),
        ("Ollama", "ollama:someone/llama:latest", 3),
        ("LM Studio", str(studio), 4),
        ("llama.cpp", str(server), 4),
        ("Hugging Face", "owner/gguf:Q4_K_M", 4),
        ("Hugging Face", "owner/plain", 6),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layers": 3}', '{"layers": [{"mediaType": "x"}]}', "\xff"])
def test_an_odd_ollama_manifest_counts_as_absent(stores: Stores, text: str) -> None:
    add_file(stores.ollama / "manifests/registry.ollama.ai/library/odd/latest", text.encode("latin-1"))
    assert found_models(stores) == []
    assert find_ollama(stores.ollama, "odd", "latest") is None


def test_a_manifest_cannot_point_outside_its_store(stores: Stores, tmp_path: Path) -> None:
    add_file(tmp_path / "secret", b"x")
    add_ollama(stores, "registry.ollama.ai/library/evil", "latest", b"x")
    manifest = stores.ollama / "manifests/registry.ollama.ai/library/evil/latest"
    manifest.write_text(manifest.read_text().replace("sha256:" + "a" * 64, "../../../secret"))
    assert find_ollama(stores.ollama, "evil", "latest") is None


@pytest.mark.parametrize(
    ("name", "tag"), [("../x", "latest"), ("x", ".."), ("", "latest"), ("a//b", "t"), ("a\\b", "t")]
)
def test_a_name_cannot_leave_the_store(stores: Stores, name: str, tag: str) -> None:
    assert find_ollama(stores.ollama, name, tag) is None


def test_main_decides_between_snapshots(stores: Stores) -> None:
    older = add_hub(stores, "o/r", {"a.gguf": b"1"}, commit="1" * 40)
    add_hub(stores, "o/r", {"a.gguf": b"2"}, commit="2" * 40, main=False)
    assert find_hub_snapshot(stores.hub, "o/r") == older


def test_a_snapshot_without_all_its_shards_is_not_a_model(stores: Stores) -> None:
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}).encode()
    files = {"config.json": b"{}", "one.safetensors": b"1", "model.safetensors.index.json": index}
    snapshot = add_hub(stores, "o/r", files)
    assert not has_safetensors(snapshot)
    assert found_models(stores) == []
    (snapshot / "two.safetensors").write_bytes(b"2")
    assert has_safetensors(snapshot)


def test_broken_links_do_not_count(stores: Stores) -> None:
    snapshot = add_hub(stores, "o/r", {"m-q4_0.gguf": b"1"})
    (snapshot / "m-q4_0.gguf").resolve().unlink()
    assert found_models(stores) == []


def test_environment_variables_move_the_stores(tmp_path: Path) -> None:
    environment = {
        "OLLAMA_MODELS": str(tmp_path / "o"), "HF_HOME": str(tmp_path / "h"), "LLAMA_CACHE": str(tmp_path / "l"),
    }  # fmt: skip
    stores = Stores.of_user(environment, tmp_path)
    assert (stores.ollama, stores.hub, stores.llama_cpp) == (tmp_path / "o", tmp_path / "h" / "hub", tmp_path / "l")
    assert Stores.of_user({"HF_HUB_CACHE": "/x", "HF_HOME": "/y"}, tmp_path).hub == Path("/x")
