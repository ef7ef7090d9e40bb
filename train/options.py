"""What one training run is told besides the settings. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run.

    Attributes:
        kind: An adapter (`lora`), or the whole model (`full`).
        data_file: Parallel text: file, folder or URI.
        source_lang: A language code.
        target_lang: Likewise.
        dev_file: Text to evaluate on; None holds a share of the data out.
        quantize: `4bit` for QLoRA.
        resume: Go on from the last checkpoint.
        publish: Name to publish the adapter under, after the gate.
        force: Publish what fails the gate.
        no_promote: Leave the name where it points.
    """

    kind: Literal["lora", "full"]
    data_file: str
    source_lang: str
    target_lang: str
    dev_file: str | None = None
    quantize: str | None = None
    resume: bool = False
    publish: str | None = None
    force: bool = False
    no_promote: bool = False
