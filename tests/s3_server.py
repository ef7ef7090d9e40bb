"""A real S3 over HTTP for tests: moto's server in a process of its own, on a free loopback port, kept in memory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")


@contextmanager
def running_s3() -> Iterator[dict[str, str]]:
    """Yield the variables by which a client, in this or another process, finds the server."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            said = ""
            while not (running := _RUNNING.search(said)):
                line = process.stdout.readline()
                assert line, f"the S3 server ended before it was ready:\n{said}"
                said += line
            yield {
                "AWS_ENDPOINT_URL": running[1],
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        finally:
            process.kill()
