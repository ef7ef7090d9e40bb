"""Ports for servers of tests, on loopback."""

from __future__ import annotations

import secrets
import socket

# Below what a system hands out to who asks for any port (Linux from 32768 on): nobody takes one of these in the time
# until its server has started. Above the ports of Ray's workers, and below those of Serve's replicas.
_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
