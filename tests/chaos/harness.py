"""Drives a cluster process, and keeps a steady load on it that remembers what became of every request."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
_SLOW_S = 1.0
_MAX_ADAPTED_TOKENS = 12  # adapters with random weights never stop by themselves
TEXTS = [
    f"{greeting} The ticket to {city} costs {price} euros."
    for greeting, city, price in itertools.product(
        ("Good morning.", "Good evening."), ("Rome", "Paris", "Madrid", "London"), range(20, 60)
    )
]
"""What is translated, by each client from another place on."""
_ANSWERS: dict[tuple[str, str | None], str] = {}
"""What each version of an adapter, or none, made of a text at first: right from there on, or found out later."""


class ClusterProcess:
    """The other end of `tests.chaos.cluster`."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._log = (folder / "cluster.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.cluster"],
            cwd=ROOT,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def do(self, command: str, **arguments: Any) -> Any:
        """Run a command of `ServingCluster` and return its answer. Blocks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the cluster's process ended: see {self._log.name}"
        answer = json.loads(line)
        assert "ok" in answer, answer
        return answer["ok"]

    def kill(self, kind: str, index: int = 0, number: int = signal.SIGKILL) -> int:
        """Send a signal to one of the processes of a kind and return its id."""
        pid = int(self.do("processes")[kind][index]["pid"])
        os.kill(pid, number)
        return pid

    def stop(self) -> None:
        """End the cluster, and whatever is left of it."""
        try:
            self.do("stop")
        finally:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._log):
                assert stream is not None
                stream.close()


@contextmanager
def cluster_process(folder: Path, variables: dict[str, str]) -> Iterator[ClusterProcess]:
    """Run a cluster's process for the length of a block."""
    process = ClusterProcess(folder, variables)
    try:
        yield process
    finally:
        process.stop()


@dataclass
class Report:
    """What became of the requests of a load.

    Attributes:
        num_requests: Answered or not.
        first_try_errors: What the first try of a request came to, where that was no translation.
        failures: Requests that failed at the second try as well: what a client behind a load balancer sees.
        wrong: Answers that differ from an earlier one to the same text.
        fault_s: When the fault was made.
        disturbed_until_s: When the last request ended that failed at first, or was slow.
        slowest_s: The longest time that a request took.
        versions: Of adapters that translated.
        num_characters: Of the texts that were translated.
    """

    num_requests: int = 0
    first_try_errors: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)
    fault_s: float = 0.0
    disturbed_until_s: float = 0.0
    slowest_s: float = 0.0
    versions: set[str] = field(default_factory=set)
    num_characters: int = 0

    @property
    def recovery_s(self) -> float:
        """From the fault to the end of the last request that it disturbed."""
        return max(0.0, self.disturbed_until_s - self.fault_s) if self.disturbed_until_s else 0.0


@dataclass(frozen=True)
class Clients:
    """Who asks.

    Attributes:
        number: Of them.
        pause_s: Of each between two requests.
        scheme: Of their URLs.
        headers: Of every request.
        adapters: That they ask for, each for one of them.
    """

    number: int = 6
    # Steady, and a second core is left for what recovers.
    pause_s: float = 0.05
    scheme: str = "http"
    headers: Mapping[str, str] = field(default_factory=dict)
    adapters: Sequence[str | None] = (None,)


class Load:
    """Clients that translate without end, each through a proxy of its own, and through another where that fails."""

    def __init__(self, ports: list[int], clients: Clients) -> None:
        self.ports = ports
        self.report = Report()
        self._clients = clients
        self._stop = asyncio.Event()

    def fault(self) -> None:
        """Note that the fault is made now."""
        self.report.fault_s = time.monotonic()

    async def until(self, num_more: int) -> None:
        """Return after so many more requests."""
        wanted = self.report.num_requests + num_more
        async with asyncio.timeout(180):
            while self.report.num_requests < wanted:
                await asyncio.sleep(0.02)

    async def until_served(self, version: str) -> None:
        """Return when a version of an adapter has translated."""
        async with asyncio.timeout(180):
            while version not in self.report.versions:
                await asyncio.sleep(0.02)

    async def run(self, client: httpx.AsyncClient, number: int) -> None:
        """One client."""
        adapter = self._clients.adapters[number % len(self._clients.adapters)]
        for turn, text in enumerate(itertools.cycle(TEXTS[7 * number :] + TEXTS[: 7 * number])):
            if self._stop.is_set():
                return
            await self._once(client, text, adapter, turn + number)
            await asyncio.sleep(self._clients.pause_s)

    def stop(self) -> None:
        """End all clients after their request."""
        self._stop.set()

    async def _once(self, client: httpx.AsyncClient, text: str, adapter: str | None, turn: int) -> None:
        report, started_s = self.report, time.monotonic()
        at = turn % len(self.ports)
        port, *others = self.ports[at:] + self.ports[:at]
        disturbed = False
        answer: dict[str, Any] | None = None
        try:
            answer = await self._ask(client, port, text, adapter)
        except _NoAnswer as error:
            report.first_try_errors.append(str(error))
            disturbed = True
            try:
                answer = await self._ask_again(client, [*others, port], text, adapter)
            except _NoAnswer as second:
                report.failures.append(f"{error}, then {second}")
        now_s = time.monotonic()
        report.num_requests += 1
        report.slowest_s = max(report.slowest_s, now_s - started_s)
        if report.fault_s and (disturbed or now_s - started_s > _SLOW_S):
            report.disturbed_until_s = now_s
        if answer is not None:
            self._compare(text, answer["adapter"], answer["translation"])

    async def _ask_again(
        self, client: httpx.AsyncClient, ports: list[int], text: str, adapter: str | None
    ) -> dict[str, Any]:
        """Ask as a load balancer does: past a proxy that breaks the connection, the next one."""
        for port in ports[:-1]:
            with suppress(_BrokenConnection):
                return await self._ask(client, port, text, adapter)
        return await self._ask(client, ports[-1], text, adapter)

    async def _ask(self, client: httpx.AsyncClient, port: int, text: str, adapter: str | None) -> dict[str, Any]:
        body: dict[str, Any] = {"text": text, "source_lang": "eng_Latn", "target_lang": "spa_Latn", "adapter": adapter}
        if adapter is not None:
            body["max_length"] = _MAX_ADAPTED_TOKENS
        try:
            response = await client.post(f"{self._clients.scheme}://127.0.0.1:{port}/api/v1/translate", json=body)
        except httpx.HTTPError as error:
            raise _BrokenConnection(type(error).__name__) from error
        if response.status_code != 200:
            raise _NoAnswer(f"{response.status_code} {response.text[:120]}")
        answer: dict[str, Any] = response.json()
        return answer

    def _compare(self, text: str, version: str | None, translation: str) -> None:
        self.report.num_characters += len(text)
        if version is not None:
            self.report.versions.add(version)
        known = _ANSWERS.setdefault((text, version), translation)
        if translation != known:
            self.report.wrong.append((text, known, translation))


class _NoAnswer(Exception):
    pass


class _BrokenConnection(_NoAnswer):
    pass


Ways = Callable[[], Mapping[str, httpx.AsyncBaseTransport]]
"""Returns what leads a client to URLs that are not reached as usual."""


@asynccontextmanager
async def steady_load(ports: list[int], clients: Clients, ways: Ways = dict) -> AsyncIterator[Load]:
    """Keep the load up for the length of a block."""
    load = Load(ports, clients)
    limits = httpx.Limits(keepalive_expiry=2)
    trust = httpx.create_ssl_context()
    async with AsyncExitStack() as stack:
        # Connections of its own for each: httpcore 1.0 may end one that has expired though another task just took it.
        everyone = [
            await stack.enter_async_context(
                httpx.AsyncClient(timeout=60, limits=limits, headers=clients.headers, mounts=ways(), verify=trust)
            )
            for _ in range(clients.number)
        ]
        tasks = [asyncio.create_task(load.run(client, number)) for number, client in enumerate(everyone)]
        try:
            yield load
        finally:
            load.stop()
            await asyncio.gather(*tasks)
