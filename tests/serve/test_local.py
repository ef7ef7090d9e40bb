"""`make serve` where callers have to show a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from configs.loader import ROOT
from tests.local_service import local_service
from tests.ports import free_port


def test_a_service_that_asks_for_keys_starts_and_says_how_to_make_one(tmp_path: Path) -> None:
    """It needs no key of its own to find that it is ready; the key that the command makes is then let in."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "NLLB__MODEL__ENGINE": "identity",
        "NLLB__ACCESS__KEYS": "required",
        "NLLB__ACCESS__SQLITE_FILE": str(tmp_path / "keys.sqlite3"),
    }
    with local_service(variables, tmp_path / "serve.log") as (_, said):
        assert "python -m deployments.keys create" in said
        made = subprocess.run(
            [sys.executable, "-m", "deployments.keys", "create", "test"],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        url = f"http://127.0.0.1:{port}/api/v1/translate"
        body = {"text": "Good morning.", "source_lang": "en", "target_lang": "es"}
        assert httpx.post(url, json=body).status_code == 401
        assert httpx.post(url, json=body, headers={"X-API-Key": made.stdout.strip()}, timeout=60).status_code == 200
