"""A publisher as a process of its own, for tests of many at once and of their deaths.

python -m tests.unit.pipelines.adapters.publisher many URI FOLDER COUNT SEED
waits for a line on its input, then publishes COUNT versions of `medical` with that seed
python -m tests.unit.pipelines.adapters.publisher die-at-each-step URI FOLDER
publishes in children, each killed one file operation later than the one before, until one lives
python -m tests.unit.pipelines.adapters.publisher die-at-random URI FOLDER COUNT
publishes in COUNT children, each killed at a call of a function, drawn from all that a publication makes
python -m tests.unit.pipelines.adapters.publisher die-within-a-file URI FOLDER COUNT
publishes in COUNT children, each killed by the system at the byte of a file, drawn from all that the longest has
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines.adapters import AdapterRegistry
from tests.adapter_files import draft

# Its manifest is longer than the other files: the place in a file decides in which one a publisher dies.
_DRAFT = draft(gate_report={"problems": ["it is not what it should be"] * 50})
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
        # A name of its own: a folder full of the dead takes more operations to list.
        if _publish_in_a_child(uri, folder, f"medical-{fatal}", lambda fatal=fatal: _die_at_operation(fatal)):
            return


def die_at_random(uri: str, folder: Path, count: int) -> None:
    """Kill children at moments that are spread over all that a publication does."""
    AdapterRegistry(uri).publish("medical-0", folder, _DRAFT)  # what is imported on the way is imported here
    num_moments = _count_moments(lambda: AdapterRegistry(uri).publish("medical-1", folder, _DRAFT))
    moments = random.Random(count)
    for number in range(count):
        fatal = moments.randint(1, num_moments)
        _publish_in_a_child(uri, folder, f"medical-{number % 3}", lambda fatal=fatal: _die_at_moment(fatal))


def die_within_a_file(uri: str, folder: Path, count: int) -> None:
    """Kill children in the middle of writing one of the files."""
    published = AdapterRegistry(uri).publish("medical-0", folder, _DRAFT)
    longest = max(len(published.to_json()), *(entry.num_bytes for entry in published.files.values()))
    places = random.Random(count)
    for number in range(count):
        fatal = places.randrange(longest)
        _publish_in_a_child(uri, folder, f"medical-{number % 3}", lambda fatal=fatal: _die_at_byte(fatal))


def _publish_in_a_child(uri: str, folder: Path, name: str, doom: Callable[[], None]) -> bool:
    """Return whether the child lived."""
    child = os.fork()
    if child == 0:
        registry = AdapterRegistry(uri)
        doom()
        registry.publish(name, folder, _DRAFT)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _die_at_operation(fatal: int) -> None:
    operations = itertools.count(1)

    def hook(event: str, _: object) -> None:
        if event in _FILE_OPERATIONS and next(operations) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _die_at_moment(fatal: int) -> None:
    moments = itertools.count(1)

    def profile(*_: object) -> None:
        if next(moments) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)


def _count_moments(work: Callable[[], object]) -> int:
    moments = itertools.count()
    sys.setprofile(lambda *_: next(moments) and None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return next(moments)


def _die_at_byte(fatal: int) -> None:
    """Let the system kill this process when it writes further into a file; what came before is written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fatal, fatal))


if __name__ == "__main__":
    what, uri, folder, *numbers = sys.argv[1:]
    tasks: dict[str, Callable[..., None]] = {
        "many": many,
        "die-at-each-step": die_at_each_step,
        "die-at-random": die_at_random,
        "die-within-a-file": die_within_a_file,
    }
    tasks[what](uri, Path(folder), *map(int, numbers))
