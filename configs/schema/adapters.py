"""Where adapters come from."""

from __future__ import annotations

from pydantic import ByteSize, PositiveFloat, PositiveInt

from configs.schema.section import MIB, Name, PositiveBytes, Section


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
