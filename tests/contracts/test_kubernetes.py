"""The files of `cluster/kuberay/` are what Kubernetes and KubeRay accept, and keep what they promise."""

from __future__ import annotations

import fnmatch
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from tests.cluster_files import CLUSTER, PRODUCTION, ROOT, load, published_schema
from tests.kustomize import OVERLAYS, containers, render


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


def _validate(resource: dict[str, Any]) -> None:
    kind = f"{resource['apiVersion']}/{resource['kind']}"
    custom = published_schema("custom_resources.json.gz")
    if kind in custom:
        schema = _closed(custom[kind])
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft7Validator(schema).validate(resource)
    else:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_accepted_by_the_published_schemas(overlay: str) -> None:
    """Every key and value of every resource, after the overlay's patches."""
    for resource in render(overlay):
        _validate(resource)


@pytest.mark.parametrize("name", ["rayjob-training.yaml", "secrets.example.yaml", "volumes.example.yaml"])
def test_the_files_beside_the_overlays_are_accepted(name: str) -> None:
    """The training job, and the shape of the secrets and volumes."""
    for resource in load(CLUSTER / "kuberay" / name):
        _validate(resource)


def test_a_misspelt_key_would_be_seen() -> None:
    """The checks can fail, for a custom resource and for Kubernetes' own."""
    service, budget = (
        next(each for each in render("dev") if each["kind"] == kind) for kind in ("RayService", "PodDisruptionBudget")
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
        for each in render(overlay)
        if each["kind"] == "RayService"
    ]
    (job,) = load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    return [*clusters, ("training", job["spec"]["rayClusterSpec"])]


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_clusters_on_kubernetes_ask_for_the_token_and_run_as_nobody(name: str, cluster: dict[str, Any]) -> None:
    """Token mode, the installed Ray's version, no root, no privileges; serving by HAProxy."""
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in containers(pod):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            if name != "training" and container in pod["containers"]:
                environment = {each["name"]: each.get("value") for each in container["env"]}
                assert environment.items() >= PRODUCTION.items()
                assert environment["NLLB_ENV"] == name


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_on_kubernetes_the_operator_and_a_jobs_submitter_reach_the_dashboard(
    name: str, cluster: dict[str, Any]
) -> None:
    """KubeRay deploys through it: it listens to other pods, and the policy lets in these two beside Ray's own."""
    assert "dashboard-host" not in cluster["headGroupSpec"]["rayStartParams"], "KubeRay's own is all addresses"
    policy, _ = load(CLUSTER / "kuberay" / "base" / "networkpolicy.yaml")
    own, operator, *others = policy["spec"]["ingress"]
    (is_own,) = [each["podSelector"]["matchLabels"].items() for each in own["from"]]
    assert cluster["headGroupSpec"]["template"]["metadata"]["labels"].items() >= is_own
    (job,) = load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    assert job["spec"]["submitterPodTemplate"]["metadata"]["labels"].items() >= is_own
    assert {"protocol": "TCP", "port": 8265} in operator["ports"]
    assert all(port["port"] != 8265 for other in others for port in other["ports"])


def test_the_policy_knows_the_operator_however_it_was_installed() -> None:
    """Its chart and its kustomization give its pods different names and one component."""
    policy, _ = load(CLUSTER / "kuberay" / "base" / "networkpolicy.yaml")
    _, operator, *_ = policy["spec"]["ingress"]
    (source,) = operator["from"]
    assert source["podSelector"]["matchLabels"] == {"app.kubernetes.io/component": "kuberay-operator"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_evictions_are_counted_in_what_kubernetes_can_count(overlay: str) -> None:
    """Pods whose owner has no scale let no eviction happen under `maxUnavailable` or a percentage."""
    (budget,) = [each["spec"] for each in render(overlay) if each["kind"] == "PodDisruptionBudget"]
    assert "maxUnavailable" not in budget
    assert isinstance(budget["minAvailable"], int)
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "a worker without a replica is never ready"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_callers_reach_the_ready_workers_of_old_and_new_clusters(overlay: str) -> None:
    """By labels that are no single cluster's; KubeRay's own service moves from one to the other in one step."""
    resources = render(overlay)
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
    (service,) = load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
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


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_the_service_says_is_in_the_logs_of_its_pods(overlay: str) -> None:
    """Fluent Bit beside Ray starts before it and ends after it, and reads the files that Serve and crashes write."""
    resources = render(overlay)
    (config,) = [each for each in resources if each["metadata"]["name"] == "nllb-logs"]
    pipeline = yaml.safe_load(config["data"]["fluent-bit.yaml"])["pipeline"]
    (read,), (written,) = pipeline["inputs"], pipeline["outputs"]
    assert (read["parser"], written["name"]) == ("json", "stdout")
    for file in ("serve/replica_nllb_Ingress_x1.log", "serve/controller_7.log", "worker-1-01000000-9.err"):
        written_there = f"/tmp/ray/session_2026-11-30_22-06-37_1_2/logs/{file}"
        assert any(fnmatch.fnmatchcase(written_there, path) for path in read["path"].split(",")), file
    (service,) = [each for each in resources if each["kind"] == "RayService"]
    assert yaml.safe_load(service["spec"]["serveConfigV2"])["logging_config"] == {"encoding": "JSON"}
    cluster = service["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (ray_container,), (reader,) = pod["containers"], pod["initContainers"]
        assert reader["restartPolicy"] == "Always", "it would end before Ray begins"
        (shared,) = [each["name"] for each in ray_container["volumeMounts"] if each["mountPath"] == "/tmp/ray"]
        assert {"name": shared, "mountPath": "/tmp/ray", "readOnly": True} in reader["volumeMounts"]
        (folder,) = [each["mountPath"] for each in reader["volumeMounts"] if each["name"] != shared]
        assert reader["args"] == ["--quiet", f"--config={folder}/fluent-bit.yaml"]


def test_one_redis_has_a_database_for_each_use() -> None:
    """The head's state is in 0; the cache counts the keys of its own."""
    (service,) = load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    (secrets,) = load(CLUSTER / "kuberay" / "secrets.example.yaml")
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    (cache,) = [each["value"] for each in head["env"] if each["name"] == "NLLB__CACHE__REDIS__DB"]
    keys = secrets["stringData"]["access-redis-url"].rpartition("/")[2]
    assert len({"0", cache, keys}) == 3


def test_what_is_trained_on_kubernetes_fits_what_is_served_there() -> None:
    """The same model at the same place, whose registry is beside it."""
    (service,) = load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    (job,) = load(CLUSTER / "kuberay" / "rayjob-training.yaml")
    serving, training = (
        [
            (env["value"], [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "models"])
            for container in containers(cluster)
            for env in container.get("env", ())
            if env["name"] == "NLLB__MODEL__NAME"
        ]
        for cluster in (service["spec"]["rayClusterConfig"], job["spec"]["rayClusterSpec"])
    )
    assert training == serving


@pytest.mark.parametrize(("name", "cluster"), _ray_clusters())
def test_translators_wait_for_the_gpus_that_their_nodes_will_have(name: str, cluster: dict[str, Any]) -> None:
    """KubeRay deploys when the head is ready: what only looks for a GPU would find none, and do without for good."""
    of_ray = [each for each in containers(cluster) if each["name"].startswith("ray-")]
    has_gpus = any("nvidia.com/gpu" in each["resources"]["limits"] for each in of_ray)
    assert all(each["image"].endswith(":cuda" if has_gpus else ":cpu") for each in of_ray)
    if name != "training" and has_gpus:
        assert all({"name": "NLLB__MODEL__DEVICE", "value": "cuda"} in each["env"] for each in of_ray)


def test_the_application_on_kubernetes_is_that_of_the_serve_config() -> None:
    """One application in two files, held together."""
    (service,) = load(CLUSTER / "kuberay" / "base" / "rayservice.yaml")
    deployed = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(deployed)
    (configured,) = load(ROOT / "serve_config.yaml")
    assert deployed["applications"] == configured["applications"]


def test_in_prod_every_worker_has_a_translator() -> None:
    """The application is the base's but for its numbers: no GPU is idle for long, none is asked for in vain."""
    service, base = (
        next(each["spec"] for each in render(overlay) if each["kind"] == "RayService") for overlay in ("prod", "dev")
    )
    deployed, of_base = (yaml.safe_load(each["serveConfigV2"]) for each in (service, base))
    ServeDeploySchema.model_validate(deployed)
    ingress, _, translator = deployed["applications"][0]["deployments"]
    (workers,) = service["rayClusterConfig"]["workerGroupSpecs"]
    scaling = translator["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (workers["minReplicas"], workers["maxReplicas"])
    assert ingress["num_replicas"] > 1, "one that dies would take all requests with it"
    ingress["num_replicas"] = 1
    scaling |= {"min_replicas": 1, "max_replicas": 2}
    assert deployed == of_base


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_time_to_drain(overlay: str) -> None:
    """A pod is given longer than Serve gives its replicas."""
    (service,) = [each for each in render(overlay) if each["kind"] == "RayService"]
    applications = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    longest_s = max(each.get("graceful_shutdown_timeout_s", 20) for each in applications[0]["deployments"])
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["template"]["spec"]["terminationGracePeriodSeconds"] > longest_s
