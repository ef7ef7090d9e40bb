"""One look at a registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.view import read_view
from pipelines.errors import UnavailableError
from tests.adapter_files import draft
from tests.unit.pipelines.adapters.users import as_nobody


def test_what_an_alias_names_is_known_while_others_publish(registry: AdapterRegistry, adapter: Path) -> None:
    """A version that is published and goes live during a look is seen with its manifest, or not at all."""

    def publish() -> None:
        publisher = AdapterRegistry(registry.uri)
        for _ in range(60):
            publisher.promote("medical", publisher.publish("medical", adapter, draft()).version)

    with ThreadPoolExecutor(1) as thread:
        publishing = thread.submit(publish)
        while not publishing.done():
            for seen in read_view(registry).adapters.values():
                assert set(seen.served) <= set(seen.manifests)
        publishing.result()


@pytest.mark.parametrize("name", ["medical.bak", "Copy of medical", "medical-old"])
def test_a_copy_beside_the_adapters_disturbs_none_and_may_go_again(
    registry: AdapterRegistry, publish: Callable[..., None], name: str
) -> None:
    """It is left out where no adapter can be called that; else its versions are damaged: they say they are others."""
    publish()
    registry.promote("medical", 1)
    before = read_view(registry)
    home = Path(registry.uri)
    for folder in ("adapters", "aliases"):
        shutil.copytree(home / folder / "medical", home / folder / name)
    for seen in (read_view(registry), read_view(AdapterRegistry(registry.uri))):
        assert seen.adapters["medical"] == before.adapters["medical"]
        others = [each for each in seen.adapters.values() if each.name != "medical"]
        assert [(each.name, list(each.manifests), list(each.damaged)) for each in others] in ([], [(name, [], [1])])
    for folder in ("adapters", "aliases"):
        shutil.rmtree(home / folder / name)
    assert read_view(registry) == before


def test_an_alias_that_is_not_back_yet_when_it_is_asked_for_is_no_answer(
    registry: AdapterRegistry, publish: Callable[..., None]
) -> None:
    """A store that is filled again may have all its files a moment later, when the versions are listed."""
    publish()
    registry.promote("medical", 1)
    before = read_view(registry)
    home = Path(registry.uri)
    (home / "aliases").rename(home.parent / "elsewhere")
    store = registry._store
    list_whole = store.paths

    def paths(folder: str = "") -> list[str]:
        if not folder:
            (home.parent / "elsewhere").rename(home / "aliases")
        return list_whole(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "paths", paths)
        with pytest.raises(UnavailableError, match=r"aliases/medical/00000001\.json was there before"):
            read_view(registry)
    (home.parent / "elsewhere").rename(home / "aliases")
    assert read_view(registry) == before


def test_a_sound_version_that_is_gone_is_no_answer(registry: AdapterRegistry, publish: Callable[..., None]) -> None:
    """Nor is the record of an alias: whatever is served from memory stays."""
    publish(2)
    registry.promote("medical", 1)
    read_view(registry)
    for path in ("adapters/medical/2/manifest.json", "aliases/medical/00000001.json"):
        file = Path(registry.uri) / path
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(UnavailableError, match=f"{path} was there before and is missing now"):
            read_view(registry)
        file.write_bytes(content)
    assert read_view(registry).adapters["medical"].served == (1,)


def test_what_may_not_be_read_is_damaged_alone(nobodys: Path, adapter: Path) -> None:
    """A manifest or an alias' record that belongs to another user hides no other adapter, nor itself."""
    publisher = AdapterRegistry(str(nobodys / "registry"))
    for name in ("legal", "medical"):
        for version in (1, 2):
            publisher.publish(name, adapter, draft())
            publisher.promote(name, version)
    home = Path(publisher.uri)
    for path in ("adapters/legal/1/manifest.json", "aliases/medical/00000002.json"):
        (home / path).chmod(0)
    registry = AdapterRegistry(publisher.uri)
    with as_nobody():
        for _ in range(5):
            seen = read_view(registry)
    legal, medical = (seen.adapters[name] for name in ("legal", "medical"))
    assert dict(legal.damaged) == {1: "legal@1: adapters/legal/1/manifest.json may not be read by this process"}
    assert (legal.served, list(legal.manifests), legal.problem) == ((2,), [2], None)
    assert medical.problem == "aliases/medical/00000002.json may not be read by this process"
    assert (list(medical.manifests), medical.record) == ([1, 2], None)


def test_a_link_to_nothing_is_damaged_alone(registry: AdapterRegistry, publish: Callable[..., None]) -> None:
    """It is listed and cannot be read."""
    publish(2)
    manifest = Path(registry.uri) / "adapters/medical/2/manifest.json"
    manifest.unlink()
    manifest.symlink_to("nowhere")
    seen = read_view(registry).adapters["medical"]
    assert list(seen.manifests) == [1]
    assert dict(seen.damaged) == {2: "medical@2: manifest.json: is listed and cannot be found"}


def test_records_of_earlier_releases_are_read(registry: AdapterRegistry, publish: Callable[..., None]) -> None:
    """They have no nonce; the next change of the alias goes on from them."""
    publish(2)
    registry.promote("medical", 1)
    path = Path(registry.uri) / "aliases/medical/00000001.json"
    record = json.loads(path.read_text())
    del record["nonce"]
    path.write_text(json.dumps(record))
    later = AdapterRegistry(registry.uri)
    assert read_view(later).adapters["medical"].served == (1,)
    assert later.promote("medical", 2, expected_live=1).live == 2
