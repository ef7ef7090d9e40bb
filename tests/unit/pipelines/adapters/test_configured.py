"""What the settings make of a registry, and which of them cannot go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.loader import ROOT, load_settings
from configs.schema import AdapterSettings
from pipelines import load_translator
from pipelines.adapters.configured import copies_folder, open_registry
from pipelines.engine.configured import load_configured_engine
from pipelines.errors import StartupError

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
    with pytest.raises(StartupError, match="serves the base model alone"):
        load_translator(settings={"model.default_adapters": DEFAULTS})
