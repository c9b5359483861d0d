"""What is known of who is online and who types, and what of it has to be written when. It waits for nothing.

The board holds of each contact what is so now and what the store was told last: a write is due where they
differ. So news that come faster than they are written cost nothing, and while the store is away nothing
gathers but the newest state of each contact.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import ONLINE_FOR_S, Presence

MOST = 10_000
"""Contacts on the board. For one more, the oldest of the least worth is forgotten."""

CONTACT_EVERY_S = 5.0
"""Between two writes about one contact, unless he comes or goes, begins or stops to type."""

TYPING_EVERY_S = 4.0
"""Typing that goes on is written so often: before the store's five seconds are over."""

AT_ONCE = 1000
"""Contacts in one write; the others follow in the next."""

SAME_S = 0.001
"""Two ends of typing that are closer than this are one: each was added up in its own way."""

IDLE, TYPES, ONLINE = range(3)
"""How much is lost with a contact that is forgotten: nothing; seconds of typing, which end by themselves;
or that he is online, and that he is to be shown offline later."""


@dataclass(slots=True, eq=False)
class _Contact:
    """One contact of an account: as he is, and (``told_…``) as the store has him.

    ``is_recalled``: that he is online is what an earlier process was told.
    """

    is_online: bool | None = None
    is_recalled: bool = False
    online_until: float = math.inf
    last_seen_at: datetime | None = None
    typing_until: float | None = None
    typing_in: int | None = None
    told_online: bool | None = None
    told_seen: datetime | None = None
    told_typing_until: float | None = None
    told_typing_in: int | None = None
    told_at: float = -math.inf
    worth: int = IDLE

    def hear(self, news: Presence, now: float) -> None:
        if news.is_online is not None:
            self.is_online, self.is_recalled = news.is_online, False
            self.online_until = now + news.online_for_s if news.is_online else math.inf
        if news.last_seen_at is not None:
            self.last_seen_at = news.last_seen_at
        if news.is_typing is not None:
            self.typing_until = now + news.typing_for_s if news.is_typing else None
            self.typing_in = news.typing_in

    def recall(self, stored: Presence, now: float) -> None:
        if stored.is_online and self.is_online is None and self.told_online is None:
            self.is_online = self.told_online = self.is_recalled = True
            self.online_until = now + ONLINE_FOR_S
            self.last_seen_at = self.told_seen = stored.last_seen_at
        if stored.is_typing and self.told_typing_until is None:
            self.told_typing_until = now

    def expire(self, now: float, calendar_now: datetime) -> None:
        """Whoever Telegram has not told of again is gone since then, and types no more."""
        if self.is_online and self.online_until <= now:
            self.is_online = False
            if not self.is_recalled:  # else nobody knows until when he really was
                self.last_seen_at = calendar_now - timedelta(seconds=now - self.online_until)
        if self.typing_until is not None and self.typing_until <= now:
            self.typing_until = None

    def due_at(self) -> float:
        """When the store has to be told, seconds; ``inf``: not, unless there are news."""
        if self.is_online is not None and self.told_online is not self.is_online:
            return -math.inf
        return min(
            self._typing_due_at(),
            self.online_until if self.is_online else math.inf,
            math.inf if self.told_seen == self.last_seen_at else self.told_at + CONTACT_EVERY_S,
        )

    def _typing_due_at(self) -> float:
        if self.typing_until is None:
            return math.inf if self.told_typing_until is None else -math.inf
        if self.told_typing_until is None or self.told_typing_in != self.typing_in:
            return -math.inf
        if self.typing_until > self.told_typing_until + SAME_S:
            return self.told_at + TYPING_EVERY_S
        return self.typing_until

    def worth_now(self) -> int:
        if self.is_online or self.told_online is not self.is_online or self.told_seen != self.last_seen_at:
            return ONLINE
        return IDLE if self.typing_until is None and self.told_typing_until is None else TYPES


@dataclass(frozen=True, slots=True)
class Written:
    """What is to be written in one call.

    Attributes:
        items: The contacts of each account.
        at: As of when, seconds of the board's clock.
    """

    items: Mapping[AccountId, Sequence[Presence]]
    at: float

    def count(self) -> int:
        """How many contacts it is about."""
        return sum(map(len, self.items.values()))


@dataclass(slots=True)
class PresenceBoard:
    """Contacts of all accounts of a worker. Times are seconds of one clock.

    Attributes:
        most: How many contacts it holds.
        dropped: News that were forgotten since there was no room; who takes the number sets it back.
    """

    most: int = MOST
    dropped: int = 0
    _shelves: tuple[dict[tuple[AccountId, int], _Contact], ...] = field(
        default_factory=lambda: ({}, {}, {}), init=False
    )
    _due_at: float = field(default=math.inf, init=False)

    def __len__(self) -> int:
        return sum(map(len, self._shelves))

    @property
    def due_at(self) -> float:
        """When something has to be written, seconds; ``inf``: nothing."""
        return self._due_at

    def hear(self, account_id: AccountId, news: Presence, now: float) -> None:
        """Note what an account was told of a contact. Takes microseconds."""
        key = (account_id, news.chat_id)
        contact = self._find(key)
        if contact is None:
            if news.is_online is None and news.last_seen_at is None and not news.is_typing:
                return  # somebody of whom nothing is known types no more
            contact = _Contact()
        else:
            del self._shelves[contact.worth][key]
        contact.hear(news, now)
        self._put(key, contact)
        self._due_at = min(self._due_at, contact.due_at())
        if len(self) > self.most:
            self._drop_one()

    def recall(self, account_id: AccountId, items: Iterable[Presence], now: float) -> None:
        """Know what the store has from before: contacts who are online or type there.

        Whoever is not told of again is offline in `ONLINE_FOR_S`, and was seen last when the store says. Who
        types no more is due at once. Of whom there are news already nothing is changed.
        """
        for item in items:
            key = (account_id, item.chat_id)
            contact = self._find(key)
            if contact is None:
                contact = _Contact()
            else:
                del self._shelves[contact.worth][key]
            contact.recall(item, now)
            self._put(key, contact)
            if len(self) > self.most:
                self._drop_one()
        self._look()

    def take(self, now: float, calendar_now: datetime) -> Written:
        """What has to be written now: the state of at most `AT_ONCE` contacts.

        They stay due until `written` is called: after a failure the next call brings what is so then.

        Args:
            now: The board's clock.
            calendar_now: The same moment, aware: when somebody was seen last whose time online is over.
        """
        items: dict[AccountId, list[Presence]] = {}
        count = 0
        for key, contact in [*self._shelves[ONLINE].items(), *self._shelves[TYPES].items()]:
            contact.expire(now, calendar_now)
            if contact.worth_now() != contact.worth:
                del self._shelves[contact.worth][key]
                self._put(key, contact)
            if count < AT_ONCE and contact.due_at() <= now:
                account_id, chat_id = key
                items.setdefault(account_id, []).append(_shown(chat_id, contact, now))
                count += 1
        self._look()
        return Written(items, now)

    def written(self, written: Written) -> None:
        """The store has what `take` gave out."""
        for account_id, items in written.items.items():
            for item in items:
                key = (account_id, item.chat_id)
                contact = self._find(key)
                if contact is None:
                    continue
                del self._shelves[contact.worth][key]
                contact.told_online, contact.told_seen = item.is_online, item.last_seen_at
                contact.told_typing_until = written.at + item.typing_for_s if item.is_typing else None
                contact.told_typing_in = item.typing_in
                contact.told_at = written.at
                self._put(key, contact)
        self._look()

    def forget(self, account_id: AccountId) -> None:
        """An account is no longer ours: nothing of it is written any more."""
        for shelf in self._shelves:
            for key in [key for key in shelf if key[0] == account_id]:
                del shelf[key]
        self._look()

    def _find(self, key: tuple[AccountId, int]) -> _Contact | None:
        return next((shelf[key] for shelf in self._shelves if key in shelf), None)

    def _put(self, key: tuple[AccountId, int], contact: _Contact) -> None:
        contact.worth = contact.worth_now()
        self._shelves[contact.worth][key] = contact

    def _look(self) -> None:
        active = (contact for worth in (ONLINE, TYPES) for contact in self._shelves[worth].values())
        self._due_at = min((contact.due_at() for contact in active), default=math.inf)

    def _drop_one(self) -> None:
        shelf = next(shelf for shelf in self._shelves if shelf)
        del shelf[next(iter(shelf))]
        self.dropped += shelf is not self._shelves[IDLE]


def _shown(chat_id: int, contact: _Contact, now: float) -> Presence:
    """A contact as the store is to have him. Of typing that was never told nothing is said."""
    if contact.typing_until is not None:
        return Presence(
            chat_id,
            contact.is_online,
            contact.last_seen_at,
            is_typing=True,
            typing_for_s=contact.typing_until - now,
            typing_in=contact.typing_in,
        )
    is_typing = None if contact.told_typing_until is None else False
    return Presence(chat_id, contact.is_online, contact.last_seen_at, is_typing=is_typing)
