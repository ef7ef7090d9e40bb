"""A request in the batch, and what its rows may become.

Knows the output layer and the rules for outputs; nothing of the network before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.engine.kernels.functions import Places
from pipelines.engine.lora import Adapter
from pipelines.engine.projection import Columns, Projection
from pipelines.engine.search import GreedySearch, start_search
from pipelines.engine.selection import ban, banned, best_continuations, largest, may_ban, penalise
from pipelines.engine.shape import ModelShape
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


class Live:
    """A request in the batch: its search, and how much of its rows the decoder has read."""

    def __init__(self, request: Request, shape: ModelShape, projection: Projection) -> None:
        self.request = request
        self.prefix = (shape.decoder_start_id, request.target_lang_id, *request.forced)
        self.search = start_search(self.prefix, request.options, request.max_new_tokens, shape.eos_id)
        self.num_fed = 0
        self.is_greedy = isinstance(self.search, GreedySearch)
        self.is_penalised = request.options.repetition_penalty != 1.0
        self.is_constrained = self.is_penalised or may_ban(request.options)
        self.eos_id = shape.eos_id
        self.list_name = projection.list_name(request.target_lang_id)
        self.copies = projection.copies(request.source, request.target_lang_id)

    @property
    def is_past_prefix(self) -> bool:
        """Whether the step that is running chooses a token, or only reads a forced one."""
        return self.num_fed + 1 >= len(self.prefix)

    def next_tokens(self) -> list[int]:
        """Return what each row reads in the step that begins."""
        return [row[self.num_fed] for row in self.search.rows]


_Row = tuple[int, Live, list[int]]
"""Its place in the batch, whose it is, and its tokens."""


def best_of(
    lives: Sequence[Live],
    projection: Projection,
    list_name: str | None,
    hidden: Tensor,
    copies: Sequence[frozenset[int]],
    num_candidates: int,
) -> tuple[Tensor, Tensor, Columns]:
    """Return of each row the log-probabilities and columns of its best continuations, and what columns are.

    The reference applies a row's rules to logits in greedy search, else to log-probabilities.

    Args:
        lives: That the rows belong to.
        projection: The output layer.
        list_name: See `Projection`.
        hidden: `[rows, d_model]`, what the decoder returned.
        copies: See `Projection`.
        num_candidates: Of each row.
    """
    rows = _constrained_rows(lives)
    whole = projection.whole if list_name is None else None
    if whole is not None and not any(live.is_penalised for _, live, _ in rows):
        linear, columns = whole
        forbidden, excluded = (_bans(columns, rows, greedy=greedy) for greedy in (True, False))
        return *linear.best(hidden, forbidden, excluded, num_candidates), columns
    scores, columns = projection(list_name, hidden, copies)
    _penalise(scores, columns, rows, greedy=True)
    ban(scores, _bans(columns, rows, greedy=True))
    bans = _bans(columns, rows, greedy=False)
    if not any(live.is_penalised and not live.is_greedy for _, live, _ in rows):
        return *best_continuations(scores, bans, num_candidates), columns
    log_probs = torch.log_softmax(scores, dim=-1, out=scores)
    _penalise(log_probs, columns, rows, greedy=False)
    ban(log_probs, bans)
    return *largest(log_probs, num_candidates), columns


def _constrained_rows(lives: Sequence[Live]) -> list[_Row]:
    """Return the rows that a rule may change; mostly there are none, and a step has little time to look."""
    rows: list[_Row] = []
    first = 0
    for live in lives:
        if live.is_constrained:
            rows += [(index, live, tokens) for index, tokens in enumerate(live.search.rows, first)]
        first += live.search.width
    return rows


def _penalise(scores: Tensor, columns: Columns, rows: Sequence[_Row], *, greedy: bool) -> None:
    for index, live, tokens in rows:
        if live.is_penalised and live.is_greedy == greedy:
            penalise(scores, index, columns, tokens, live.request.options.repetition_penalty)


def _bans(columns: Columns, rows: Sequence[_Row], *, greedy: bool) -> Places:
    places: list[int] = []
    all_banned: list[int] = []
    for index, live, tokens in rows:
        if live.is_greedy == greedy:
            own = banned(columns, tokens, len(live.prefix), live.request.options, live.eos_id)
            places += [index] * len(own)
            all_banned += own
    return places, all_banned
