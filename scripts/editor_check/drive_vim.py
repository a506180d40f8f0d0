"""Types into a vim on a terminal of its own, waits for llama.vim's suggestion, takes it with Tab, and reads the file.

    drive_vim.py URL PLUGIN_FOLDER WORK_FOLDER
"""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

LIMIT_S = 300.0
BEFORE = '''def fibonacci(n):
    """The n-th Fibonacci number, by recursion."""
    if n < 2:
        return n
'''
TYPED = "    return fib"
BEHIND = '''

print(fibonacci(10))
'''
VIMRC = '''set nocompatible noswapfile encoding=utf-8
set runtimepath^={plugin}
let g:llama_config = {{'endpoint': '{url}/infill', 'endpoint_fim': '{url}/infill', 'api_key': '', 'n_prefix': 64,
  \\ 'n_suffix': 16, 'n_predict': 32, 'stop_strings': [], 't_max_prompt_ms': 500, 't_max_predict_ms': 20000,
  \\ 'show_info': 0, 'auto_fim': v:true, 'max_line_suffix': 8, 'max_cache_keys': 10, 'ring_n_chunks': 0,
  \\ 'ring_chunk_size': 16, 'ring_scope': 64, 'ring_update_ms': 1000, 'keymap_trigger': '<C-F>',
  \\ 'keymap_accept_full': '<Tab>', 'keymap_accept_line': '<S-Tab>', 'keymap_accept_word': '<C-B>'}}
call llama#init()
function! Watch(timer)
  for l:line in range(1, line('$'))
    for l:prop in prop_list(l:line)
      if get(l:prop, 'type', '') ==# 'llama_hl_hint'
        call writefile(['yes'], '{seen}')
      endif
    endfor
  endfor
endfunction
call timer_start(100, 'Watch', {{'repeat': -1}})
'''


class Vim:
    """A vim on a pseudo-terminal. What it draws is thrown away."""

    def __init__(self, arguments: list[str]) -> None:
        self.process, self._terminal = pty.fork()
        if not self.process:
            os.environ["TERM"] = "xterm"
            os.execvp("vim", ["vim", *arguments])

    def type(self, keys: str) -> None:
        for key in keys:
            os.write(self._terminal, key.encode())
            self.idle(0.03)

    def idle(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([self._terminal], [], [], left_s)[0]:
                try:
                    os.read(self._terminal, 65536)
                except OSError:  # it has ended
                    return


def main(url: str, plugin: str, work: str) -> None:
    folder = Path(work)
    code, seen, vimrc = folder / "code.py", folder / "seen", folder / "vimrc"
    code.write_text(BEFORE + BEHIND)
    vimrc.write_text(VIMRC.format(url=url, plugin=plugin, seen=seen))
    vim = Vim(["-u", str(vimrc), "-i", "NONE", "-n", str(code)])
    vim.idle(1.0)
    vim.type(f"{BEFORE.count(chr(10))}Go{TYPED}")
    begin_s = time.monotonic()
    while not seen.exists():
        if time.monotonic() - begin_s > LIMIT_S:
            os.kill(vim.process, 9)
            sys.exit("editor-check: llama.vim showed no suggestion")
        vim.idle(0.1)
    waited_s = time.monotonic() - begin_s
    vim.idle(0.5)
    vim.type("\t")
    vim.idle(0.5)
    vim.type("\x1b:wq\r")
    os.waitpid(vim.process, 0)
    text = code.read_text()
    print(text)
    taken = text.removeprefix(BEFORE).removesuffix(BEHIND)
    if "fibonacci(n" not in taken:
        sys.exit(f"editor-check: Tab took nothing of use: {taken!r}")
    print(f"editor-check: llama.vim showed {taken.removeprefix(TYPED)!r} after {waited_s:.1f} s, and Tab took it")


if __name__ == "__main__":
    main(*sys.argv[1:])
