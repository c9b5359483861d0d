"""Telethon's bookkeeping of an account's update log, and what it forgets to keep.

Telethon gives a difference up at the first error, for 15 minutes or until the next update comes; it drops a
channel that it has no access hash for, or has never met, without a word; of a difference it drops what
moves the account's own ``pts`` without being a new message; and it drops what was read elsewhere in a channel
where more than that has happened. Here a difference is asked for again at a time that is known, what cannot
be asked for is written down, and nothing of a difference is dropped, nor what was read.
"""

from collections.abc import Callable
from typing import Any

from telethon._updates import Entity, EntityType, MessageBox
from telethon._updates.messagebox import ENTRY_ACCOUNT, ENTRY_SECRET, PtsInfo, State, next_updates_deadline
from telethon.helpers import get_running_loop
from telethon.tl import types

RETRY_FROM_S = 1.0
RETRY_MAX_S = 60.0
"""Pauses before Telegram, in trouble, is asked again for what was missed: the first, and the longest."""

CHANNEL_IDLE_S = 6 * 3600.0
"""A channel that brings nothing for so long is asked by itself. Telethon does so every 15 minutes: an account
in 500 channels would ask every two seconds, day and night. What is behind is found by comparing dialogs."""

MOST_HELD = 100
"""Updates of one log that are held because something before them is missing. Telethon holds all that comes
for half a second, and tries each again with every other: of a burst thousands, thousands of times."""

ACCOUNT = 0
"""Stands for the account's own log where a channel's id would stand for the channel's."""


class UpdateBox(MessageBox):  # type: ignore[misc] # Telethon has no types
    """Where an account's log and those of its channels stand, which of them have a gap, and what is lost.

    A log is called by its channel's bare id, the account's own by `ACCOUNT`. All of it runs in the client's
    update loop; nothing waits.

    Args:
        log: Telethon's logger.
        hash_of: The access hash of a channel (bare id) that is stored, if it is.

    Attributes:
        is_fresh: The account starts without a position: nothing can be missed before it has begun.
        answered: How many differences were answered so far.
        missed: Logs of which Telegram no longer has all that was missed, or cannot be asked: only the history
            of their chats has it. Whoever hands the next position on takes them.
    """

    def __init__(self, log: Any, hash_of: Callable[[int], int | None]) -> None:
        super().__init__(log)
        self._hash_of = hash_of
        self._pauses_s: dict[int, float] = {}
        self._again_at: dict[int, float] = {}
        self._no_account_before = self._no_channel_before = 0.0
        self._asked_at: dict[int, float] = {}
        self._began_at = get_running_loop().time()
        self._reads: dict[int, Any] = {}
        self.is_fresh = False
        self.answered = 0
        self.missed: list[int] = []

    # ------------------------------------------------ what a look compares

    def stands(self) -> dict[int, int]:
        """The ``pts`` of each log."""
        logs = {log: state.pts for log, state in self.map.items() if isinstance(log, int)}
        if ENTRY_ACCOUNT in self.map:
            logs[ACCOUNT] = self.map[ENTRY_ACCOUNT].pts
        return logs

    def waits_until(self) -> float:
        """Until when (the loop's clock) Telegram has asked to wait with differences; the past: it has not."""
        return max(self._no_account_before, self._no_channel_before)

    # ------------------------------------------------ differences that Telegram will not give now

    def trouble(self, log: int) -> float:
        """A difference could not be had; returns after how many seconds it is asked for again."""
        pause_s = self._pauses_s.get(log, RETRY_FROM_S)
        self._pauses_s[log] = min(2 * pause_s, RETRY_MAX_S)
        return pause_s

    def ask_again(self, log: int, wait_s: float, *, is_announced: bool) -> None:
        """Ask for a log's difference again after ``wait_s``; called before Telethon is told of the error.

        Args:
            log: Which.
            wait_s: Seconds.
            is_announced: Telegram has named the time. Such a wait is of the method: no other channel's
                difference is asked for before either.
        """
        again_at = get_running_loop().time() + wait_s
        self._again_at[log] = again_at
        if is_announced and log == ACCOUNT:
            self._no_account_before = again_at
        elif is_announced:
            self._no_channel_before = max(self._no_channel_before, again_at)

    def had(self, log: int) -> None:
        """A log's difference came."""
        self.answered += 1
        self._asked_at[log] = get_running_loop().time()
        self._pauses_s.pop(log, None)
        self._again_at.pop(log, None)

    def check_deadlines(self) -> Any:
        """Telethon's, but a channel that is merely quiet is not asked every 15 minutes."""
        now = get_running_loop().time()
        called_for = {*self.getting_diff_for, *self._again_at}
        called_for.update(entry for entry, gap in self.possible_gaps.items() if now >= gap.deadline)
        deadline = super().check_deadlines()
        quiet = {
            entry
            for entry in self.getting_diff_for
            if isinstance(entry, int)
            and entry not in called_for
            and now - self._asked_at.get(entry, self._began_at) < CHANNEL_IDLE_S
        }
        if quiet:
            self.getting_diff_for -= quiet
            self.reset_deadlines(quiet, next_updates_deadline())
        return deadline

    def end_get_diff(self, entry: Any) -> None:
        """Telethon's, but the next time is when `ask_again` said."""
        super().end_get_diff(entry)
        again_at = self._due(entry)
        if again_at > get_running_loop().time():
            self.reset_deadlines({entry}, again_at)

    def get_difference(self) -> Any:
        """Telethon's, but not before its time. Meanwhile what comes in order is taken as ever."""
        if self._due(ENTRY_ACCOUNT) > get_running_loop().time():
            for entry in (ENTRY_ACCOUNT, ENTRY_SECRET):
                if entry in self.getting_diff_for:
                    self.end_get_diff(entry)
        return super().get_difference()

    def get_channel_difference(self, chat_hashes: Any) -> Any:
        """Telethon's, but not before its time; a channel that cannot be asked for is written down."""
        now = get_running_loop().time()
        for entry in [each for each in self.getting_diff_for if isinstance(each, int)]:
            if self._due(entry) > now:
                self._again_at[entry] = self._due(entry)
                self.end_get_diff(entry)
            elif chat_hashes.get(entry) is None:
                stored = self._hash_of(entry)
                if stored is not None:
                    chat_hashes.put(Entity(EntityType.CHANNEL, entry, stored))
                else:
                    self.missed.append(entry)  # Telethon now forgets where it stood
        return super().get_channel_difference(chat_hashes)

    def _due(self, entry: Any) -> float:
        if isinstance(entry, int):
            return max(self._again_at.get(entry, 0.0), self._no_channel_before)
        return self._again_at.get(ACCOUNT, 0.0)

    # ------------------------------------------------ what Telethon would drop

    def apply_pts_info(self, update: Any, *, reset_deadlines: Any) -> Any:
        """Telethon's; a channel never met that has too much to tell is missed, and a gap holds no crowd."""
        if isinstance(update, types.UpdateChannelTooLong) and update.channel_id not in self.map:
            if not self.is_fresh:
                self.missed.append(update.channel_id)
            if update.pts:
                self.map[update.channel_id] = State(update.pts, next_updates_deadline())
            return None
        if isinstance(update, types.UpdateReadChannelInbox) and self._is_read_now(update):
            return update
        taken = super().apply_pts_info(update, reset_deadlines=reset_deadlines)
        info = None if taken is not None else PtsInfo.from_update(update)
        gap = None if info is None else self.possible_gaps.get(info.entry)
        if info is not None and gap is not None and len(gap.updates) > MOST_HELD:
            self.try_begin_get_diff(info.entry, "too many updates after a gap")  # which drops what is held
        return taken

    def _is_read_now(self, update: Any) -> bool:
        """Whether what was read in a channel may be told at once; else it is kept until the log is there.

        Such an update moves no log, so Telethon takes it for known where the log has gone on since; and of
        one that is ahead of the log it forgets everything but the gap.
        """
        channel_id = update.channel_id
        known = self.map.get(channel_id)
        if known is None:
            return False
        if known.pts < update.pts or channel_id in self.getting_diff_for:
            self._reads[channel_id] = update
            return False
        self._reads.pop(channel_id, None)
        return True

    def held(self) -> int:
        """How many updates are held because something before them is missing."""
        return sum(len(gap.updates) for gap in self.possible_gaps.values())

    def apply_difference(self, diff: Any, chat_hashes: Any) -> Any:
        """Telethon's; with the first that is whole an account has begun."""
        taken = super().apply_difference(diff, chat_hashes)
        self.is_fresh = self.is_fresh and isinstance(diff, types.updates.DifferenceSlice)
        return taken

    def apply_difference_type(self, diff: Any, chat_hashes: Any) -> Any:
        """Telethon's, with the updates of the account's own log, which it takes for known by now."""
        updates, users, chats = super().apply_difference_type(diff, chat_hashes)
        return _in_order(diff.other_updates, updates, (ENTRY_ACCOUNT, ENTRY_SECRET)), users, chats

    def apply_channel_difference(self, request: Any, diff: Any, chat_hashes: Any) -> Any:
        """Telethon's, with the updates of the channel's log, which it takes for known by now."""
        taken: Any = super().apply_channel_difference(request, diff, chat_hashes)
        updates, users, chats = taken
        channel_id = request.channel.channel_id
        if isinstance(diff, types.updates.ChannelDifference):
            updates = _in_order(diff.other_updates, updates, (channel_id,))
        if diff.final and channel_id in self._reads:
            updates = [*updates, self._reads.pop(channel_id)]
        return updates, users, chats


def _in_order(told: list[Any], taken: list[Any], entries: tuple[Any, ...]) -> list[Any]:
    """What was taken of a difference and, at its place, what was told of some logs and not taken.

    New messages stand first: the others may speak of them.
    """
    there = {id(update) for update in taken}
    others = [update for update in told if id(update) in there or _is_of(update, entries)]
    known = {id(update) for update in others}
    return [*(update for update in taken if id(update) not in known), *others]


def _is_of(update: Any, entries: tuple[Any, ...]) -> bool:
    info = PtsInfo.from_update(update)
    return info is not None and info.entry in entries
