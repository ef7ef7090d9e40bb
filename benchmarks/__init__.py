"""One runnable file per claim; see docs/benchmarks.md."""
