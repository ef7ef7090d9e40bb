"""From a trained adapter to a version that the service may pick up: evaluate, pass the gate, publish, promote."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.metadata import version as library_version
from pathlib import Path

from rich.console import Console

from configs.loader import ROOT
from configs.schema import Settings, TrainingSettings
from pipelines.adapters import AdapterRegistry, Manifest, ManifestDraft
from pipelines.adapters.configured import open_registry
from pipelines.adapters.manifest import check_name, version_name
from pipelines.errors import InvalidRequestError, StartupError
from train.data.check import CheckedData
from train.dev_sets import Pairs, domain_pairs, general_pairs
from train.errors import GateRefusedError
from train.evaluation import Comparison, compare
from train.gate import GateReport, decide
from train.options import RunOptions
from train.run_record import write_json
from train.serving import ServingEngine
from train.verdict import tell_cluster

GATE_FILE = "gate.json"
_CANDIDATE = "candidate@1"


def refuse_unpublishable(options: RunOptions, settings: Settings, languages: tuple[str, str]) -> None:
    """Find before training what would stand in the way after it.

    Raises:
        StartupError: There is no registry or no general dev set to judge by; or what is live translates pairs that
            this adapter will not, or cannot be read.
        InvalidRequestError: The adapter cannot be called that.
        InvalidAdapterError: The record of what the name points to is damaged.
        UnavailableError: The registry cannot be read.
    """
    if options.publish is None:
        return
    check_name(options.publish)
    if settings.model.engine != "inflight":
        raise StartupError(
            f"model.engine is {settings.model.engine!r}: adapters are served by 'inflight' alone", field="model.engine"
        )
    _refuse_to_lose_pairs(_live(_registry(settings), options.publish), options, settings, languages)
    if not options.force and not general_pairs(languages, settings.training.gate):
        raise StartupError(
            f"--publish: the gate knows no general dev set for {'-'.join(languages)}: name parallel text of everyday "
            "language with --gate-general-file, or --force",
            field="training.gate.general_file",
        )


def publish_adapter(
    folder: Path,
    options: RunOptions,
    settings: Settings,
    checked: CheckedData,
    languages: tuple[str, str],
    console: Console,
) -> Manifest:
    """Let an adapter pass the gate, publish it, and let its name point to it.

    Args:
        folder: The run's output folder, with the adapter in it. The report is left there as `gate.json`.
        options: What to call it, and whether failing the gate is overruled.
        settings: The whole configuration.
        checked: The data, with the dev split.
        languages: FLORES-200 codes of source and target.
        console: Where the report is shown.

    Raises:
        StartupError: What went live meanwhile translates other pairs, too, or cannot be read; nothing was published.
        GateRefusedError: The adapter did not pass; nothing was published.
        AdapterConflictError: Another version went live meanwhile; this one is published and its name points to that.
    """
    name, registry = str(options.publish), _registry(settings)
    live = _live(registry, name)
    _refuse_to_lose_pairs(live, options, settings, languages)
    with console.status("Translating the dev sets with the serving engine ..."), ServingEngine(settings) as engine:
        revision = engine.revision
        baseline = _comparable(live, revision, _pairs(languages, settings.training))
        if live is not None and baseline is None:
            console.print(
                f"{live.full_name} is live, but of another base model or language pair: the base model is compared with"
            )
        report = _judge(engine, registry, baseline, folder / "adapter", options, settings, checked, languages)
    console.print(report.as_text(), markup=False)
    write_json(folder / GATE_FILE, report.as_json() | {"examples": report.domain.as_json()["examples"]})
    tell_cluster(report.passed, settings.training)
    if not report.passed and not report.forced:
        raise GateRefusedError(
            f"{name} did not pass the gate: {'; '.join(report.problems)}. The adapter stays in {folder / 'adapter'}; "
            "--resume --publish with --force publishes it all the same"
        )
    manifest = registry.publish(
        name, folder / "adapter", _draft(report, options, settings, checked, languages, revision)
    )
    console.print(f"Published {manifest.full_name} ({manifest.num_bytes / 1e6:.1f} MB) to {registry.uri}")
    if not options.no_promote:
        registry.promote(name, manifest.version, expected_live=None if live is None else live.version)
        console.print(f"{name} now points to {manifest.full_name}; running services load it before they use it.")
    return manifest


def _registry(settings: Settings) -> AdapterRegistry:
    registry = open_registry(settings.adapters)
    if registry is None:
        raise StartupError("--publish needs a registry: set adapters.registry", field="adapters.registry")
    return registry


def _live(registry: AdapterRegistry, name: str) -> Manifest | None:
    alias = registry.alias(name)
    if alias is None or alias.live is None:
        return None
    try:
        return registry.manifest(name, alias.live)
    except InvalidRequestError as error:
        raise StartupError(
            f"--publish {name}: {version_name(name, alias.live)} is live and cannot be read: {error.message}; "
            "promote another version first",
            field="publish",
        ) from None


def _refuse_to_lose_pairs(
    live: Manifest | None, options: RunOptions, settings: Settings, languages: tuple[str, str]
) -> None:
    """Refuse to let a name point to what does not translate all that it translates now: such requests would fail."""
    if live is None or options.no_promote:
        return
    pairs = _pairs(languages, settings.training)
    if lost := [pair for pair in live.language_pairs if pair not in pairs]:
        raise StartupError(
            f"--publish {live.name}: {live.full_name} is live and translates {', '.join(lost)}; this adapter is for "
            f"{', '.join(pairs)}: publish it under another name, or with --no-promote",
            field="publish",
        )


def _pairs(languages: tuple[str, str], training: TrainingSettings) -> tuple[str, ...]:
    back = ("-".join(reversed(languages)),) if training.bidirectional else ()
    return ("-".join(languages), *back)


def _comparable(live: Manifest | None, revision: str, pairs: tuple[str, ...]) -> Manifest | None:
    """Return the live version if it can do the same work: on this base model, for one of these language pairs."""
    if live is None or live.base_revision != revision or not set(pairs) & set(live.language_pairs):
        return None
    return live


def _judge(
    engine: ServingEngine,
    registry: AdapterRegistry,
    live: Manifest | None,
    adapter: Path,
    options: RunOptions,
    settings: Settings,
    checked: CheckedData,
    languages: tuple[str, str],
) -> GateReport:
    gate = settings.training.gate
    engine.load(_CANDIDATE, adapter)
    if live is not None:
        with tempfile.TemporaryDirectory() as folder:
            engine.load(live.full_name, registry.fetch(live.name, live.version, Path(folder)))

    def judged(dev_set: str, pairs: Pairs) -> list[Comparison]:
        directions = {languages: pairs}
        if settings.training.bidirectional:
            directions[languages[1], languages[0]] = [(target, source) for source, target in pairs]
        return [
            compare(
                engine,
                those,
                direction,
                dev_set=dev_set,
                baseline=live.full_name if live and "-".join(direction) in live.language_pairs else None,
                candidate=_CANDIDATE,
            )
            for direction, those in directions.items()
            if those
        ]

    domain, general = judged("domain", domain_pairs(checked, gate)), judged("general", general_pairs(languages, gate))
    return decide(domain, general, gate, forced=options.force)


def _draft(
    report: GateReport,
    options: RunOptions,
    settings: Settings,
    checked: CheckedData,
    languages: tuple[str, str],
    revision: str,
) -> ManifestDraft:
    training = settings.training
    after = report.domain.after
    scores = {} if after is None else {key: float(getattr(after, key)) for key in ("chrf", "bleu", "spbleu")}
    if report.general is not None and report.general.after is not None:
        scores["general_chrf"] = report.general.after.chrf
    return ManifestDraft(
        base_model=settings.model.name,
        base_revision=revision,
        language_pairs=_pairs(languages, training),
        rank=training.lora.r,
        alpha=training.lora.alpha,
        targets=training.lora.targets,
        scores=scores,
        gate_report=report.as_json(),
        data_fingerprint=checked.report.fingerprint,
        seed=training.seed,
        code_version=_code_version(),
    )


def _code_version() -> str:
    """Return the commit of this checkout, or the release where there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10
        )
        commit = found.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return commit or library_version("nllb-ray")
