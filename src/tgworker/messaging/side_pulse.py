"""A child's pulse in the hands of a task that does not speak for the child."""

from contextlib import AbstractContextManager

from tgworker.messaging.ports import Deadline, Pulse


class SidePulse:
    """Passes deadlines on, and keeps beats and announcements to itself.

    Of the tasks of one child, one speaks for it: what it announces is for the whole child. A beat of another
    task would end that announcement (60 s of an idle line) and a hang would be seen where there is none.

    Args:
        pulse: The child's.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def beat(self) -> None:
        """Nothing: another task beats for the child."""

    def deadline(self, operation: str, seconds: float) -> AbstractContextManager[Deadline, bool]:
        """As `Pulse.deadline`: operations are recorded, whoever runs them."""
        return self._pulse.deadline(operation, seconds)

    def cycle(self, seconds: float) -> AbstractContextManager[None]:
        """As `Pulse.cycle`."""
        return self._pulse.cycle(seconds)

    def expect(self, within_s: float) -> None:
        """Nothing: another task announces the child's silence."""
