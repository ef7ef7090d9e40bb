"""A folder with a configuration of its own, in which every file is empty until a test writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.loader import FILES, Loaded, load_with_origins


@dataclass(frozen=True)
class ConfigFolder:
    """Writes files below `root` and loads what they say together."""

    root: Path

    def write(self, file: str, text: str) -> None:
        """Write one file, its folders too."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def load(
        self,
        environment: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Loaded:
        """Load it all, untouched by the variables of this process."""
        return load_with_origins(environment, overrides or {}, root=self.root, environ=environ or {})

    def problems(self, *arguments: Any, **named: Any) -> tuple[str, ...]:
        """Return what `load` complains of."""
        with pytest.raises(ConfigError) as raised:
            self.load(*arguments, **named)
        return raised.value.problems


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """All files that must exist, empty."""
    folder = ConfigFolder(tmp_path)
    for file in (*FILES, "configs/environments/dev.yaml", "configs/environments/prod.yaml"):
        folder.write(file, "")
    return folder
