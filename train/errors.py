"""What can go wrong in training, once it has begun; what is refused before is a `StartupError`."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """Training failed, or its result cannot be used; the message says what to do."""


class DivergedError(TrainingError):
    """There are no weights that could be used; all workers know it, and trying again would end the same way."""


class GateRefusedError(TrainingError):
    """The adapter is there and was not published: it did not pass the gate."""
