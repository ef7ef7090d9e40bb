"""Counting a learned vocabulary from a corpus, and refusing what cannot be counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engine.shortlist import count_shortlist, main
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.vocabulary import load_vocabulary
from pipelines.errors import StartupError


@pytest.fixture(scope="module")
def tokenizer(checkpoint_path: Path) -> SegmentTokenizer:
    """Return the tokenizer of the tiny checkpoint."""
    return SegmentTokenizer.from_checkpoint(checkpoint_path)


def test_a_list_spells_its_corpus_and_any_word_of_its_script(tokenizer: SegmentTokenizer) -> None:
    """What the corpus was made of is there, and each character of the script that the tokenizer has alone."""
    corpus = ["the quick brown fox", "the lazy dog"]
    tokens = count_shortlist(tokenizer, "eng_Latn", corpus)
    assert {token for row in tokenizer.encode_target(corpus) for token in row} <= set(tokens)
    pieces = tokenizer.pieces()
    assert {pieces[char] for char in "jumps09"} <= set(tokens)
    assert pieces["न"] not in tokens
    assert len(tokens) < len(pieces)


def test_rare_tokens_are_left_out(tokenizer: SegmentTokenizer) -> None:
    """Counts and the number of tokens bound the list; single characters stay."""
    corpus = ["the the the the", "fox"]
    every = count_shortlist(tokenizer, "eng_Latn", corpus)
    frequent = count_shortlist(tokenizer, "eng_Latn", corpus, min_count=3)
    few = count_shortlist(tokenizer, "eng_Latn", corpus, max_tokens=1)
    (the, *_), texts = tokenizer.encode_target(["the"])[0], {i: piece for piece, i in tokenizer.pieces().items()}
    rare = {token for token in tokenizer.encode_target(["fox"])[0] if len(texts[token].strip("▁")) > 1}
    assert the in set(frequent) & set(few)
    assert rare
    assert rare <= set(every)
    assert not rare & set(frequent)
    assert not rare & set(few)


def test_the_command_writes_what_the_engine_reads(
    checkpoint_path: Path, tokenizer: SegmentTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists of several languages go into one file, with their sizes printed."""
    for code, text in (("hin_Deva", "नमस्ते, आप कैसे हैं?"), ("fra_Latn", "Où est la gare ?")):
        (tmp_path / code).write_text(text + "\n", encoding="utf-8")
    output = tmp_path / "shortlist.json"
    targets = [f"--target={code}={tmp_path / code}" for code in ("hin_Deva", "fra_Latn")]
    main([f"--model={checkpoint_path}", *targets, f"--output={output}"])
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["hin_Deva", "fra_Latn"]
    vocabulary = load_vocabulary("learned", tokenizer, output)
    assert vocabulary.list_name(tokenizer.language_ids["hin_Deva"]) == "hin_Deva"
    assert set(tokenizer.encode_target(["Où est la gare ?"])[0]) <= set(vocabulary.token_ids("fra_Latn"))


def test_what_cannot_be_counted_is_named(
    checkpoint_path: Path, tokenizer: SegmentTokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown language, an empty corpus and a missing file end with what is wrong."""
    with pytest.raises(StartupError, match="no language 'xx'"):
        count_shortlist(tokenizer, "xx", ["text"])
    with pytest.raises(StartupError, match="the corpus of eng_Latn has no text"):
        count_shortlist(tokenizer, "eng_Latn", ["\n"])
    with pytest.raises(SystemExit):
        main([f"--model={checkpoint_path}", f"--target=eng_Latn={tmp_path / 'none'}", f"--output={tmp_path / 'o'}"])
    assert "No such file" in capsys.readouterr().err
