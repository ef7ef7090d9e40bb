"""The demo tokenizer: a small SentencePiece vocabulary in an `NllbTokenizer`, the way NLLB-200's own was made.

Knows which characters must be spelt and how text is normalised, nothing of the sentences' meaning.
"""

from __future__ import annotations

import io
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from transformers import NllbTokenizer

from train.demo.corpus import Row

_ALPHABET_RANGES = ((0x21, 0x7E), (0xA1, 0x17F), (0x900, 0x97F), (0x2010, 0x2026), (0x20A0, 0x20BF))
"""Printable ASCII, Latin-1 and Latin Extended-A, Devanagari, typographic dashes and quotes, currency signs."""


def train_tokenizer(rows: Iterable[Row], vocab_size: int, max_tokens: int) -> NllbTokenizer:
    """Train a byte-pair vocabulary with NLLB's normalisation (`nmt_nfkc`).

    Args:
        rows: Texts in all languages.
        vocab_size: Without the language tokens and `<mask>`, which the tokenizer adds.
        max_tokens: The longest input, special tokens included.
    """
    texts = [text for row in rows for text in row.values()]
    lowered = [text.lower() for text in texts]  # so that a word is one token in either case
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts + lowered),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=1.0,
        required_chars=_alphabet(),
        split_digits=False,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentencepiece.bpe.model"
        path.write_bytes(model.getvalue())
        parts = NllbTokenizer.convert_to_native_format(vocab_file=str(path))
    # Only what the vocabulary defines: the special tokens are NLLB's own, not those of this SentencePiece model.
    vocabulary = {name: parts[name] for name in ("vocab", "merges", "_spm_precompiled_charsmap")}
    return NllbTokenizer(**vocabulary, model_max_length=max_tokens)


def _alphabet() -> str:
    """Return every character that must have a token: those of the ranges that normalisation leaves as they are."""
    characters = (chr(point) for first, last in _ALPHABET_RANGES for point in range(first, last + 1))
    return "".join(char for char in characters if unicodedata.normalize("NFKC", char) == char and char.isprintable())
