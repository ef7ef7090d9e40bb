"""Keeps in an engine's memory what requests are meant to get: fetched and verified aside, loaded before it is needed.

One per replica. Loads of one version are shared and outlive whoever asked; everything slow runs in threads. Which
adapters leave when room is needed is `pipelines.adapters.memory`'s. Knows no Ray.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from pipelines.adapters.checks import check_base
from pipelines.adapters.manifest import Manifest, split_version, version_name
from pipelines.adapters.memory import AdapterMemory
from pipelines.adapters.registry import AdapterRegistry
from pipelines.adapters.report import KeeperObserver, KeeperReport
from pipelines.adapters.view import RegistryView, read_view
from pipelines.errors import (
    EngineError,
    InvalidAdapterError,
    InvalidRequestError,
    OverloadedError,
    TranslationError,
    UnavailableError,
)
from pipelines.protocols import Engine

_LOGGER = logging.getLogger(__name__)
# A version never changes, but its files may be repaired, and a disk may have been full.
_TRY_AGAIN_S = 30.0
_MOST_LOADS = 8  # at a time
_P = ParamSpec("_P")
_R = TypeVar("_R")


class AdapterKeeper:
    """Belongs to one event loop, but for `start`.

    Args:
        engine: Holds the adapters.
        registry: Where they are published.
        copies: Folder for verified copies; replicas of one machine may share it.
        max_bytes: Most that the adapters may take, as the engine counts them.
        pinned: Names (what is live of them) and versions that never leave.
        replica: How reports call this replica.
        observer: Is told of loads.
        clock_s: Of second tries.
    """

    def __init__(
        self,
        engine: Engine,
        registry: AdapterRegistry,
        copies: Path,
        *,
        max_bytes: int,
        pinned: Sequence[str] = (),
        replica: str = "",
        observer: KeeperObserver | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self.registry = registry
        self._copies = copies
        self._memory = AdapterMemory(engine, max_bytes)
        self._pinned_names = frozenset(pinned)
        self._replica = replica
        self._observer = observer
        self._clock_s = clock_s
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._problems: dict[str, tuple[float, TranslationError]] = {}
        self._registry_problem: str | None = None
        self._syncing: asyncio.Task[None] | None = None
        # Of its own: a slow registry must not take the threads that requests are tokenised in.
        self._threads = ThreadPoolExecutor(_MOST_LOADS, thread_name_prefix="adapters")

    def start(self) -> None:
        """Load what is live, and return when that is done. Blocks; to be called before requests come.

        A registry that cannot be read leaves the replica without adapters until it can.
        """
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._sync()).result()

    async def sync(self) -> KeeperReport:
        """Look at the registry, load what is missing, and report. Those who ask meanwhile share one look."""
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().create_task(self._sync())
        await asyncio.shield(self._syncing)
        return self.report()

    def report(self) -> KeeperReport:
        """Return what is held."""
        return KeeperReport(
            replica=self._replica,
            base_revision=self._engine.info.revision,
            held={version: each.num_bytes for version, each in self._engine.adapters().items()},
            problems={version: error.message for version, (_, error) in self._problems.items()},
            registry_problem=self._registry_problem,
        )

    def holds(self, version: str) -> bool:
        """Whether a version can be used at once."""
        return self._memory.holds(version)

    @asynccontextmanager
    async def using(self, version: str) -> AsyncIterator[None]:
        """Have a version loaded for as long as the block runs, waiting for it if it is not there.

        Raises:
            TranslationError: It cannot be loaded.
        """
        with self._memory.in_use(version):
            while not self.holds(version):  # once more if what was awaited was a spare that found no room
                await self._load_for_request(version)
            yield

    async def _sync(self) -> None:
        try:
            view = await self._in_thread(read_view, self.registry)
        except UnavailableError as error:
            if self._registry_problem is None:
                _LOGGER.warning("adapters stay as they are: %s", error.message)
            self._registry_problem = error.message
            return
        self._registry_problem = None
        required, spare = self._choose(view)
        self._forget(view)
        for version in [*required, *spare]:
            if not self.holds(version) and not self._failed_lately(version):
                try:
                    await self._load_once(version, spare=version not in self._memory.required)
                except TranslationError:
                    continue  # it is remembered, reported and logged

    def _choose(self, view: RegistryView) -> tuple[list[str], list[str]]:
        """Return what has to be loaded and what may be, the most wanted first."""
        served = [
            version_name(name, number)
            for name, adapter in view.adapters.items()
            for number in adapter.served
            if number in adapter.manifests
        ]
        pinned = [version for version in self._pinned_names if split_version(version)[1] is not None]
        self._memory.pinned = frozenset(
            [*pinned, *(version for version in served if split_version(version)[0] in self._pinned_names)]
        )
        known = [version for version in pinned if _manifest_of(view, version) is not None]
        self._memory.required = frozenset([*served, *known])
        spare = [version_name(name, number) for name, each in view.adapters.items() for number in each.spare]
        return list(dict.fromkeys([*served, *known])), spare

    def _forget(self, view: RegistryView) -> None:
        """Drop problems of what is gone, and adapters that are retired."""
        for version in list(self._problems):
            if _manifest_of(view, version) is None:
                del self._problems[version]
        for version in self._engine.adapters():
            name, number = split_version(version)
            adapter = view.adapters.get(name)
            if adapter is not None and number is not None and adapter.retired(number):
                self._memory.unload(version)

    def _failed_lately(self, version: str) -> bool:
        at_s, error = self._problems.get(version, (0.0, None))
        # Room may be there the next moment; a version that is not sound stays so for a while.
        return isinstance(error, InvalidRequestError | EngineError) and self._clock_s() - at_s < _TRY_AGAIN_S

    async def _load_for_request(self, version: str) -> None:
        try:
            if self._failed_lately(version):
                raise self._problems[version][1]
            await self._load_once(version, for_request=True)
        except InvalidAdapterError as error:
            raise InvalidAdapterError(f"{version} cannot be served: {error.message}", field="adapter") from error

    async def _load_once(self, version: str, *, for_request: bool = False, spare: bool = False) -> None:
        """Load a version, together with all who ask for it meanwhile; a caller who gives up stops nobody."""
        task = self._loading.get(version)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(version, for_request, spare))
            task.add_done_callback(lambda _: self._loading.pop(version, None))
            # Nobody may be left who asks for the error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._loading[version] = task
        await asyncio.shield(task)

    async def _load(self, version: str, for_request: bool, spare: bool) -> None:
        started_s = time.perf_counter()
        try:
            if not await self._try_to_load(version, for_request, spare):
                return
        except UnavailableError:
            raise  # says nothing about the version
        except TranslationError as error:
            self._remember(version, error)
            raise
        except Exception as error:
            _LOGGER.exception("adapter %s", version)
            failure = EngineError(f"{version} could not be loaded; the replica's log says why")
            self._remember(version, failure)
            raise failure from error
        finally:
            self._memory.release(version)
        self._problems.pop(version, None)
        self._memory.settle(version)
        duration_s = time.perf_counter() - started_s
        _LOGGER.info("adapter %s is loaded", version, extra={"adapter": version, "duration_s": duration_s})
        if self._observer is not None:
            self._observer.adapter_loaded(version, duration_s)

    async def _try_to_load(self, version: str, for_request: bool, spare: bool) -> bool:
        name, number = split_version(version)
        if number is None:
            raise InvalidRequestError(f"{version!r} names no version of an adapter", field="adapter")
        manifest = await self._in_thread(self.registry.manifest, name, number, copies=self._copies)
        check_base(manifest, self._engine.info.revision)
        if not self._memory.reserve(version, manifest.num_bytes, for_request=for_request, spare=spare):
            if spare:
                return False
            raise OverloadedError(
                f"no room for {version}: it takes {manifest.num_bytes} bytes beside adapters that are in use or live, "
                f"and adapters.max_resident_bytes is {self._memory.max_bytes}",
                retry_after_s=1.0 if manifest.num_bytes <= self._memory.max_bytes else None,
            )
        folder = await self._in_thread(self.registry.fetch, name, number, self._copies)
        await self._in_thread(self._engine.load_adapter, version, folder)
        return True

    async def _in_thread(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        context = copy_context()  # whose request it is, for the log
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(context.run, call, *args, **kwargs)
        )

    def _remember(self, version: str, error: TranslationError) -> None:
        if version not in self._problems:
            _LOGGER.warning("adapter %s cannot be loaded: %s", version, error.message, extra={"adapter": version})
        self._problems[version] = (self._clock_s(), error)
        if self._observer is not None:
            self._observer.adapter_failed(version)


def _manifest_of(view: RegistryView, version: str) -> Manifest | None:
    name, number = split_version(version)
    return None if number is None else view.manifest(name, number)
