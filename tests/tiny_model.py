"""Tiny checkpoints with random weights, saved in the form that the real ones have.

Random weights translate nothing, but every path through an engine is the real one: the architecture, the
tokenizer with all its language tokens and its normalisation, the files on disk. Weights are drawn so that
greedy outputs vary from row to row and end at different lengths.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import sentencepiece
import torch
from transformers import GenerationConfig, M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

TEXTS = (
    "The quick brown fox jumps over the lazy dog, 0123456789. How much is it? Hello my friend, good morning.",
    "¿Dónde está la estación de tren? ¡Buenos días, señor! Quiero un billete.",
    "Où est la gare ? Ça coûte trois euros, merci beaucoup. Je suis très fatigué.",
    "नमस्ते, आप कैसे हैं? मुझे डॉक्टर की ज़रूरत है। यह कितने का है?",
)

EOS_LOUDNESS = 2.5  # the logit of `</s>` swings this much further than others, so rows end by themselves


def make_tiny_checkpoint(
    path: Path,
    *,
    d_model: int = 16,
    layers: int = 2,
    heads: int = 2,
    ffn: int = 32,
    vocab_size: int = 200,
    max_position_embeddings: int = 64,
    seed: int = 8,
) -> Path:
    """Save a random M2M100 model and an NLLB tokenizer with all language tokens into a folder, and return it.

    Args:
        path: The folder; made if it is not there.
        d_model: Width; even, a multiple of `heads`.
        layers: Of the encoder, and of the decoder.
        heads: Attention heads.
        ffn: Width of the feed-forward layers.
        vocab_size: Of the text's pieces; 203 tokens for languages and mask come on top.
        max_position_embeddings: The longest source, special tokens included.
        seed: Of the weights; the default's rows end at many different lengths, other seeds' may not.
    """
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(vocab_size)
    tokenizer.save_pretrained(path)
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=d_model,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn,
        max_position_embeddings=max_position_embeddings,
    )
    model = M2M100ForConditionalGeneration(config)
    _draw_weights(model, torch.Generator().manual_seed(seed))
    model.generation_config = GenerationConfig(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)
    model.save_pretrained(path)
    return path


def train_sentencepiece(vocab_size: int) -> bytes:
    """Train a model on a few sentences, with the normalisation of the real one (nmt_nfkc); return its file."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=vocab_size,
        model_type="bpe",
        character_coverage=1.0,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _train_tokenizer(vocab_size: int) -> NllbTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sentencepiece.bpe.model").write_bytes(train_sentencepiece(vocab_size))
        return NllbTokenizer.from_pretrained(folder, extra_special_tokens=FAIRSEQ_LANGUAGE_CODES)


@torch.no_grad()
def _draw_weights(model: M2M100ForConditionalGeneration, generator: torch.Generator) -> None:
    """Layers louder than the embeddings, or the decoder would only repeat its last token."""
    width = model.config.d_model
    for name, parameter in model.named_parameters():
        if "layer_norm" in name:
            continue
        scale = 1.0 if "shared" in name else 0.3 if name.endswith("bias") else 2.0
        parameter.normal_(0.0, scale * width**-0.5, generator=generator)
    model.model.shared.weight[model.config.eos_token_id] *= EOS_LOUDNESS
