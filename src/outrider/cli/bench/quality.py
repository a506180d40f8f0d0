"""`outrider bench quality`: what computing on packed weights changes in the distributions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outrider.cli.bench.screen import tell
from outrider.cli.flags import parse
from outrider.cli.options import LoadOptions, check_counts, read_text
from outrider.errors import RequestError

if TYPE_CHECKING:
    from outrider.target.load import LoadedModel

SUMMARY = "next-token distributions beside those of the dequantised weights in float32"
REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchQuality(LoadOptions):
    """Compare next-token distributions with those of a reference: mean KL divergence, perplexities, top-1 agreement.

    Both models are in memory at once, the reference's weights in float32.
    """

    against: str = REFERENCE
    """`reference`: the same file, dequantised and computed in float32; or another file of the same model."""
    text: Path | None = None
    """A UTF-8 text to read; unless given, the prompts of the shipped workloads."""
    positions: int = 4096
    """Positions compared, in windows of 1024."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    options = parse(BenchQuality, argv, "outrider bench quality")
    check_counts(options, "positions", least=1)
    text = read_text(options.text, "--text") if options.text else None

    from outrider.bench.quality import WINDOW, compare, shipped_text, windows_of
    from outrider.cli.session import open_model

    model = open_model(options, WINDOW + 1)
    if model.tokenizer is None:
        raise RequestError(f"{model.name} has no tokenizer: the text cannot be read")
    window = min(WINDOW, model.target.context - 1)
    windows = windows_of(model.tokenizer, shipped_text() if text is None else text, options.positions, window)
    quality = compare(model, _reference(options), windows, tell)
    tell("")
    print("\n".join(quality.lines()))
    if options.json:
        print(quality.document())
    return 0


def _reference(options: BenchQuality) -> LoadedModel:
    from dataclasses import replace

    from outrider.bench.quality import WINDOW
    from outrider.target.load import load_model

    is_same = options.against == REFERENCE
    tell("loading the reference")
    loaded = load_model(options.model if is_same else options.against, ops="reference", dtype="float32",
                        device=options.device, context=WINDOW + 1)
    return replace(loaded, name=REFERENCE) if is_same else loaded
