"""Adapters that cannot be loaded, and a registry that is away: what was served goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.breaker import CircuitBreaker
from pipelines.errors import (
    AdapterBaseError,
    InvalidAdapterError,
    TranslationError,
    UnavailableError,
    UnknownAdapterError,
)
from tests.adapter_files import make_unreadable, unmounted
from tests.unit.pipelines.adapters.keeping import Clock, FileEngine, KeeperMaker


async def test_a_spoilt_version_is_reported_and_what_was_served_stays(
    registry: AdapterRegistry,
    keeper_of: KeeperMaker,
    publish: Callable[..., None],
    engine: FileEngine,
    tmp_path: Path,
    clock: Clock,
) -> None:
    """It is not fetched again and again, but once in a while; fixed, it is loaded and the report is clean."""
    publish(2)
    registry.promote("medical", 1)
    keeper = keeper_of()
    weights = tmp_path / "registry/adapters/medical/2/adapter_model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-8] + b"12345678")
    registry.promote("medical", 2)
    report = await keeper.sync()
    assert set(report.held) == {"medical@1"}
    assert "SHA-256" in report.problems["medical@2"]
    with pytest.raises(InvalidAdapterError, match="SHA-256"):
        async with keeper.using("medical@2"):
            pass
    weights.write_bytes(sound)
    assert "medical@2" not in (await keeper.sync()).held
    clock.now_s += 60
    report = await keeper.sync()
    assert ("medical@2" in report.held, dict(report.problems)) == (True, {})


async def test_another_base_models_adapter_is_never_loaded(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """Whoever asks for it is told so."""
    publish(base_revision="another")
    registry.promote("medical", 1)
    keeper = keeper_of()
    assert "was trained on fake another" in (await keeper.sync()).problems["medical@1"]
    with pytest.raises(AdapterBaseError):
        async with keeper.using("medical@1"):
            pass
    assert engine.reads == []


@pytest.mark.parametrize(("version", "kind"), [("medical@9", UnknownAdapterError), ("medical", TranslationError)])
async def test_what_does_not_exist_is_an_error(
    keeper_of: KeeperMaker, publish: Callable[..., None], version: str, kind: type[TranslationError]
) -> None:
    """And is remembered by no report."""
    publish()
    with pytest.raises(kind):
        async with keeper_of().using(version):
            pass


async def test_a_registry_that_is_away_changes_nothing(
    registry: AdapterRegistry,
    keeper_of: KeeperMaker,
    publish: Callable[..., None],
) -> None:
    """What is loaded stays and is used; the report says what is wrong, until it is not."""
    publish()
    registry.promote("medical", 1)
    keeper = keeper_of()
    await keeper.sync()
    with unmounted(registry):
        report = await keeper.sync()
        assert set(report.held) == {"medical@1"}
        assert "cannot be reached" in str(report.registry_problem)
        assert (registry.breaker.state, registry.num_retries) == ("open", 2)
        async with keeper.using("medical@1"):
            assert keeper.holds("medical@1")
    assert (await keeper.sync()).registry_problem is None
    assert (registry.breaker.state, registry.num_retries) == ("closed", 2)


async def test_without_the_registry_a_fresh_replica_takes_the_copies_of_this_machine(
    registry: AdapterRegistry, keeper_of: KeeperMaker, publish: Callable[..., None], engine: FileEngine
) -> None:
    """What another replica of the machine once fetched; nothing else, and nothing from another registry."""
    publish()
    registry.promote("medical", 1)
    await keeper_of().sync()
    publish()
    engine.unload_adapter("medical@1")
    fresh = AdapterRegistry(registry.uri, breaker=CircuitBreaker(cool_down_s=0))
    keeper = keeper_of(registry=fresh)
    other = keeper_of(registry=AdapterRegistry(f"{registry.uri}-other"))
    make_unreadable(registry)
    make_unreadable(other.registry)
    for version, asked in (("medical@2", keeper), ("medical@1", other)):
        with pytest.raises(UnavailableError):
            async with asked.using(version):
                pass
    async with keeper.using("medical@1"):
        assert keeper.holds("medical@1")
