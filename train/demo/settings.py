"""What the demo model is: its languages, its sizes and the course of its training, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("eng_Latn", "spa_Latn", "fra_Latn", "hin_Deva")
"""FLORES-200 codes of the languages that the demo model translates."""

DIRECTIONS = tuple((source, target) for source in LANGUAGES for target in LANGUAGES if source != target)
"""All twelve (source, target) pairs."""


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the build. Equal settings, data, libraries and machine give the same model.

    Attributes:
        seed: Of the corpus, the weights and the order of batches.
        num_parts: Of a step's rows, computed side by side, each on one core. Threads within an operation would lose
            more by waiting for each other than they gain: the model is too small.
        sentences_per_template: Enough to meet each word in each template several times, few enough to train on.
        held_out_ratio: Share of a template's sentences that may be held out.
        held_out_sentences: Of all templates together; twelve directions of them are translated in a few seconds.
        min_seen: How often each word form of a held-out sentence is trained in the same template at least: new
            combinations are asked for, not unknown words.
        openers_ratio: More sentences, with an opening before them ("Excuse me, ...").
        phrase_repeats: How often a set phrase is trained on in each pass. No other sentence teaches it, so it must be
            learnt by heart.
        vocab_size: Most words of the corpus are one token, so that texts are short; all else is spelt.
        d_model: With the other sizes: the smallest that still learns all twelve directions in the time there is.
        num_heads: Of 32 dimensions each.
        ffn_dim: Twice `d_model`; most of what is learnt sits in the attention and the embeddings.
        encoder_layers: Two, the least that can relate an article to its noun and the noun to its verb.
        decoder_layers: Likewise.
        max_position_embeddings: The longest segment in tokens; positions are sinusoids and cost nothing.
        init_std: About `d_model ** -0.5`; the library's 0.02 is meant for a far wider model and starts slowly.
        num_steps: As many as fit into the time.
        rows_per_step: Each gives twelve pairs. Many small steps learn faster here than few large ones.
        learning_rate: Peak of the one-cycle schedule.
        warmup_ratio: Share of the steps before the peak.
        noise_ratio: Share of source sentences that are read without capital, end mark or accents.
    """

    seed: int = 20
    num_parts: int = 2
    sentences_per_template: int = 120
    held_out_ratio: float = 0.1
    held_out_sentences: int = 320
    min_seen: int = 4
    openers_ratio: float = 0.05
    phrase_repeats: int = 4
    vocab_size: int = 1600
    d_model: int = 128
    num_heads: int = 4
    ffn_dim: int = 256
    encoder_layers: int = 2
    decoder_layers: int = 2
    max_position_embeddings: int = 512
    init_std: float = 0.08
    num_steps: int = 2300
    rows_per_step: int = 4
    learning_rate: float = 3e-3
    warmup_ratio: float = 0.1
    noise_ratio: float = 0.05
