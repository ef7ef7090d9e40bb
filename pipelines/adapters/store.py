"""Files that are created once and never changed, on a disk or an object store. Knows nothing of adapters.

All of the registry's guarantees rest on one operation, `create`: it makes a whole file or none, and fails if the name
is taken. Object stores have it as a conditional put; on a disk a file is written aside and linked to its name.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import fsspec
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem

from pipelines.breaker import CircuitBreaker
from pipelines.errors import StartupError, UnavailableError
from pipelines.retry import retry_blocking

T = TypeVar("T")
_MAX_READS = 3
_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 10  # of silence: an answer may take longer
_PATIENCE_S = 20.0
_SLOWEST_BYTES_PER_S = 1 << 20
_Exceptions: TypeAlias = tuple[type[Exception], ...]
_ANSWERS: _Exceptions = (FileNotFoundError, FileExistsError)
# Of a single file: where nothing can be read, nothing can be listed either.
_ANSWERS_OF_A_FILE: _Exceptions = (*_ANSWERS, PermissionError)
_HOW_TO_INSTALL = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}


class CreateOnlyStore:
    """Files under one URI: `file://`, `s3://`, `gs://` or a path.

    Args:
        uri: Where they are.
        breaker: Leaves the store alone while it does not answer.
        patience_s: Longest that an object store may take for a question, with all that its client does to have it
            answered; a file of so many MiB may take as many seconds more.

    Raises:
        StartupError: The URI's protocol is unknown, or what speaks it is not installed.
    """

    def __init__(self, uri: str, breaker: CircuitBreaker | None = None, *, patience_s: float = _PATIENCE_S) -> None:
        self.uri = uri
        self._patience_s = patience_s
        # gcsfs would first ask by gRPC what kind of a bucket it is, for up to a minute; all kinds have the JSON API.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        try:
            # A listing that is remembered would hide what others publish.
            filesystem, root = fsspec.url_to_fs(uri, use_listings_cache=False, **_client_limits(uri))
        except ImportError:
            package = _HOW_TO_INSTALL.get(uri.partition(":")[0], "fsspec's package for it")
            raise StartupError(
                f"adapters.registry is {uri!r}: install {package} to use it", field="adapters.registry"
            ) from None
        except ValueError as error:
            raise StartupError(
                f"adapters.registry is {uri!r}: {error}; accepted are a folder, file://, s3:// and gs://",
                field="adapters.registry",
            ) from None
        self._filesystem: Any = filesystem
        # s3fs' own would come on top of botocore's and of ours: a store that hangs would hold a start up for minutes.
        self._filesystem.retries = 1
        self._root = str(root).rstrip("/")
        self.breaker = CircuitBreaker() if breaker is None else breaker
        self._seen: frozenset[str] = frozenset()
        self._relied_on: set[str] = set()
        self.num_retries = 0
        """Reads that were made again after they failed."""

    def create(self, path: str, content: bytes, *, contested: bool = False) -> None:
        """Make a whole file, or none.

        The answer to a put may be lost, and the client's next try meets the file that it made. So what is there with
        the same content counts as made by this call, unless it is contested.

        Args:
            path: Relative to the root.
            content: Of the file.
            contested: Whether others may create that file with the very same content.

        Raises:
            FileExistsError: The name is taken.
            UnavailableError: The store cannot be written.
        """
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                self._ask(lambda: _link_new(Path(self._root, path), content))
            else:
                self._ask(lambda: self._put_new(f"{self._root}/{path}", content))
        except FileExistsError:
            if contested or not self._holds(path, content):
                raise

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: There is none.
            PermissionError: This process may not read it.
            ValueError: It has more bytes than that.
            UnavailableError: The store cannot be read.
        """
        where = f"{self._root}/{path}"
        try:
            content: bytes = self._ask_again(
                lambda: self._call("cat_file", where, start=0, end=max_bytes + 1, num_bytes=max_bytes),
                answers=_ANSWERS_OF_A_FILE,
            )
        except PermissionError as error:
            raise PermissionError(f"{path} may not be read by this process") from error
        if len(content) > max_bytes:
            raise ValueError(f"{path} has over {max_bytes} bytes")
        return content

    def rely_on(self, path: str) -> None:
        """From now on, take a listing that has lost this file for no answer.

        For what proved sound. Whatever else lies in the store may be removed again.
        """
        self._relied_on.add(path)

    def paths(self, folder: str = "") -> list[str]:
        """Return all files below a folder, relative to the root, sorted; none if there is no such folder.

        Raises:
            UnavailableError: The store cannot be read.
        """
        return self._ask_again(lambda: self._find(folder))

    def _holds(self, path: str, content: bytes) -> bool:
        try:
            return self.read(path, len(content)) == content
        except (FileNotFoundError, PermissionError, ValueError):
            return False

    def _find(self, folder: str) -> list[str]:
        try:
            found: Sequence[str] = self._call("find", f"{self._root}/{folder}".rstrip("/"))
        except FileNotFoundError:
            found = []
        relative = [path[len(self._root) :].lstrip("/") for path in found]
        paths = sorted(path for path in relative if path and not path.rpartition("/")[2].startswith("."))
        # What is relied on is never deleted: a disk is not mounted, another bucket answers, or a copy is not all back
        # yet. Of a file that was never listed, this listing may just not know yet.
        known = (path for path in self._seen & self._relied_on if path.startswith(f"{folder}/" if folder else ""))
        if lost := set(known).difference(paths):
            raise OSError(f"{min(lost)} was there before and is missing now")
        if not folder:
            self._seen = frozenset(paths)
        return paths

    def _ask_again(self, question: Callable[[], T], answers: _Exceptions = _ANSWERS) -> T:
        """Ask up to three times; reading twice does no harm, and creating twice would find its own file.

        While the store is left alone, one probe will do.
        """

        def again() -> None:
            self.num_retries += 1

        max_attempts = 1 if self.breaker.is_open else _MAX_READS
        return retry_blocking(
            lambda: self._ask(question, answers), on=UnavailableError, max_attempts=max_attempts, again=again
        )

    def _ask(self, question: Callable[[], T], answers: _Exceptions = _ANSWERS) -> T:
        if not self.breaker.admit():
            raise UnavailableError(f"the adapter registry {self.uri} did not answer a moment ago", retry_after_s=5.0)
        try:
            with self.breaker.watching(Exception, answers=answers):  # each protocol has its own errors
                return question()
        except answers:
            raise
        except Exception as error:
            raise UnavailableError(
                f"the adapter registry {self.uri} cannot be reached: {type(error).__name__}: {error}", retry_after_s=5.0
            ) from error

    def _call(self, method: str, *arguments: Any, num_bytes: int = 0, **options: Any) -> Any:
        """Call a method of the file system; an object store's has an end, whatever its client tries again."""
        if not self._filesystem.async_impl:
            return getattr(self._filesystem, method)(*arguments, **options)
        question = getattr(self._filesystem, f"_{method}")
        patience_s = self._patience_s + num_bytes / _SLOWEST_BYTES_PER_S
        try:
            return sync(self._filesystem.loop, question, *arguments, timeout=patience_s, **options)
        except fsspec.FSTimeoutError:
            raise TimeoutError(f"no answer within {patience_s:g} s") from None

    def _put_new(self, where: str, content: bytes) -> None:
        try:
            self._call("pipe_file", where, content, mode="create", num_bytes=len(content))
        except OSError as error:
            # s3fs knows AWS' refusal of a conditional put, and not that of every other S3.
            if error.errno == errno.EINVAL and self._call("exists", where):
                raise FileExistsError(where) from error
            raise


def _client_limits(uri: str) -> dict[str, Any]:
    """Of S3's client, within our patience: a replica that starts while a store hangs has to start without it."""
    if uri.partition(":")[0] not in {"s3", "s3a"}:
        return {}
    limits = {"connect_timeout": _CONNECT_TIMEOUT_S, "read_timeout": _READ_TIMEOUT_S}
    return {"config_kwargs": limits | {"retries": {"total_max_attempts": 2}}}


def _link_new(path: Path, content: bytes) -> None:
    """Make a file that is whole from its first moment on: written aside, made durable, then linked to its name."""
    _make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as stream:
            stream.write(content)
            stream.flush()
            _let_read(draft, 0o444)
            os.fsync(stream.fileno())
        os.link(draft, path)
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(folder) from None
    else:
        _let_read(folder, 0o555)


def _let_read(path: Path, bits: int) -> None:
    """Let everybody read what was made, whatever the umask: servers often run as another user than publishers."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
