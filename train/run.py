"""One training run, from the command's options to a model on disk, and on to the registry if that is asked for.

Whatever can be refused is refused before any work begins, and said in one sentence.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from configs.schema import Settings, TrainingSettings
from pipelines.engine.checkpoint import Checkpoint, locate_checkpoint
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.errors import StartupError, UnknownLanguageError
from pipelines.text.languages import resolve_language
from train.checkpoint import COMPLETE_FILE, CheckpointStore, result_store
from train.data.check import CheckedData, DataSource, check_data
from train.data.tokens import count_tokens_of
from train.dev_sets import general_set
from train.errors import TrainingError
from train.job import ModelPlan, TrainingJob
from train.options import RunOptions
from train.phases import Phases
from train.progress import METRICS_FILE, TENSORBOARD_FOLDER, RunProgress
from train.publish import publish_adapter, refuse_unpublishable
from train.records import Record, StartRecord
from train.run_record import RunRecord, deciding_facts, write_json
from train.workers import connected_to_ray, fit, runs_on_gpu

DATA_FILE = "data.json"
RESULTS = {"lora": "adapter", "full": "model"}


def run_training(options: RunOptions, settings: Settings, console: Console) -> Path:
    """Check, train, and publish if asked; return the folder of the adapter or model.

    Args:
        options: What to do.
        settings: The whole configuration.
        console: Where progress is shown.

    Raises:
        TranslationError: Something was refused before training began; the message says what, and what is accepted.
        TrainingError: Training failed, or the adapter did not pass the gate.
    """
    training = settings.training
    phases = Phases("loading libraries")
    phases.begin("checking")
    languages = _languages(options)
    _refuse_impossible(options, settings)
    checkpoint = locate_checkpoint(
        settings.model.name, revision=settings.model.revision, offline=settings.model.offline
    )
    _refuse_unknown_languages(checkpoint, languages)
    refuse_unpublishable(options, settings, languages)
    checked = _check_data(options, settings, checkpoint, languages, console)
    folder = Path(training.output_dir).expanduser().absolute()
    result = folder / RESULTS[options.kind]
    record = RunRecord(folder, deciding_facts(options, settings, checkpoint, checked), resume=options.resume)
    with ExitStack() as session:
        if not record.is_finished:
            phases.begin("starting Ray")
            with console.status("Starting Ray ..."):
                session.enter_context(connected_to_ray(training))
            _refuse_float16_on_cpus(training)
            folder.mkdir(parents=True, exist_ok=True)
            record.begin()
            write_json(folder / DATA_FILE, checked.report.as_json())
            _train(options, settings, checkpoint, checked, folder, record, console, phases)
            record.finish()
        console.print(f"The {RESULTS[options.kind]} is in {result}")
        if options.publish is not None:
            phases.begin("evaluating and publishing")
            publish_adapter(folder, options, settings, checked, languages, console)
    console.print(f"Where the time went:\n{phases.as_text()}")
    return result


def _languages(options: RunOptions) -> tuple[str, str]:
    source = resolve_language(options.source_lang, field="source_lang").code
    target = resolve_language(options.target_lang, field="target_lang").code
    if source == target:
        raise StartupError(f"--source-lang and --target-lang are both {source}", field="target_lang")
    return source, target


def _refuse_impossible(options: RunOptions, settings: Settings) -> None:
    if options.kind == "full" and options.publish:
        raise StartupError(
            "--publish is for adapters; a whole model is served by `make serve MODEL=<output-dir>/model`",
            field="publish",
        )
    if options.quantize:
        if options.kind == "full":
            raise StartupError(
                "--quantize 4bit freezes the base model: it is for python -m train.lora", field="quantize"
            )
        from train.quantization import refuse_unusable_quantization

        refuse_unusable_quantization()
    if settings.model.engine == "identity":
        raise StartupError("model.engine is 'identity': there is no model to train", field="model.engine")


def _refuse_unknown_languages(checkpoint: Checkpoint, languages: tuple[str, str]) -> None:
    known = SegmentTokenizer.from_checkpoint(checkpoint.path).languages
    for field, language in zip(("source_lang", "target_lang"), languages, strict=True):
        if language not in known:
            raise UnknownLanguageError(f"{checkpoint.name} has no language {language}", field=field)


def _check_data(
    options: RunOptions, settings: Settings, checkpoint: Checkpoint, languages: tuple[str, str], console: Console
) -> CheckedData:
    training = settings.training
    location = str(options.data_file)
    if "://" not in location:  # workers run in other folders
        location = str(Path(location).expanduser().absolute())
    dev = options.dev_file
    if dev is not None and "://" not in dev:
        dev = str(Path(dev).expanduser().absolute())
    count_tokens = count_tokens_of(checkpoint.path)
    with console.status(f"Checking {options.data_file} ..."):
        checked = check_data(
            DataSource(location, *languages, dev_location=dev),
            dev_ratio=training.dev_ratio,
            max_tokens=training.max_source_tokens,
            max_length_ratio=training.max_length_ratio,
            max_dev_pairs=training.max_dev_pairs,
            count_tokens=count_tokens,
            kept_out=general_set(languages, training.gate) if options.kind == "lora" else (),
        )
    report = checked.report
    console.print(report.as_text(), markup=False)
    if report.bad_ratio > training.max_bad_line_ratio:
        raise StartupError(
            f"{report.bad_ratio:.1%} of the lines are bad, training.max_bad_line_ratio accepts "
            f"{training.max_bad_line_ratio:.1%}: fix them, or raise --max-bad-line-ratio",
            field="data_file",
        )
    for number, what in ((report.num_train, "to train on"), (report.num_dev, "to evaluate on")):
        if not number:
            raise StartupError(
                f"{options.data_file} leaves no pair {what}: it takes some hundred lines, or name a --dev-file",
                field="data_file",
            )
    return checked


def _refuse_float16_on_cpus(training: TrainingSettings) -> None:
    if training.precision == "float16" and not runs_on_gpu(training):
        raise StartupError(
            "training.precision = 'float16': CPUs train in float32 or bfloat16", field="training.precision"
        )


def _train(
    options: RunOptions,
    settings: Settings,
    checkpoint: Checkpoint,
    checked: CheckedData,
    folder: Path,
    run_record: RunRecord,
    console: Console,
    phases: Phases,
) -> None:
    training = settings.training
    location = training.checkpoint_uri or str(folder / "checkpoints")
    if training.checkpoint_uri:
        # Runs of other folders of this name may keep theirs there, too.
        location = f"{training.checkpoint_uri.rstrip('/')}/{folder.name}-{run_record.run_id}"
    store = CheckpointStore(location, training.num_checkpoints_kept)
    if not options.resume:
        store.delete()
        for name in (METRICS_FILE, TENSORBOARD_FOLDER):
            _remove(folder / name)
    job = TrainingJob(
        settings=training,
        plan=ModelPlan(
            lora=training.lora if options.kind == "lora" else None,
            quantize=options.quantize,
            gradient_checkpointing=training.gradient_checkpointing,
            seed=training.seed,
        ),
        peak_learning_rate=training.learning_rate if options.kind == "lora" else training.full_learning_rate,
        data=checked.source,
        report=checked.report,
        # Workers run in other folders.
        model=str(checkpoint.path) if Path(checkpoint.name).is_dir() else checkpoint.name,
        model_revision=settings.model.revision,
        offline=settings.model.offline,
        checkpoint_location=location,
        claim=store.claim(),
    )
    phases.begin("starting workers")

    def show(record: Record | StartRecord) -> None:
        if isinstance(record, StartRecord):
            run_record.computes_in(record.precision)
            return
        phases.begin("training")
        progress.show(record)

    with RunProgress(folder, folder.name, console) as progress:
        fit(job, checked.roles, show)
    with result_store(location).newest() as files:
        if files is None:
            raise TrainingError(f"no result was found in {location}")
        _replace(folder / RESULTS[options.kind], files)
    store.delete()


def _replace(target: Path, files: Path) -> None:
    """Put a copy of a folder's files in the place of what was there."""
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    for file in files.iterdir():
        if file.name != COMPLETE_FILE:
            shutil.copy(file, draft)
    draft.chmod(0o755)
    _remove(target)
    draft.rename(target)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
