"""How much memory a real model takes while it is loaded."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import real_models

pytestmark = pytest.mark.real_model

# Gemma's 262,144 pieces and 514,906 merges take 71 MB in the library that reads text, 0.28 of its file.
LIMITS = {"smollm2-135m-instruct": 1.2, "gemma-3-270m": 1.33, "qwen2.5-coder-0.5b-instruct": 1.12,
          "qwen2.5-coder-1.5b-instruct": 1.1}

# Loads when told to and tells when it is done; reading a text shows that the vocabulary was not put off.
PROGRAM = """
import sys
from outrider.target.load import load_model

print("ready", flush=True)
sys.stdin.readline()
model = load_model(sys.argv[1], device="cpu", ops="native")
assert model.tokenizer.encode("def add(a, b):", special=False)
print(model.target.weight_bytes, flush=True)
sys.stdin.readline()
"""


def anonymous(process: int) -> int:
    """Bytes as the kernel counts them, huge pages and shared mappings of no file included."""
    place = Path(f"/proc/{process}")
    text = (place / "smaps_rollup").read_text() + (place / "status").read_text()
    return sum(map(int, re.findall(r"^(?:Anonymous|RssShmem):\s*(\d+) kB", text, re.MULTILINE))) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="memory is asked of Linux")
@pytest.mark.parametrize("name", LIMITS)
def test_loading_takes_little_more_memory_than_the_file(name: str) -> None:
    path = real_models.path(name)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        seen, done = [anonymous(child.pid)], threading.Event()

        def watch() -> None:
            while not done.wait(0.005):
                seen.append(anonymous(child.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        print("go", file=child.stdin, flush=True)
        weights = int(child.stdout.readline())
        done.set()
        watcher.join()
        seen.append(anonymous(child.pid))
        print("end", file=child.stdin, flush=True)
    assert weights < max(seen) - seen[0] <= LIMITS[name] * path.stat().st_size
