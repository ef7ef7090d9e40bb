"""The running batch: rows of many requests decoded together, joining and leaving between steps.

Synchronous and without threads; what runs when is the scheduler's and the loop's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby

import torch
from torch import Tensor

from pipelines.engine.fused_network import FusedNetwork
from pipelines.engine.kernels.functions import loaded
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter, order_by_adapter
from pipelines.engine.network import Network
from pipelines.engine.projection import Columns, Projection
from pipelines.engine.recorded_network import RecordedNetwork, Recorder
from pipelines.engine.search import GreedySearch, Output, start_search
from pipelines.engine.selection import Bans, ban, best_continuations, constrain, is_constrained, largest
from pipelines.engine.shape import ModelShape
from pipelines.engine.vocabulary import Vocabulary
from pipelines.engine.weights import Weights
from pipelines.types import DecodingOptions


@dataclass(frozen=True, slots=True)
class Request:
    """One source and how it is decoded.

    Attributes:
        key: The caller's name for it, unique among live requests.
        source: Token ids, `[source language, ..., </s>]`.
        target_lang_id: Forced first token of the target.
        max_new_tokens: Bound of generated tokens, at least 1.
        options: The rest of the decoding.
        adapter: Of all its rows, to its end; None is the base model.
        forced: Tokens behind the target language that the output begins with; not generated.
    """

    key: int
    source: tuple[int, ...]
    target_lang_id: int
    max_new_tokens: int
    options: DecodingOptions
    adapter: Adapter | None = None
    forced: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that left the batch.

    Attributes:
        outputs: Best first; empty if the network gave no usable numbers for it.
    """

    key: int
    outputs: tuple[Output, ...]


class RunningBatch:
    """Encodes joining requests, steps all live rows, and lets finished ones leave.

    Args:
        weights: Of the model.
        shape: Of the model.
        dtype: Of keys and values.
        vocabulary: Of outputs; None is the full one.
        record: How the network's operations are recorded; None runs them as they come.
    """

    def __init__(
        self,
        weights: Weights,
        shape: ModelShape,
        dtype: torch.dtype,
        vocabulary: Vocabulary | None = None,
        record: Recorder | None = None,
    ) -> None:
        self._shape = shape
        self._network = _network(weights, shape, record)
        self._projection = Projection(weights, vocabulary or Vocabulary())
        self._new_cache = partial(KeyValueCache, shape, dtype, weights.embedding.device)
        self._cache = self._new_cache()
        self._live: list[_Live] = []

    @property
    def keys(self) -> list[int]:
        """Of the live requests."""
        return [live.request.key for live in self._live]

    @torch.inference_mode()
    def join(self, requests: Sequence[Request]) -> None:
        """Encode requests as one batch and add their rows. Nothing has changed if it raises."""
        requests = [requests[index] for index in order_by_adapter([request.adapter for request in requests])]
        joining = [_Live(request, self._shape, self._projection) for request in requests]
        self._network.join(
            [request.source for request in requests],
            [request.adapter for request in requests],
            [live.search.width for live in joining],
            self._cache,
        )
        self._live += joining

    @torch.inference_mode()
    def step(self) -> list[Finished]:
        """Decode one token of every live row. It may be repeated if it raises.

        Returns:
            The requests that are done; they have left.
        """
        tokens = list(chain.from_iterable(live.next_tokens() for live in self._live))
        adapters = [live.request.adapter for live in self._live for _ in live.search.rows]
        align = any(live.request.options.align for live in self._live)
        hidden, attended = self._network.step(tokens, self._cache, adapters, align=align)
        selecting: list[tuple[_Live, int]] = []  # and its first row
        first = 0
        for live in self._live:
            if live.is_past_prefix:
                selecting.append((live, first))
            first += live.search.width
        selecting.sort(key=lambda each: each[0].list_name or "")  # rows of one list are projected together
        totals, chosen = self._continuations(hidden, selecting) if selecting else ([], [])
        self._cache.advance()
        for live in self._live:
            live.num_fed += 1
        return self._take(selecting, totals, chosen, [] if attended is None else attended.tolist())

    @torch.inference_mode()
    def drop(self, keys: set[int]) -> None:
        """Remove requests, finished or not."""
        groups = {index for index, live in enumerate(self._live) if live.request.key in keys}
        if groups:
            self._live = [self._live[group] for group in self._cache.drop(groups)]

    def clear(self) -> None:
        """Remove all requests and give their memory back."""
        self._live = []
        self._cache = self._new_cache()

    def _continuations(
        self, hidden: Tensor, selecting: Sequence[tuple[_Live, int]]
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Return for each row of `selecting` its best continuations' summed log-probabilities and ids."""
        num_candidates = max(live.search.num_candidates for live, _ in selecting)
        totals: list[list[float]] = []
        tokens: list[list[int]] = []
        for name, group in groupby(selecting, key=lambda each: each[0].list_name):
            members = list(group)
            lives = [live for live, _ in members]
            rows = [row for live, first in members for row in range(first, first + live.search.width)]
            copies = [live.copies for live in lives for _ in live.search.rows]
            part = hidden if rows == list(range(len(hidden))) else hidden[rows]
            scores, columns = self._projection(name, part, copies)
            values, at = _best(scores, columns, lives, self._shape.eos_id, num_candidates)
            summed = torch.tensor([score for live in lives for score in live.search.scores])
            totals += (values.cpu() + summed[:, None]).tolist()
            tokens += columns.tokens(at).tolist()
        return totals, tokens

    def _take(
        self,
        selecting: Sequence[tuple[_Live, int]],
        totals: list[list[float]],
        tokens: list[list[int]],
        attended: list[int],
    ) -> list[Finished]:
        """Advance every search by its share of the continuations."""
        finished, sources, targets, offset = [], [], [], 0
        for live, first_row in selecting:
            own = slice(offset, offset + live.search.width)
            offset += live.search.width
            best = max(row[0] for row in totals[own])
            if not best > -torch.inf:  # also true of NaN
                finished.append(Finished(live.request.key, ()))
                continue
            seen = attended[first_row : first_row + live.search.width] if live.request.options.align else []
            for source, target in live.search.advance(totals[own], tokens[own], seen):
                sources.append(first_row + source)
                targets.append(first_row + target)
            if live.search.outputs:
                finished.append(Finished(live.request.key, live.search.outputs))
        self._cache.copy_rows(sources, targets)
        self.drop({done.key for done in finished})
        return finished


def _network(weights: Weights, shape: ModelShape, record: Recorder | None) -> Network:
    if record is not None:
        return RecordedNetwork(weights, shape, record)
    if (kernels := loaded()) is not None and FusedNetwork.is_possible(weights, shape):
        return FusedNetwork(weights, shape, kernels)
    return Network(weights, shape)


class _Live:
    """A request in the batch: its search, and how much of its rows the decoder has read."""

    def __init__(self, request: Request, shape: ModelShape, projection: Projection) -> None:
        self.request = request
        self.prefix = (shape.decoder_start_id, request.target_lang_id, *request.forced)
        self.search = start_search(self.prefix, request.options, request.max_new_tokens, shape.eos_id)
        self.num_fed = 0
        self.is_constrained = is_constrained(request.options)
        self.is_greedy = isinstance(self.search, GreedySearch)
        self.penalises_log_probs = not self.is_greedy and request.options.repetition_penalty != 1.0
        self.list_name = projection.list_name(request.target_lang_id)
        self.copies = projection.copies(request.source, request.target_lang_id)

    @property
    def is_past_prefix(self) -> bool:
        """Whether the step that is running chooses a token, or only reads a forced one."""
        return self.num_fed + 1 >= len(self.prefix)

    def next_tokens(self) -> list[int]:
        return [row[self.num_fed] for row in self.search.rows]


def _best(
    scores: Tensor, columns: Columns, lives: Sequence[_Live], eos_id: int, num_candidates: int
) -> tuple[Tensor, Tensor]:
    """Return the best continuations under the rows' constraints.

    The reference constrains logits in greedy search, else log-probabilities.
    """
    ban(scores, _constrain(scores, columns, lives, eos_id, greedy=True))
    if not any(live.penalises_log_probs for live in lives):
        return best_continuations(scores, _constrain(scores, columns, lives, eos_id, greedy=False), num_candidates)
    log_probs = torch.log_softmax(scores, dim=-1, out=scores)
    ban(log_probs, _constrain(log_probs, columns, lives, eos_id, greedy=False))
    return largest(log_probs, num_candidates)


def _constrain(scores: Tensor, columns: Columns, lives: Sequence[_Live], eos_id: int, *, greedy: bool) -> Bans:
    """Apply penalties to the rows of one kind of search, and return what they ban."""
    rows: list[int] = []
    banned: list[int] = []
    row = 0
    for live in lives:
        for tokens in live.search.rows:
            if live.is_constrained and live.is_greedy == greedy:
                own = constrain(scores, row, columns, tokens, len(live.prefix), live.request.options, eos_id)
                rows += [row] * len(own)
                banned += own
            row += 1
    return rows, banned
