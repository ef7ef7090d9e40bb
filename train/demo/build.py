"""The demo model as a folder: built once, whole or not at all, and built again when what it depends on changes.

Knows nothing of how the model is trained beyond the calls in `_train_into`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.errors import StartupError
from train.demo.corpus import DATA_DIR, build_corpus
from train.demo.settings import LANGUAGES, DemoSettings

DEFAULT_OUTPUT_DIR = Path("models/demo")

_RECORD = "build.json"
_LIBRARIES = ("torch", "transformers", "tokenizers", "sentencepiece")
"""Each of them bears on the weights or on the files."""


def ensure_demo_model(output_dir: Path = DEFAULT_OUTPUT_DIR, *, progress: bool = True, force: bool = False) -> Path:
    """Return the folder of the demo model, and build it first unless it is there and up to date.

    Processes that ask at the same time build once.

    Args:
        output_dir: A folder that is absent, empty or holds an earlier demo model.
        progress: Whether to show a progress bar and the final figures.
        force: Build even if it is up to date.

    Raises:
        StartupError: The folder cannot be written, holds something else, or there is no space left.
    """
    settings = DemoSettings()
    key = build_key(settings)
    console = Console(quiet=not progress)
    with _sentences_for_os_errors(output_dir):
        output_dir.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(output_dir.parent / f".{output_dir.name}.lock"):
            if not force and _read_key(output_dir) == key:
                console.print(f"The demo model in {output_dir} is already built.")
                return output_dir
            _refuse_foreign(output_dir)
            with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}-", dir=output_dir.parent) as folder:
                fresh = Path(folder) / "fresh"
                fresh.mkdir()
                _train_into(fresh, settings, key, console)
                if output_dir.exists():
                    output_dir.rename(Path(folder) / "stale")
                fresh.rename(output_dir)
    return output_dir


def build_key(settings: DemoSettings, data_dir: Path = DATA_DIR) -> str:
    """Return a hash of all that the model depends on: data, settings, this package's code, library versions."""
    digest = hashlib.sha256()
    files = sorted(path for path in data_dir.rglob("*") if path.is_file())
    for path in files + sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    digest.update(json.dumps([asdict(settings), [version(name) for name in _LIBRARIES]]).encode())
    return digest.hexdigest()


def _read_key(output_dir: Path) -> str | None:
    try:
        record = json.loads((output_dir / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return str(record.get("key"))


def _refuse_foreign(output_dir: Path) -> None:
    if output_dir.exists() and not (output_dir / _RECORD).exists() and any(output_dir.iterdir()):
        raise StartupError(f"{output_dir} holds something other than a demo model; name an empty folder")


def _train_into(folder: Path, settings: DemoSettings, key: str, console: Console) -> None:
    # Here, so that a model that is up to date costs no second of loading torch.
    import torch
    from transformers.utils import logging as transformers_logging

    from train.demo.evaluation import exact_match_by_direction
    from train.demo.tokenizer import train_tokenizer
    from train.demo.training import train_model
    from train.model import share_weights

    transformers_logging.disable_progress_bar()  # one bar is enough
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it would tell of kernels that nothing here needs
    if not console.is_terminal:
        console.print("Training the demo model takes two to three minutes ...")
    started_s = time.monotonic()
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # see DemoSettings.num_parts
    try:
        corpus = build_corpus(settings)
        tokenizer = train_tokenizer(
            corpus.phrases + corpus.train, settings.vocab_size, settings.max_position_embeddings
        )
        with _progress(console) as bar:
            task = bar.add_task("Training the demo model", total=settings.num_steps, loss="")
            model = train_model(
                corpus.train + settings.phrase_repeats * corpus.phrases,
                tokenizer,
                settings,
                lambda loss: bar.update(task, advance=1, loss=f"loss {loss:.3f}"),
            )
        train_s = time.monotonic() - started_s
        shares = exact_match_by_direction(model, tokenizer, corpus.held_out)
        phrase_shares = exact_match_by_direction(model, tokenizer, corpus.phrases)
    finally:
        torch.set_num_threads(num_threads)
    record = {
        "key": key,
        "exact_match": fmean(shares.values()),
        "exact_match_by_direction": shares,
        "phrase_exact_match": fmean(phrase_shares.values()),
        "num_held_out": len(corpus.held_out),
        "num_train": len(corpus.train),
        "train_s": round(train_s, 1),
        "build_s": round(time.monotonic() - started_s, 1),
        "settings": asdict(settings),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }
    model.save_pretrained(folder)
    share_weights(folder / "config.json")
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(_MODEL_CARD, encoding="utf-8")
    (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _print_figures(shares, record, console)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    return Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[loss]}"), console=console)


def _print_figures(shares: dict[str, float], record: dict[str, object], console: Console) -> None:
    table = Table("from \\ to", *LANGUAGES, title="Exact matches on held-out sentences")
    for source in LANGUAGES:
        cells = (shares.get(f"{source}-{target}") for target in LANGUAGES)
        table.add_row(source, *("" if share is None else f"{share:.1%}" for share in cells))
    console.print(table)
    console.print(
        f"Built in {record['build_s']} s. Mean over the twelve directions, {record['num_held_out']} sentences each: "
        f"{record['exact_match']:.1%} exact matches; set phrases, which it was trained on: "
        f"{record['phrase_exact_match']:.1%}."
    )


@contextmanager
def _sentences_for_os_errors(output_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "there is no space left; it takes 20 MB: free some"
        else:
            reason = f"it cannot be written ({error.strerror}); fix that"
        raise StartupError(
            f"the demo model cannot be built in {output_dir}: {reason}, or name another folder"
        ) from error


_MODEL_CARD = """\
---
license: apache-2.0
language: [en, es, fr, hi]
pipeline_tag: translation
---
# Demo translation model

A very small M2M100 model with an NLLB tokenizer, trained from scratch on sentences made from this project's own
phrase table. It translates English, Spanish, French and Hindi in all twelve directions, within a narrow domain:
greetings, travel, numbers and prices, time and simple medical sentences. Outside it the output is meaningless.
The other languages of FLORES-200 have a token and no training. Use it to run and test the service, not to translate.
"""
