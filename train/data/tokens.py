"""Pairs as tokens on disk: written once per machine, then read from anywhere, so that memory holds lengths alone.

Tokenising once and not in every epoch is what makes the number of steps known, and a place in the data one number.
A side is what the model reads or writes: `[language, tokens..., </s>]`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.protocols import EncodedSegment
from pipelines.types import Segment
from train.data.check import CountTokens
from train.errors import TrainingError

Tokens = npt.NDArray[np.uint32]

_SIDES = ("source", "target")
_PAIRS_PER_STEP = 1024
_MAX_SHOWN_CHARS = 80


class TokenizedPairs:
    """Pairs in a folder that `tokenize_pairs` wrote. Opening it reads the lengths; rows stay on disk.

    Args:
        folder: Where they are.
        bidirectional: Whether each pair counts a second time, the other way round.
    """

    def __init__(self, folder: Path, *, bidirectional: bool = False) -> None:
        self._ends = [np.load(folder / f"{side}.ends.npy") for side in _SIDES]
        self._tokens = [_mapped(folder / f"{side}.tokens") for side in _SIDES]
        sources, targets = (np.diff(ends, prepend=0) for ends in self._ends)
        self._num_pairs = len(sources)
        self.target_lengths: npt.NDArray[np.int64] = np.concatenate([targets, sources]) if bidirectional else targets
        longer = np.maximum(sources, targets)
        self.lengths: npt.NDArray[np.int64] = np.concatenate([longer, longer]) if bidirectional else longer

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, index: int) -> tuple[Tokens, Tokens]:
        """Return the tokens of both sides of a pair, source first."""
        backwards, pair = divmod(index, self._num_pairs)
        source, target = self._side(0, pair), self._side(1, pair)
        return (target, source) if backwards else (source, target)

    def _side(self, side: int, pair: int) -> Tokens:
        ends = self._ends[side]
        return self._tokens[side][ends[pair - 1] if pair else 0 : ends[pair]]


def tokenize_pairs(
    folder: Path, pairs: Iterable[tuple[str, str]], tokenizer: SegmentTokenizer, languages: tuple[str, str]
) -> None:
    """Write pairs as tokens, unless the folder is there already. Processes that ask at the same time write once.

    Args:
        folder: Appears whole or not at all; name it after all that its content depends on.
        pairs: (source, target), each short enough for the model.
        tokenizer: The model's.
        languages: FLORES-200 codes of source and target.

    Raises:
        TrainingError: A text is too long all the same.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return
        draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            _write(draft, pairs, tokenizer, languages)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def count_tokens_of(checkpoint: Path) -> CountTokens:
    """Return what counts tokens as the model of a checkpoint does, special tokens included.

    A text that the model cannot read has more of them than any bound.

    Raises:
        StartupError: The tokenizer cannot be read.
    """
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)

    def count(texts: Sequence[str], language: str | None) -> list[int]:
        rows = _encode(tokenizer, [text or " " for text in texts], language or tokenizer.languages[0])
        return [sys.maxsize if row is None else len(row) for row in rows]

    return count


def _write(
    folder: Path, pairs: Iterable[tuple[str, str]], tokenizer: SegmentTokenizer, languages: tuple[str, str]
) -> None:
    ends: list[list[npt.NDArray[np.int64]]] = [[], []]
    total = [0, 0]
    remaining = iter(pairs)
    with (folder / "source.tokens").open("wb") as sources, (folder / "target.tokens").open("wb") as targets:
        while step := list(islice(remaining, _PAIRS_PER_STEP)):
            for side, (stream, language) in enumerate(zip((sources, targets), languages, strict=True)):
                rows = _encoded(tokenizer, [pair[side] for pair in step], language)
                stream.write(np.concatenate([np.array(row, dtype=np.uint32) for row in rows]).tobytes())
                ends[side].append(total[side] + np.cumsum([len(row) for row in rows], dtype=np.int64))
                total[side] = int(ends[side][-1][-1])
    for side, name in enumerate(_SIDES):
        np.save(folder / f"{name}.ends.npy", np.concatenate(ends[side] or [np.empty(0, np.int64)]))


def _encoded(tokenizer: SegmentTokenizer, texts: Sequence[str], language: str) -> list[Sequence[int]]:
    rows = []
    for text, row in zip(texts, _encode(tokenizer, texts, language), strict=True):
        if row is None:  # the check leaves such texts out
            raise TrainingError(
                f"{text[:_MAX_SHOWN_CHARS]!r} has more tokens than the {tokenizer.max_source_tokens} that the model "
                "reads: the data or the base model is another one than was checked"
            )
        rows.append(row)
    return rows


def _encode(tokenizer: SegmentTokenizer, texts: Sequence[str], language: str) -> list[Sequence[int] | None]:
    """Tokenise as the service does. None is a text that the service would refuse as too long."""
    encoded = tokenizer.encode([Segment(text, language, language) for text in texts])
    return [each.token_ids if isinstance(each, EncodedSegment) else None for each in encoded]


def _mapped(file: Path) -> Tokens:
    return np.memmap(file, dtype=np.uint32, mode="r") if file.stat().st_size else np.empty(0, np.uint32)
