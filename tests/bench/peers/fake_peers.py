"""Peers that need no package: a Python that finds a fake `llama_cpp`, and a fake `llama-server`."""

from __future__ import annotations

import sys
from pathlib import Path

# Counts upwards from the prompt's last token; its environment says where it is to fail.
LLAMA_CPP = '''
import os
__version__ = "fake 1.0"

class Llama:
    def __init__(self, model_path, n_ctx, n_threads, n_threads_batch, draft_model, logits_all, flash_attn, verbose):
        print("noise of a native library", flush=True)
        os.write(1, b"more of it\\n")
        if os.environ.get("FAKE_PEER") == "no load":
            raise ValueError("cannot read\\nthis file")
        self.draft_model, self.n_ctx = draft_model, n_ctx

    def reset(self):
        pass

    def generate(self, ids, temp, repeat_penalty):
        assert (temp, repeat_penalty) == (0.0, 1.0)
        if os.environ.get("FAKE_PEER") == "crash":
            print("segmentation fault", file=__import__("sys").stderr, flush=True)
            os._exit(3)
        token = ids[-1]
        while True:
            token += 1
            yield token
'''
SPECULATIVE = '''
class LlamaPromptLookupDecoding:
    def __init__(self, num_pred_tokens):
        self.num_pred_tokens = num_pred_tokens
'''
SERVER = '''
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
if "--version" in sys.argv:
    print("version: fake 2.0", file=sys.stderr)
    sys.exit(0)
if "--help" in sys.argv:
    print("--spec-type NAME")
    sys.exit(0)
assert "-md" not in sys.argv or sys.argv[sys.argv.index("--spec-type") + 1] == "draft-simple"

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply({"status": "ok"})

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ids = [wanted["prompt"][-1] + 1 + index for index in range(wanted["n_predict"])]
        self.reply({"tokens": ids, "timings": {"prompt_ms": 0.0}})

    def reply(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
'''


def fake_python(folder: Path) -> Path:
    """An interpreter in whose environment the fake package is installed."""
    package = folder / "packages" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(LLAMA_CPP)
    (package / "llama_speculative.py").write_text(SPECULATIVE)
    return _script(folder / "python", f'PYTHONPATH="{package.parent}" exec "{sys.executable}" "$@"')


def empty_python(folder: Path) -> Path:
    """An interpreter without any packages."""
    return _script(folder / "empty", f'exec "{sys.executable}" -I -S "$@"')


def fake_server(folder: Path) -> Path:
    source = folder / "server.py"
    source.write_text(SERVER)
    return _script(folder / "llama-server", f'exec "{sys.executable}" "{source}" "$@"')


def _script(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
