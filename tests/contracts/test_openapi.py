"""The committed API document is the API's."""

from __future__ import annotations

import json
from pathlib import Path

from deployments.openapi import api_document

_DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_current() -> None:
    """`docs/openapi.json` is what the code declares; mend it: `python -m deployments.openapi >docs/openapi.json`."""
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
