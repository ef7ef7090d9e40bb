"""What the load benchmark translates, and with which weights.

Knows two models: the demo model, whose outputs end by themselves, and one of the shape of NLLB-200-distilled-600M with
random weights and the demo model's tokenizer, whose outputs are as long as a request says: a token per three characters
of its sentences. Either way every system computes the same tokens for the same text.
"""

from __future__ import annotations

import itertools
import random
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.synthetic import synthetic_checkpoint
from train.demo import ensure_demo_model
from train.demo.corpus import build_corpus
from train.demo.settings import DemoSettings

_CHARS_PER_TOKEN = 3
_NUM_SENTENCES = {"short": [1], "mixed": [1, 1, 1, 2, 2, 4, 8], "long": [20]}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_NUM_JOBS = 3_000
_SEEDS = itertools.count()


@dataclass(frozen=True, slots=True)
class Job:
    """One text to translate from English to Spanish.

    Attributes:
        text: Of whole sentences.
        max_length: Most tokens of the output of one sentence; None where outputs end by themselves.
    """

    text: str
    max_length: int | None = None

    def body(self) -> dict[str, object]:
        """Return the body of a request to `/api/v1/translate`."""
        return {
            "text": self.text,
            "source_lang": "eng_Latn",
            "target_lang": "spa_Latn",
            "max_length": self.max_length,
        }


@dataclass(frozen=True, slots=True)
class Model:
    """Weights that all systems run.

    Attributes:
        name: `demo` or `600M`.
        path: Folder of the checkpoint.
        settings: Of the service and of the bare engine, by dotted key.
        deadline_s: Within which a request is to be answered.
    """

    name: str
    path: Path
    settings: dict[str, object]
    deadline_s: float

    def jobs(self, kind: str) -> list[Job]:
        """Return jobs of a kind, `short`, `mixed` or `long`, others at each call.

        Their sentences are ones that the demo model knows: what looks wrong the service would decode once more.
        """
        draw = random.Random(next(_SEEDS))
        return [self._job(draw.choices(_sentences(), k=draw.choice(_NUM_SENTENCES[kind]))) for _ in range(_NUM_JOBS)]

    def job(self, sentence: str) -> Job:
        """Return the job of one sentence."""
        return self._job([sentence])

    def _job(self, sentences: list[str]) -> Job:
        text = " ".join(sentences)
        return Job(text, None if self.name == "demo" else max(1, len(text) // len(sentences) // _CHARS_PER_TOKEN))


def model(name: str) -> Model:
    """Return a model by name, made if it is missing: the demo model trains for minutes, the 600M one takes 1.2 GB."""
    if name == "demo":
        # As `make serve` does: operations as small as this model's are slower in two threads than in one.
        return Model(name, ensure_demo_model(), {"model.num_threads": 1}, deadline_s=5.0)
    return Model(
        name,
        _random_checkpoint(),
        # Random outputs look wrong, and would all be decoded twice.
        {"model.num_threads": 2, "model.dtype": "int8", "quality.second_try": False},
        deadline_s=30.0,
    )


def _random_checkpoint() -> Path:
    """The random weights of the other benchmarks, with a tokenizer that knows the sentences."""
    weights = synthetic_checkpoint()
    folder = weights.with_name(f"{weights.name}-demo-tokenizer")
    if not folder.is_dir():
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for file in weights.iterdir():
            if "token" not in file.name and "sentencepiece" not in file.name:
                (draft / file.name).symlink_to(file)
        demo = ensure_demo_model()
        for name in _TOKENIZER_FILES:
            shutil.copy(demo / name, draft / name)
        draft.rename(folder)
    return folder


@cache
def _sentences() -> list[str]:
    corpus = build_corpus(DemoSettings())
    return [row["eng_Latn"] for row in (*corpus.train, *corpus.held_out)]
