"""Every setting of the project: its name, unit, default, meaning and what it accepts.

Defaults live here and nowhere else. Replicas, CPUs and GPUs are not here: they belong to `serve_config.yaml`.
This module does not know where values come from; see `configs.loader`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

MIB = 1024**2
_LANGUAGE = r"[a-z]{3}_[A-Z][a-z]{3}"


def _language(code: str) -> str:
    if not re.fullmatch(_LANGUAGE, code):
        raise ValueError("should be a FLORES-200 code, such as eng_Latn")
    return code


def _language_pair(pair: str) -> str:
    if not re.fullmatch(f"{_LANGUAGE}-{_LANGUAGE}", pair):
        raise ValueError("should be two FLORES-200 codes, such as eng_Latn-hin_Deva")
    return pair


Name = Annotated[str, Field(min_length=1)]
Ratio = Annotated[float, Field(ge=0, le=1)]
PositiveBytes = Annotated[ByteSize, Field(gt=0)]
LanguageCode = Annotated[str, AfterValidator(_language)]
LanguagePair = Annotated[str, AfterValidator(_language_pair)]


class Section(BaseModel):
    """A group of settings: immutable, and closed to keys that it does not declare."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_yes_as_number(cls, value: object, info: ValidationInfo) -> object:
        # YAML reads a bare `yes` or `on` as true, and pydantic reads true as 1.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("should not be true or false")
        return value


class ModelSettings(Section):
    """Which model translates, and how it is loaded."""

    name: Name = "demo"
    """`demo` (the project's own small model), a name on the model hub, or a local path."""
    revision: Name | None = None
    """Branch, tag or commit on the model hub; null takes the newest."""
    engine: Literal["inflight", "transformers", "identity"] = "inflight"
    """What decodes: the project's engine, `transformers`' own generate, or nothing (returns its input)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs; auto takes a GPU, else Apple MPS, else the CPU."""
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Of the weights; auto takes what suits the device."""
    num_threads: PositiveInt | None = None
    """CPU threads of one replica; null takes the cores that the replica may use."""
    offline: bool = False
    """Never reach for the model hub: only files on disk."""
    default_adapters: Mapping[LanguagePair, Name] = {}
    """Adapter for requests that name none, by language pair: `{"eng_Latn-hin_Deva": "medical"}`."""
    vocabulary: Literal["full", "script", "learned"] = "full"
    """Which output tokens may appear: all, those of the target's scripts, or those of `shortlist_file`."""
    shortlist_file: Name | None = None
    """Token list counted from a corpus, for `vocabulary: learned`."""

    @model_validator(mode="after")
    def _learned_vocabulary_has_a_list(self) -> Self:
        if self.vocabulary == "learned" and self.shortlist_file is None:
            raise ValueError("model.vocabulary = 'learned' needs model.shortlist_file")
        return self


class MemoryCacheSettings(Section):
    """The cache in the cache deployment's own memory: the least recently used entry leaves first."""

    max_size: PositiveInt = 100_000
    """Most entries."""
    max_bytes: PositiveBytes = ByteSize(256 * MIB)
    """Most bytes of keys and translations; units such as 512MiB are understood."""
    ttl_seconds: PositiveFloat | None = 86_400
    """Age at which an entry is forgotten; null keeps it until it is pushed out."""


class RedisCacheSettings(Section):
    """The cache in a Redis that replicas and restarts share."""

    host: Name = "localhost"
    """Host name or address."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 6379
    """TCP port."""
    db: NonNegativeInt = 0
    """Number of the database."""
    username: Name | None = None
    """User of Redis' access control list; null takes Redis' default user."""
    password: SecretStr | None = None
    """Never write it in a file that is committed: set NLLB__CACHE__REDIS__PASSWORD."""
    tls: bool = False
    """Encrypt the connection and verify the server's certificate."""
    ttl_seconds: PositiveInt | None = 604_800
    """Age at which Redis forgets an entry; null leaves it to Redis' own eviction."""
    connect_timeout_ms: PositiveInt = 500
    """Longest wait for a connection."""
    operation_timeout_ms: PositiveInt = 100
    """Longest wait for one answer; past it the request goes to the translator."""
    max_connections: PositiveInt = 32
    """Connections of one cache replica."""
    key_prefix: Name = "nllb:"
    """Start of every key, so that services can share one Redis."""


class CacheSettings(Section):
    """Whether and where finished translations are kept."""

    enabled: bool = True
    """Off: every segment is translated anew."""
    type: Literal["memory", "redis"] = "memory"
    """Where entries are kept."""
    memory: MemoryCacheSettings = MemoryCacheSettings()
    redis: RedisCacheSettings = RedisCacheSettings()


class AdapterSettings(Section):
    """Where adapters come from, and how they are kept in the memory of the translators."""

    registry: Name | None = "models/registry"
    """Folder, `s3://` or `gs://` address of the published adapters; null serves the base model alone."""
    watch_interval_s: PositiveFloat = 2.0
    """How often replicas look for new versions and moved aliases."""
    max_resident_bytes: PositiveBytes = ByteSize(1024 * MIB)
    """Most memory of one replica for adapters; over it the least recently used one leaves, unless it is in use."""
    pinned: tuple[Name, ...] = ()
    """Adapters (`medical`: whatever is live of it) or versions (`medical@3`) that are always kept in memory."""
    copies_dir: Name | None = None
    """Folder for verified copies of what was fetched; null takes one in the user's cache folder."""
    max_shadows: PositiveInt = 4
    """Requests of one ingress replica that a candidate translates for comparison at the same time; others are not."""


class BatchingSettings(Section):
    """How many segments are translated together."""

    max_rows: PositiveInt = 32
    """Most rows decoded at a time by one replica; a beam of width b takes b rows."""
    padded_token_budget: PositiveInt | None = None
    """Most tokens of one encoder batch, padding included; null measures the best one at warm-up."""
    wait_timeout_s: NonNegativeFloat = 0.005
    """How long a batch that is not full waits for more segments."""
    memory_bound_bytes: PositiveBytes | None = None
    """Most memory that decoding may take beside the weights; null asks the device."""


class DecodingSettings(Section):
    """How a segment is decoded when its request does not say."""

    max_num_beams: PositiveInt = 8
    """Widest beam that a request may ask for."""
    num_beams: PositiveInt = 1
    """Beam width; 1 is greedy search."""
    max_length_ratio: PositiveFloat = 3.0
    """The output has at most `max_length_ratio * source tokens + max_length_extra_tokens` tokens."""
    max_length_extra_tokens: NonNegativeInt = 32
    """See `max_length_ratio`; it gives short sources their room."""
    length_penalty: float = 1.0
    """Exponent of the length that divides a beam's score; over 1.0 favours long outputs."""
    no_repeat_ngram_size: NonNegativeInt = 0
    """No n-gram of this size appears twice in an output; 0 switches it off."""
    repetition_penalty: PositiveFloat = 1.0
    """Over 1.0 makes tokens that were generated before less likely; 1.0 switches it off."""

    @field_validator("num_beams")
    @classmethod
    def _within_widest_beam(cls, num_beams: int, info: ValidationInfo) -> int:
        widest = info.data.get("max_num_beams")
        if widest is not None and num_beams > widest:
            raise ValueError(f"should be at most decoding.max_num_beams = {widest}")
        return num_beams


class QualitySettings(Section):
    """What happens to an output that looks wrong; see docs/quality.md for the signs."""

    second_try: bool = True
    """Decode a suspicious sentence once more, with the settings below, and keep the better output."""
    second_try_num_beams: PositiveInt = 4
    """Beam width of the second try; a request's own, if it is wider. At most decoding.max_num_beams."""
    second_try_no_repeat_ngram_size: NonNegativeInt = 4
    """No n-gram of this size appears twice in the output of a second try; 0 switches it off."""


class GlossarySettings(Section):
    """Where glossaries are kept that requests name by `glossary_id`."""

    store: Literal["sqlite", "redis"] = "sqlite"
    """A file that the processes of one machine share, or a Redis; replicas on several nodes need Redis."""
    sqlite_file: Name = "var/glossaries.sqlite3"
    """Of `store: sqlite`; a relative path is taken from the checkout."""
    redis_url: SecretStr | None = None
    """Of `store: redis`: `redis://user:password@host:6379/1`, or `rediss://` for TLS."""
    redis_timeout_ms: PositiveInt = 500
    """Longest wait for one answer of Redis."""
    max_terms: PositiveInt = 50_000
    """Most terms of one glossary."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis_url is None:
            raise ValueError("glossaries.store = 'redis' needs glossaries.redis_url")
        return self


class DetectionSettings(Section):
    """How sure the detection of a source language must be."""

    min_confidence: Ratio = 0.4
    """Below it a request with `source_lang: auto` gets an error that names the candidates."""


class LimitSettings(Section):
    """What one request may ask for, and how many may ask at the same time."""

    max_text_chars: PositiveInt = 100_000
    """Longest text of a request or of one item; over it 413. Nothing is ever cut."""
    max_batch_items: PositiveInt = 128
    """Most items of a batch request; over it 413."""
    max_body_bytes: PositiveBytes = ByteSize(2 * MIB)
    """Largest body that is read; over it 413."""
    max_glossary_terms: PositiveInt = 5_000
    """Most terms of a glossary that comes with a request."""
    max_kept_terms: PositiveInt = 1_000
    """Most entries of `do_not_translate` in a request."""
    max_kept_patterns: PositiveInt = 20
    """Most entries of `protect_patterns` in a request."""
    max_segment_chars: PositiveInt = 500
    """Longest piece that the model is given at a time; longer sentences are split at clauses."""
    request_timeout_s: PositiveFloat = 60.0
    """Time after which a request is answered with 504."""
    body_timeout_s: PositiveFloat = 20.0
    """Time within which a client sends its whole body; over it 408."""
    max_ongoing_requests: PositiveInt = 256
    """Requests that one ingress replica works on at the same time; over it 503 with Retry-After."""


def _rate(rate: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", rate):
        raise ValueError("should be a count per second, minute, hour or day, such as 600/minute")
    return rate


Endpoint = Literal[
    "translate",
    "batch-translate",
    "detect",
    "documents",
    "glossaries",
    "adapters",
    "languages",
    "models",
    "cache",
    "usage",
    "admin",
    "other",
    "*",
]


def _network(network: str) -> str:
    try:
        ip_network(network)
    except ValueError:
        raise ValueError("should be an address or a network, such as 10.0.0.0/8") from None
    return network


def _origin(origin: str) -> str:
    if not re.fullmatch(r"https?://[^/*\s]+", origin):
        raise ValueError("should be scheme, host and maybe port, such as https://www.example.org")
    return origin


class AccessSettings(Section):
    """Who may use the service, and how much of it."""

    keys: Literal["none", "optional", "required"] = "none"
    """Whether callers show a key: not asked for, checked where one is shown, or needed for all but health."""
    store: Literal["sqlite", "redis"] = "sqlite"
    """Where keys, usage and the windows of rate limits are kept; replicas on several nodes need Redis."""
    sqlite_file: Name = "var/keys.sqlite3"
    """Of `store: sqlite`; a relative path is taken from the checkout."""
    redis_url: SecretStr | None = None
    """Of `store: redis`: `redis://user:password@host:6379/1`, or `rediss://` for TLS."""
    redis_timeout_ms: PositiveInt = 250
    """Longest wait for one answer of Redis."""
    key_lifetime_s: PositiveFloat = 5.0
    """How long an ingress replica believes what it read of a key; a revoked key works no longer than that."""
    key_grace_s: NonNegativeFloat = 900.0
    """How long a key that was read is accepted while the store cannot be reached."""
    rate_limits: Mapping[Endpoint, Annotated[str, AfterValidator(_rate)]] = {}
    """Requests per endpoint and caller: `{"translate": "600/minute"}`; `*` is every endpoint that is not named."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ("127.0.0.1/32", "::1/128")
    """Networks whose `X-Forwarded-For` says who the client is."""
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Sites whose pages may call the service from a browser."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis_url is None:
            raise ValueError("access.store = 'redis' needs access.redis_url")
        return self


class WarmupSample(Section):
    """One sentence that is translated before a replica takes requests."""

    text: Name
    """What to translate."""
    source_lang: LanguageCode
    """FLORES-200 code."""
    target_lang: LanguageCode
    """FLORES-200 code."""


class WarmupSettings(Section):
    """What a replica does before it takes requests. A failing warm-up fails the start."""

    enabled: bool = True
    """Off: the first requests pay for the start."""
    samples: tuple[WarmupSample, ...] = ()
    """Sentences of your own, added to the built-in ones."""


class LoraSettings(Section):
    """The shape of a low-rank adapter (Hu et al. 2021)."""

    r: PositiveInt = 16
    """Rank."""
    alpha: PositiveFloat = 32
    """The adapter's output is scaled by `alpha / r`."""
    dropout: Ratio = 0.05
    """Share of the adapter's inputs that is dropped in training."""
    targets: Annotated[tuple[Name, ...], Field(min_length=1)] = ("q_proj", "k_proj", "v_proj", "out_proj")
    """Names of the linear layers that are adapted, in self-attention and cross-attention alike."""


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


class LoggingSettings(Section):
    """What the log says, and in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe messages that are written."""
    format: Literal["json", "text"] = "json"
    """One JSON object per line for machines, or text for a terminal."""
    calls: bool = True
    """One line for each request, each of its texts, and each call of a station: who, what, how long."""
    texts: bool = False
    """Put sources and translations into those lines. They are your users' words: for debugging alone."""


class MetricsSettings(Section):
    """What is measured, and who may read it at `GET /metrics`."""

    language_pairs: tuple[LanguagePair, ...] = ()
    """Pairs with a label of their own, the rest is `other`; empty takes the first `max_language_pairs` that come."""
    max_language_pairs: PositiveInt = 20
    """Most pairs with a label of their own when `language_pairs` is empty."""
    max_adapters: PositiveInt = 50
    """Most adapter versions with a label of their own; later ones are `other`."""
    report_interval_s: PositiveFloat = 2.0
    """Time between two reports of a replica's figures to Ray, which passes them on in its own time."""
    scrape_cache_s: NonNegativeFloat = 3.0
    """How long an answer of `GET /metrics` is given again before the nodes are asked anew."""
    token: SecretStr | None = None
    """Bearer token that `GET /metrics` asks for; null lets everyone read. Set NLLB__METRICS__TOKEN, never a file."""


class TracingSettings(Section):
    """Whether and where spans of requests go."""

    endpoint: Name | None = None
    """OTLP over HTTP, such as http://collector:4318/v1/traces; null makes no spans."""
    headers: Mapping[Name, SecretStr] = {}
    """Sent along with each export, such as a token; set NLLB__TRACING__HEADERS, never a file."""
    sampling_ratio: Ratio = 1.0
    """Share of the traces that begin here which are recorded; what a client's `traceparent` says is kept."""
    service_name: Name = "nllb"
    """What the collector calls this service."""


class Settings(Section):
    """The whole configuration."""

    model: ModelSettings = ModelSettings()
    cache: CacheSettings = CacheSettings()
    adapters: AdapterSettings = AdapterSettings()
    batching: BatchingSettings = BatchingSettings()
    decoding: DecodingSettings = DecodingSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings = AccessSettings()
    quality: QualitySettings = QualitySettings()
    detection: DetectionSettings = DetectionSettings()
    glossaries: GlossarySettings = GlossarySettings()
    warmup: WarmupSettings = WarmupSettings()
    training: TrainingSettings = TrainingSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _widest_beam_fits_a_batch(self) -> Self:
        widest, rows = self.decoding.max_num_beams, self.batching.max_rows
        if widest > rows:
            raise ValueError(
                f"decoding.max_num_beams = {widest} should be at most batching.max_rows = {rows}: "
                "a beam takes one row for each of its hypotheses"
            )
        return self

    @model_validator(mode="after")
    def _second_try_is_no_wider_than_allowed(self) -> Self:
        wanted, widest = self.quality.second_try_num_beams, self.decoding.max_num_beams
        if self.quality.second_try and wanted > widest:
            raise ValueError(
                f"quality.second_try_num_beams = {wanted} should be at most decoding.max_num_beams = {widest}"
            )
        return self
