"""`make serve` is told to stop while it translates: what is in flight comes back, what comes later is refused."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx

from tests.local_service import local_service
from tests.ports import free_port

_NUM_SENTENCES = 60
_NUM_REQUESTS = 4


async def test_sigterm_finishes_what_is_in_flight(tmp_path: Path, demo_model_path: Path) -> None:
    """Every text that was being translated comes back whole, and the process ends as asked."""
    texts = [
        " ".join(f"The ticket to Rome costs {price} euros." for price in range(start, start + _NUM_SENTENCES))
        for start in range(20, 20 + _NUM_REQUESTS * _NUM_SENTENCES, _NUM_SENTENCES)
    ]
    port = free_port()
    # Two cores may be busy with other tests: what is in flight is given the time that it needs.
    variables = {"PORT": str(port), "NLLB__LIMITS__REQUEST_TIMEOUT_S": "240"}
    with local_service(variables, tmp_path / "serve.log") as (process, _):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=240) as client:
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
