"""The demo model: an honest corpus, a complete tokenizer, and translations that are right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer, M2M100ForConditionalGeneration
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from pipelines.errors import StartupError
from train.demo import ensure_demo_model
from train.demo.build import build_key
from train.demo.corpus import DATA_DIR, Corpus, build_corpus
from train.demo.evaluation import exact_match_by_direction
from train.demo.settings import DIRECTIONS, LANGUAGES, DemoSettings


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The corpus of the demo model."""
    return build_corpus(DemoSettings())


def test_every_row_has_all_languages(corpus: Corpus) -> None:
    """No text is empty, no slot is left unfilled."""
    for row in (*corpus.train, *corpus.held_out):
        assert set(row) == set(LANGUAGES)
        assert all(text and "{" not in text and "  " not in text for text in row.values()), row


def test_held_out_sentences_are_never_trained_on(corpus: Corpus) -> None:
    """In no language, not even as a part of a longer text."""
    for language in LANGUAGES:
        trained = "\n".join(row[language] for row in corpus.train).lower()
        leaked = [row[language] for row in corpus.held_out if row[language].lower() in trained]
        assert leaked == []


def test_the_corpus_is_the_same_every_time(corpus: Corpus) -> None:
    """Equal data and settings, equal corpus."""
    assert build_corpus(DemoSettings()) == corpus


def test_the_key_follows_the_data(tmp_path: Path) -> None:
    """A changed data file is another model."""
    copy = tmp_path / "data"
    shutil.copytree(DATA_DIR, copy)
    assert build_key(DemoSettings(), copy) == build_key(DemoSettings())
    with (copy / "phrases.tsv").open("a", encoding="utf-8") as table:
        table.write("New.\tNuevo.\tNouveau.\tनया।\n")
    assert build_key(DemoSettings(), copy) != build_key(DemoSettings())


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """One sentence with the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="name another folder"):
        ensure_demo_model(tmp_path / "file" / "demo", progress=False)


def test_the_tokenizer_has_all_language_tokens_and_spells_the_corpus(demo_model_path: Path, corpus: Corpus) -> None:
    """All 202 languages of FLORES-200; held-out texts survive encoding and decoding."""
    tokenizer = AutoTokenizer.from_pretrained(demo_model_path)
    ids = tokenizer.convert_tokens_to_ids(FAIRSEQ_LANGUAGE_CODES)
    assert len(set(ids)) == len(FAIRSEQ_LANGUAGE_CODES) == 202
    assert tokenizer.unk_token_id not in ids
    for row in corpus.held_out[:100]:
        for text in row.values():
            assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_unseen_sentences_are_right(demo_model_path: Path, corpus: Corpus) -> None:
    """At least 95 % exact matches over the twelve directions, by really translating; the build's own figure agrees."""
    model = M2M100ForConditionalGeneration.from_pretrained(demo_model_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(demo_model_path)
    scores = exact_match_by_direction(model, tokenizer, corpus.held_out[:80])
    assert set(scores) == {f"{source}-{target}" for source, target in DIRECTIONS}
    assert sum(scores.values()) / len(scores) >= 0.95
    assert json.loads((demo_model_path / "build.json").read_text())["exact_match"] >= 0.95
