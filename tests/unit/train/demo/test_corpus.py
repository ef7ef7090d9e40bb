"""What the demo corpus promises: parallel, unambiguous, honest about what is held out."""

import re
import unicodedata
from dataclasses import replace

import pytest

from train.demo.corpus import DATA_DIR, Corpus, build_corpus
from train.demo.lexicon import Lexicon
from train.demo.settings import LANGUAGES, DemoSettings

SETTINGS = DemoSettings()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """The corpus that the model is trained on."""
    return build_corpus(SETTINGS)


def test_every_row_is_whole(corpus: Corpus) -> None:
    """Each row has a text in all four languages, with no slot left open and in normal form."""
    for row in corpus.phrases + corpus.train + corpus.held_out:
        assert set(row) == set(LANGUAGES)
        for text in row.values():
            assert text == unicodedata.normalize("NFKC", text).strip() != ""
            assert not re.search(r"[{}|]|  ", text)


def test_a_text_has_one_translation(corpus: Corpus) -> None:
    """No two rows share a text in any language: what a direction asks for can be known from the source."""
    for language in LANGUAGES:
        texts = [row[language] for row in corpus.phrases + corpus.train + corpus.held_out]
        assert len(texts) == len(set(texts))


def test_held_out_sentences_are_never_trained(corpus: Corpus) -> None:
    """No held-out text, and no sentence held out by itself, stands in any training text, in any language."""
    for language in LANGUAGES:
        trained = {row[language] for row in corpus.phrases + corpus.train}
        sentences = {sentence for text in trained for sentence in re.split(r"(?<=[.?!।]) ", text)}
        singles = {row[language] for row in corpus.held_out[: SETTINGS.held_out_sentences]}
        assert {row[language] for row in corpus.held_out}.isdisjoint(trained)
        assert singles.isdisjoint(sentences)


def test_it_is_large_and_varied(corpus: Corpus) -> None:
    """More than a thousand combinations, over a hundred held out; questions, times and prices."""
    assert len(corpus.train) > 1000
    assert len(corpus.held_out) > 100
    held_out = [row["eng_Latn"] for row in corpus.held_out]
    assert any(row["eng_Latn"].endswith("?") for row in corpus.train)
    assert any(re.search(r"\d\d (euros|dollars|rupees|pounds)", text) for text in held_out)
    assert any(re.search(r"\d:\d\d", text) for text in held_out)


def test_every_word_is_trained(corpus: Corpus) -> None:
    """Each word of the table occurs in training, in each language, in some form; of the numbers, most do."""
    for language in LANGUAGES:
        text = "\n".join(row[language] for row in corpus.train).lower()
        for words in Lexicon.load(DATA_DIR).classes.values():
            for word in words:
                if word.name.isdigit():
                    continue
                forms = [form.lower() for form in word.forms[language].values()]
                patterns = [r".+".join(map(re.escape, re.split(r"\{\w+\}", form))) for form in forms]
                assert any(re.search(pattern, text) for pattern in patterns), word.name


def test_the_same_settings_give_the_same_corpus(corpus: Corpus) -> None:
    """Order included; another seed gives another one."""
    small = replace(SETTINGS, sentences_per_template=8, min_seen=0)
    assert build_corpus(small) == build_corpus(small)
    assert build_corpus(small) != build_corpus(replace(small, seed=1))
