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
    Line(
        id="freeze_recovery_over_limit_s",
        what="the interpreter freezes → messages flow again, minus the limit",
        unit="s",
        goal=at_most(0.2),
        module="benchmarks.freezes",
    ),
    Line(
        id="cold_start_s",
        what="`run` is started → the first account is online",
        unit="s",
        goal=at_most(1.0),
        module="benchmarks.freezes",
    ),
    Line(
        id="guard_idle_cpu_percent",
        what="CPU of the guard while all is well, of one core",
        unit="%",
        goal=at_most(0.1),
        module="benchmarks.guard_cost",
    ),
    Line(
        id="guard_memory_mb",
        what="memory of the guard, what it shares with its worker halved",
        unit="MiB",
        goal=at_most(48.0),
        module="benchmarks.guard_cost",
    ),
    Line(
        id="claim_backlog_ms",
        what="a claim of 10 inside PostgreSQL, 1,000,000 rows sent and 100,000 pending, worst of its states",
        unit="ms",
        goal=at_most(3.0),
        module="benchmarks.backlog",
    ),
)
"""In the order in which they are measured and shown."""
