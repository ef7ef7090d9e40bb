"""How well a few dev sentences are translated in the middle of training: a curve to look at, no verdict.

The verdict is `train.evaluate`'s, with the engine that serves.
"""

from __future__ import annotations

from typing import Any

import torch
from sacrebleu.metrics.chrf import CHRF
from torch import nn

from pipelines.engine.tokenize import SegmentTokenizer
from train.data.tokens import TokenizedPairs
from train.model import base_model, set_evaluating
from train.tensors import filled

_MAX_LENGTH_RATIO = 2
_EXTRA_TOKENS = 8


class QuickScore:
    """Greedy translations of the first dev pairs, scored by chrF++.

    Args:
        pairs: The dev set.
        tokenizer: Spells the outputs.
        target_lang: FLORES-200 code.
        num_sentences: How many are translated.
    """

    def __init__(
        self, pairs: TokenizedPairs, tokenizer: SegmentTokenizer, target_lang: str, num_sentences: int
    ) -> None:
        rows = [pairs.row(index) for index in range(min(num_sentences, len(pairs)))]
        self._sources = [source for source, _ in rows]
        self._references = tokenizer.decode([target.tolist() for _, target in rows])
        self._tokenizer = tokenizer
        self._start = tokenizer.target_prefix(target_lang)[1]

    @torch.no_grad()
    def chrf(self, model: nn.Module) -> float:
        """Return chrF++ (0 to 100) of a model; it is left in evaluation mode."""
        set_evaluating(model)
        translator: Any = base_model(model)
        source_ids = filled(self._sources, self._tokenizer.pad_id, translator.device)
        output = translator.generate(
            input_ids=source_ids,
            attention_mask=source_ids.ne(self._tokenizer.pad_id).long(),
            forced_bos_token_id=self._start,
            num_beams=1,
            do_sample=False,
            max_length=None,
            max_new_tokens=_MAX_LENGTH_RATIO * source_ids.shape[1] + _EXTRA_TOKENS,
        )
        texts = self._tokenizer.decode(output.tolist())
        return float(CHRF(word_order=2).corpus_score(texts, [self._references]).score)
