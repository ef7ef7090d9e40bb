"""One static batch through `transformers`' own `generate`. Knows no threads and no queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, M2M100ForConditionalGeneration, StoppingCriteria, StoppingCriteriaList

from pipelines.engine.length import LengthBound, least_new_tokens
from pipelines.engine.tokenize import PREFIX_LENGTH, SegmentTokenizer
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Hypothesis, Translation


def shared_settings(row: EncodedSegment) -> DecodingOptions:
    """Return what all rows of one batch must have in common; the bound of the length is each row's own."""
    return replace(
        row.segment.decoding,
        max_new_tokens=None,
        max_length_ratio=None,
        min_new_tokens=least_new_tokens(row),
        min_length_ratio=0.0,
    )


class Generator:
    """Translates batches of rows whose `shared_settings` are equal; language pairs may differ.

    Args:
        model: In evaluation mode, on its device; owned by this object from here on.
        tokenizer: Of the same checkpoint.
        bound: Of output lengths.
    """

    def __init__(self, model: M2M100ForConditionalGeneration, tokenizer: SegmentTokenizer, bound: LengthBound) -> None:
        self._model: Any = model
        self._tokenizer = tokenizer
        self._bound = bound
        # What a checkpoint brings along (`max_length: 200`, say) would be merged into our settings.
        self._model.generation_config = self._generation_config()

    @torch.inference_mode()
    def translate(self, rows: Sequence[EncodedSegment], on_step: Callable[[], None]) -> list[Translation]:
        """Return one translation per row, in order.

        Args:
            rows: At least one.
            on_step: Called after each step of the decoder.
        """
        options = shared_settings(rows[0])
        bounds = [self._bound.of(row) for row in rows]
        source, mask = self._pad([row.token_ids for row in rows])
        prefixes, _ = self._pad([self._tokenizer.target_prefix(row.segment.target_lang) for row in rows])
        encoder_outputs = self._model.get_encoder()(input_ids=source, attention_mask=mask)
        encoded = encoder_outputs.last_hidden_state  # generate() repeats the rows of `encoder_outputs` in place
        sequences: Tensor = self._model.generate(
            encoder_outputs=encoder_outputs,
            attention_mask=mask,
            decoder_input_ids=prefixes,
            generation_config=self._generation_config(options, max(bounds)),
            stopping_criteria=StoppingCriteriaList([_RowBounds(bounds, on_step)]),
        )
        num_each = options.num_hypotheses
        outputs = [
            self._cut(sequence[PREFIX_LENGTH:], bounds[i // num_each]) for i, sequence in enumerate(sequences.tolist())
        ]
        scores = self._mean_log_probs(
            sequences, outputs, encoded.repeat_interleave(num_each, 0), mask.repeat_interleave(num_each, 0)
        )
        texts = self._tokenizer.decode(outputs)
        hypotheses = [Hypothesis(text, score) for text, score in zip(texts, scores, strict=True)]
        return [
            self._translation(row, outputs[i * num_each], tuple(hypotheses[i * num_each : (i + 1) * num_each]))
            for i, row in enumerate(rows)
        ]

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return ids and mask `[rows, longest]`."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self._tokenizer.pad_id] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return ids.to(self._model.device), mask.to(self._model.device)

    def _generation_config(
        self, options: DecodingOptions | None = None, max_new_tokens: int | None = None
    ) -> GenerationConfig:
        settings: dict[str, Any] = {
            "decoder_start_token_id": self._tokenizer.eos_id,
            "eos_token_id": self._tokenizer.eos_id,
            "pad_token_id": self._tokenizer.pad_id,
        }
        if options is not None:
            settings |= {
                "do_sample": False,
                "early_stopping": False,
                "use_cache": True,
                "max_new_tokens": max_new_tokens,
                "min_new_tokens": options.min_new_tokens,
                "num_beams": options.num_beams,
                "length_penalty": options.length_penalty,
                "no_repeat_ngram_size": options.no_repeat_ngram_size,
                "repetition_penalty": options.repetition_penalty,
                "num_return_sequences": options.num_hypotheses,
            }
        return GenerationConfig(**settings)

    def _cut(self, tokens: list[int], bound: int) -> list[int]:
        """Drop the padding behind `</s>`, or behind the row's own bound."""
        if self._tokenizer.eos_id in tokens:
            return tokens[: tokens.index(self._tokenizer.eos_id) + 1]
        return tokens[:bound]

    def _mean_log_probs(
        self, sequences: Tensor, outputs: Sequence[Sequence[int]], encoded: Tensor, mask: Tensor
    ) -> list[float]:
        """Read the finished outputs once more: keeping every step's scores takes rows * steps * vocabulary."""
        hidden = self._model.get_decoder()(
            input_ids=sequences[:, :-1],
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        first = PREFIX_LENGTH - 1  # the language token predicts the first generated one
        means = []
        for row, output in zip(hidden, outputs, strict=True):
            log_probs = self._model.lm_head(row[first : first + len(output)]).float().log_softmax(-1)
            chosen = log_probs.gather(1, torch.tensor(output, device=log_probs.device)[:, None])
            means.append(chosen.mean().item())
        return means

    def _translation(
        self, row: EncodedSegment, output: Sequence[int], hypotheses: tuple[Hypothesis, ...]
    ) -> Translation:
        return Translation(
            text=hypotheses[0].text,
            score=hypotheses[0].score,
            num_source_tokens=row.num_tokens,
            num_target_tokens=len(output),
            finish="stop" if output[-1] == self._tokenizer.eos_id else "length",
            alternatives=hypotheses if len(hypotheses) > 1 else (),
            unknown_spans=row.unknown_spans,
        )


class _RowBounds(StoppingCriteria):  # type: ignore[misc]
    """Ends each row at its own bound. Sees the candidates of a row one after the other, once in each step."""

    def __init__(self, bounds: Sequence[int], on_step: Callable[[], None]) -> None:
        self._lengths = [PREFIX_LENGTH + bound for bound in bounds]
        self._on_step = on_step

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        self._on_step()
        lengths = torch.tensor(self._lengths, device=input_ids.device)
        return input_ids.shape[1] >= lengths.repeat_interleave(input_ids.shape[0] // len(self._lengths))
