"""The stages of inference, from a checkpoint to decoded text."""
