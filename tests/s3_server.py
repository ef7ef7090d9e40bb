"""A real S3 over HTTP for tests: moto's server in a process of its own, on a free loopback port, kept in memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

_RUNNING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Server:
    """A server that a test may freeze, or kill and start again on the same port with what it held."""

    def __init__(self) -> None:
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: dict[str, bytes] = {}

    @property
    def variables(self) -> dict[str, str]:
        """By which a client, in this or another process, finds it."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}", **_CREDENTIALS}

    def start(self) -> None:
        """Start, and return when it answers and holds what it held before."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        # A file: a pipe that nobody reads on is full after some hundred requests.
        with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            self._port = self._listening_port(Path(log.name))
        files = self.files()
        for path, content in self._kept.items():
            bucket = path.partition("/")[0]
            if not files.exists(bucket):
                files.mkdir(bucket)
            files.pipe_file(path, content)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def crash(self) -> None:
        """End it at once; a later start finds what it held."""
        files = self.files()
        self._kept = {path: files.cat_file(path) for bucket in files.ls("") for path in files.find(bucket)}
        self.kill()

    def freeze(self) -> None:
        """Stop answering; connections stay open."""
        os.kill(self._running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        os.kill(self._running.pid, signal.SIGCONT)

    def files(self) -> Any:
        """Return a file system of fsspec over it."""
        return fsspec.filesystem(
            "s3",
            key=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _listening_port(self, log: Path) -> int:
        while not (running := _RUNNING.search(log.read_text(encoding="utf-8"))):
            assert self._running.poll() is None, f"the S3 server ended before it was ready:\n{log.read_text()}"
            time.sleep(0.02)
        return int(running[1])

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """Run a server for the length of a block."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.kill()
