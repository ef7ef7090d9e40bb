"""What an adapter's `adapter_config.json` says, as peft writes it, and whether this project can do it.

Only what decides the adapter's arithmetic is kept. Whatever would change it in a way that rows cannot have side by
side, or that is unknown here, is refused: an adapter that is half understood translates wrongly. Loads no torch.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.errors import InvalidAdapterError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_WEIGHTS_FILE = "adapter_model.bin"

DOWN, UP, MAGNITUDE = "lora_A.weight", "lora_B.weight", "lora_magnitude_vector"
"""What a module's tensors are called behind its name."""
TENSOR_NAME = re.compile(rf"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.(?P<kind>{DOWN}|{UP}|{MAGNITUDE})")
"""How `PeftModel` over `M2M100ForConditionalGeneration` names them."""

_MAX_CONFIG_BYTES = 1 << 20
# Describe where an adapter comes from and how it was trained; inference does not depend on them.
_IRRELEVANT = {
    "auto_mapping",  # checked by itself, see `_refuse_other_models`
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "init_lora_weights",  # checked by itself, see `_BASE_CHANGING`
    "layers_pattern",
    "lora_dropout",
    "lora_ga_config",
    "loftq_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}
_REASONS = {
    "modules_to_save": "whole trained modules cannot be applied row by row; train LoRA on attention and feed-forward",
    "trainable_token_indices": "the embedding is shared by all rows; train LoRA on attention and feed-forward",
    "lora_bias": "biases are not applied row by row; set lora_bias to false",
    "alora_invocation_tokens": "activated LoRA depends on generated tokens; train with plain LoRA",
}
_BASE_CHANGING = re.compile("pissa.*|olora|corda|loftq|lora_ga", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

T = TypeVar("T")
_Rank = Annotated[int, Field(ge=1, strict=True)]
_Alpha = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The arithmetic of an adapter.

    Attributes:
        rank: Of targets that `rank_pattern` does not name.
        alpha: Of targets that `alpha_pattern` does not name.
        use_rslora: Whether scales divide by the square root of the rank (Kalajdzievski 2023).
        use_dora: Whether targets have magnitudes (Liu et al. 2024).
        rank_pattern: Module name, or the end of it, to rank.
        alpha_pattern: Likewise, to alpha.
        targets: Names of the modules that were trained, or their ends; empty where the file does not list them.
    """

    rank: int
    alpha: float
    use_rslora: bool
    use_dora: bool
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]
    targets: tuple[str, ...] = ()

    @property
    def tensors_of_a_module(self) -> tuple[str, ...]:
        """The ends of their names."""
        return (DOWN, UP, MAGNITUDE) if self.use_dora else (DOWN, UP)

    def has_target(self, module: str) -> bool:
        """Whether a module such as `model.encoder.layers.0.fc1` is among the listed targets."""
        return any(_names(target, module) for target in self.targets)

    def rank_of(self, module: str) -> int:
        """Return the rank of a module such as `model.encoder.layers.0.fc1`."""
        return _first_match(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str) -> float:
        """Return what a module's product is multiplied with."""
        alpha, rank = _first_match(self.alpha_pattern, module, self.alpha), self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read `adapter_config.json`, and check that the weights beside it are safetensors.

    Raises:
        InvalidAdapterError: A file is missing or damaged, or a setting is not supported.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        pickled = (folder / PICKLED_WEIGHTS_FILE).is_file()
        hint = f"; {PICKLED_WEIGHTS_FILE} is pickled and never read: save it again as safetensors" if pickled else ""
        raise InvalidAdapterError(f"the adapter has no {WEIGHTS_FILE}{hint}", field=WEIGHTS_FILE)
    try:
        with (folder / CONFIG_FILE).open("rb") as stream:
            content = stream.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise _invalid(f"cannot be read: {error.strerror}") from error
    if len(content) > _MAX_CONFIG_BYTES:
        raise _invalid(f"has over {_MAX_CONFIG_BYTES} bytes")
    try:
        parsed = _PeftConfig.model_validate_json(content)
    except ValidationError as error:
        raise _first_error(error) from None
    return AdapterConfig(
        rank=parsed.r,
        alpha=parsed.lora_alpha,
        use_rslora=parsed.use_rslora,
        use_dora=parsed.use_dora,
        rank_pattern=parsed.rank_pattern or {},
        alpha_pattern=parsed.alpha_pattern or {},
        targets=parsed.listed_targets(),
    )


class _PeftConfig(BaseModel):
    """What is read of the file; everything else must be irrelevant, or switched off."""

    model_config = ConfigDict(extra="allow")

    r: _Rank
    lora_alpha: _Alpha
    use_rslora: Annotated[bool, Field(strict=True)] = False
    use_dora: Annotated[bool, Field(strict=True)] = False
    rank_pattern: dict[str, _Rank] | None = None
    alpha_pattern: dict[str, _Alpha] | None = None
    bias: str = "none"
    fan_in_fan_out: bool = False
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None

    def listed_targets(self) -> tuple[str, ...]:
        """The targets, where they are a list that holds for all layers and not a pattern or a choice of layers."""
        is_plain = isinstance(self.target_modules, list) and not self.exclude_modules
        return tuple(self.target_modules or ()) if is_plain and self.layers_to_transform is None else ()

    @model_validator(mode="after")
    def _refuse_what_changes_the_arithmetic(self) -> _PeftConfig:
        others: dict[str, Any] = self.__pydantic_extra__ or {}
        _refuse_other_models(others)
        if self.bias != "none":
            raise ValueError(f"bias is {self.bias!r}; biases are not applied row by row, accepted is 'none'")
        if self.fan_in_fan_out:
            raise ValueError("fan_in_fan_out is true; the model's layers store [out, in], accepted is false")
        start = others.get("init_lora_weights")
        if isinstance(start, str) and _BASE_CHANGING.fullmatch(start):
            raise ValueError(
                f"init_lora_weights is {start!r}, which changes the base weights that all rows share; convert the "
                "adapter to plain LoRA when saving it (peft's path_initial_model_for_weight_conversion)"
            )
        for name, value in others.items():
            if name not in _IRRELEVANT and value:
                reason = _REASONS.get(name, "this setting is not supported; leave it out")
                raise ValueError(f"{name} is {_short(value)}; {reason}")
        for pattern in ("rank_pattern", "alpha_pattern"):
            for key in getattr(self, pattern) or ():
                if not _PLAIN_NAME.fullmatch(key):
                    raise ValueError(f"{pattern} has {key!r}; accepted are module names or their ends, such as q_proj")
        return self


def _refuse_other_models(others: dict[str, Any]) -> None:
    kind, task = others.get("peft_type"), others.get("task_type")
    if kind != "LORA":
        raise ValueError(f"peft_type is {kind!r}; accepted is 'LORA'")
    if task not in {None, "SEQ_2_SEQ_LM"}:
        raise ValueError(f"task_type is {task!r}; accepted is 'SEQ_2_SEQ_LM'")
    mapping = others.get("auto_mapping")
    base = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    if base not in {None, "M2M100ForConditionalGeneration"}:
        raise ValueError(f"auto_mapping says that the base is {base}; accepted is M2M100ForConditionalGeneration")


def _first_match(pattern: dict[str, T], module: str, default: T) -> T:
    """Look up a module as peft does: the first key that is the name, or its end after a dot."""
    return next((value for key, value in pattern.items() if _names(key, module)), default)


def _names(name: str, module: str) -> bool:
    return f".{module}".endswith(f".{name}")


def _first_error(error: ValidationError) -> InvalidAdapterError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in {"value_error", "json_invalid", "missing"} or not where:
        return _invalid(f"{where}: {message}" if where else message)
    return _invalid(f"{where}: {message}, got {_short(first['input'])}")


def _invalid(message: str) -> InvalidAdapterError:
    return InvalidAdapterError(f"{CONFIG_FILE}: {message}", field=CONFIG_FILE)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
