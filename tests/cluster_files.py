"""The files of `cluster/`, as their readers see them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
# HAProxy in front, replicas that handle calls on one loop, and a log that is written at once all the same.
PRODUCTION = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
}
_SCHEMAS = Path(__file__).parent / "contracts" / "schemas"


def load(path: Path) -> list[dict[str, Any]]:
    """Return a file's documents."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def published_schema(name: str) -> dict[str, Any]:
    """Return one of the published schemas that are kept beside the tests."""
    loaded: dict[str, Any] = json.loads(gzip.decompress((_SCHEMAS / name).read_bytes()))
    return loaded
