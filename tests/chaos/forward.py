"""Takes connections on a Unix socket to an address that only this process' network reaches.

Run as `python -m tests.chaos.forward SOCKET HOST PORT`, inside a machine of `tests.chaos.machines`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress


async def _forward(path: str, host: str, port: int) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # nobody listens there: the connection ends
            other_reader, other_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))
        writer.close()

    server = await asyncio.start_unix_server(connect, path)
    await server.serve_forever()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await source.read(65536):
            target.write(content)
            await target.drain()
    target.close()


if __name__ == "__main__":
    asyncio.run(_forward(sys.argv[1], sys.argv[2], int(sys.argv[3])))
