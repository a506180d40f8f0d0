"""The command line: one thin file a verb.

A verb is a module of this package whose name is the verb (`outrider.cli.pull` is `outrider pull`). It exposes

    SUMMARY: str                    one line for `outrider --help`
    run(argv: list[str]) -> int     the words after the verb; returns the exit code

and follows three rules:

1. Importing it does not import torch: `outrider --help` imports every verb to read its `SUMMARY`. Whatever needs
   torch (`outrider.LLM`, drafters, the engine) is imported inside `run`.
2. It raises `OutriderError` for whatever the user can mend; `main` prints that as one line and exits with 2.
   It neither prints tracebacks nor catches `KeyboardInterrupt`: `main` exits with 130. (In a chat on a terminal, Ctrl-C
   during an answer ends that answer only.)
3. Its flags are a frozen dataclass, read by `outrider.cli.flags.parse`. `--debug` never reaches a verb.

The order in which verbs are listed is `outrider.cli.main.VERBS`; a name without a module is not listed.
"""
