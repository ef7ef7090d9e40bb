"""Which pairs are computed together? Pairs of like length, so that little is padding, in another order each epoch.

All batches of a run form one sequence, the epochs behind each other. It is known from the lengths and the seed alone:
every worker knows what the others compute, and a place in it is all that resuming needs, also with another number of
workers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class BatchPlan:
    """The batches of all epochs.

    Args:
        lengths: Tokens of each pair's longer side, `[num_pairs]`.
        batch_size: Most pairs of one batch.
        padded_token_budget: Most padded tokens of one batch, pairs times the longest side; None sets no bound. A pair
            that is longer by itself is a batch of its own.
        seed: Decides which pairs of equal length meet, and the order of the batches.
    """

    def __init__(
        self, lengths: npt.NDArray[np.integer], batch_size: int, padded_token_budget: int | None, seed: int
    ) -> None:
        self._lengths = np.asarray(lengths)
        self._seed = seed
        self._bounds = _bounds(np.sort(self._lengths), batch_size, padded_token_budget)
        self._epoch: tuple[int, list[Rows]] = (-1, [])

    @property
    def batches_per_epoch(self) -> int:
        """The same for every epoch: only pairs of equal length change places."""
        return len(self._bounds) - 1

    def batch(self, index: int) -> Rows:
        """Return the pairs of one batch of the whole sequence."""
        epoch, place = divmod(index, self.batches_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._epoch[1][place]

    def _shuffled(self, epoch: int) -> list[Rows]:
        draw = np.random.default_rng((self._seed, epoch))
        mixed = draw.permutation(len(self._lengths))
        by_length = mixed[np.argsort(self._lengths[mixed], kind="stable")]
        order = draw.permutation(self.batches_per_epoch)
        return [by_length[self._bounds[each] : self._bounds[each + 1]] for each in order]


def _bounds(lengths: npt.NDArray[np.integer], batch_size: int, padded_token_budget: int | None) -> list[int]:
    """Cut sorted lengths into batches; return where each begins, and the end."""
    bounds = [0]
    while bounds[-1] < len(lengths):
        start = bounds[-1]
        candidates = lengths[start : start + batch_size].astype(np.int64)
        size = len(candidates)
        if padded_token_budget is not None:
            padded = candidates * np.arange(1, size + 1)
            size = max(1, int(np.searchsorted(padded, padded_token_budget, side="right")))
        bounds.append(start + size)
    return bounds
