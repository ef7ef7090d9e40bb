"""Checkpoints on a disk or object storage: each whole or not there, only the newest few kept.

A checkpoint is a folder `step-00000120-<nonce>`. Its files are written first and `complete.json`, which lists them,
last; a folder without it is the remains of a writer that died. One writer at a time; readers may come at any moment.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs

from train.data.files import open_filesystem

COMPLETE_FILE = "complete.json"
_CLAIM = "claim"
_FOLDER = re.compile(r"step-(\d{8})-\w+")


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        location: A path or URI; made when the first one is saved.
        num_kept: Older ones are deleted after each save.
    """

    def __init__(self, location: str, num_kept: int) -> None:
        self._filesystem, self._root = open_filesystem(location)
        self._num_kept = num_kept

    def claim(self) -> str:
        """Leave a name that no other run has, and return it: who finds it here shares the place with this process."""
        name = uuid.uuid4().hex
        self._filesystem.create_dir(self._root, recursive=True)
        with self._filesystem.open_output_stream(f"{self._root}/{_CLAIM}") as stream:
            stream.write(name.encode())
        return name

    def is_claimed_by(self, name: str) -> bool:
        """Whether `claim` left this name here."""
        if not self._is_file(f"{self._root}/{_CLAIM}"):
            return False
        with self._filesystem.open_input_stream(f"{self._root}/{_CLAIM}") as stream:
            return bool(stream.read() == name.encode())

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Save a checkpoint and delete what is too old or was never finished.

        Args:
            step: Orders the checkpoints.
            write: Is given an empty folder and fills it.
        """
        name = f"step-{step:08}-{uuid.uuid4().hex[:8]}"
        target = f"{self._root}/{name}"
        with tempfile.TemporaryDirectory(prefix="nllb-checkpoint-", dir=self._near_folder()) as folder:
            write(Path(folder))
            sizes = {file.name: file.stat().st_size for file in Path(folder).iterdir()}
            self._filesystem.create_dir(target, recursive=True)
            for file in sizes:
                self._put(Path(folder, file), f"{target}/{file}")
        with self._filesystem.open_output_stream(f"{target}/{COMPLETE_FILE}.draft") as stream:
            stream.write(json.dumps(sizes).encode())
        self._filesystem.move(f"{target}/{COMPLETE_FILE}.draft", f"{target}/{COMPLETE_FILE}")
        self._delete_all_but_newest()

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        """Give a local folder with the files of the newest whole checkpoint for the time of the block, or None."""
        for _, folder in sorted(self._folders(), reverse=True):
            if not self._is_complete(folder):
                continue
            if isinstance(self._filesystem, pyarrow.fs.LocalFileSystem):
                yield Path(folder)
                return
            with tempfile.TemporaryDirectory(prefix="nllb-checkpoint-") as local:
                pyarrow.fs.copy_files(folder, local, source_filesystem=self._filesystem)
                yield Path(local)
                return
        yield None

    def delete(self) -> None:
        """Delete all checkpoints."""
        if self._filesystem.get_file_info(self._root).type != pyarrow.fs.FileType.NotFound:
            self._filesystem.delete_dir(self._root)

    def _near_folder(self) -> str | None:
        """On a local disk, where a file moves to its place without being copied."""
        if not isinstance(self._filesystem, pyarrow.fs.LocalFileSystem):
            return None
        Path(self._root).mkdir(parents=True, exist_ok=True)
        return self._root

    def _put(self, file: Path, target: str) -> None:
        if isinstance(self._filesystem, pyarrow.fs.LocalFileSystem):
            file.rename(target)
        else:
            pyarrow.fs.copy_files(str(file), target, destination_filesystem=self._filesystem)

    def _delete_all_but_newest(self) -> None:
        whole = []
        for step, folder in sorted(self._folders(), reverse=True):
            if self._is_complete(folder) and len(whole) < self._num_kept:
                whole.append(step)
                continue
            if self._is_file(f"{folder}/{COMPLETE_FILE}"):
                self._filesystem.delete_file(f"{folder}/{COMPLETE_FILE}")  # first, or a reader meets half of it
            self._filesystem.delete_dir(folder)

    def _folders(self) -> list[tuple[int, str]]:
        selector = pyarrow.fs.FileSelector(self._root, allow_not_found=True)
        entries = ((_FOLDER.fullmatch(each.base_name), each.path) for each in self._filesystem.get_file_info(selector))
        return [(int(match[1]), path) for match, path in entries if match]

    def _is_complete(self, folder: str) -> bool:
        if not self._is_file(f"{folder}/{COMPLETE_FILE}"):
            return False
        with self._filesystem.open_input_stream(f"{folder}/{COMPLETE_FILE}") as stream:
            sizes = json.loads(stream.read())
        infos = self._filesystem.get_file_info([f"{folder}/{name}" for name in sizes])
        return [info.size for info in infos] == list(sizes.values())

    def _is_file(self, path: str) -> bool:
        return bool(self._filesystem.get_file_info(path).is_file)


def result_store(checkpoint_location: str) -> CheckpointStore:
    """Return where the finished model is, in the form that it is served in."""
    return CheckpointStore(f"{checkpoint_location}/result", num_kept=1)
