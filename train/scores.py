"""How near are translations to their references? The usual scores, by sacrebleu, with the signatures that name them.

Knows texts alone; not what translated them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.utils import SACREBLEU_DIR

# sacrebleu would fetch it at the first use; without it, the model's own pieces take its place.
_FLORES200_FILE = Path(SACREBLEU_DIR) / "models" / "flores200sacrebleuspm"
_BLEU_TOKENIZERS = {"zho_Hans": "zh", "zho_Hant": "zh"}

Pieces = Callable[[Sequence[str]], list[str]]
"""Texts to their pieces, joined by spaces."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one system on one set of pairs.

    Attributes:
        num_pairs: How many.
        chrf: chrF++ (Popović 2017), 0 to 100.
        bleu: BLEU on sacrebleu's tokens, 0 to 100.
        spbleu: BLEU on SentencePiece tokens, 0 to 100: of FLORES-200 where its model is on this machine, otherwise of
            the translation model's own tokenizer (for NLLB-200 checkpoints that is SPM-200 as well).
        exact_match: Share of outputs that equal their reference.
        length_ratio: Characters of all outputs over those of all references.
        signatures: sacrebleu's, by score.
    """

    num_pairs: int
    chrf: float
    bleu: float
    spbleu: float
    exact_match: float
    length_ratio: float
    signatures: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def score(outputs: Sequence[str], references: Sequence[str], target_lang: str, pieces: Pieces, revision: str) -> Scores:
    """Compare outputs with their references.

    Args:
        outputs: Translations.
        references: What they should have been, in the same order.
        target_lang: FLORES-200 code.
        pieces: The model's tokenizer.
        revision: The model's, for the signature.
    """
    chrf = CHRF(word_order=2)
    bleu = BLEU(tokenize=_BLEU_TOKENIZERS.get(target_lang, "13a"))
    if _FLORES200_FILE.is_file():
        spbleu, spelt = BLEU(tokenize="flores200"), (list(outputs), list(references))
        of_pieces = ""
    else:
        # The pieces are tokens already: sacrebleu only has to leave them alone, and not to warn that they look like it.
        spbleu, spelt = BLEU(tokenize="none", force=True), (pieces(outputs), pieces(references))
        of_pieces = f"|pieces:model-{revision[:12]}"
    results = {
        "chrf": (chrf.corpus_score(list(outputs), [list(references)]), chrf, ""),
        "bleu": (bleu.corpus_score(list(outputs), [list(references)]), bleu, ""),
        "spbleu": (spbleu.corpus_score(spelt[0], [spelt[1]]), spbleu, of_pieces),
    }
    num_equal = sum(output.strip() == reference.strip() for output, reference in zip(outputs, references, strict=True))
    return Scores(
        num_pairs=len(references),
        **{name: round(float(result.score), 2) for name, (result, _, _) in results.items()},
        exact_match=round(num_equal / max(1, len(references)), 4),
        length_ratio=round(sum(map(len, outputs)) / max(1, sum(map(len, references))), 4),
        signatures={name: f"{metric.get_signature()}{more}" for name, (_, metric, more) in results.items()},
    )


def sentence_chrf(output: str, reference: str) -> float:
    """Return chrF++ of one sentence, 0 to 100."""
    return float(CHRF(word_order=2).sentence_score(output, [reference]).score)
