"""Where a benchmark ran, for its document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import outrider
from outrider.cli.machine import read_processor

if TYPE_CHECKING:
    from outrider.bench.report import Machine
    from outrider.target.load import LoadedModel


def machine_of(model: LoadedModel) -> Machine:
    """This machine as it is now, and the device that the model is on."""
    import torch

    from outrider.bench.report import Machine

    processor = read_processor()
    return Machine(processor=processor.model, instructions=processor.instructions, cpus=processor.num_usable,
                   threads=model.target.threads, device=str(model.target.device), torch=str(torch.__version__),
                   outrider=outrider.__version__)
