"""As much of Google Cloud Storage's JSON API over HTTP as a registry uses, on a free loopback port, kept in memory.

By https://cloud.google.com/storage/docs/json_api/v1/objects: `insert` with `ifGenerationMatch`, `list`, and `get` of
metadata and of ranges of the media.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_OBJECTS = re.compile(r"/(?:(?:upload|download)/)?storage/v1/b/(?P<bucket>[^/]+)/o(?:/(?P<name>[^/]+))?")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_BOUNDARY = b"\n--==0=="  # gcsfs' own
_PAGE = 5  # objects: small, so that listings have several


class GcsServer:
    """A server that a test may let hang."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.writing = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"gcs": self}))
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        """By which a client, in this or another process, finds it."""
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self._http.server_port}", "FSSPEC_GS_TOKEN": "anon"}

    def close(self) -> None:
        """End it."""
        self.answering.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def running_gcs() -> Iterator[GcsServer]:
    """Run one for the length of a block."""
    server = GcsServer()
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    gcs: GcsServer

    def do_POST(self) -> None:
        """Insert an object, whole: metadata and media in one multipart body."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.gcs.answering.wait()
        bucket, _, query = self._place()
        _, about, media = content.split(b"\n\n", 2)
        key = (bucket, json.loads(about.partition(_BOUNDARY)[0])["name"])
        with self.gcs.writing:
            if query.get("ifGenerationMatch") == ["0"] and key in self.gcs.objects:
                self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})
                return
            self.gcs.objects[key] = media.removesuffix(_BOUNDARY + b"--")
        self._answer(200, self._metadata(key))

    def do_GET(self) -> None:
        """List objects, a page at a time, or return one's metadata or media."""
        self.gcs.answering.wait()
        bucket, name, query = self._place()
        if name is None:
            self._list(bucket, query.get("prefix", [""])[0], int(query.get("pageToken", ["0"])[0]))
        elif (bucket, name) not in self.gcs.objects:
            self._answer(404, {"error": {"code": 404, "message": "No such object"}})
        elif query.get("alt") == ["media"]:
            self._media(self.gcs.objects[bucket, name])
        else:
            self._answer(200, self._metadata((bucket, name)))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _place(self) -> tuple[str, str | None, dict[str, list[str]]]:
        url = urlsplit(self.path)
        found = _OBJECTS.fullmatch(url.path)
        assert found is not None, self.path
        return found["bucket"], found["name"] and unquote(found["name"]), parse_qs(url.query)

    def _list(self, bucket: str, prefix: str, first: int) -> None:
        keys = sorted(key for key in self.gcs.objects if key[0] == bucket and key[1].startswith(prefix))
        shown = keys[first : first + _PAGE]
        page: dict[str, Any] = {"kind": "storage#objects", "items": [self._metadata(key) for key in shown]}
        if len(keys) > first + _PAGE:
            page["nextPageToken"] = str(first + _PAGE)
        self._answer(200, page)

    def _media(self, content: bytes) -> None:
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        part = content if wanted is None else content[int(wanted[1]) : int(wanted[2]) + 1]
        self._answer(200 if wanted is None else 206, part)

    def _metadata(self, key: tuple[str, str]) -> dict[str, Any]:
        bucket, name = key
        return {"bucket": bucket, "name": name, "size": str(len(self.gcs.objects[key])), "generation": "1"}

    def _answer(self, status: int, content: bytes | dict[str, Any]) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
