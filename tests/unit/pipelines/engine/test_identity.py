"""The engine without a model: to the byte, and without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipelines.engine.identity import IdentityEngine
from pipelines.errors import EngineError, SegmentTooLongError, UnknownAdapterError, UnknownLanguageError
from pipelines.protocols import EncodedSegment, Engine
from pipelines.types import Failure, LoadedAdapter, Outcome, Segment, Translation


def translate(engine: Engine, *texts: str) -> list[Outcome]:
    """Send texts through an engine that refuses none of them."""
    rows = engine.encode([Segment(text, "eng_Latn", "hin_Deva") for text in texts])
    assert all(isinstance(row, EncodedSegment) for row in rows)
    return [future.result(timeout=0) for future in engine.submit([r for r in rows if isinstance(r, EncodedSegment)])]


def test_returns_its_input() -> None:
    """Every text comes back unchanged, at once, counted in characters."""
    texts = ["dog", " a\tb\n", "नमस्ते 鸡 \U0001f600"]
    outcomes = translate(IdentityEngine(), *texts)
    assert [outcome.text for outcome in outcomes if isinstance(outcome, Translation)] == texts
    assert outcomes[0] == Translation("dog", num_source_tokens=5, num_target_tokens=3)


def test_fails_as_a_model_would() -> None:
    """Length, language and the model's own failure can be had for a test; neighbours are not touched."""
    engine = IdentityEngine(max_source_tokens=8, languages=["hin_Deva", "eng_Latn"], fail_on="poison")
    assert engine.info.languages == ("eng_Latn", "hin_Deva")
    long, unknown = engine.encode([Segment("1234567", "eng_Latn", "hin_Deva"), Segment("a", "eng_Latn", "fra_Latn")])
    assert isinstance(long, Failure)
    assert isinstance(long.error, SegmentTooLongError)
    assert isinstance(unknown, Failure)
    assert isinstance(unknown.error, UnknownLanguageError)
    poisoned, fine = translate(engine, "poison", "a")
    assert isinstance(poisoned, Failure)
    assert isinstance(poisoned.error, EngineError)
    assert isinstance(fine, Translation)


def test_needs_no_torch() -> None:
    """Loading, warming up and using it imports neither torch nor transformers."""
    code = (
        "import sys\n"
        "from pipelines.engine.loading import load_engine\n"
        "from pipelines.engine.warmup import warm_up\n"
        "engine = load_engine(None, engine='identity', max_rows=8)\n"
        "warm_up(engine)\n"
        "print(engine.max_rows, engine.room(), {'torch', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "8 8 set()"


def test_adapters_are_held_and_change_nothing(tmp_path: Path) -> None:
    """A loaded version translates like the base; one that is not loaded fails its row alone."""
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8, "lora_alpha": 8}', encoding="utf-8")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"1234")
    engine = IdentityEngine()
    assert engine.load_adapter("medical@3", tmp_path) == LoadedAdapter("medical@3", rank=8, num_bytes=4)
    rows = engine.encode([Segment("hello", "eng_Latn", "fra_Latn", adapter=f"medical@{i}") for i in (3, 4)])
    known, unknown = (future.result() for future in engine.submit([r for r in rows if isinstance(r, EncodedSegment)]))
    assert isinstance(known, Translation)
    assert isinstance(unknown, Failure)
    assert isinstance(unknown.error, UnknownAdapterError)
    assert engine.unload_adapter("medical@3")
    assert engine.adapters() == {}
