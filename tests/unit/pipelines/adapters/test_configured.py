"""What the settings make of a registry, and which of them cannot go together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from configs.loader import ROOT, load_settings
from configs.schema import AdapterSettings
from pipelines import load_translator
from pipelines.adapters.configured import copies_folder, open_registry
from pipelines.engine.configured import load_configured_engine
from pipelines.errors import InvalidAdapterError, StartupError, UnknownAdapterError
from tests.adapter_files import write_adapter
from tests.tiny_model import make_tiny_checkpoint

VALUE_LAYERS = tuple(
    f"model.{side}.layers.{layer}.{attention}.v_proj"
    for side, attention in (("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn"))
    for layer in range(2)
)
DEFAULTS = {"eng_Latn-hin_Deva": "medical"}


def test_a_relative_folder_is_one_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process runs: a replica's working directory is Ray's."""
    monkeypatch.chdir(tmp_path)
    registry = open_registry(AdapterSettings())
    assert registry is not None
    assert registry.uri == str(ROOT / "models/registry")
    assert copies_folder(AdapterSettings(copies_dir="models/copies")) == ROOT / "models/copies"


def test_addresses_are_taken_as_they_are(tmp_path: Path) -> None:
    """Absolute folders and URIs; null is no registry."""
    for uri in (str(tmp_path), tmp_path.as_uri()):
        registry = open_registry(AdapterSettings(registry=uri))
        assert registry is not None
        assert registry.uri == uri
    assert open_registry(AdapterSettings(registry=None)) is None


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"adapters.registry": None}, "adapters.registry is null"),
        ({"model.engine": "transformers"}, "needs model.engine 'inflight'"),
    ],
)
def test_defaults_that_nothing_could_serve_fail_the_start(others: dict[str, Any], reason: str) -> None:
    """Before any model is loaded."""
    settings = load_settings("dev", {"model.default_adapters": DEFAULTS, **others}, environ={})
    with pytest.raises(StartupError, match=reason):
        load_configured_engine(settings)


def test_a_library_call_refuses_defaults_that_it_would_not_serve() -> None:
    """It has no registry; the base model must not stand in silently."""
    with pytest.raises(StartupError, match="serves the adapters that it is given, none"):
        load_translator(settings={"model.default_adapters": DEFAULTS})


def test_a_library_call_serves_the_folders_that_it_is_given(tmp_path: Path) -> None:
    """By their names and by default; another name is refused with those that there are."""
    checkpoint = make_tiny_checkpoint(tmp_path / "model")
    folder = write_adapter(tmp_path / "adapter", modules=VALUE_LAYERS, scale=1.0)
    text, pair = "How much is it?", {"source_lang": "eng_Latn", "target_lang": "hin_Deva"}
    with load_translator(str(checkpoint), adapters={"medical": folder}) as translator:
        base = translator.translate(text, **pair)
        adapted = translator.translate(text, adapter="medical", **pair)
        assert adapted != base
        assert list(translator.translate_iter([text], adapter="medical", **pair)) == [adapted]
        with pytest.raises(UnknownAdapterError, match="no adapter is called 'legal'; there are medical"):
            translator.translate(text, adapter="legal", **pair)
    with load_translator(
        str(checkpoint), adapters={"medical": str(folder)}, settings={"model.default_adapters": DEFAULTS}
    ) as translator:
        assert translator.translate(text, **pair) == adapted


def test_a_library_call_refuses_an_adapter_that_does_not_fit(tmp_path: Path) -> None:
    """And stops the engine that it started."""
    checkpoint = make_tiny_checkpoint(tmp_path / "model")
    folder = write_adapter(tmp_path / "adapter", modules=VALUE_LAYERS, width=32)
    with pytest.raises(InvalidAdapterError, match="32"):
        load_translator(str(checkpoint), adapters={"medical": folder})
    assert not [each for each in threading.enumerate() if "nllb" in each.name]
