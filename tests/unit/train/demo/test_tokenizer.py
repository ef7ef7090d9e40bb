"""The demo tokenizer is an NLLB tokenizer in all but its vocabulary."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, NllbTokenizer
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from train.demo.corpus import Corpus, build_corpus
from train.demo.settings import DemoSettings
from train.demo.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """A part of the real corpus."""
    return build_corpus(DemoSettings(sentences_per_template=12, min_seen=1))


@pytest.fixture(scope="module")
def tokenizer(corpus: Corpus) -> NllbTokenizer:
    """A tokenizer of the demo model's own kind."""
    return train_tokenizer(corpus.phrases + corpus.train, DemoSettings().vocab_size, max_tokens=512)


def test_all_languages_have_a_token(tokenizer: NllbTokenizer) -> None:
    """202 different ids, at the end of the vocabulary."""
    ids = tokenizer.convert_tokens_to_ids(FAIRSEQ_LANGUAGE_CODES)
    assert len(set(ids)) == len(ids) == 202
    assert tokenizer.unk_token_id not in ids
    assert max(ids) == len(tokenizer) - 1


def test_special_tokens_stand_where_nllb_has_them(tokenizer: NllbTokenizer) -> None:
    """`[source language, tokens..., </s>]`, and the four first ids of fairseq."""
    tokenizer.src_lang = "spa_Latn"
    ids = tokenizer("Hola.").input_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("spa_Latn")
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<unk>"]


def test_texts_round_trip(tokenizer: NllbTokenizer, corpus: Corpus) -> None:
    """Every text of the corpus comes back as it was, without an unknown token."""
    for row in corpus.phrases + corpus.train + corpus.held_out:
        for text in row.values():
            ids = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("text", ["Zürich «ñandú» façade", "ऋषि ज्ञान क्षत्रिय ॐ", "50 € – ‘x’ @#%"])
def test_other_words_are_spelt(tokenizer: NllbTokenizer, text: str) -> None:
    """Any Latin or Devanagari word has tokens, character by character if need be."""
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_numbers_of_the_domain_are_few_tokens(tokenizer: NllbTokenizer) -> None:
    """A number of two digits is copied like a word; any other is spelt, digit by digit if need be."""
    assert sum(len(tokenizer.tokenize(str(number))) for number in range(10, 100)) <= 2 * 90
    assert "".join(tokenizer.tokenize("2024")) == "▁2024"


def test_texts_are_normalised_as_nllb_does(tokenizer: NllbTokenizer) -> None:
    """Full-width, decomposed and no-break characters are read as their plain forms."""
    assert tokenizer("Ｗｈｅｒｅ est\u00a0cafe\u0301").input_ids == tokenizer("Where est café").input_ids


def test_it_is_the_same_after_loading(tokenizer: NllbTokenizer, tmp_path: Path) -> None:
    """Saved and loaded by the library's own code, it gives the same ids."""
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, src_lang="fra_Latn")
    assert isinstance(loaded, NllbTokenizer)
    tokenizer.src_lang = "fra_Latn"
    text = "Où est l’hôtel ?  25,50 €"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.model_max_length == 512
