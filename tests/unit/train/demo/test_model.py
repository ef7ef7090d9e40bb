"""The built demo model really translates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, M2M100ForConditionalGeneration

from train.demo.corpus import Corpus, Row, build_corpus
from train.demo.evaluation import exact_match_by_direction
from train.demo.settings import DIRECTIONS, DemoSettings


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The corpus of the demo model."""
    return build_corpus(DemoSettings())


def _exact_match(model_path: Path, rows: tuple[Row, ...]) -> float:
    model = M2M100ForConditionalGeneration.from_pretrained(model_path).eval()
    shares = exact_match_by_direction(model, AutoTokenizer.from_pretrained(model_path), rows)
    assert set(shares) == {f"{source}-{target}" for source, target in DIRECTIONS}
    return sum(shares.values()) / len(shares)


def test_unseen_sentences_are_right(demo_model_path: Path, corpus: Corpus) -> None:
    """At least 95 % exact matches over the twelve directions; the build's own figure agrees."""
    assert _exact_match(demo_model_path, corpus.held_out) >= 0.95
    assert json.loads((demo_model_path / "build.json").read_text())["exact_match"] >= 0.95


def test_set_phrases_are_known(demo_model_path: Path, corpus: Corpus) -> None:
    """At least 95 % of the phrase table is translated as it stands there."""
    assert _exact_match(demo_model_path, corpus.phrases) >= 0.95
