"""A segment on its way through the engine: accepted as a request, announced to the scheduler, answered as an outcome.

Knows the tokenizer, the adapters and the bounds; nothing of threads or of the running batch.
"""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, replace

from pipelines.engine.batch import Finished
from pipelines.engine.length import LengthBound, least_new_tokens
from pipelines.engine.live import Request
from pipelines.engine.lora import Adapter
from pipelines.engine.residents import ResidentAdapters
from pipelines.engine.scheduler import Ticket
from pipelines.engine.search import Output
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.errors import EngineError, UnsupportedOptionError
from pipelines.protocols import EncodedSegment
from pipelines.text.validity import check_text
from pipelines.types import DecodingOptions, Failure, Hypothesis, Outcome, Translation


@dataclass(slots=True)
class Row:
    """A submitted segment until its future is resolved."""

    encoded: EncodedSegment
    request: Request
    future: Future[Outcome]

    @property
    def num_rows(self) -> int:
        """Rows of the running batch that it takes."""
        return self.request.options.num_beams

    @property
    def ticket(self) -> Ticket:
        """What the scheduler must know of it."""
        request, segment = self.request, self.encoded.segment
        return Ticket(
            key=request.key,
            num_rows=self.num_rows,
            num_source_tokens=len(request.source),
            num_target_tokens=len(request.forced) + request.max_new_tokens + 1,
            priority=segment.priority,
            deadline=math.inf if segment.deadline_s is None else segment.deadline_s,
        )


class RowDesk:
    """Takes segments in and gives outcomes out.

    Args:
        tokenizer: Of the checkpoint.
        adapters: That rows may name.
        max_rows: Of the engine.
        bound: Of the outputs' lengths.
    """

    def __init__(
        self,
        tokenizer: SegmentTokenizer,
        adapters: ResidentAdapters[Adapter],
        max_rows: int,
        bound: LengthBound,
    ) -> None:
        self._tokenizer = tokenizer
        self._adapters = adapters
        self._max_rows = max_rows
        self._bound = bound
        self._next_key = 0

    def accept(self, encoded: EncodedSegment, future: Future[Outcome]) -> Row:
        """Make a segment a row; from here on it uses its adapter. One thread at a time.

        Raises:
            TranslationError: It cannot be decoded; nothing has changed.
        """
        segment = encoded.segment
        _refuse_impossible(segment.decoding, self._max_rows)
        target_lang_id = self._tokenizer.target_prefix(segment.target_lang)[1]
        version, num_rows = segment.adapter, segment.decoding.num_beams
        forced = self._forced(segment.decoding.target_prefix)
        self._next_key += 1
        request = Request(
            key=self._next_key,
            source=encoded.token_ids,
            target_lang_id=target_lang_id,
            max_new_tokens=min(self._bound.of(encoded), self._bound.max_tokens - len(forced)),
            options=replace(segment.decoding, min_new_tokens=least_new_tokens(encoded)),
            forced=forced,
            # Last: from here on nothing may fail, or the row would count for ever.
            adapter=None if version is None else self._adapters.acquire(version, num_rows),
        )
        return Row(encoded, request, future)

    def release(self, row: Row) -> None:
        """Let go of the row's adapter."""
        version = row.encoded.segment.adapter
        if version is not None:
            self._adapters.release(version, row.num_rows)

    def outcome(self, row: Row, finished: Finished) -> Outcome:
        """Return what the caller gets."""
        if not finished.outputs:
            return Failure(EngineError("the model returned no usable numbers for this segment"))
        texts = self._tokenizer.decode([[*row.request.forced, *output.tokens] for output in finished.outputs])
        best = finished.outputs[0]
        encoded = row.encoded
        hypotheses = tuple(
            Hypothesis(text, _score(output)) for text, output in zip(texts, finished.outputs, strict=True)
        )
        return Translation(
            text=texts[0],
            score=_score(best),
            num_source_tokens=encoded.num_tokens,
            num_target_tokens=len(best.tokens),
            finish=best.finish,
            alternatives=hypotheses if len(hypotheses) > 1 else (),
            unknown_spans=encoded.unknown_spans,
            alignment=best.attended,
            links=tuple(
                self._tokenizer.links(encoded.segment.text, row.request.forced, best.tokens, best.attended)
                if best.attended
                else ()
            ),
        )

    def _forced(self, target_prefix: str) -> tuple[int, ...]:
        """Return the tokens of what an output begins with."""
        if not target_prefix:
            return ()
        check_text(target_prefix, "target_prefix")
        (tokens,) = self._tokenizer.encode_target([target_prefix])
        if len(tokens) >= self._bound.max_tokens:
            raise UnsupportedOptionError(
                f"target_prefix has {len(tokens)} tokens; accepted are fewer than {self._bound.max_tokens}",
                field="target_prefix",
            )
        return tuple(tokens)


def _refuse_impossible(options: DecodingOptions, max_rows: int) -> None:
    if not 1 <= options.num_beams <= max_rows:
        raise UnsupportedOptionError(
            f"num_beams is {options.num_beams}; this engine decodes 1 to {max_rows} rows together", field="num_beams"
        )
    if not 1 <= options.num_hypotheses <= options.num_beams:
        raise UnsupportedOptionError(
            f"num_hypotheses is {options.num_hypotheses}; accepted is 1 to num_beams ({options.num_beams})",
            field="num_hypotheses",
        )


def _score(output: Output) -> float:
    return output.log_prob / len(output.tokens)
