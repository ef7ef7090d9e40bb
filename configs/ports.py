"""Where a command listens, as `make` hands it on: `make serve PORT=8001`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from configs.errors import ConfigError


def read_port(variable: str, default: int, environ: Mapping[str, str] = os.environ) -> int:
    """Return the TCP port that a variable names; empty or not set, the default.

    Raises:
        ConfigError: It is none.
    """
    value = environ.get(variable) or str(default)
    if not value.isdecimal() or not 1 <= int(value) <= 65_535:
        raise ConfigError(f"variable {variable} = {value!r}: should be a port, 1 to 65535")
    return int(value)
