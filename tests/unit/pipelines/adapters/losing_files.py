"""An object store whose answers are lost on their way, as its client shows it."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem


class LosingFiles(MemoryFileSystem):
    """Files in memory, under `losing://`.

    Where the answer to a put is lost, the client puts a second time, meets its own file and says that the name is
    taken.

    Attributes:
        answers_to_lose: Names of files; the answer to the next put of each is lost.
    """

    protocol = "losing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    answers_to_lose: ClassVar[set[str]] = set()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.removeprefix("losing://"))
        return stripped

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """See fsspec."""
        super().pipe_file(path, value, mode, **options)
        name = path.rpartition("/")[2]
        if name in self.answers_to_lose:
            self.answers_to_lose.remove(name)
            raise FileExistsError(path)
