"""Training of the demo model from scratch: from rows in all languages to an M2M100 model.

Each row is encoded once per language and decoded into every other one from the same encoder states, which the
architecture allows because only the decoder is told the target language. Knows no files.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from train.demo.corpus import Row
from train.demo.embeddings import aligned_embeddings
from train.demo.noise import careless_spellings
from train.demo.settings import LANGUAGES, DemoSettings


@dataclass(frozen=True)
class _EncodedRow:
    """Token ids of one row by language: of the text, and of careless spellings of it."""

    exact: dict[str, list[int]]
    careless: dict[str, list[list[int]]]

    def sources(self, noise_ratio: float, rng: random.Random) -> dict[str, list[int]]:
        """Draw how each language's text is spelt when it is the source."""
        return {
            language: rng.choice(self.careless[language]) if rng.random() < noise_ratio else ids
            for language, ids in self.exact.items()
        }


_Batch = list[tuple[dict[str, list[int]], dict[str, list[int]]]]
"""Rows as (source, target) texts: token ids by language."""


def train_model(
    rows: Sequence[Row], tokenizer: NllbTokenizer, settings: DemoSettings, on_step: Callable[[float], None]
) -> M2M100ForConditionalGeneration:
    """Train on the rows in all directions; the caller's random state is left as it was.

    Args:
        rows: Texts in all languages.
        tokenizer: Spells them.
        settings: Sizes, steps and seed.
        on_step: Called after each step with its loss.
    """
    encoded = [_encode(row, tokenizer) for row in rows]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = _new_model(encoded, tokenizer, settings)
        optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, betas=(0.9, 0.98), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=settings.learning_rate,
            total_steps=settings.num_steps,
            pct_start=settings.warmup_ratio,
            cycle_momentum=False,
        )
        batches = _batches(encoded, settings)
        with ThreadPoolExecutor(settings.num_parts, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in range(settings.num_steps):
                loss = _find_gradients(model, tokenizer, next(batches), pool, settings.num_parts)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                on_step(loss)
    return model.eval()


def _encode(row: Row, tokenizer: NllbTokenizer) -> _EncodedRow:
    exact = tokenizer(list(row.values()), add_special_tokens=False).input_ids
    careless = {
        language: tokenizer(careless_spellings(text, language), add_special_tokens=False).input_ids
        for language, text in row.items()
    }
    return _EncodedRow(dict(zip(row, exact, strict=True)), careless)


def _new_model(
    rows: Sequence[_EncodedRow], tokenizer: NllbTokenizer, settings: DemoSettings
) -> M2M100ForConditionalGeneration:
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=settings.d_model,
        encoder_layers=settings.encoder_layers,
        decoder_layers=settings.decoder_layers,
        encoder_attention_heads=settings.num_heads,
        decoder_attention_heads=settings.num_heads,
        encoder_ffn_dim=settings.ffn_dim,
        decoder_ffn_dim=settings.ffn_dim,
        max_position_embeddings=settings.max_position_embeddings,
        init_std=settings.init_std,
        # So many different sentences are each seen so few times that there is nothing to regularise.
        dropout=0.0,
        attention_dropout=0.0,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
    )
    model = M2M100ForConditionalGeneration(config)
    model.generation_config.max_length = 200  # as NLLB-200's checkpoints have it
    tokens = [[token for ids in row.exact.values() for token in ids] for row in rows]
    embeddings = aligned_embeddings(tokens, len(tokenizer), settings.d_model)
    with torch.no_grad():
        # The model multiplies its embeddings by sqrt(d_model).
        model.get_input_embeddings().weight.copy_(embeddings / settings.d_model**0.5)
        for layer in model.model.decoder.layers:
            _look_at_like_words(layer.encoder_attn)
    return model.train()


def _look_at_like_words(attention: nn.Module) -> None:
    """Start cross-attention near the identity: it looks at source words that resemble the output in meaning or place.

    What it finds is added to the output as it is, and since a word is near its translations, attending to the right
    word pays from the first step. From chance, finding that out takes most of the training.
    """
    gains = {"q_proj": 1.0, "k_proj": 1.0, "v_proj": 0.8, "out_proj": 0.8}
    for name, gain in gains.items():
        weight = attention.get_parameter(f"{name}.weight")
        weight.mul_(0.3).add_(gain * torch.eye(len(weight)))


def _batches(rows: list[_EncodedRow], settings: DemoSettings) -> Iterator[_Batch]:
    """Yield rows of like length, without end, all rows in each pass."""
    rng = random.Random(settings.seed)
    size = settings.rows_per_step
    while True:
        shuffled = rng.sample(rows, len(rows))
        shuffled.sort(key=lambda row: max(map(len, row.exact.values())))
        batches = [shuffled[start : start + size] for start in range(0, len(rows), size)]
        rng.shuffle(batches)
        for batch in batches:
            yield [(row.sources(settings.noise_ratio, rng), row.exact) for row in batch]


def _find_gradients(
    model: M2M100ForConditionalGeneration,
    tokenizer: NllbTokenizer,
    batch: _Batch,
    pool: ThreadPoolExecutor,
    num_parts: int,
) -> float:
    """Set each parameter's gradient for a batch, and return its loss.

    The parts are added in their own order, whichever is done first: the same batch, the same gradient.
    """
    parameters = list(model.parameters())

    def one_part(part: _Batch) -> tuple[tuple[Tensor, ...], float, int]:
        loss, num_tokens = _loss(model, tokenizer, part)
        return torch.autograd.grad(loss, parameters), loss.item(), num_tokens

    parts = [part for index in range(num_parts) if (part := batch[index::num_parts])]
    gradients, losses, nums_tokens = zip(*pool.map(one_part, parts), strict=True)
    num_tokens = sum(nums_tokens)
    for parameter, of_parts in zip(parameters, zip(*gradients, strict=True), strict=True):
        parameter.grad = functools.reduce(Tensor.add_, of_parts).div_(num_tokens)
    return float(sum(losses) / num_tokens)


def _loss(model: M2M100ForConditionalGeneration, tokenizer: NllbTokenizer, batch: _Batch) -> tuple[Tensor, int]:
    """Return the summed cross-entropy of all target tokens over all directions, and how many they are."""
    end = tokenizer.eos_token_id
    code = {language: tokenizer.convert_tokens_to_ids(language) for language in LANGUAGES}
    source_ids = _pad(
        [[code[language], *source[language], end] for source, _ in batch for language in LANGUAGES], tokenizer
    )
    target_ids = _pad(
        [
            [end, code[target], *texts[target], end]
            for _, texts in batch
            for source in LANGUAGES
            for target in LANGUAGES
            if target != source
        ],
        tokenizer,
    )
    source_mask = source_ids.ne(tokenizer.pad_token_id)
    states = model.model.encoder(input_ids=source_ids, attention_mask=source_mask).last_hidden_state
    num_targets = len(LANGUAGES) - 1
    hidden = model.model.decoder(
        input_ids=target_ids[:, :-1],
        encoder_hidden_states=states.repeat_interleave(num_targets, 0),
        encoder_attention_mask=source_mask.repeat_interleave(num_targets, 0),
        use_cache=False,
    ).last_hidden_state
    # The language token is always given, never predicted.
    labels = target_ids[:, 2:]
    is_token = labels.ne(tokenizer.pad_token_id)
    logits = model.lm_head(hidden[:, 1:][is_token])
    return nn.functional.cross_entropy(logits, labels[is_token], reduction="sum"), len(logits)


def _pad(rows: list[list[int]], tokenizer: NllbTokenizer) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
