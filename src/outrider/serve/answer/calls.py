"""Finding tool calls in what a model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from outrider.serve.answer.call import CallReader, ObjectReader
from outrider.serve.answer.held import cut_at
from outrider.serve.answer.parts import CallDelta, Content
from outrider.serve.answer.spelt_call import ArgumentsReader, FunctionReader, Kinds
from outrider.serve.answer.syntax import CallSyntax

_FENCES = ("```json", "```")


class CallSplitter:
    """Cuts a text into content and calls. What turns out to be no call is content as it was written.

    text ── begin, or a call at the beginning ──> call ── its object ends ──> behind ── end ──> text
                                                   ^────────── separator ───────┘
    """

    def __init__(self, syntax: CallSyntax, kinds: Mapping[str, Kinds], new_id: Callable[[], str]) -> None:
        self._syntax, self._kinds, self._new_id = syntax, kinds, new_id
        self._named = [f"{name}{mark}" for name in kinds if syntax.named for mark in ("{", "[ARGS]{", "[CALL_ID]")]
        self._heads = [f'{fence}{opener}{{"name":"{name}","{key}":' for fence in ("", *_FENCES) for name in kinds
                       for opener in {"", syntax.opener} for key in ("arguments", "parameters")]
        self._heads += [*self._named, *(f"<function={name}>" for name in kinds if syntax.functions)]
        self._held = ""
        self._call: CallReader | None = None
        self._opened = ""  # what stood before the call that is read, should it be none
        self._behind = False  # a call, but not yet what ends it
        self._said = self._after_call = False  # whether there was any text yet; whether a call was the last there was
        self.num_calls = 0

    @property
    def has_calls(self) -> bool:
        """Whether any call was told of, be it whole or not."""
        return self.num_calls > 0 or (self._call is not None and bool(self._call.name))

    def push(self, text: str) -> list[Content | CallDelta]:
        self._held += text
        parts: list[Content | CallDelta] = []
        while self._step(parts):
            pass
        return parts

    def finish(self) -> list[Content | CallDelta]:
        held, self._held = self._held, ""
        if self._call is not None and not self._call.name:
            held = self._opened + self._call.raw + held
        elif self._behind and held and any(head.startswith("".join(held.split())) for head in self._named):
            return [Content(held)]
        elif self._call is not None or self._after_call:
            return []
        return [Content(held)] if held else []

    def _step(self, parts: list[Content | CallDelta]) -> bool:
        """Reads on; false where more text is needed."""
        if self._call is not None:
            return self._read_call(self._call, parts)
        if self._behind:
            return self._read_behind()
        return self._read_text(parts)

    def _read_text(self, parts: list[Content | CallDelta]) -> bool:
        bare = self._bare()
        if bare is None:
            return False
        if bare:
            call = self._held.lstrip()
            call = call.removeprefix(next((fence for fence in _FENCES if call.startswith(fence)), ""))
            return self._open(self._held[: len(self._held) - len(call)], call)
        if self._after_call:
            self._held = self._held.lstrip()
        cut = cut_at(self._held, (self._syntax.begin,))
        said = cut.before.rstrip()
        blanks = cut.before[len(said) :]
        if said:
            parts.append(Content(said))
            self._said, self._after_call = True, False
        if cut.tag:
            return self._open(blanks + cut.tag, cut.after)
        self._held = blanks + cut.after
        return False

    def _bare(self) -> bool | None:
        """Whether the answer begins with a call that nothing announces; None where that is not known yet."""
        if self._said or self.num_calls:
            return False
        compact = "".join(self._held.split())
        if any(compact.startswith(head) for head in self._heads):
            return True
        return None if any(head.startswith(compact) for head in self._heads) else False

    def _open(self, before: str, after: str) -> bool:
        """A call begins; of a list, behind its bracket."""
        opener = self._syntax.opener
        stripped = after.lstrip()
        if (opener or self._syntax.functions) and not stripped:
            self._held = before + after
            return False
        if opener and stripped.startswith(opener):
            before += after[: len(after) - len(stripped)] + opener
            after = stripped.removeprefix(opener)
        self._call, self._opened, self._held = self._reader(after.lstrip()[:1]), before, after
        return True

    def _reader(self, first: str) -> CallReader:
        """Of a call by its first character; empty where there is none yet."""
        if self._syntax.functions and first == "<":
            return FunctionReader(self._kinds)
        return ArgumentsReader() if self._syntax.named and first not in ("{", "") else ObjectReader()

    def _read_call(self, call: CallReader, parts: list[Content | CallDelta]) -> bool:
        was_named = bool(call.name)
        self._held = call.feed(self._held)
        if call.is_broken:
            parts.append(Content(self._opened + call.raw))
            self._call, self._said, self._after_call = None, True, False
            return True
        arguments = call.arguments()
        if call.name and not was_named:
            parts.append(CallDelta(self.num_calls, self._new_id(), call.name, arguments))
        elif arguments:
            parts.append(CallDelta(self.num_calls, "", "", arguments))
        if call.is_done:
            self._call, self._behind, self._after_call = None, True, True
            self.num_calls += 1
        return call.is_done

    def _read_behind(self) -> bool:
        """Skips what ends a call, and finds out whether another one follows."""
        self._held = self._held.lstrip()
        syntax = self._syntax
        ends = [end for end in (syntax.end, syntax.closer, syntax.separator.strip(), _FENCES[-1]) if end]
        if not self._held:
            return False
        for end in ends:
            if self._held.startswith(end):
                self._held = self._held.removeprefix(end)
                if end == syntax.separator.strip():
                    return self._open(end, self._held)
                self._behind = False
                return True
            if end.startswith(self._held):
                return False
        compact = "".join(self._held.split())
        if any(compact.startswith(head) for head in self._named):
            self._behind = False
            return self._open("", self._held)
        self._behind = any(head.startswith(compact) for head in self._named)
        return not self._behind
