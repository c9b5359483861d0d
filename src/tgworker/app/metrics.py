"""A worker's metrics: what its loops and its tree have done since the process began, and what it is now."""

from collections.abc import Callable, Mapping
from typing import final

from tgworker.app.worker import Worker
from tgworker.messaging.models import AccountState
from tgworker.operations.messaging_metrics import MessagingMetrics
from tgworker.operations.metrics import SupervisionMetrics
from tgworker.operations.tallies import Gauge, Labels, Tally


@final
class WorkerMetrics:
    """All metrics of a process with a worker.

    Args:
        worker: The worker once there is one.

    Attributes:
        supervision: Observes the tree.
        messaging: Hears what the loops do.
        tallies: What is counted.
    """

    def __init__(self, worker: Callable[[], Worker | None]) -> None:
        self._worker = worker
        self.supervision = SupervisionMetrics(child_of=child_of)
        self.messaging = MessagingMetrics()
        self.tallies: tuple[Tally, ...] = (
            *self.supervision.tallies,
            *self.messaging.tallies,
            Gauge("tgworker_accounts", "The worker's accounts by state.", ["state"], read=self._accounts),
            Gauge(
                "tgworker_updates_waiting",
                "Packets of updates and messages that wait in memory for the store.",
                read=self._updates_waiting,
            ),
            Gauge(
                "tgworker_store_up",
                "Whether the store answered when it was asked last (1), or not, or not yet (0).",
                read=self._store_up,
            ),
        )

    def text(self) -> bytes:
        """What Prometheus scrapes."""
        # Where nobody scrapes, nothing pays for the library.
        from tgworker.operations.metrics_text import text_of

        return text_of(self.tallies)

    def _accounts(self) -> Mapping[Labels, float]:
        worker = self._worker()
        return {(state.value,): worker.states.count(state) if worker else 0 for state in AccountState}

    def _updates_waiting(self) -> Mapping[Labels, float]:
        worker = self._worker()
        return {(): 0 if worker is None else worker.parts.updates_waiting()}

    def _store_up(self) -> Mapping[Labels, float]:
        worker = self._worker()
        return {(): 0 if worker is None or worker.store_away() else 1}


def child_of(path: str) -> str:
    """What a child is called in a label: its id under the root, and all accounts are "account"."""
    match path.split("."):
        case [_, "account", _, *_]:
            return "account"
        case [_, "account"]:
            return "account_supervisor"
        case [_, *below] if below:
            return ".".join(below)
        case _:
            return path
