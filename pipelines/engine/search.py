"""Which tokens a row's output is made of: greedy and beam search over one source, one step at a time.

Semantics and arithmetic are those of `transformers` (`GenerationMixin._sample` without sampling, `_beam_search` with
`early_stopping=False`) for a prompt of `</s>` and the target language, so that float32 outputs are equal token by
token. Knows no network and no batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.types import DecodingOptions

_UNREACHABLE = -1e9  # what the reference adds to the score of beams that must not be chosen


@dataclass(frozen=True, slots=True)
class Output:
    """One finished hypothesis.

    Attributes:
        tokens: Generated ids, forced prefix excluded, `</s>` included if the model ended the output itself.
        log_prob: Sum over `tokens`.
        attended: For each of `tokens` the source token it attends to most, if `advance` was told.
    """

    tokens: tuple[int, ...]
    log_prob: float
    finish: Literal["stop", "length"]
    attended: tuple[int, ...] = ()


class Search(Protocol):
    """The state of one source's decoding; occupies `width` rows of the batch.

    Attributes:
        width: Number of rows.
        num_candidates: How many best continuations of each row `advance` wants to see.
        rows: Tokens of each row, `[decoder start, target language, generated...]`.
        scores: Summed log-probability of each row.
        outputs: Best first; empty until the search is done.
    """

    width: int
    num_candidates: int
    rows: list[list[int]]
    scores: list[float]
    outputs: tuple[Output, ...]

    def advance(
        self, totals: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]], attended: Sequence[int] = ()
    ) -> list[tuple[int, int]]:
        """Take one step.

        Args:
            totals: For each row its best continuations' summed log-probabilities, best first.
            tokens: Their ids.
            attended: The source token that each row attended to most, if it is wanted in the outputs.

        Returns:
            Pairs (from, to) of rows whose memory must be copied, all at once, before the next step.
        """
        ...


def start_search(prefix: Sequence[int], options: DecodingOptions, max_new_tokens: int, eos_id: int) -> Search:
    """Begin decoding one source.

    Args:
        prefix: Forced tokens, `[decoder start, target language]`.
        options: Of the row.
        max_new_tokens: Bound of generated tokens, at least 1.
        eos_id: Ends an output.
    """
    if options.num_beams == 1:
        return GreedySearch(prefix, max_new_tokens, eos_id)
    return BeamSearch(prefix, options, max_new_tokens, eos_id)


class GreedySearch(Search):
    """The best token of every step."""

    width = 1
    num_candidates = 1

    def __init__(self, prefix: Sequence[int], max_new_tokens: int, eos_id: int) -> None:
        self.rows = [list(prefix)]
        self.scores = [0.0]
        self.outputs: tuple[Output, ...] = ()
        self._prefix_length = len(prefix)
        self._max_length = len(prefix) + max_new_tokens
        self._eos_id = eos_id
        self._attended: list[int] = []

    def advance(
        self, totals: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]], attended: Sequence[int] = ()
    ) -> list[tuple[int, int]]:
        """Append the best token."""
        (row,) = self.rows
        row.append(tokens[0][0])
        self._attended += attended
        self.scores = [totals[0][0]]
        stopped = row[-1] == self._eos_id
        if stopped or len(row) == self._max_length:
            generated = tuple(row[self._prefix_length :])
            finish: Literal["stop", "length"] = "stop" if stopped else "length"
            self.outputs = (Output(generated, self.scores[0], finish, tuple(self._attended)),)
        return []


class BeamSearch(Search):
    """The `num_beams` best continuations of every step, until none can beat the finished ones."""

    def __init__(self, prefix: Sequence[int], options: DecodingOptions, max_new_tokens: int, eos_id: int) -> None:
        self.width = options.num_beams
        self.num_candidates = 2 * options.num_beams
        self.rows = [list(prefix) for _ in range(self.width)]
        # All beams begin equal: only the first may be continued in the first step.
        self.scores = [0.0] + [_UNREACHABLE] * (self.width - 1)
        self.outputs: tuple[Output, ...] = ()
        self._num_hypotheses = options.num_hypotheses
        self._length_penalty = options.length_penalty
        self._prefix_length = len(prefix)
        self._max_length = len(prefix) + max_new_tokens
        self._eos_id = eos_id
        self._finished: list[tuple[float, Output]] = []  # best first, with length-penalised scores
        self._attended: list[tuple[int, ...]] = [()] * self.width  # of each row

    def advance(
        self, totals: Sequence[Sequence[float]], tokens: Sequence[Sequence[int]], attended: Sequence[int] = ()
    ) -> list[tuple[int, int]]:
        """Keep the best open beams and the best finished outputs."""
        if attended:
            self._attended = [(*row, latest) for row, latest in zip(self._attended, attended, strict=True)]
        candidates = [
            (total, row, token)
            for row in range(self.width)
            for total, token in zip(totals[row], tokens[row], strict=True)
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        candidates = candidates[: self.num_candidates]
        length = len(self.rows[0]) + 1
        at_bound = length == self._max_length
        for total, row, token in candidates[: self.width]:
            if token == self._eos_id or at_bound:
                self._finish(total, [*self.rows[row], token], self._attended[row])
        if at_bound:
            self.outputs = self._best_outputs()
            return []
        open_beams = [candidate for candidate in candidates if candidate[2] != self._eos_id][: self.width]
        if len(self._finished) == self.width and self._penalised(open_beams[0][0], length) <= self._finished[-1][0]:
            self.outputs = self._best_outputs()
            return []
        return self._continue(open_beams)

    def _finish(self, total: float, row: list[int], attended: tuple[int, ...]) -> None:
        finish: Literal["stop", "length"] = "stop" if row[-1] == self._eos_id else "length"
        output = Output(tuple(row[self._prefix_length :]), total, finish, attended)
        self._finished.append((self._penalised(total, len(row)), output))
        self._finished.sort(key=lambda scored: -scored[0])
        del self._finished[self.width :]

    def _penalised(self, total: float, length: int) -> float:
        """Divide by a power of the number of generated tokens."""
        return total / float((length - self._prefix_length) ** self._length_penalty)

    def _best_outputs(self) -> tuple[Output, ...]:
        return tuple(output for _, output in self._finished[: self._num_hypotheses])

    def _continue(self, open_beams: list[tuple[float, int, int]]) -> list[tuple[int, int]]:
        """Give every beam a row: its parent's own if that is free, so that few rows are copied."""
        parents = {parent for _, parent, _ in open_beams}
        free = [row for row in range(self.width) if row not in parents]
        rows, scores, attended, copies = list(self.rows), list(self.scores), list(self._attended), []
        for total, parent, token in open_beams:
            if parent in parents:
                parents.remove(parent)
                row = parent
            else:
                row = free.pop()
                copies.append((parent, row))
            rows[row] = [*self.rows[parent], token]
            scores[row] = total
            attended[row] = self._attended[parent]
        self.rows, self.scores, self._attended = rows, scores, attended
        return copies
