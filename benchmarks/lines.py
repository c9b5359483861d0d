"""The table of lines. The promises stand in the issues and in `docs/reference/benchmarks.md`."""

from benchmarks.line import Line, at_most

LINES: tuple[Line, ...] = (
    Line(
        id="beat_vs_checkpoint",
        what="Pulse.beat() ÷ trio.lowlevel.checkpoint()",
        unit="ratio",
        goal=at_most(0.2),
        module="benchmarks.beat",
    ),
    Line(
        id="deadline_vs_move_on_after",
        what="an empty block under Pulse.deadline ÷ under trio.move_on_after",
        unit="ratio",
        goal=at_most(2.0),
        module="benchmarks.deadline",
    ),
    Line(
        id="restart_ms",
        what="a child raises → its replacement is ready, without backoff",
        unit="ms",
        goal=at_most(1.0),
        module="benchmarks.restart",
    ),
    Line(
        id="children_start_stop_vs_nursery",
        what="10,000 children: start and ordered stop ÷ the same with bare nursery.start",
        unit="ratio",
        goal=at_most(3.0),
        module="benchmarks.crowd",
    ),
    Line(
        id="idle_children_cpu_percent",
        what="CPU of a supervisor of 10,000 children that announced their silence",
        unit="%",
        goal=at_most(0.1),
        module="benchmarks.idle",
    ),
)
"""In the order in which they are measured and shown."""
