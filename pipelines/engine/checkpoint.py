"""Where is the checkpoint, which one is it exactly, and may it be used?

Knows files on disk and the model hub; not what is in the weights, and no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import metadata_load, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from pipelines.errors import StartupError

DEMO_MODEL = Path(__file__).parents[2] / "models" / "demo"
TOKENIZER_FILES = ("tokenizer.json", "sentencepiece.bpe.model")
DESCRIPTIVE_FILES = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    *TOKENIZER_FILES,
)
SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint on disk, in the form that `transformers` writes.

    Attributes:
        name: As it was asked for.
        path: Folder of its files.
        revision: The hub's commit, or a hash over the content of its files.
        licence: As the model card states it, such as `CC-BY-NC-4.0`, or `unknown`.
    """

    name: str
    path: Path
    revision: str
    licence: str


def locate_checkpoint(name: str, *, revision: str | None = None, offline: bool = False) -> Checkpoint:
    """Find a checkpoint of the NLLB architecture, on disk or on the model hub.

    Args:
        name: `demo`, a local folder, or a name on the model hub such as `facebook/nllb-200-distilled-600M`.
        revision: Branch, tag or commit on the hub; None takes the newest. A local folder has none.
        offline: Never reach for the hub; take what was downloaded before.

    Raises:
        StartupError: There is none, it is incomplete, or it is of another architecture.
    """
    if name == "demo":
        if not (DEMO_MODEL / "config.json").is_file():
            raise StartupError(
                "the demo model has not been built yet: run `make serve` or `python -m train.demo`",
                field="model.name",
            )
        path, commit = DEMO_MODEL, None
    elif Path(name).expanduser().is_dir():
        path, commit = Path(name).expanduser().resolve(), None
    else:
        path = _download(name, revision, offline)
        commit = path.name
    config = _check(name, path)
    return Checkpoint(name, path, commit or _content_hash(path), _licence(name, path, config))


def cache_folder() -> Path:
    """Where things derived from a checkpoint are kept between starts; it may always be deleted."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nllb-ray"


def weight_files(path: Path) -> list[Path]:
    """Return the files that should hold a checkpoint's weights, whether they are there or not."""
    for single, index in (SAFE_WEIGHTS[:2], PICKLED_WEIGHTS[:2]):
        if (path / single).is_file():
            return [path / single]
        if (path / index).is_file():
            weight_map = json.loads((path / index).read_text(encoding="utf-8"))["weight_map"]
            return [path / name for name in sorted(set(weight_map.values()))]
    return [path / SAFE_WEIGHTS[0]]


def _download(name: str, revision: str | None, offline: bool) -> Path:
    """Fetch what is missing. Pickled weights are fetched only where the repository has no safetensors."""
    at_revision = f" --revision {revision}" if revision else ""
    ways_out = (
        f"download it where the hub is reachable with `hf download {name}{at_revision}` and set HF_HOME to that "
        "cache, or give the path of a folder with its files"
    )
    path = Path()
    try:
        for weights in (SAFE_WEIGHTS, PICKLED_WEIGHTS):
            path = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    local_files_only=offline,
                    allow_patterns=[*DESCRIPTIVE_FILES, "README.md", *weights],
                )
            )
            if _files(path, weights):
                break
    except HFValidationError:
        raise StartupError(
            f"model {name!r} is not a folder on this machine, nor a name that the model hub could have",
            field="model.name",
        ) from None
    except RepositoryNotFoundError:
        raise StartupError(
            f"the model hub has no model {name!r}, or it is private: check the name, or set HF_TOKEN",
            field="model.name",
        ) from None
    except LocalEntryNotFoundError:
        why = "is not in the local cache (offline)" if offline else "cannot be fetched: the hub is not reachable"
        raise StartupError(f"model {name!r} {why}; {ways_out}", field="model.name") from None
    except OSError as error:
        raise StartupError(f"model {name!r} cannot be fetched: {error}; {ways_out}", field="model.name") from error
    return path


def _check(name: str, path: Path) -> dict[str, Any]:
    """Return the model's configuration once the folder is known to hold all that is needed."""
    needed = [path, *_used_files(path)]
    unreadable = [str(file) for file in needed if not os.access(file, os.R_OK, effective_ids=True)]
    if unreadable:
        raise StartupError(
            f"user {os.geteuid()}, as which this runs, may not read {', '.join(unreadable)}; "
            "chmod -R a+rX lets every user do so",
            field="model.name",
        )
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        architecture = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise StartupError(
            f"{path} is not a checkpoint: it has no config.json that names a model_type", field="model.name"
        ) from None
    if architecture != "m2m_100":
        raise StartupError(
            f"model {name!r} is of the architecture {architecture!r}; "
            "accepted is 'm2m_100', such as the dense NLLB-200 models",
            field="model.name",
        )
    if not _files(path, TOKENIZER_FILES):
        raise StartupError(f"{path} has no tokenizer: expected {' or '.join(TOKENIZER_FILES)}", field="model.name")
    missing = [file.name for file in weight_files(path) if not file.is_file()]
    if missing:
        raise StartupError(
            f"{path} is incomplete: {', '.join(missing)} not found; fetch the model again", field="model.name"
        )
    return dict(config)


def _content_hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in _used_files(path):
        digest.update(f"{file.name}\0{_file_hash(file)}\0".encode())
    return digest.hexdigest()


def _file_hash(file: Path) -> str:
    """Gigabytes take seconds to read, so a hash is remembered until size or time of change is another."""
    status = file.stat()
    identity = f"{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    memory = cache_folder() / "hashes" / hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()
    with suppress(OSError, ValueError):
        # A power cut leaves files that are empty, or full of zeros.
        if re.fullmatch("[0-9a-f]{32}", remembered := memory.read_text(encoding="ascii")):
            return remembered
    with file.open("rb") as stream:
        content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    with suppress(OSError):  # a home that cannot be written costs time, not the start
        memory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, encoding="ascii", delete=False) as draft:
            draft.write(content)
        Path(draft.name).replace(memory)
    return content


def _licence(name: str, path: Path, config: dict[str, Any]) -> str:
    origins = (name, str(config.get("_name_or_path", "")))
    if any(origin.startswith("facebook/nllb-200-") for origin in origins):
        return "CC-BY-NC-4.0"
    try:
        card = metadata_load(path / "README.md") or {}
    except (OSError, ValueError, yaml.YAMLError):
        return "unknown"
    return str(card.get("license_name") or card.get("license") or "unknown")


def _used_files(path: Path) -> list[Path]:
    return _files(path, DESCRIPTIVE_FILES) + (_files(path, SAFE_WEIGHTS) or _files(path, PICKLED_WEIGHTS))


def _files(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
