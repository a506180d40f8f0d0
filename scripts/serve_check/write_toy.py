"""A toy model in a folder, with everything that requests may ask of a model: a chat template with tools, JSON, gaps.

It answers nonsense within milliseconds, so that schemathesis has time for thousands of requests: what it tries is the
code before and behind the model. Usage: write_toy.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import tokenizers

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from tiny_checkpoints import SPECS, random_tensors, safetensors_tensors, write_safetensors

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>",
           "<|file_sep|>", "<tool_call>", "</tool_call>", "<think>", "</think>"]
VOCAB = 288
TEMPLATE = """{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Answer with <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call> to call one.<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"""


def write_tokenizer(folder: Path) -> None:
    """Every byte is a token, and the marks are."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({letter: token for token, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    backend.save(str(folder / "tokenizer.json"))
    said = {"eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def main(folder: Path) -> None:
    spec = replace(SPECS["llama"], vocab_size=VOCAB, hidden_size=64, num_kv_heads=2, head_size=16, max_positions=256)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
              "hidden_size": spec.hidden_size, "intermediate_size": spec.inner_size,
              "num_hidden_layers": spec.num_layers, "num_attention_heads": spec.num_heads,
              "num_key_value_heads": spec.num_kv_heads, "head_dim": spec.head_size,
              "max_position_embeddings": spec.max_positions, "rms_norm_eps": spec.norm_eps,
              "rope_theta": spec.rope.theta, "eos_token_id": 257, "tie_word_embeddings": False}
    write_safetensors(folder, config, safetensors_tensors(spec, random_tensors(spec)))
    write_tokenizer(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
