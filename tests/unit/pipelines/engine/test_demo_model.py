"""The engine on trained weights: the demo model's outputs are the reference's, and small formats keep nearly all."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch

from pipelines.engine.live import Request
from pipelines.engine.parity import main
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch
from tests.unit.pipelines.engine.test_batch import run_in_flight

SENTENCES = {
    "eng_Latn": ("The park opens at half past 8.", "Where is the pharmacy?", "zebra quark, 99!"),
    "spa_Latn": ("El parque abre a las 8 y media.", "¿Dónde está la farmacia?"),
    "fra_Latn": ("Le parc ouvre à 8 heures et demie.", "Où est la pharmacie ?"),
    "hin_Deva": ("पार्क साढ़े 8 बजे खुलता है।", "दवा की दुकान कहाँ है?"),
}
OPTIONS = (
    DecodingOptions(),
    DecodingOptions(num_beams=4, num_hypotheses=4),
    DecodingOptions(num_beams=3, length_penalty=1.4, no_repeat_ngram_size=3, repetition_penalty=1.1),
)


def test_every_pair_equals_the_reference(demo_model_path: Path) -> None:
    """All language pairs and options in one running batch, token by token what `generate` makes of each alone."""
    torch.set_num_threads(1)
    model = load_reference(demo_model_path)
    tokenizer = SegmentTokenizer.from_checkpoint(demo_model_path)
    requests = []
    for source, target in permutations(SENTENCES, 2):
        for row in tokenizer.encode([Segment(text, source, target) for text in SENTENCES[source]]):
            assert isinstance(row, EncodedSegment)
            options = OPTIONS[len(requests) % len(OPTIONS)]
            requests.append(Request(len(requests), row.token_ids, tokenizer.language_ids[target], 40, options))
    outputs = run_in_flight(running_batch(model), requests)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]


def test_small_formats_and_the_script_keep_the_outputs(
    demo_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On sentences of the demo's domain nearly all tokens of small formats are float32's, of the script all are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = tmp_path / "lines.txt"
    text.write_text("\n".join(SENTENCES["eng_Latn"][:2] * 3), encoding="utf-8")
    pairs = ["--pair=eng_Latn-hin_Deva", "--pair=eng_Latn-fra_Latn"]
    main([f"--model={demo_model_path}", f"--text={text}", "--dtypes=int8,bfloat16", "--device=cpu", "--json", *pairs])
    for row in json.loads(capsys.readouterr().out.splitlines()[-1]):
        assert row["token_agreement"] >= (1.0 if row["vocabulary"] == "script" else 0.9), row
