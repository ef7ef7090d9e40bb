"""What each route needs: the name it is limited under, and the scope of the key. What is not listed needs the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from configs.schema import Endpoint
from deployments.access.keys import Scope

_API = "/api/v1/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PUBLIC = frozenset({"health", "docs", "openapi.json", "metrics"})
"""Probes, and what says of itself who may read it. Never counted, never refused."""
_SCOPES: dict[str, Scope] = {
    "translate": "translate",
    "batch-translate": "translate",
    "detect": "translate",
    "documents": "documents",
    "glossaries": "glossaries",
}
_ENDPOINTS = frozenset(get_args(Endpoint)) - {"*"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route needs.

    Attributes:
        endpoint: Its name for limits and metrics; one of a fixed set.
        scope: That the key must have; None is any key.
        public: Whether it is open to all.
    """

    endpoint: Endpoint
    scope: Scope | None
    public: bool = False


def requirement_of(method: str, path: str) -> Requirement:
    """Return what a request needs."""
    name = (path.removeprefix(_API) if path.startswith(_API) else path[1:]).split("/", 1)[0]
    if name in _PUBLIC or (path == "/" and method in _READING):
        return Requirement("other", None, public=True)
    endpoint: Endpoint = next((each for each in _ENDPOINTS if each == name), "other")
    if name in _SCOPES:
        return Requirement(endpoint, _SCOPES[name])
    if method in _READING and name != "admin":
        return Requirement(endpoint, None)
    return Requirement(endpoint, "admin")
