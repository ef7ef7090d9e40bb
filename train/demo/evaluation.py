"""How good the demo model is: exact matches of greedy translations, by direction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import M2M100ForConditionalGeneration, NllbTokenizer

from train.demo.corpus import Row
from train.demo.settings import DIRECTIONS

_ROWS_PER_BATCH = 128


def exact_match_by_direction(
    model: M2M100ForConditionalGeneration, tokenizer: NllbTokenizer, rows: Sequence[Row]
) -> dict[str, float]:
    """Translate the rows in all directions.

    Returns:
        The share of outputs that equal the reference to the character, by direction (`eng_Latn-hin_Deva`).
    """
    shares = {}
    for source, target in DIRECTIONS:
        outputs = translate(model, tokenizer, [row[source] for row in rows], source, target)
        num_hits = sum(output == row[target] for output, row in zip(outputs, rows, strict=True))
        shares[f"{source}-{target}"] = num_hits / len(rows)
    return shares


def translate(
    model: M2M100ForConditionalGeneration, tokenizer: NllbTokenizer, texts: Sequence[str], source: str, target: str
) -> list[str]:
    """Translate texts greedily, in order, as a user of the checkpoint would with `transformers` alone."""
    tokenizer.src_lang = source
    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    outputs = [""] * len(texts)
    for start in range(0, len(texts), _ROWS_PER_BATCH):
        indices = by_length[start : start + _ROWS_PER_BATCH]
        batch = tokenizer([texts[index] for index in indices], return_tensors="pt", padding=True)
        with torch.inference_mode():
            generated = model.generate(
                **batch, forced_bos_token_id=tokenizer.convert_tokens_to_ids(target), num_beams=1
            )
        decoded = tokenizer.batch_decode(generated, skip_special_tokens=True)
        for index, text in zip(indices, decoded, strict=True):
            outputs[index] = text
    return outputs
