"""The API's OpenAPI document, made without starting anything: `python -m deployments.openapi >docs/openapi.json`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from configs.schema import LimitSettings
from deployments.api import create_api
from deployments.service import TranslationService


def api_document() -> dict[str, Any]:
    """Return the document that a running service serves at `/openapi.json`."""
    # Routes are only declared here, never called; of the service nothing but its limits is used.
    declared_only = cast(TranslationService, SimpleNamespace(limits=LimitSettings(), glossaries=None))
    return create_api(declared_only).openapi()


if __name__ == "__main__":
    print(json.dumps(api_document(), indent=1, ensure_ascii=False))
