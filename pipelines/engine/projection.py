"""From the decoder's rows to scores of the tokens that each row may become.

The output layer has a row for each of 256k tokens, over half of what a step reads. For a list of tokens its rows are
gathered and packed once, at the list's first use; what rows copy from their sources is packed beside it, again only
when a row brings tokens that were not there. Knows no search.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipelines.engine.int8 import OwnLinear
from pipelines.engine.linear import Linear
from pipelines.engine.vocabulary import Vocabulary
from pipelines.engine.weights import Weights

_MOST_IDLE_COPIES = 512  # packed for rows that have left; more are packed away at the next change


class Columns:
    """Which token each column of a block of scores is: a sorted list, then the tokens copied from sources.

    Args:
        listed: In ascending order; None if every token has its own number as column.
        copied: In ascending order, none of them listed.
    """

    def __init__(self, listed: Sequence[int] | None = None, copied: Sequence[int] = ()) -> None:
        self._listed = listed
        self._copied = copied
        self._ids = None if listed is None else torch.tensor([*listed, *copied])

    def of(self, tokens: Iterable[int]) -> list[int]:
        """Return the columns of those tokens that have one."""
        if self._listed is None:
            return list(tokens)
        return [column for column in map(self._find, tokens) if column is not None]

    def tokens(self, columns: Tensor) -> Tensor:
        """Return the tokens of columns, of any shape, on the CPU."""
        columns = columns.cpu()
        return columns if self._ids is None else self._ids[columns]

    def _find(self, token: int) -> int | None:
        assert self._listed is not None
        for first, tokens in ((0, self._listed), (len(self._listed), self._copied)):
            at = bisect_left(tokens, token)
            if at < len(tokens) and tokens[at] == token:
                return first + at
        return None


class Projection:
    """The output layer under a vocabulary."""

    def __init__(self, weights: Weights, vocabulary: Vocabulary) -> None:
        self._weights = weights
        self._vocabulary = vocabulary
        self._all = Columns()
        self._lists: dict[str, _List] = {}

    def list_name(self, target_lang_id: int) -> str | None:
        """Return the list that an output in this language is made of; rows of one list are projected together."""
        return self._vocabulary.list_name(target_lang_id)

    def copies(self, source: Sequence[int], target_lang_id: int) -> frozenset[int]:
        """Return the tokens that a row may copy from its source beside its list."""
        name = self.list_name(target_lang_id)
        if name is None:
            return frozenset()
        listed = self._list(name).listed
        return frozenset(token for token in self._vocabulary.copied(source) if token not in listed)

    def __call__(
        self, name: str | None, hidden: Tensor, copies: Sequence[frozenset[int]] = ()
    ) -> tuple[Tensor, Columns]:
        """Return `[rows, columns]` logits in float32, and what the columns are.

        Args:
            name: Of the rows' list; None scores all tokens.
            hidden: `[rows, d_model]`, what the decoder returned.
            copies: What each row may copy; others' copies are `-inf`.
        """
        if name is None:
            return self._weights.lm_head(hidden).float(), self._all
        return self._list(name)(hidden, copies)

    @property
    def whole(self) -> tuple[OwnLinear, Columns] | None:
        """The layer that scores all tokens, where it is one that chooses the best by itself."""
        linear = self._weights.lm_head
        return (linear, self._all) if isinstance(linear, OwnLinear) else None

    def _list(self, name: str) -> _List:
        if name not in self._lists:
            self._lists[name] = _List(self._weights, self._vocabulary.token_ids(name))
        return self._lists[name]


class _List:
    """The packed rows of one list, and of the copies of its live rows."""

    def __init__(self, weights: Weights, token_ids: Sequence[int]) -> None:
        self.listed = frozenset(token_ids)
        self._token_ids = token_ids
        self._rows_of = weights.lm_head_rows
        self._device = weights.positions.device
        self._project = self._rows_of(torch.tensor(token_ids))
        self._columns = Columns(token_ids)
        self._copied: list[int] = []
        self._project_copied: Linear | None = None
        self._copies: Sequence[frozenset[int]] = ()
        self._forbidden = torch.zeros(0, 0)

    def __call__(self, hidden: Tensor, copies: Sequence[frozenset[int]]) -> tuple[Tensor, Columns]:
        scores = self._project(hidden).float()
        if copies != self._copies:
            self._take(copies)
        if self._project_copied is None:
            return scores, self._columns
        copied = self._project_copied(hidden).float().masked_fill_(self._forbidden, -torch.inf)
        return torch.cat([scores, copied], dim=1), self._columns

    def _take(self, copies: Sequence[frozenset[int]]) -> None:
        """Pack what the rows need and is not there, and forbid each row the others' copies."""
        self._copies = ()  # there may be no memory for what follows: then nothing of it counts as there
        needed = frozenset().union(*copies)
        if not needed.issubset(self._copied) or len(self._copied) > len(needed) + _MOST_IDLE_COPIES:
            copied = sorted(needed)
            self._project_copied = self._rows_of(torch.tensor(copied)) if copied else None
            self._copied, self._columns = copied, Columns(self._token_ids, copied)
        forbidden = [[token not in own for token in self._copied] for own in copies]
        self._forbidden = torch.tensor(forbidden, device=self._device)
        self._copies = list(copies)
