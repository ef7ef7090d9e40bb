"""`make serve` is told to stop while it translates: what is in flight comes back, what comes later is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.chaos.harness import ROOT
from tests.ports import free_port

_NUM_SENTENCES = 60
_NUM_REQUESTS = 4


@contextmanager
def _served(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    # Two cores may be busy with other tests: what is in flight is given the time that it needs.
    variables = {"PORT": str(port), "NLLB__LIMITS__REQUEST_TIMEOUT_S": "240"}
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.local"],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            yield process, f"http://127.0.0.1:{port}/api/v1"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


async def test_sigterm_finishes_what_is_in_flight(tmp_path: Path, demo_model_path: Path) -> None:
    """Every text that was being translated comes back whole, and the process ends as asked."""
    texts = [
        " ".join(f"The ticket to Rome costs {price} euros." for price in range(start, start + _NUM_SENTENCES))
        for start in range(20, 20 + _NUM_REQUESTS * _NUM_SENTENCES, _NUM_SENTENCES)
    ]
    log = tmp_path / "serve.log"
    with _served(log) as (process, url):
        async with httpx.AsyncClient(base_url=url, timeout=240) as client:
            await _until_ready(client, process)
            tasks = [
                asyncio.create_task(
                    client.post("/translate", json={"text": text, "source_lang": "en", "target_lang": "es"})
                )
                for text in texts
            ]
            async with asyncio.timeout(120):
                while (await client.get("/health")).json()["batching"]["num_rows"] < 2 * _NUM_REQUESTS:
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*tasks)
        status = await asyncio.to_thread(process.wait, 120)
    assert [answer.status_code for answer in answers] == [200] * _NUM_REQUESTS, answers
    assert all(answer.json()["translation"].count(".") == _NUM_SENTENCES for answer in answers)
    assert status == 0


async def _until_ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(300):
        while True:
            assert process.poll() is None, "the service ended before it was ready: see serve.log"
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.3)
