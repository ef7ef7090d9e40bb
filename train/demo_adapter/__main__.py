"""Train an adapter beside the running service and see it served: `make demo-adapter`.

Knows the service by its HTTP API alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import ConfigError
from configs.loader import ROOT, load_settings
from configs.ports import read_port
from pipelines.adapters import AdapterRegistry
from pipelines.adapters.configured import open_registry
from train.demo_adapter.data import LANGUAGES, medical_pairs, write_training_data
from train.phases import Phases

_NAME = "medical"
_HOME = Path("models") / "demo-adapter"
_SETTINGS = {
    "epochs": "8",
    "batch-size": "16",
    "learning-rate": "0.004",  # the model is tiny, and so is its data
    "lora-r": "16",
    "lora-alpha": "32",
    "lora-dropout": "0",
    "lora-targets": "q_proj,k_proj,v_proj,out_proj,fc1,fc2",
    "dev-ratio": "0.1",
    "num-workers": "2",
    "num-chrf-sentences": "4",
    # What so short and steep a course forgets depends on how the processor rounds: 0 to 2 of 98 were seen.
    "gate-max-general-loss": "5",
}
_NUM_SHOWN = 3
_SERVED_TIMEOUT_S = 120.0
_POLL_S = 0.1


def main() -> int:
    """Run the demonstration; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        url = f"http://127.0.0.1:{read_port('PORT', 8000)}"
        problem = _problem_of_service(url)
    except ConfigError as error:
        problem = str(error)
    if problem:
        console.print(f"[red]Cannot start:[/red] {escape(problem)}")
        return 1
    phases = Phases("loading")
    phases.begin("translating before")
    before = [_translate(url, source, adapter=None)["translation"] for source, _ in _shown()]
    phases.begin("writing the data")
    data = write_training_data(_HOME / f"{_NAME}.tsv")
    console.print(f"Training on {data} with two Ray workers, beside the service.")
    phases.begin("training, evaluating, publishing")
    if _train(data) != 0:
        return 1
    phases.begin("waiting until it is served")
    version, waited_s = _wait_until_served(url)
    if version is None:
        console.print(f"[red]The service at {url} did not serve {_NAME} within {_SERVED_TIMEOUT_S:g} s.[/red]")
        return 1
    phases.begin("translating after")
    table = Table(
        "English", "before", f"{version}", "reference", title="The same sentences through the running service"
    )
    for (source, reference), old in zip(_shown(), before, strict=True):
        table.add_row(source, old, _translate(url, source, adapter=_NAME)["translation"], reference)
    console.print(table)
    console.print(
        f"From publication to the first translation with {version}: {waited_s:.1f} s, without a restart.\n"
        f"Where the time of all this went:\n{phases.as_text()}\nTry it:\n\n"
        f"  curl -s {url}/api/v1/translate -H 'Content-Type: application/json' \\\n"
        f"    -d '{json.dumps(_request(_shown()[0][0], _NAME))}'\n"
    )
    return 0


def _shown() -> list[tuple[str, str]]:
    return medical_pairs()[:_NUM_SHOWN]


def _problem_of_service(url: str) -> str | None:
    try:
        # The service that runs beside this command, on loopback.
        with urllib.request.urlopen(f"{url}/api/v1/models", timeout=30) as response:  # nosec B310
            served = json.dumps(json.load(response))
    except urllib.error.HTTPError as error:
        why = "; this demonstration shows no API key (access.keys)" if error.code == 401 else ""
        return f"the service at {url} answers {error.code}{why}"
    except (urllib.error.URLError, OSError):
        return f"no service answers at {url}: run `make serve` in another terminal first (PORT=... as there)"
    if '"demo"' not in served:
        return "the service has another model than the demo model; this demonstration's adapter fits that one alone"
    return None


def _train(data: Path) -> int:
    """Train, pass the gate, publish and promote, in a process of its own as a user would."""
    output = _HOME / "run"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "train.lora", "--data-file", str(data), "--output-dir", str(output)]
    command += ["--source-lang", LANGUAGES[0], "--target-lang", LANGUAGES[1], "--publish", _NAME]
    for name, value in _SETTINGS.items():
        command += [f"--{name}", value]
    alias = _registry().alias(_NAME)
    if alias is not None and alias.live is not None:
        # What it is compared with is what this demonstration published before: it cannot be better than itself.
        command += ["--gate-min-domain-gain", "0"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _wait_until_served(url: str) -> tuple[str | None, float]:
    """Return the version that answers to the name, and the seconds since the name was pointed to it."""
    alias = _registry().alias(_NAME)
    assert alias is not None  # training published it
    promoted = alias.history[-1].at
    wanted = f"{_NAME}@{alias.live}"
    deadline_s = time.monotonic() + _SERVED_TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            if _translate(url, _shown()[0][0], adapter=_NAME).get("adapter") == wanted:
                return wanted, (datetime.now(UTC) - promoted).total_seconds()
        except urllib.error.HTTPError:
            pass  # it does not know the name yet
        time.sleep(_POLL_S)
    return None, 0.0


def _translate(url: str, text: str, adapter: str | None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/api/v1/translate",
        data=json.dumps(_request(text, adapter)).encode(),
        headers={"Content-Type": "application/json"},
    )
    # As above.
    with urllib.request.urlopen(request, timeout=60) as response:  # nosec B310
        return dict(json.load(response))


def _request(text: str, adapter: str | None) -> dict[str, str]:
    request = {"text": text, "source_lang": LANGUAGES[0], "target_lang": LANGUAGES[1]}
    return request | ({} if adapter is None else {"adapter": adapter})


def _registry() -> AdapterRegistry:
    registry = open_registry(load_settings().adapters)
    if registry is None:
        raise SystemExit("adapters.registry is null: there is nowhere to publish to")
    return registry


if __name__ == "__main__":
    sys.exit(main())
