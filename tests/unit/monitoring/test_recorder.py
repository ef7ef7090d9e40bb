"""Figures are kept until they are drained, lose nothing, and go to Ray under the names that are declared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from monitoring import metrics
from monitoring.bounds import BoundedLabel
from monitoring.process import ProcessSampler
from monitoring.recorder import RayExporter, Recorder


def test_counters_add_up_by_label() -> None:
    """Each combination of labels has its own amount; `total` sums over those that are not given."""
    recorder = Recorder()
    recorder.count(metrics.REQUESTS, endpoint="/a", status="200")
    recorder.count(metrics.REQUESTS, 2, endpoint="/a", status="404")
    recorder.count(metrics.REQUESTS, 0, endpoint="/b", status="200")
    assert recorder.total(metrics.REQUESTS, endpoint="/a") == 3
    assert recorder.total(metrics.REQUESTS, status="200") == 1
    assert len(recorder.counters) == 2


def test_totals_advance_by_what_is_new() -> None:
    """What somebody else counts is taken over once; a count that begins again is new from its beginning."""
    recorder = Recorder()
    for total, advanced in ((3, 3), (3, 3), (10, 10), (4, 14)):
        recorder.count_to(metrics.DECODE_STEPS, total)
        assert recorder.total(metrics.DECODE_STEPS) == advanced


def test_a_histogram_advances_its_exact_sum() -> None:
    """The counter holds the sum that Ray's own histogram only approximates."""
    recorder = Recorder()
    for value in (0.011, 0.012):
        recorder.observe(metrics.TIME_IN_QUEUE, value)
    assert recorder.observations[metrics.TIME_IN_QUEUE, ()] == [0.011, 0.012]
    assert recorder.total(metrics.QUEUE_SECONDS) == pytest.approx(0.023)


@pytest.mark.parametrize("labels", [{}, {"tier": "memory", "more": "x"}])
def test_labels_are_those_that_are_declared(labels: dict[str, str]) -> None:
    """One too few or too many is a mistake of the caller's that shows in its test."""
    with pytest.raises(ValueError, match="nllb_cache_hits_total has the labels"):
        Recorder().count(metrics.CACHE_HITS, **labels)


def test_a_label_of_another_name_is_refused() -> None:
    """The right number of labels is not enough."""
    with pytest.raises(KeyError, match="tier"):
        Recorder().count(metrics.CACHE_HITS, level="memory")


def test_draining_loses_nothing() -> None:
    """Eight threads count while another drains: all amounts together are what was counted."""
    recorder, drained = Recorder(), Recorder()

    def count(_: int) -> None:
        for _ in range(1000):
            recorder.count(metrics.DECODE_STEPS)

    with ThreadPoolExecutor(8) as threads:
        jobs = [threads.submit(count, number) for number in range(8)]
        while not all(job.done() for job in jobs):
            drained.count(metrics.DECODE_STEPS, recorder.drain().total(metrics.DECODE_STEPS))
    drained.count(metrics.DECODE_STEPS, recorder.drain().total(metrics.DECODE_STEPS))
    assert drained.total(metrics.DECODE_STEPS) == 8000


def test_gauges_stay_as_they_are() -> None:
    """A gauge that is set once, such as the time that a start took, is in every report."""
    recorder = Recorder()
    recorder.set(metrics.WARMUP_SECONDS, 3.0)
    assert [recorder.drain().gauges for _ in range(2)] == [{(metrics.WARMUP_SECONDS, ()): 3.0}] * 2


def test_every_metric_is_one_that_ray_takes() -> None:
    """Ray's own checks of names, labels and buckets accept all; flushing twice hands nothing over twice."""
    recorder = Recorder()
    exporter = RayExporter(recorder)
    for metric in metrics.ALL:
        labels = dict.fromkeys(metric.labels, "x")
        if isinstance(metric, metrics.Histogram):
            recorder.observe(metric, 1.5, **labels)
        elif isinstance(metric, metrics.Counter):
            recorder.count(metric, **labels)
        else:
            recorder.set(metric, 1.0, **labels)
    exporter.flush()
    assert not recorder.counters
    assert not recorder.observations


def test_configured_values_have_labels_and_others_share_one() -> None:
    """Names that were given are the only ones."""
    label = BoundedLabel(["a", "b"], max_values=20)
    assert [label(value) for value in "abcab"] == ["a", "b", "other", "a", "b"]


def test_without_configuration_the_first_values_have_labels() -> None:
    """The bound holds however many come."""
    label = BoundedLabel((), max_values=3)
    assert [label(value) for value in "abcdeabc"] == ["a", "b", "c", "other", "other", "a", "b", "c"]


def test_the_process_is_measured() -> None:
    """Resident memory at once; CPU in cores, but not over the instant between a replica's start and its first report.

    The system counts CPU time in hundredths of a second: over a millisecond that looks like ten cores.
    """
    recorder, now_s = Recorder(), 0.0
    sampler = ProcessSampler(recorder, clock=lambda: now_s)
    sampler.sample()
    assert recorder.gauges[metrics.PROCESS_RESIDENT, ()] > 10 * 2**20
    assert (metrics.PROCESS_CPU, ()) not in recorder.gauges
    now_s = 10.0
    sampler.sample()
    assert recorder.gauges[metrics.PROCESS_CPU, ()] >= 0
