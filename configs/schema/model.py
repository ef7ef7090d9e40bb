"""Which model translates, and what its replicas do before they take requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import PositiveInt, model_validator

from configs.schema.section import LanguageCode, LanguagePair, Name, Section


class ModelSettings(Section):
    """Which model translates, and how it is loaded."""

    name: Name = "demo"
    """`demo` (the project's own small model), a name on the model hub, or a local path."""
    revision: Name | None = None
    """Branch, tag or commit on the model hub; null takes the newest."""
    engine: Literal["inflight", "transformers", "identity"] = "inflight"
    """What decodes: the project's engine, `transformers`' own generate, or nothing (returns its input)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs; auto takes a GPU, else Apple MPS, else the CPU.

    On a cluster, auto takes a GPU if a node has one when the application is deployed. With cuda a replica waits for a
    node that has one, which lets the autoscaler add it.
    """
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Of the weights; auto takes what suits the device."""
    num_threads: PositiveInt | None = None
    """CPU threads of one replica; null takes the cores that the replica may use."""
    offline: bool = False
    """Never reach for the model hub: only files on disk."""
    default_adapters: Mapping[LanguagePair, Name] = {}
    """Adapter for requests that name none, by language pair: `{"eng_Latn-hin_Deva": "medical"}`."""
    vocabulary: Literal["full", "script", "learned"] = "full"
    """Which output tokens may appear: all, those of the target's scripts, or those of `shortlist_file`."""
    shortlist_file: Name | None = None
    """Token list counted from a corpus, for `vocabulary: learned`."""

    @model_validator(mode="after")
    def _learned_vocabulary_has_a_list(self) -> Self:
        if self.vocabulary == "learned" and self.shortlist_file is None:
            raise ValueError("model.vocabulary = 'learned' needs model.shortlist_file")
        return self


class WarmupSample(Section):
    """One sentence that is translated before a replica takes requests."""

    text: Name
    """What to translate."""
    source_lang: LanguageCode
    """FLORES-200 code."""
    target_lang: LanguageCode
    """FLORES-200 code."""


class WarmupSettings(Section):
    """What a replica does before it takes requests. A failing warm-up fails the start."""

    enabled: bool = True
    """Off: the first requests pay for the start."""
    samples: tuple[WarmupSample, ...] = ()
    """Sentences of your own, added to the built-in ones."""
