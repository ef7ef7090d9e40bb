"""The running batch: rows of many requests decoded together, joining and leaving between steps.

Synchronous and without threads; what runs when is the scheduler's and the loop's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby

import torch
from torch import Tensor

from pipelines.engine.fused_network import FusedNetwork
from pipelines.engine.kernels.functions import loaded
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.live import Live, Request, best_of
from pipelines.engine.lora import order_by_adapter
from pipelines.engine.network import Network
from pipelines.engine.projection import Projection
from pipelines.engine.recorded_network import RecordedNetwork, Recorder
from pipelines.engine.search import Output
from pipelines.engine.shape import ModelShape
from pipelines.engine.vocabulary import Vocabulary
from pipelines.engine.weights import Weights


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
        max_cached_tokens: See `KeyValueCache`.
    """

    def __init__(
        self,
        weights: Weights,
        shape: ModelShape,
        dtype: torch.dtype,
        vocabulary: Vocabulary | None = None,
        record: Recorder | None = None,
        max_cached_tokens: float = math.inf,
    ) -> None:
        self._shape = shape
        self._network = _network(weights, shape, record)
        self._projection = Projection(weights, vocabulary or Vocabulary())
        self._new_cache = partial(KeyValueCache, shape, dtype, weights.embedding.device, max_cached_tokens)
        self._cache = self._new_cache()
        self._live: list[Live] = []

    @property
    def keys(self) -> list[int]:
        """Of the live requests."""
        return [live.request.key for live in self._live]

    @torch.inference_mode()
    def join(self, requests: Sequence[Request]) -> None:
        """Encode requests as one batch and add their rows. Nothing has changed if it raises."""
        requests = [requests[index] for index in order_by_adapter([request.adapter for request in requests])]
        joining = [Live(request, self._shape, self._projection) for request in requests]
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
        selecting: list[tuple[Live, int]] = []  # and its first row
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
        self, hidden: Tensor, selecting: Sequence[tuple[Live, int]]
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
            values, at, columns = best_of(lives, self._projection, name, part, copies, num_candidates)
            summed = torch.tensor([score for live in lives for score in live.search.scores])
            totals += (values.cpu() + summed[:, None]).tolist()
            tokens += columns.tokens(at).tolist()
        return totals, tokens

    def _take(
        self,
        selecting: Sequence[tuple[Live, int]],
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
