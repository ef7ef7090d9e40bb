"""The rows of the table in docs/reliability.md, as they are measured: `CHAOS_TABLE=file` collects them."""

from __future__ import annotations

import os

from tests.chaos.harness import Report

HEADER = (
    "| Fault | Requests | Errors at the first try | Failed | Wrong | Slowest | Recovery |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)


def record(name: str, report: Report) -> None:
    """Print a row, and add it to the file that `CHAOS_TABLE` names."""
    row = (
        f"| {name} | {report.num_requests} | {len(report.first_try_errors)} | {len(report.failures)} | "
        f"{len(report.wrong)} | {report.slowest_s:.1f} s | {report.recovery_s:.1f} s |\n"
    )
    print(row, sorted(set(report.first_try_errors)), sorted(set(report.failures)))
    if file := os.environ.get("CHAOS_TABLE"):
        with open(file, "a", encoding="utf-8") as table:
            table.write(row if table.tell() else HEADER + row)


def record_nothing_lost(name: str, report: Report) -> None:
    """The same, of a fault that no request noticed."""
    record(name, report)
    assert not report.wrong
    assert not report.failures
    assert not report.first_try_errors
