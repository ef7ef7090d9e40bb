"""Copies of versions on this machine. Whatever is there under a version's name was held against its manifest."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from pipelines.adapters.checks import check_folder
from pipelines.adapters.manifest import FILES, MANIFEST_FILE, Manifest, file_path, version_name
from pipelines.adapters.store import CreateOnlyStore
from pipelines.errors import InvalidAdapterError

_ORIGIN_FILE = "registry.txt"


def keep_copy(store: CreateOnlyStore, manifest: Manifest, folder: Path) -> Path:
    """Return a verified copy of a version, `<folder>/<name>@<version>`; one that is there and sound is not made again.

    Raises:
        InvalidAdapterError: The version is not what its manifest says, or a copy is there that is not and stays.
        UnavailableError: The store cannot be read.
    """
    home = folder / manifest.full_name
    if home.is_dir():
        with suppress(InvalidAdapterError):
            check_folder(home, manifest)
            return home
        shutil.rmtree(home, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{manifest.full_name}-", dir=folder))
    try:
        download(store, manifest, draft)
        (draft / MANIFEST_FILE).write_bytes(manifest.to_json())
        (draft / _ORIGIN_FILE).write_text(store.uri, encoding="utf-8")
        try:
            draft.rename(home)
        except OSError:  # another process was faster with the same version, or what is there is another user's
            check_folder(home, manifest)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return home


def copied_manifest(store: CreateOnlyStore, folder: Path, name: str, version: int) -> Manifest | None:
    """Return the manifest that came with a copy from this store, for a caller that cannot ask it; None without one."""
    home = folder / version_name(name, version)
    try:
        if (home / _ORIGIN_FILE).read_text(encoding="utf-8") != store.uri:
            return None  # another registry's version of that name
        return Manifest.from_json((home / MANIFEST_FILE).read_bytes(), name, version)
    except (OSError, InvalidAdapterError):
        return None


def download(store: CreateOnlyStore, manifest: Manifest, folder: Path) -> None:
    """Read the files of a version into a folder, and hold them against the manifest.

    Raises:
        InvalidAdapterError: They are not what it says.
        UnavailableError: The store cannot be read.
    """
    for file in FILES:
        said = manifest.files[file].num_bytes
        try:
            content = store.read(file_path(manifest.name, manifest.version, file), said)
        except FileNotFoundError:
            raise InvalidAdapterError(f"{file}: is missing; the manifest names it", field=file) from None
        except PermissionError as error:
            raise InvalidAdapterError(str(error), field=file) from None
        except ValueError:
            raise InvalidAdapterError(f"{file}: has over {said} bytes; the manifest lies", field=file) from None
        (folder / file).write_bytes(content)
    check_folder(folder, manifest)
