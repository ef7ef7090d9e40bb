"""What do a smaller number format and a restricted vocabulary change on your own text?

    python -m pipelines.engine.parity --text lines.txt --pair eng_Latn-hin_Deva [--model demo] [--json]

Translates every line in float32 with the full vocabulary, then with each other setting, and compares the outputs: how
many are equal, how many of their tokens agree, and chrF (100 is equality). It says nothing of whether either is right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path

import torch

from configs.errors import ConfigError
from configs.loader import load_settings
from pipelines.engine.backends import accepted_formats
from pipelines.engine.checkpoint import Checkpoint, locate_checkpoint
from pipelines.engine.device import pick_device
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.vocabulary import VocabularyKind
from pipelines.errors import StartupError, TranslationError
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment, Translation

_REFERENCE = ("float32", "full")
_VOCABULARIES: tuple[VocabularyKind, ...] = ("full", "script", "learned")


@dataclass(frozen=True, slots=True)
class Parity:
    """One setting's outputs against float32 with the full vocabulary, on one language pair.

    Attributes:
        pair: `eng_Latn-hin_Deva`.
        dtype: Number format.
        vocabulary: `full`, `script` or `learned`.
        num_segments: Lines that both translated.
        num_failed: Lines that either did not.
        equal: Share of outputs that are the same text.
        token_agreement: Share of tokens that the two outputs have in common, in order.
        chrf: Of all outputs, the reference's taken as right; 100 is equality.
    """

    pair: str
    dtype: str
    vocabulary: str
    num_segments: int
    num_failed: int
    equal: float
    token_agreement: float
    chrf: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and with `--json` one object per row as the last line."""
    options = _parser().parse_args(arguments)
    try:
        checkpoint = locate_checkpoint(options.model or load_settings().model.name, offline=options.offline)
        lines = [line.strip() for line in Path(options.text).read_text(encoding="utf-8").splitlines() if line.strip()]
        parities = list(
            compare(
                checkpoint,
                lines,
                options.pair,
                device=pick_device(options.device),
                dtypes=options.dtypes.split(",") if options.dtypes else None,
                shortlist_file=options.shortlist_file,
                num_beams=options.num_beams,
            )
        )
    except (TranslationError, ConfigError) as error:
        _parser().error(str(error))
    except (OSError, UnicodeDecodeError) as error:
        _parser().error(f"--text {options.text}: {error}")
    print("| pair | format | vocabulary | segments | equal | tokens that agree | chrF |")
    print("|---|---|---|---|---|---|---|")
    for parity in parities:
        failed = f" ({parity.num_failed} failed)" if parity.num_failed else ""
        print(
            f"| {parity.pair} | {parity.dtype} | {parity.vocabulary} | {parity.num_segments}{failed} "
            f"| {parity.equal:.1%} | {parity.token_agreement:.2%} | {parity.chrf:.1f} |"
        )
    if options.json:
        print(json.dumps([asdict(parity) for parity in parities]))


def compare(
    checkpoint: Checkpoint,
    lines: Sequence[str],
    pairs: Sequence[str],
    *,
    device: torch.device,
    dtypes: Sequence[str] | None = None,
    shortlist_file: str | None = None,
    num_beams: int = 1,
) -> Iterator[Parity]:
    """Yield every setting's agreement with float32 and the full vocabulary, pair by pair.

    Each format is compared with the full vocabulary, and each vocabulary in float32; a learned one if a file is given.

    Args:
        checkpoint: On disk.
        lines: Segments, none empty.
        pairs: `source-target`, FLORES-200 codes.
        device: To run on.
        dtypes: Formats to compare; None takes all that the device has.
        shortlist_file: Of the learned vocabulary.
        num_beams: Beam width.

    Raises:
        StartupError: The model has no such language or format, or the text has no lines.
    """
    if not lines:
        raise StartupError("the text has no lines")
    formats = [dtype for dtype in dtypes or accepted_formats(device) if dtype != "float32"]
    vocabularies = [kind for kind in _VOCABULARIES[1:] if kind != "learned" or shortlist_file]
    settings = [_REFERENCE, *((dtype, "full") for dtype in formats), *(("float32", kind) for kind in vocabularies)]
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint.path)
    segments = [segment for pair in pairs for segment in _segments(lines, pair, tokenizer, num_beams)]
    outputs = {}
    for dtype, vocabulary in settings:
        with _engine(checkpoint, device, dtype, vocabulary, shortlist_file) as engine:
            outputs[dtype, vocabulary] = _translate(engine, segments)
    for index, pair in enumerate(pairs):
        own = slice(index * len(lines), (index + 1) * len(lines))
        for setting in settings[1:]:
            yield _parity(pair, setting, outputs[_REFERENCE][own], outputs[setting][own], tokenizer)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="a text file in the source language, one sentence a line")
    parser.add_argument("--pair", action="append", required=True, help="eng_Latn-hin_Deva; may be given several times")
    parser.add_argument("--model", help="demo, a name on the model hub, or a local path; default: the configuration's")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--dtypes", help="comma-separated formats; all that the device has if left out")
    parser.add_argument("--shortlist-file", help="compares the learned vocabulary as well")
    parser.add_argument("--num-beams", type=int, default=1, help="beam width")
    parser.add_argument("--offline", action="store_true", help="never reach for the model hub")
    parser.add_argument("--json", action="store_true", help="the last line is a JSON list of the rows")
    return parser


def _segments(lines: Sequence[str], pair: str, tokenizer: SegmentTokenizer, num_beams: int) -> list[Segment]:
    source, _, target = pair.partition("-")
    for language in (source, target):
        if language not in tokenizer.language_ids:
            raise StartupError(f"--pair {pair}: the model has no language {language!r}; such as eng_Latn-hin_Deva")
    decoding = DecodingOptions(num_beams=num_beams)
    return [Segment(line, source, target, decoding=decoding) for line in lines]


@contextmanager
def _engine(
    checkpoint: Checkpoint, device: torch.device, dtype: str, vocabulary: str, shortlist_file: str | None
) -> Iterator[InflightEngine]:
    kind = next(kind for kind in _VOCABULARIES if kind == vocabulary)
    engine = InflightEngine.from_checkpoint(
        checkpoint, device=device, dtype=dtype, vocabulary=kind, shortlist_file=shortlist_file
    )
    try:
        yield engine
    finally:
        engine.close()


def _translate(engine: InflightEngine, segments: Sequence[Segment]) -> list[str | None]:
    """Return the outputs' texts in order; None where there is none."""
    encoded = engine.encode(segments)
    futures = iter(engine.submit([row for row in encoded if isinstance(row, EncodedSegment)]))
    outcomes = [next(futures).result() if isinstance(row, EncodedSegment) else row for row in encoded]
    return [outcome.text if isinstance(outcome, Translation) else None for outcome in outcomes]


def _parity(
    pair: str,
    setting: tuple[str, str],
    expected: Sequence[str | None],
    outputs: Sequence[str | None],
    tokenizer: SegmentTokenizer,
) -> Parity:
    both = [(a, b) for a, b in zip(expected, outputs, strict=True) if a is not None and b is not None]
    if not both:
        raise StartupError(f"{pair}: no line was translated")
    tokens = zip(*(tokenizer.encode_target(texts) for texts in zip(*both, strict=True)), strict=True)
    common, total = 0, 0
    for one, other in tokens:
        matcher = SequenceMatcher(None, one, other, autojunk=False)
        common += 2 * sum(block.size for block in matcher.get_matching_blocks())
        total += len(one) + len(other)
    return Parity(
        pair=pair,
        dtype=setting[0],
        vocabulary=setting[1],
        num_segments=len(both),
        num_failed=len(expected) - len(both),
        equal=sum(one == other for one, other in both) / len(both),
        token_agreement=common / total if total else 1.0,
        chrf=_chrf(both),
    )


def _chrf(both: Sequence[tuple[str, str]]) -> float:
    from sacrebleu.metrics.chrf import CHRF

    if all(one == other for one, other in both):
        return 100.0  # also where all are empty
    expected, outputs = zip(*both, strict=True)
    return float(CHRF().corpus_score(list(outputs), [list(expected)]).score)


if __name__ == "__main__":
    main()
