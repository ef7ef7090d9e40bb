"""What `kubectl kustomize` makes of the overlays of `cluster/kuberay/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.cluster_files import CLUSTER, load

OVERLAYS = ("dev", "staging", "prod")


def render(overlay: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of an overlay, for the few features that these use."""
    (kustomization,) = load(CLUSTER / "kuberay" / "overlays" / overlay / "kustomization.yaml")
    (base,) = load(CLUSTER / "kuberay" / "base" / "kustomization.yaml")
    assert kustomization["resources"] == ["../../base"]
    resources = [each for name in base["resources"] for each in load(CLUSTER / "kuberay" / "base" / name)]
    # Anchors make shared objects; kustomize copies them.
    resources = [json.loads(json.dumps(each)) for each in resources]
    for patch in kustomization["patches"]:
        if "path" in patch:
            (change,) = load(CLUSTER / "kuberay" / "overlays" / overlay / patch["path"])
            (resource,) = [r for r in resources if r["kind"] == change["kind"]]
            _merge(resource, change)
            continue
        target = patch["target"]
        (resource,) = [r for r in resources if (r["kind"], r["metadata"]["name"]) == (target["kind"], target["name"])]
        for operation in yaml.safe_load(patch["patch"]):
            parent, key = _pointer(resource, operation["path"])
            assert operation["op"] == "add" or parent[key] is not None
            if isinstance(parent, list) and operation["op"] == "add":
                parent.insert(key, operation["value"])
            else:
                parent[key] = operation["value"]
    for image in kustomization["images"]:
        for container in containers(resources):
            name, _, tag = container["image"].rpartition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
    return resources


def containers(resource: Any) -> Iterator[dict[str, Any]]:
    """Yield every container of a resource, or of several, those that run before the others first."""
    if isinstance(resource, list):
        for each in resource:
            yield from containers(each)
    elif isinstance(resource, dict):
        yield from resource.get("initContainers", [])
        yield from resource.get("containers", [])
        for each in resource.values():
            yield from containers(each)


def _merge(resource: dict[str, Any], change: dict[str, Any]) -> None:
    """By RFC 7386, as kustomize does for kinds that are not Kubernetes' own."""
    for key, value in change.items():
        if isinstance(value, dict):
            _merge(resource.setdefault(key, {}), value)
        else:
            resource[key] = value


def _pointer(document: Any, path: str) -> tuple[Any, Any]:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.lstrip("/").split("/")]
    for part in parents:
        document = document[int(part) if isinstance(document, list) else part]
    if isinstance(document, list):
        return document, len(document) if last == "-" else int(last)
    return document, last
