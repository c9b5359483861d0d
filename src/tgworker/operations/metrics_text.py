"""Tallies in Prometheus' text format, by ``prometheus_client``: import it for who reads."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never, final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tgworker.operations.tallies import Counter, Gauge, Histogram, Tally


@final
class TallyCollector(Collector):
    """Tallies as a registry of ``prometheus_client`` reads them: as they are when it asks.

    Args:
        tallies: What is shown.
    """

    def __init__(self, tallies: Sequence[Tally]) -> None:
        self._tallies = tuple(tallies)

    def collect(self) -> Iterator[Metric]:
        """Each as a metric family."""
        return map(family, self._tallies)


def text_of(tallies: Sequence[Tally]) -> bytes:
    """The text that Prometheus scrapes, version 0.0.4. A registry of their own: no other metric is in it."""
    registry = CollectorRegistry()
    registry.register(TallyCollector(tallies))
    return generate_latest(registry)


def family(tally: Tally) -> Metric:
    """A tally as ``prometheus_client`` has it."""
    match tally:
        case Counter():
            counter = CounterMetricFamily(tally.name, tally.meaning, labels=tally.labels)
            for labels, value in tally.now():
                counter.add_metric(labels, value)
            return counter
        case Gauge():
            gauge = GaugeMetricFamily(tally.name, tally.meaning, labels=tally.labels)
            for labels, value in tally.now():
                gauge.add_metric(labels, value)
            return gauge
        case Histogram():
            histogram = HistogramMetricFamily(tally.name, tally.meaning, labels=tally.labels)
            for labels, counts, total in tally.now():
                histogram.add_metric(labels, _cumulated(tally.bounds, counts), sum_value=total)
            return histogram
        case _:
            assert_never(tally)


def _cumulated(bounds: Sequence[float], counts: Iterable[float]) -> list[tuple[str, float]]:
    """Prometheus' buckets hold all that is smaller, too."""
    names = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(names, itertools.accumulate(counts), strict=True))
