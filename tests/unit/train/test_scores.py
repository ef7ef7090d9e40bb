"""Scores are sacrebleu's own, and say how they came about."""

from __future__ import annotations

import pytest

from train.scores import score, sentence_chrf


def pieces(texts: list[str]) -> list[str]:
    """Letters as pieces."""
    return [" ".join(text.replace(" ", "_")) for text in texts]


REFERENCES = ["Take two tablets after each meal.", "The patient has a high fever.", "Call the doctor at once, please."]


def test_perfect_outputs_have_perfect_scores() -> None:
    """All of them."""
    scores = score(REFERENCES, REFERENCES, "eng_Latn", pieces, "0123456789abcdef")
    assert (scores.chrf, scores.bleu, scores.spbleu) == (100, 100, 100)
    assert (scores.num_pairs, scores.exact_match, scores.length_ratio) == (3, 1.0, 1.0)


def test_worse_outputs_have_lower_scores() -> None:
    """Each score falls, and the ratio of lengths shows what is missing."""
    scores = score([REFERENCES[0], "The patient has a low fever.", ""], REFERENCES, "eng_Latn", pieces, "0" * 16)
    assert 0 < scores.bleu < scores.chrf < 100
    assert scores.exact_match == pytest.approx(1 / 3, abs=1e-4)
    assert scores.length_ratio == pytest.approx(61 / 94, abs=1e-2)


def test_signatures_name_metric_tokenizer_and_version() -> None:
    """As sacrebleu writes them; spBLEU names the tokenizer whose pieces it counted."""
    signatures = score(REFERENCES, REFERENCES, "zho_Hans", pieces, "0123456789abcdef").signatures
    assert "nw:2" in signatures["chrf"]
    assert "tok:zh" in signatures["bleu"]
    assert "flores200" in signatures["spbleu"] or "pieces:model-0123456789ab" in signatures["spbleu"]
    assert all("version:" in signature for signature in signatures.values())


def test_a_sentence_has_a_score_of_its_own() -> None:
    """Between nothing and everything."""
    assert sentence_chrf("Take two tablets.", "Take two tablets.") == 100
    assert 0 < sentence_chrf("Take a tablet.", "Take two tablets.") < 100
