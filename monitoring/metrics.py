"""Every metric of the project: its name, help, labels and buckets. How they are recorded is `monitoring.recorder`'s.

Names begin with `nllb_`; Ray puts `ray_` before them and adds labels of its own: `deployment`, `replica`,
`application`, `NodeAddress` and others. A label's values are few and known: routes, codes, tiers, and language pairs
and adapters as `monitoring.bounds` lets them through. Never addresses, keys, request ids or text.

Ray computes a histogram's `_sum` from the middles of its buckets. Where a mean matters, the histogram names a counter
of the exact sum, which is advanced with it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """Only grows; its name ends in `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Gauge:
    """A value that is as it is now."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of values by their size.

    Attributes:
        buckets: Upper bounds, ascending; the last one is followed by infinity.
        total: Counter of the exact sum, with the same labels; None where no mean is asked for.
    """

    name: str
    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()
    total: Counter | None = None


Metric = Counter | Gauge | Histogram

# Between two buckets quantiles are interpolated: steps of about a third keep that within a sixth.
_SECONDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
_PAIR_AND_ADAPTER = ("language_pair", "adapter")

# Requests, as the ingress sees them.

REQUESTS = Counter("nllb_translation_requests_total", "Answered HTTP requests.", ("endpoint", "status"))
REQUESTS_ONGOING = Gauge("nllb_requests_ongoing", "HTTP requests that are being worked on.")
REQUESTS_UNREAD = Gauge("nllb_requests_unread", "Connections that wait until an ingress replica accepts them.")
TRANSLATION_SECONDS = Counter(
    "nllb_translation_seconds_total", "Exact sum of nllb_translation_duration_seconds.", _PAIR_AND_ADAPTER
)
TRANSLATION_DURATION = Histogram(
    "nllb_translation_duration_seconds",
    "From a request's validation to its whole translation; those of one batch request as one for each pair.",
    _SECONDS,
    _PAIR_AND_ADAPTER,
    total=TRANSLATION_SECONDS,
)
CHARACTERS = Counter(
    "nllb_characters_total", "Characters of translated texts and of their translations.", ("direction",)
)
SEGMENTS = Counter("nllb_segments_total", "Segments by outcome: translated, cached, failed.", ("outcome",))
ERRORS = Counter("nllb_errors_total", "Errors that clients were told of, items of batches included.", ("code",))
QUALITY_GUARDS = Counter("nllb_quality_guard_total", "Translations that came with a notice, by its code.", ("guard",))
RATE_LIMITED = Counter("nllb_rate_limited_total", "Requests refused because of their rate.", ("endpoint",))

# What stands between the stations.

RETRIES = Counter("nllb_retries_total", "Calls that were made again after they failed.", ("dependency",))
CIRCUIT_STATE = Gauge("nllb_circuit_state", "Circuit breaker: 0 closed, 1 probing, 2 open.", ("dependency",))

# The cache.

CACHE_HITS = Counter("nllb_cache_hits_total", "Segments answered by a cache.", ("tier",))
CACHE_MISSES = Counter("nllb_cache_misses_total", "Segments that no cache had.")
COALESCED = Counter("nllb_coalesced_total", "Segments that waited for an equal one on its way.")
CACHE_ERRORS = Counter("nllb_cache_errors_total", "Operations of a cache's store that failed.")
CACHE_EVICTIONS = Counter("nllb_cache_evictions_total", "Entries pushed out by a bound.", ("tier",))
CACHE_ENTRIES = Gauge("nllb_cache_entries", "Entries of a cache.", ("tier",))
CACHE_BYTES = Gauge("nllb_cache_bytes", "Memory of a cache's entries; of Redis, of the whole server.", ("tier",))
CACHE_AVAILABLE = Gauge("nllb_cache_available", "1 while the cache's store answers.", ("tier",))

# The translator and its engine.

QUEUE_SEGMENTS = Gauge("nllb_queue_segments", "Segments that wait for a decoder row.")
QUEUE_SECONDS = Counter("nllb_queue_seconds_total", "Exact sum of nllb_time_in_queue_seconds.")
TIME_IN_QUEUE = Histogram(
    "nllb_time_in_queue_seconds", "A segment's wait for a decoder row.", _SECONDS, total=QUEUE_SECONDS
)
TOKENS = Counter("nllb_tokens_total", "Tokens read (source) and generated (target) for translations.", ("direction",))
ENCODER_ROWS = Counter("nllb_encoder_rows_total", "Exact sum of nllb_batch_rows: rows of all encoder batches.")
BATCH_ROWS = Histogram(
    "nllb_batch_rows",
    "Rows of an encoder batch.",
    (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    total=ENCODER_ROWS,
)
BATCH_PADDING_RATIO = Histogram(
    "nllb_batch_padding_ratio",
    "Share of an encoder batch's tokens that is padding.",
    (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
)
ENCODER_TOKENS = Counter("nllb_encoder_tokens_total", "Tokens of encoder batches: source, padding.", ("kind",))
DECODE_STEPS = Counter("nllb_decode_steps_total", "Steps of the decoder, each of one lane.")
DECODE_ROW_STEPS = Counter("nllb_decode_row_steps_total", "Sum of rows over all steps of the decoder.")
DECODE_SLOTS = Gauge("nllb_decode_slots", "Rows that can be decoded at a time.")
DECODE_SLOTS_USED = Gauge("nllb_decode_slots_used", "Rows in the engine, those that wait in it included.")
MODEL_LOAD_SECONDS = Gauge("nllb_model_load_seconds", "How long this replica took to load its model.")
WARMUP_SECONDS = Gauge("nllb_warmup_seconds", "How long this replica took to warm up.")

# Adapters.

ADAPTER_LOADING_SECONDS = Counter("nllb_adapter_loading_seconds_total", "Exact sum of nllb_adapter_load_seconds.")
ADAPTER_LOAD_SECONDS = Histogram(
    "nllb_adapter_load_seconds", "Loads of adapters into an engine.", _SECONDS, total=ADAPTER_LOADING_SECONDS
)
ADAPTER_LOADS = Counter("nllb_adapter_loads_total", "Loads of adapters: loaded, failed.", ("result",))
ADAPTERS_RESIDENT = Gauge("nllb_adapters_resident", "Adapters that an engine holds.")
ADAPTER_SHARE = Gauge(
    "nllb_adapter_share_ratio",
    "Share of the requests for an adapter's name that a version gets, as live or canary.",
    ("adapter", "version", "role"),
)
ADAPTER_REQUESTS = Counter(
    "nllb_adapter_requests_total",
    "Texts translated with an adapter: ok, failed.",
    ("adapter", "version", "outcome"),
)

# Devices and processes.

DEVICE_MEMORY = Gauge("nllb_device_memory_bytes", "Memory of the model's device: used, total.", ("device", "kind"))
DEVICE_UTILIZATION = Gauge("nllb_device_utilization_ratio", "Share of time that the device is busy.", ("device",))
PROCESS_CPU = Gauge("nllb_process_cpu_ratio", "CPU cores that the replica's process keeps busy.")
PROCESS_RESIDENT = Gauge("nllb_process_resident_bytes", "Memory of the replica's process.")

# Training, as the process that started it sees it. A run is called like its output folder.

TRAINING_GATE = Counter(
    "nllb_training_gate_total", "Adapters that were judged before they are published: passed, failed.", ("result",)
)
TRAINING_LOSS = Gauge("nllb_training_loss", "Mean loss per target token since the last record.", ("run",))
TRAINING_TOKENS_PER_SECOND = Gauge(
    "nllb_training_tokens_per_second", "Source and target tokens trained on, all workers.", ("run",)
)
TRAINING_LEARNING_RATE = Gauge("nllb_training_learning_rate", "Learning rate of the last step.", ("run",))
TRAINING_GRADIENT_NORM = Gauge("nllb_training_gradient_norm", "Gradient norm of the last step, unbounded.", ("run",))
TRAINING_PROGRESS = Gauge("nllb_training_progress_ratio", "Share of the run that is done.", ("run",))
TRAINING_DEV_LOSS = Gauge("nllb_training_dev_loss", "Loss per target token on the dev set.", ("run",))
TRAINING_DEV_CHRF = Gauge("nllb_training_dev_chrf", "chrF++ of a few dev sentences.", ("run",))

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
