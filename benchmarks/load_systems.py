"""Starts what is put under load, each system alone, and ends it again. Knows nothing of loads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from benchmarks.load_client import Answer, Send, http_sender
from benchmarks.load_work import Job, Model
from tests.ports import free_port

_START_LIMIT_S = 600.0
_STOP_LIMIT_S = 90.0


@asynccontextmanager
async def bare_engine(model: Model) -> AsyncIterator[Send]:
    """Yield what translates in this process: the pipeline over the engine, without Ray, HTTP, cache or deadline."""
    from configs.loader import load_settings
    from pipelines.engine.configured import load_configured_engine, warm_up_configured
    from pipelines.station import EngineStation
    from pipelines.translate import TranslationPipeline
    from pipelines.types import DecodingOptions, TranslationRequest

    settings = load_settings(overrides=model.settings | {"model.name": str(model.path)})
    engine = load_configured_engine(settings)
    try:
        warm_up_configured(engine, settings)
        pipeline = TranslationPipeline(EngineStation(engine))

        async def send(job: Job) -> Answer:
            options = DecodingOptions(max_new_tokens=job.max_length)
            await pipeline.translate(TranslationRequest(job.text, "eng_Latn", "spa_Latn", decoding=options))
            return Answer(200)

        yield send
    finally:
        engine.close()


@asynccontextmanager
async def served(system: str, model: Model) -> AsyncIterator[Send]:
    """Yield what sends jobs to a system that runs for the length of the block: `ours` or one of `load_servers`."""
    if system == "ours":
        with running_service(model, production_path()) as (url, _):
            async with http_sender(url) as send:
                yield send
        return
    port = free_port()
    command = ["-m", "benchmarks.load_servers", system, str(port), str(model.path)]
    with _running(command, f"http://127.0.0.1:{port}/translate", production_path()) as (url, _):
        async with http_sender(url) as send:
            yield send


@contextmanager
def running_service(
    model: Model, environment: Mapping[str, str], settings: Mapping[str, object] | None = None
) -> Iterator[tuple[str, int]]:
    """Run `make serve` for the length of a block; yields the URL of `/translate` and the process' id."""
    port = free_port()
    configured: dict[str, object] = {
        **model.settings,
        "model.name": model.path,
        "logging.level": "WARNING",
        "limits.request_timeout_s": model.deadline_s,
        # One entry: every job but one that repeats goes all the way, and the cache is on the way.
        "cache.memory.max_size": 1,
        **(settings or {}),
    }
    variables = {f"NLLB__{key.upper().replace('.', '__')}": str(value) for key, value in configured.items()}
    url = f"http://127.0.0.1:{port}/api/v1/translate"
    with _running(["-m", "deployments.local"], url, {**environment, **variables, "PORT": str(port)}) as found:
        yield found


def production_path() -> dict[str, str]:
    """Variables that put HAProxy in front where there is a wheel of it, with files and ports of this run."""
    folder = tempfile.mkdtemp(prefix="haproxy-")
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("STATS", "METRICS")}
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if sys.platform == "linux" else "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        **ports,
    }


@contextmanager
def _running(command: list[str], url: str, variables: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=Path(__file__).parents[1],
            env=os.environ | variables,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            if not _answers(process, url):
                said.seek(0)
                last = said.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(command)} does not answer at {url}:\n{last}")
            yield url, process.pid
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until a translation comes back; False: the process ended, answers with an error, or takes too long."""
    body = json.dumps(Job("Hello.", 1).body()).encode()
    give_up_s = time.monotonic() + _START_LIMIT_S
    while process.poll() is None and time.monotonic() < give_up_s:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60):
                return True
        except urllib.error.HTTPError as error:
            if error.code in {400, 422}:
                return False
        except OSError:
            pass
        time.sleep(0.5)
    return False
