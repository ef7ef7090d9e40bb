"""The clock of a node jumps under a steady load, and stays wrong for a while: nobody is refused for it.

Of all processes of one of the two workers (raylet, agents, proxy and replicas) libfaketime shifts what they are told of
the wall clock, by a file that the test writes; the monotonic clock goes on, as it does when a real clock is set.
"""

from __future__ import annotations

import asyncio
import email.utils
import importlib.util
import time
from pathlib import Path

import httpx
import pytest

from tests.chaos.conftest import LoadOn
from tests.chaos.harness import ClusterProcess
from tests.chaos.table import record

pytestmark = pytest.mark.chaos

_HOUR_S = 3600


class NodeClock:
    """The wall clock of a node's processes."""

    def __init__(self, library: Path, file: Path) -> None:
        self._library = library
        self._file = file
        self.offset_s = 0
        self.set(0)

    @property
    def variables(self) -> dict[str, str]:
        """By which a process gets this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # waits on conditions by the monotonic clock are right as they are
        }

    def set(self, offset_s: int) -> None:
        """Let it be wrong by so much."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset_s:+d}\n", encoding="utf-8")
        draft.replace(self._file)
        self.offset_s = offset_s


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> NodeClock:
    """The clock that jumps."""
    wheel = importlib.util.find_spec("libfaketime")
    if wheel is None or wheel.origin is None:
        pytest.skip("there is no wheel of libfaketime for this machine")
    library = Path(wheel.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return NodeClock(library, tmp_path_factory.mktemp("clock") / "offset")


@pytest.fixture(scope="module")
def nodes(clock: NodeClock) -> list[dict[str, str]]:
    """The second worker has the clock."""
    return [{}, clock.variables]


@pytest.mark.parametrize(
    ("offset_s", "name"),
    [(_HOUR_S, "The clock of a node jumps an hour ahead, and back"), (-_HOUR_S, "An hour back, and ahead again")],
)
async def test_a_clock_jumps_and_returns(
    cluster: ClusterProcess, load: LoadOn, clock: NodeClock, offset_s: int, name: str
) -> None:
    """Requests that are under way at the jump, those between nodes whose clocks differ, and those of its own node."""
    port = (await asyncio.to_thread(cluster.do, "ports"))[2]
    async with load() as running:
        running.fault()
        clock.set(offset_s)
        await _until_it_tells(port, offset_s)
        await running.until(120)
        clock.set(0)
        await _until_it_tells(port, 0)
        await running.until(60)
    record(name, running.report)
    assert not running.report.wrong
    assert not running.report.failures
    assert not running.report.first_try_errors


async def _until_it_tells(port: int, offset_s: int) -> None:
    """Wait until the node's proxy dates its answers by the new time."""
    async with asyncio.timeout(30), httpx.AsyncClient(timeout=30) as client:
        while abs(await _told_s(client, port) - time.time() - offset_s) > _HOUR_S / 10:
            await asyncio.sleep(0.1)


async def _told_s(client: httpx.AsyncClient, port: int) -> float:
    answer = await client.get(f"http://127.0.0.1:{port}/api/v1/languages")
    told = email.utils.parsedate_to_datetime(answer.headers["date"])
    return told.timestamp()
