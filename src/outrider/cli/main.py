"""`outrider VERB …`: find the verb, run it, turn errors into one line and an exit code."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

import outrider
from outrider.errors import ConfigError, OutriderError, suggestion

VERBS = ("pull", "models", "doctor", "chat", "generate", "compare", "serve", "bench", "train", "export")

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; 2 for whatever the user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        code = _dispatch([word for word in words if word != "--debug"])
        sys.stdout.flush()
        return code
    except OutriderError as error:
        return _complain(str(error), EXIT_USER_ERROR, debug)
    except KeyboardInterrupt:
        return _complain("interrupted", EXIT_INTERRUPTED, debug)
    except BrokenPipeError:
        # The reader went away (`outrider models | head`). Python flushes stdout again at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else 0


def installed_verbs() -> list[str]:
    """The verbs that this version has, in the order of the help text."""
    return [verb for verb in VERBS if importlib.util.find_spec(f"outrider.cli.{verb}") is not None]


def help_text() -> str:
    """What `outrider --help` prints."""
    rows = [f"  {verb:<10}{_load(verb).SUMMARY}" for verb in installed_verbs()]
    return "\n".join(
        [
            f"outrider {outrider.__version__}: language models answer faster, and every token stays the same.",
            "",
            "usage: outrider VERB [options]",
            "",
            *rows,
            "",
            "  outrider VERB --help   options of a verb",
            "  --version              version of this program",
            "  --debug                with any verb: show the traceback of an error",
        ]
    )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"outrider {outrider.__version__}")
        return 0
    if words[0] not in installed_verbs():
        raise _unknown(words[0])
    code: int = _load(words[0]).run(words[1:])
    return code


def _unknown(word: str) -> ConfigError:
    if word.startswith("-"):
        hint = suggestion(word, ["--help", "--version", "--debug"])
        return ConfigError(f"unknown option '{word}'{hint}; see 'outrider --help'")
    return ConfigError(f"unknown verb '{word}'{suggestion(word, installed_verbs())}; see 'outrider --help'")


def _load(verb: str) -> ModuleType:
    return importlib.import_module(f"outrider.cli.{verb}")


def _complain(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"outrider: {' '.join(message.split())}", file=sys.stderr)
    return code
