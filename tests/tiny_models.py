"""A whole model in one small file: weights of a tiny Llama, a byte-level vocabulary, a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gguf

from outrider.core.spec import ModelSpec
from tiny_checkpoints import SPECS, gguf_metadata, gguf_tensors, random_tensors
from tiny_vocabularies import PREFIX, byte_level

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_model(path: Path, seed: int = 0, head_size: int = 8) -> Path:
    """Random weights, so its text is noise; its greedy text soon repeats, which is what drafters need.

    Kernels take heads of 16; those of 8 are too small for them.
    """
    vocabulary = byte_level()
    tokens, end = vocabulary[PREFIX + "tokens"], vocabulary[PREFIX + "eos_token_id"]
    assert isinstance(tokens, list) and isinstance(end, int)
    spec: ModelSpec = replace(SPECS["llama"], vocab_size=len(tokens), max_positions=512, eos_ids=(end,), bos_id=None,
                              head_size=head_size)
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {**gguf_metadata(spec), **vocabulary, "tokenizer.chat_template": TEMPLATE}.items():
        _add(writer, key, value)
    for name, values in gguf_tensors(spec, random_tensors(spec, seed)).items():
        writer.add_tensor(name, values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, Sequence):
        writer.add_array(key, [item if isinstance(item, str) else int(item) for item in value])
