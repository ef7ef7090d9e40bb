"""Tokens on disk are what the service would make of the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.types import Segment
from tests.tiny_model import make_tiny_checkpoint
from train.data.check import DataSource, Role, check_data
from train.data.findings import Finding
from train.data.tokens import TokenizedPairs, count_tokens_of, tokenize_pairs
from train.errors import TrainingError

PAIRS = [("Good morning.", "नमस्ते"), ("</s> is text", "यह <pad> है"), ("x", "आप कैसे हैं?")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


def test_pairs_come_back_as_the_service_encodes_them(checkpoint: Path, tmp_path: Path) -> None:
    """In order, both ways round if asked for, with the length of the longer side."""
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)
    tokenize_pairs(tmp_path / "pairs", PAIRS, tokenizer, ("eng_Latn", "hin_Deva"))
    pairs = TokenizedPairs(tmp_path / "pairs", bidirectional=True)
    expected = [
        [
            row.token_ids
            for row in tokenizer.encode(
                [Segment(source, "eng_Latn", "fra_Latn"), Segment(target, "hin_Deva", "fra_Latn")]
            )
        ]
        for source, target in PAIRS
    ]
    assert len(pairs) == 6
    for index, (source, target) in enumerate(expected):
        assert [side.tolist() for side in pairs.row(index)] == [list(source), list(target)]
        assert [side.tolist() for side in pairs.row(3 + index)] == [list(target), list(source)]
        assert pairs.lengths[index] == pairs.lengths[3 + index] == max(len(source), len(target))


def test_a_failed_write_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    """So that the next try starts again."""

    def pairs():
        yield PAIRS[0]
        raise OSError("the network is gone")

    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)
    with pytest.raises(OSError, match="network"):
        tokenize_pairs(tmp_path / "pairs", pairs(), tokenizer, ("eng_Latn", "hin_Deva"))
    assert [file for file in tmp_path.iterdir() if file.is_dir()] == []


def test_text_that_the_model_cannot_read_is_too_long_for_any_bound(checkpoint: Path, tmp_path: Path) -> None:
    """Also for one over the model's own; the check leaves it out."""
    count = count_tokens_of(checkpoint)
    lengths = count(["Hello", "word " * 500], "eng_Latn")
    assert lengths[0] < 20
    file = tmp_path / "data.tsv"
    file.write_text(f"Good morning.\tनमस्ते\n{'word ' * 500}\t{'नमस्ते ' * 500}\n", encoding="utf-8")
    source = DataSource(str(file), "eng_Latn", "hin_Deva")
    checked = check_data(source, dev_ratio=0.001, max_tokens=10**9, max_length_ratio=3.0, count_tokens=count)
    assert [number for _, number in checked.report.found[Finding.TOO_LONG].lines] == [2]
    assert list(checked.pairs(Role.TRAIN)) == [("Good morning.", "नमस्ते")]


def test_text_that_the_model_cannot_read_is_never_written(checkpoint: Path, tmp_path: Path) -> None:
    """What was checked with another tokenizer, say: nothing is trained on in its place."""
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)
    with pytest.raises(TrainingError, match=r"'word word .* has more tokens than the 64"):
        tokenize_pairs(tmp_path / "pairs", [*PAIRS, ("word " * 500, "x")], tokenizer, ("eng_Latn", "hin_Deva"))
    assert not (tmp_path / "pairs").exists()
