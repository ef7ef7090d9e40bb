"""Tokens: the model's own encoding for any mix of languages, from any thread, whatever a user types."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import NllbTokenizer

from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.errors import InvalidTextError, SegmentTooLongError, StartupError, UnknownLanguageError
from pipelines.protocols import EncodedSegment
from pipelines.types import Failure, Segment
from tests.tiny_model import make_tiny_checkpoint, train_sentencepiece

TEXTS = ("Good morning, friend.", "¿Dónde está la estación?", "मुझे डॉक्टर की ज़रूरत है।", "Où  est\tla gare ?")


@pytest.fixture(scope="module")
def tokenizer(checkpoint_path: Path) -> SegmentTokenizer:
    """Return a tokenizer that tests share, as threads do."""
    return SegmentTokenizer.from_checkpoint(checkpoint_path)


@pytest.fixture
def copy(checkpoint_path: Path, tmp_path: Path) -> Path:
    """Return a checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint_path, tmp_path / "copy"))


def encode_one(tokenizer: SegmentTokenizer, text: str) -> EncodedSegment:
    """Encode one English segment that is known to be fine."""
    (row,) = tokenizer.encode([Segment(text, "eng_Latn", "fra_Latn")])
    assert isinstance(row, EncodedSegment)
    return row


def test_equals_the_models_own_encoding(tokenizer: SegmentTokenizer, checkpoint_path: Path) -> None:
    """For every language, in one mixed batch: what `NllbTokenizer` makes of it with `src_lang` set."""
    reference = NllbTokenizer.from_pretrained(checkpoint_path)
    segments = [Segment(TEXTS[i % len(TEXTS)], language, "eng_Latn") for i, language in enumerate(tokenizer.languages)]
    assert len(segments) == 202
    for segment, row in zip(segments, tokenizer.encode(segments), strict=True):
        reference.src_lang = segment.source_lang
        assert isinstance(row, EncodedSegment)
        assert list(row.token_ids) == reference(segment.text).input_ids
        assert row.segment is segment


def test_target_prefix(tokenizer: SegmentTokenizer, checkpoint_path: Path) -> None:
    """An output starts with `</s>` and its language."""
    reference = NllbTokenizer.from_pretrained(checkpoint_path)
    assert tokenizer.target_prefix("hin_Deva") == (2, reference.convert_tokens_to_ids("hin_Deva"))


@pytest.mark.parametrize("text", ["</s>", "<mask>", "eng_Latn", "<unk>", "a <pad> b", "<s>fra_Latn</s>"])
def test_special_tokens_in_a_text_are_text(tokenizer: SegmentTokenizer, text: str) -> None:
    """A user who types a special token's name gets no special token."""
    special = {tokenizer.eos_id, tokenizer.pad_id, *(tokenizer.target_prefix(lang)[1] for lang in tokenizer.languages)}
    inner = encode_one(tokenizer, text).token_ids[1:-1]
    assert not special & set(inner)
    assert len(inner) > 1


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("dog", []),
        ("the 鸡鹰 dog 鸡", ["鸡鹰", "鸡"]),
        ("鸡\n鹰", ["鸡", "鹰"]),
        ("ﬁne ① é", []),  # normalised to known letters
        ("x㌔y", ["㌔"]),  # one character that is normalised to two unknown ones
        ("👩‍👩‍👧 dog", ["👩‍👩‍👧"]),
    ],
)
def test_unknown_spans(tokenizer: SegmentTokenizer, text: str, unknown: list[str]) -> None:
    """The spans name exactly the characters of the source that the vocabulary cannot spell."""
    assert [text[start:end] for start, end in encode_one(tokenizer, text).unknown_spans] == unknown


@settings(max_examples=200, deadline=None)
@given(text=st.text(min_size=1, max_size=20))
def test_any_text_has_sound_spans(tokenizer: SegmentTokenizer, text: str) -> None:
    """Whatever the text: spans are inside it, in order, apart from each other, and explain every unknown token."""
    row = encode_one(tokenizer, text)
    ends = [0]
    for start, end in row.unknown_spans:
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)
    assert (tokenizer.unk_id in row.token_ids) == bool(row.unknown_spans)


@pytest.mark.parametrize("text", ["good morning", "the dog , the fox !", "¡buenos días!", "नमस्ते, आप कैसे हैं?"])
def test_decoding_is_exact(tokenizer: SegmentTokenizer, text: str) -> None:
    """Special and language tokens are left out, and no space is tidied away."""
    row = encode_one(tokenizer, text)
    assert tokenizer.decode([row.token_ids, (*tokenizer.target_prefix("fra_Latn"), 1)]) == [text, ""]


def test_failures_leave_their_neighbours_alone(tokenizer: SegmentTokenizer) -> None:
    """A text too long, a language unknown and a broken text fail by themselves, each with the reason."""
    rows = tokenizer.encode(
        [
            Segment("dog " * 40, "eng_Latn", "fra_Latn"),
            Segment("dog", "eng_Latn", "fra_Latn"),
            Segment("dog", "eng_Latn", "xxx_Latn"),
            Segment("dog", "en", "fra_Latn"),
            Segment("\ud800", "eng_Latn", "fra_Latn"),
        ]
    )
    long, fine, target, source, broken = rows
    assert isinstance(fine, EncodedSegment)
    assert isinstance(long, Failure)
    assert isinstance(long.error, SegmentTooLongError)
    assert long.error.message == "the segment has 83 tokens, the model reads at most 64"
    assert isinstance(target, Failure)
    assert isinstance(target.error, UnknownLanguageError)
    assert target.error.field == "target_lang"
    assert isinstance(source, Failure)
    assert source.error.field == "source_lang"
    assert isinstance(broken, Failure)
    assert isinstance(broken.error, InvalidTextError)


def test_threads_do_not_disturb_each_other(tokenizer: SegmentTokenizer) -> None:
    """Eight threads encode other languages at the same time: every row is as if encoded alone."""
    segments = [Segment(text, language, "eng_Latn") for text in TEXTS for language in tokenizer.languages[::10]]
    expected = [tokenizer.encode([segment])[0] for segment in segments]
    with ThreadPoolExecutor(8) as pool:
        for rows in pool.map(tokenizer.encode, [segments] * 64):
            assert rows == expected


def change_json(file: Path, **changes: object) -> None:
    """Set keys of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_other_order_of_special_tokens_is_refused(copy: Path) -> None:
    """A tokenizer that puts the language behind the text stops the start."""
    change_json(copy / "tokenizer_config.json", legacy_behaviour=True)
    with pytest.raises(StartupError, match="legacy_behaviour"):
        SegmentTokenizer.from_checkpoint(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eos_token_id": 7}, "eos_token_id 7, the tokenizer has 2"),
        ({"decoder_start_token_id": 0}, "decoder_start_token_id 0, the tokenizer has 2"),
        ({"vocab_size": 300}, "more tokens than the model's 300 embeddings"),
    ],
)
def test_tokenizer_of_another_model_is_refused(copy: Path, changes: dict[str, int], message: str) -> None:
    """Token numbers other than the model's stop the start."""
    change_json(copy / "config.json", **changes)
    with pytest.raises(StartupError, match=message):
        SegmentTokenizer.from_checkpoint(copy)


def test_tokenizer_without_languages_is_refused(copy: Path) -> None:
    """A tokenizer of the same architecture without FLORES-200 tokens (M2M100's) stops the start."""
    NllbTokenizer.from_pretrained(copy, extra_special_tokens=[]).save_pretrained(copy)
    tokens = json.loads((copy / "tokenizer.json").read_text())
    tokens["added_tokens"] = [token for token in tokens["added_tokens"] if "_" not in token["content"]]
    (copy / "tokenizer.json").write_text(json.dumps(tokens))
    change_json(copy / "tokenizer_config.json", extra_special_tokens=[])
    with pytest.raises(StartupError, match="no FLORES-200 language tokens"):
        SegmentTokenizer.from_checkpoint(copy)


def test_damaged_tokenizer_is_refused(copy: Path) -> None:
    """A file that is no tokenizer stops the start with its path."""
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(StartupError, match=str(copy)):
        SegmentTokenizer.from_checkpoint(copy)


def test_sentencepiece_model_alone(checkpoint_path: Path, tmp_path: Path, tokenizer: SegmentTokenizer) -> None:
    """A checkpoint with the original SentencePiece file, and no other, encodes the same."""
    (tmp_path / "config.json").write_bytes((checkpoint_path / "config.json").read_bytes())
    (tmp_path / "sentencepiece.bpe.model").write_bytes(train_sentencepiece(200))
    change = {"extra_special_tokens": list(tokenizer.languages)}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(change))
    segments = [Segment(text, "eng_Latn", "fra_Latn") for text in TEXTS]
    original = SegmentTokenizer.from_checkpoint(tmp_path)
    for row, expected in zip(original.encode(segments), tokenizer.encode(segments), strict=True):
        assert isinstance(row, EncodedSegment)
        assert isinstance(expected, EncodedSegment)
        assert row.token_ids[1:] == expected.token_ids[1:]


def test_other_shapes_load(tmp_path: Path) -> None:
    """The longest source comes from the model's configuration."""
    path = make_tiny_checkpoint(tmp_path, vocab_size=150, max_position_embeddings=20)
    assert SegmentTokenizer.from_checkpoint(path).max_source_tokens == 20


def test_links_are_in_characters(tokenizer: SegmentTokenizer) -> None:
    """Each token of an output and the source token it attends to, as places in both texts; others have no link."""
    source, output = "good morning, señor", "buenos días"
    (row,) = tokenizer.encode([Segment(source, "eng_Latn", "spa_Latn")])
    (tokens,) = tokenizer.encode_target([output])
    last = row.num_tokens - 2  # type: ignore[union-attr]
    links = tokenizer.links(source, [], tokens, [last] * (len(tokens) - 1) + [0])
    assert all(source[link.source_start : link.source_end].strip() for link in links)
    assert links[0].start == 0
    assert [link.end for link in links[:-1]] == [link.start for link in links[1:]]
    assert len(links) <= len(tokens) - 1
