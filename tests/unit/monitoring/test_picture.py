"""The picture is drawn from what Prometheus answers to the dashboard's own queries."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from monitoring.dashboard import dashboard
from monitoring.panels import ROWS, Row
from monitoring.picture import main


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A stand-in that knows series of every other query; its address, and what it was asked."""
    queries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class' name
            queries.append(parse_qs(urlsplit(self.path).query)["query"][0])
            now = time.time()
            values = [[now - 10, "1"], [now - 5, "2"], [now, "NaN"]]
            series = [{"metric": {"replica": "a", "le": le}, "values": values} for le in ("0.5", "1", "+Inf")]
            body = json.dumps({"status": "success", "data": {"result": series if len(queries) % 2 else []}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", queries
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_query_is_asked_and_drawn(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    """All of them, with a time for the rates, into a PNG; what has no data or no number does not stop it."""
    url, queries = asked
    file = tmp_path / "dashboard.png"
    assert main(["--prometheus", url, "--minutes", "1", "--range", "20s", "--out", str(file)]) == 0
    wanted = [
        target["expr"].replace("$__rate_interval", "20s")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]
    assert queries == wanted
    assert file.read_bytes().startswith(b"\x89PNG")


def test_rows_are_drawn_alone(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    """Only their queries are asked, and the picture is as high as they are."""
    url, queries = asked
    sizes = []
    for name, rows in (("one", ["Latency"]), ("two", ["Latency", "Training"])):
        file = tmp_path / f"{name}.png"
        assert main(["--prometheus", url, "--rows", *rows, "--out", str(file)]) == 0
        sizes.append(int.from_bytes(file.read_bytes()[20:24]))  # the height in a PNG's header
    (latency,) = [row for row in ROWS if row.title == "Latency"]
    (training,) = [row for row in ROWS if row.title == "Training"]
    assert len(queries) == 2 * _num_queries(latency) + _num_queries(training)
    assert sizes[0] < sizes[1]


def _num_queries(row: Row) -> int:
    return sum(len(panel.queries) for panel in row.panels)
