"""How far a chat's history is read, and when it is enough: pure decisions.

A history is read from its newest message backwards, page by page; each page is stored with how far it went,
so that whoever is handed the job after a crash goes on there.
"""

from dataclasses import dataclass, replace

from tgworker.messaging.models import HistoryJob, HistoryPage

PAGE = 100
"""Messages in one page: Telegram gives no more (https://core.telegram.org/api/offsets)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a job has come.

    Attributes:
        below: The next page ends under this id; 0: it begins with the newest message.
        seen: So many messages were read so far.
        done: Whether that is all.
    """

    below: int
    seen: int
    done: bool = False

    @classmethod
    def of(cls, job: HistoryJob, most: int) -> "Reading":
        """Where a job that was claimed begins, or goes on. ``most``: see `page_size`."""
        reading = cls(job.below, job.seen)
        return replace(reading, done=page_size(job, reading, most) == 0)


def page_size(job: HistoryJob, reading: Reading, most: int) -> int:
    """How many messages the next page may have; 0: none.

    Args:
        job: The job.
        reading: How far it has come.
        most: So many messages a job is granted; one that fills a gap is granted all.
    """
    if job.fills_gap:
        return PAGE
    return max(0, min(PAGE, min(job.limit_messages, most) - reading.seen))


def page_sizes(job: HistoryJob, reading: Reading, most: int) -> tuple[int, int]:
    """How many messages the next page may have, and how many those behind it, as far as is known now.

    A gap is mostly closed within a page: of one, only the next page is asked for ahead.
    """
    size = page_size(job, reading, most)
    left = max(0, min(job.limit_messages, most) - reading.seen - size)
    return size, min(left, PAGE) if job.fills_gap else left


def turned(job: HistoryJob, reading: Reading, page: HistoryPage, most: int) -> Reading:
    """How far it is after a page was read.

    A gap is closed where the update log had come to before: not at the first message that is known, because
    another job may have stored a part of the history amid the gap.
    """
    if page.lowest_id is None:
        return replace(reading, done=True)
    after = Reading(page.lowest_id, reading.seen + len(page.messages))
    closed = job.known_top is not None and page.lowest_id <= job.known_top
    return replace(after, done=page.is_last or closed or page_size(job, after, most) == 0)
