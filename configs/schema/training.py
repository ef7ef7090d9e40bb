"""How adapters and models are trained, and what they must reach."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from configs.schema.section import Name, Ratio, Section

AdaptableLayer = Literal["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
"""Linear layers that the service adapts row by row: of attention, and of the feed-forward block."""


class LoraSettings(Section):
    """The shape of a low-rank adapter (Hu et al. 2021)."""

    r: PositiveInt = 16
    """Rank."""
    alpha: PositiveFloat = 32
    """The adapter's output is scaled by `alpha / r`."""
    dropout: Ratio = 0.05
    """Share of the adapter's inputs that is dropped in training."""
    targets: Annotated[tuple[AdaptableLayer, ...], Field(min_length=1)] = ("q_proj", "k_proj", "v_proj", "out_proj")
    """Names of the linear layers that are adapted, in self-attention and cross-attention alike; fc1 and fc2 are those
    of the feed-forward block."""
    use_dora: bool = False
    """Learn the length of each row of the adapted weights, too (DoRA, Liu et al. 2024): slower to train."""


class GateSettings(Section):
    """What an adapter must reach to be published, in points of chrF++ (0 to 100)."""

    min_domain_gain: NonNegativeFloat = 1.0
    """Better than the base model, or than the version now live, on the domain's dev set by at least this."""
    max_general_loss: NonNegativeFloat = 1.0
    """Worse than it on the general dev set by at most this."""
    general_file: Name | None = None
    """Parallel text of everyday language; null takes the project's own (English, Spanish, French, Hindi)."""
    max_pairs: PositiveInt = 500
    """Most sentence pairs that each dev set is judged by."""


class TrainingSettings(Section):
    """Defaults of `python -m train.lora` and `python -m train.full`; flags override them."""

    lora: LoraSettings = LoraSettings()
    gate: GateSettings = GateSettings()
    epochs: PositiveInt = 3
    """Most passes over the data."""
    batch_size: PositiveInt = 16
    """Most sentence pairs of one step of one worker."""
    padded_token_budget: PositiveInt | None = 4096
    """Most padded tokens of one step of one worker: pairs times the longest side; null: no bound but `batch_size`."""
    gradient_accumulation_steps: PositiveInt = 1
    """Steps whose gradients are summed before the weights move."""
    learning_rate: PositiveFloat = 2e-4
    """Peak, for adapters."""
    full_learning_rate: PositiveFloat = 2e-5
    """Peak, for full fine-tuning."""
    warmup_ratio: Ratio = 0.1
    """Share of all steps in which the learning rate rises to its peak, before it falls to zero."""
    weight_decay: NonNegativeFloat = 0.01
    """AdamW's, on matrices; biases and norms have none."""
    max_gradient_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    label_smoothing: Ratio = 0.1
    """Share of probability spread over all tokens."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the arithmetic; auto takes a 16-bit format on a GPU and float32 elsewhere."""
    gradient_checkpointing: bool = False
    """Compute activations twice to keep fewer of them."""
    max_source_tokens: PositiveInt = 256
    """Longer pairs are reported and left out."""
    max_length_ratio: Annotated[float, Field(gt=1)] = 3.0
    """A pair whose length ratio is this many times the data's median, or its inverse, is an outlier."""
    max_bad_line_ratio: Ratio = 0.05
    """Over this share of bad lines in the data, training refuses to start."""
    dev_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the data that is kept for evaluation, chosen by a hash of the source."""
    max_dev_pairs: PositiveInt = 2000
    """Most pairs that the dev loss is computed on."""
    bidirectional: bool = False
    """Train on both directions of each pair."""
    eval_interval_steps: PositiveInt | None = None
    """Steps between evaluations on the dev set; null: once per epoch."""
    num_chrf_sentences: NonNegativeInt = 16
    """Dev sentences that are translated at each evaluation for the plot; 0 translates none."""
    early_stopping_patience: PositiveInt = 3
    """Evaluations without a better dev loss before training stops."""
    checkpoint_interval_steps: PositiveInt | None = None
    """Steps between checkpoints; null: at each evaluation."""
    num_checkpoints_kept: PositiveInt = 2
    """Older checkpoints are deleted."""
    checkpoint_uri: Name | None = None
    """Where checkpoints are kept, such as s3://bucket/runs; null: in the output folder. Workers on several nodes must
    all reach it."""
    log_interval_steps: PositiveInt = 10
    """Steps between two records of loss and speed."""
    seed: NonNegativeInt = 13
    """The same seed, data and number of workers give the same adapter."""
    num_workers: PositiveInt = 1
    """Ray Train workers; with `min_workers`, the most of them."""
    min_workers: PositiveInt | None = None
    """Training goes on with this many workers when the cluster has no room for more; null: all or none."""
    cpus_per_worker: PositiveFloat = 1
    """CPUs that Ray reserves for one worker; its number of threads."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Of the workers; auto gives each a GPU if the cluster has enough of them."""
    max_worker_failures: NonNegativeInt = 3
    """How often dead workers are replaced before training gives up; what is lost is the steps since a checkpoint."""
    output_dir: Name = "models/lora-adapters"
    """Folder of checkpoints, metrics and the finished adapter."""

    @model_validator(mode="after")
    def _fewest_workers_below_most(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.num_workers:
            raise ValueError(
                f"training.min_workers = {self.min_workers} should be at most training.num_workers = {self.num_workers}"
            )
        return self
