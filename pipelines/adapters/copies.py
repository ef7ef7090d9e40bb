"""Copies of versions on this machine. Whatever is there under a version's name was held against its manifest."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from pipelines.adapters.checks import check_folder
from pipelines.adapters.manifest import FILES, Manifest, file_path
from pipelines.adapters.store import CreateOnlyStore
from pipelines.errors import InvalidAdapterError


def keep_copy(store: CreateOnlyStore, manifest: Manifest, folder: Path) -> Path:
    """Return a verified copy of a version, `<folder>/<name>@<version>`; one that is there and sound is not made again.

    Raises:
        InvalidAdapterError: The version is not what its manifest says.
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
        with suppress(OSError):  # another process was faster with the same version
            draft.rename(home)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return home


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
        except ValueError:
            raise InvalidAdapterError(f"{file}: has over {said} bytes; the manifest lies", field=file) from None
        (folder / file).write_bytes(content)
    check_folder(folder, manifest)
