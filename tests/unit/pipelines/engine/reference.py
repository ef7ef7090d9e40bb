"""What `transformers.generate` makes of a request: the expected value of every parity test."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.backends import choose_backend
from pipelines.engine.batch import RunningBatch
from pipelines.engine.linear import Backend
from pipelines.engine.live import Request
from pipelines.engine.recorded_network import Recorder
from pipelines.engine.shape import ModelShape
from pipelines.engine.vocabulary import Vocabulary
from pipelines.engine.weights import Weights, assemble, prepare


def load_reference(path: Path) -> M2M100ForConditionalGeneration:
    """Load a checkpoint in float32, its attention computed without fused kernels' shortcuts."""
    return M2M100ForConditionalGeneration.from_pretrained(path).eval()


def running_batch(
    model: M2M100ForConditionalGeneration,
    dtype: str = "float32",
    vocabulary: Vocabulary | None = None,
    record: Recorder | None = None,
    device: str = "cpu",
) -> RunningBatch:
    """Build the engine's batch over the weights of a reference model."""
    shape = ModelShape.from_config(model.config)
    backend = choose_backend(dtype, torch.device(device))
    weights = weights_of(model, backend, scores_all_tokens=vocabulary is None)
    return RunningBatch(weights, shape, backend.cache_dtype, vocabulary, record)


def weights_of(model: M2M100ForConditionalGeneration, backend: Backend, *, scores_all_tokens: bool = False) -> Weights:
    """Return the weights of a reference model as the engine has them."""
    shape = ModelShape.from_config(model.config)
    stored = dict(prepare(model.state_dict(), shape, backend))
    return assemble(stored, shape, backend, scores_all_tokens=scores_all_tokens)


@torch.no_grad()
def generate(model: M2M100ForConditionalGeneration, request: Request) -> list[tuple[tuple[int, ...], float | None]]:
    """Decode one request alone.

    Returns:
        For each hypothesis its tokens, as `Output.tokens`, and its summed log-probability in beam search.
    """
    options = request.options
    result = model.generate(
        input_ids=torch.tensor([request.source]),
        decoder_input_ids=torch.tensor([[2, request.target_lang_id, *request.forced]]),
        do_sample=False,
        num_beams=options.num_beams,
        num_return_sequences=options.num_hypotheses,
        max_new_tokens=request.max_new_tokens,
        min_new_tokens=min(options.min_new_tokens, request.max_new_tokens),  # more means the same, with a warning
        length_penalty=options.length_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        repetition_penalty=options.repetition_penalty,
        return_dict_in_generate=True,
        output_scores=True,
    )
    eos_id = model.config.eos_token_id
    expected: list[tuple[tuple[int, ...], float | None]] = []
    for index, sequence in enumerate(result.sequences.tolist()):
        first = 2 + len(request.forced)
        tokens = sequence[first : first + request.max_new_tokens]
        if eos_id in tokens:
            tokens = tokens[: tokens.index(eos_id) + 1]
        score = None
        if options.num_beams > 1:
            score = float(result.sequences_scores[index]) * len(tokens) ** options.length_penalty
        expected.append((tuple(tokens), score))
    return expected
