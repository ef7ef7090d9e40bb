"""A publisher as a process of its own, for tests of many at once and of their deaths.

python -m tests.unit.pipelines.adapters.publisher many URI FOLDER COUNT SEED
waits for a line on its input, then publishes COUNT versions of `medical` with that seed
python -m tests.unit.pipelines.adapters.publisher die-at-each-step URI FOLDER
publishes in children, each killed one file operation later than the one before, until one lives
python -m tests.unit.pipelines.adapters.publisher die-at-random URI FOLDER COUNT
publishes in COUNT children and kills each at a random moment
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

from pipelines.adapters import AdapterRegistry
from tests.adapter_files import draft

_FILE_OPERATIONS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.listdir", "os.scandir"}


def many(uri: str, folder: Path, count: int, seed: int) -> None:
    """Publish `count` versions once told to begin."""
    registry = AdapterRegistry(uri)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(count):
        print(registry.publish("medical", folder, draft(seed=seed)).version, flush=True)


def die_at_each_step(uri: str, folder: Path) -> None:
    """Kill the first child at its first file operation, the second at its second, and so on."""
    for fatal in itertools.count(1):
        child = os.fork()
        if child == 0:
            _die_at(fatal)
            # A name of its own: a folder full of the dead takes more operations to list.
            AdapterRegistry(uri).publish(f"medical-{fatal}", folder, draft())
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


def die_at_random(uri: str, folder: Path, count: int) -> None:
    """Kill children at moments that are spread over the time that a publication takes."""
    started_s = time.perf_counter()
    AdapterRegistry(uri).publish("medical-0", folder, draft())
    takes_s = time.perf_counter() - started_s
    moments = random.Random(count)
    for number in range(count):
        child = os.fork()
        if child == 0:
            AdapterRegistry(uri).publish(f"medical-{number % 3}", folder, draft())
            os._exit(0)
        time.sleep(moments.uniform(0, takes_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _die_at(fatal: int) -> None:
    operations = itertools.count(1)

    def hook(event: str, _: object) -> None:
        if event in _FILE_OPERATIONS and next(operations) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    what, uri, folder, *numbers = sys.argv[1:]
    {"many": many, "die-at-each-step": die_at_each_step, "die-at-random": die_at_random}[what](
        uri, Path(folder), *map(int, numbers)
    )
