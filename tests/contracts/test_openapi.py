"""The committed API document is the API's."""

from __future__ import annotations

import json
from pathlib import Path

from deployments.access.routes import requirement_of
from deployments.openapi import api_document

_DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_current() -> None:
    """`docs/openapi.json` is what the code declares; fix it: `python -m deployments.openapi >docs/openapi.json`."""
    assert json.loads(_DOCUMENT.read_text(encoding="utf-8")) == api_document()


def test_every_body_has_an_example() -> None:
    """Whoever opens `/docs` sees a request that works, for each route that takes one."""
    document = api_document()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if "requestBody" in operation:
                reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                schema = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
                assert schema.get("examples"), path


def test_every_route_names_what_the_door_and_a_fault_answer() -> None:
    """500 everywhere; where a key is asked for 401 and 429, and 403 where it needs a scope; all in the one shape."""
    for path, methods in api_document()["paths"].items():
        for method, operation in methods.items():
            needs = requirement_of(method.upper(), path)
            wanted = {"500"} | (set() if needs.public else {"401", "429"}) | ({"403"} if needs.scope else set())
            assert wanted <= set(operation["responses"]), (method, path)
            for status in wanted:
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith("/ErrorResponse"), (method, path, status)


def test_every_success_names_its_content() -> None:
    """JSON, events, an archive, a table: a client knows what it gets."""
    for path, methods in api_document()["paths"].items():
        for method, operation in methods.items():
            successes = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert successes, (method, path)
            assert all(answer.get("content") for answer in successes), (method, path)
