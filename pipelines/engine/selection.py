"""From logits to each row's best continuations, the row's own constraints applied; knows no search state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.kernels.functions import Places, loaded
from pipelines.engine.projection import Columns
from pipelines.engine.transfer import integers
from pipelines.types import DecodingOptions

_BLOCK = 512


def best_continuations(scores: Tensor, bans: Places, num_candidates: int) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities and columns, `[rows, num_candidates]` each, of the best, best first.

    Args:
        scores: `[rows, columns]`, contiguous, in float32; overwritten.
        bans: Of what is not chosen, though it counts for the others' probabilities.
        num_candidates: More than there are are made up: of log-probability `-inf`.
    """
    if scores.device.type == "cpu" and (kernels := loaded()) is not None:
        return kernels.best(scores, bans, num_candidates)
    log_probs = torch.log_softmax(scores, dim=-1, out=scores)
    ban(log_probs, bans)
    return largest(log_probs, num_candidates)


def ban(scores: Tensor, bans: Places) -> None:
    """Make scores `-inf`; those of many rows together cost as much as one row's."""
    rows, columns = bans
    if rows:
        scores[integers(rows, scores.device), integers(columns, scores.device)] = -torch.inf


def largest(scores: Tensor, num_candidates: int) -> tuple[Tensor, Tensor]:
    """Return the values and columns, `[rows, num_candidates]` each, of the largest scores, best first.

    `Tensor.topk` and `argmax` visit 256k entries one by one. The k largest lie in the k blocks with the largest
    maxima, and finding those is one vectorised pass.

    Args:
        scores: `[rows, vocabulary]`, contiguous.
        num_candidates: More than there are are made up: of score `-inf`.
    """
    rows, vocabulary = scores.shape
    if vocabulary < num_candidates:
        values, ids = functional.pad(scores, (0, num_candidates - vocabulary), value=-torch.inf).topk(num_candidates)
        return values, ids.clamp_max(vocabulary - 1)
    num_blocks = vocabulary // _BLOCK
    if num_blocks <= 2 * num_candidates:
        values, ids = scores.topk(num_candidates)
        return values, ids
    blocks = scores[:, : num_blocks * _BLOCK].view(rows, num_blocks, _BLOCK)
    chosen = blocks.amax(-1).topk(num_candidates).indices[:, :, None]
    rest = torch.arange(num_blocks * _BLOCK, vocabulary, device=scores.device).expand(rows, -1)
    within = torch.arange(_BLOCK, device=scores.device)
    ids = torch.cat([(chosen * _BLOCK + within).flatten(1), rest], dim=1)
    candidates = torch.cat(
        [blocks.gather(1, chosen.expand(-1, -1, _BLOCK)).flatten(1), scores[:, num_blocks * _BLOCK :]], dim=1
    )
    values, at = candidates.topk(num_candidates)
    return values, ids.gather(1, at)


def penalise(scores: Tensor, row: int, columns: Columns, tokens: Sequence[int], penalty: float) -> None:
    """Change one row's scores of the tokens that it has, as `transformers`' logits processor does."""
    seen = integers(columns.of(sorted(set(tokens))), scores.device)
    old = scores[row, seen]
    scores[row, seen] = torch.where(old < 0, old * penalty, old / penalty)


def may_ban(options: DecodingOptions) -> bool:
    """Whether `banned` may return anything for a row with these options."""
    return options.min_new_tokens > 0 or options.no_repeat_ngram_size > 0


def banned(
    columns: Columns, tokens: Sequence[int], prefix_length: int, options: DecodingOptions, eos_id: int
) -> list[int]:
    """Return the columns that a row must not choose now; rules as in `transformers`' logits processors.

    Args:
        columns: Where a token's score is, if it has one.
        tokens: Of the row so far, forced prefix included.
        prefix_length: Of the forced prefix.
        options: Of the row.
        eos_id: Banned until `min_new_tokens` are generated.
    """
    found: list[int] = []
    if options.no_repeat_ngram_size > 0:
        found += columns.of(_ngram_continuations(tokens, options.no_repeat_ngram_size))
    if len(tokens) - prefix_length < options.min_new_tokens:
        found += columns.of([eos_id])
    return found


def _ngram_continuations(row: Sequence[int], size: int) -> list[int]:
    """Return the tokens that would complete an n-gram the row already has."""
    start = len(row) - size + 1
    if start < 1:
        return []
    suffix = list(row[start:])
    return [row[i + size - 1] for i in range(start) if list(row[i : i + size - 1]) == suffix]
