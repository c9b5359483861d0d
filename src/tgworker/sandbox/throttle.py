"""Refuses what comes too often: the state behind `Limits`, for all accounts of a sandbox."""

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel, Member
from tgworker.sandbox.contact_book import ContactBook
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.limits import Limits, Rate, admit
from tgworker.sandbox.methods import plain_name
from tgworker.sandbox.room import Room

SEND = "messages.sendMessage"

BUCKETS_KEPT = 10_000
"""Beyond this those that are full again are forgotten: they are as good as new."""


class Announced(NamedTuple):
    """A wait that an account was told of.

    Attributes:
        name: In which words.
        until_s: Until when, by the clock that passes.
    """

    name: str
    until_s: float


class Throttle:
    """The buckets and the announced waits.

    Args:
        clock: Time that passes, in seconds.
        contacts: Who is no stranger to whom.
    """

    def __init__(self, clock: Callable[[], float], contacts: ContactBook) -> None:
        self.floods: Counter[str] = Counter()
        self._clock = clock
        self._contacts = contacts
        self.limit(Limits())

    @property
    def limits(self) -> Limits:
        """What accounts are held to now."""
        return self._limits

    def limit(self, limits: Limits) -> None:
        """Hold accounts to other limits; what was counted and announced before is forgotten."""
        self._limits = limits
        self._methods = {plain_name(name): rate for name, rate in limits.methods.items()}
        self._takeout = {plain_name(name): rate for name, rate in limits.takeout.items()}
        self._full_at_s: dict[Hashable, float] = {}
        self._announced: dict[Hashable, Announced] = {}
        self._strangers: dict[int, set[int]] = {}

    def check_method(self, account: Account, method: str, *, in_takeout: bool = False) -> None:
        """Count a request.

        Args:
            account: Whose.
            method: Its method.
            in_takeout: Whether it belongs to an export, where other limits hold.

        Raises:
            RequestRefused: An announced wait is not over, or the method is asked for too often.
        """
        scope = (account.id, method, "takeout") if in_takeout else (account.id, method)
        if self._announced:
            self._check_announced(*scope)
        rates = self._takeout if in_takeout else self._methods
        rate = rates.get(plain_name(method))
        if rate is not None:
            self._take(rate, (account.id, plain_name(method), in_takeout), scope, "FLOOD_WAIT")

    def check_send(self, account: Account, room: Room) -> None:
        """Count a message that is about to be sent.

        Raises:
            RequestRefused: It comes too soon after others, or goes to one stranger too many.
        """
        limits = self._limits
        scope: tuple[int, str | int] = (account.id, SEND)
        if limits.scope == "chat":
            self._check_announced(account.id, room.peer)
            scope = (account.id, room.peer)
        slow = self._slow_member(account, room)
        self._check_stranger(account, room)
        in_room = limits.chat if isinstance(room, Account) else limits.group
        if in_room is not None:
            self._take(in_room, (account.id, room.peer), scope, "FLOOD_WAIT")
        if limits.account is not None:
            name = "FLOOD_PREMIUM_WAIT" if limits.premium and not account.premium else "FLOOD_WAIT"
            self._take(limits.account, account.id, (account.id, SEND), name)
        if slow is not None and isinstance(room, Channel):
            slow.next_post_at_s = self._clock() + room.slowmode_s

    def _take(self, rate: Rate, bucket: Hashable, scope: Hashable, name: str) -> None:
        now_s = self._clock()
        self._full_at_s[bucket], wait_s = admit(rate, self._full_at_s.get(bucket, 0), now_s)
        if len(self._full_at_s) > BUCKETS_KEPT:
            self._full_at_s = {key: at_s for key, at_s in self._full_at_s.items() if at_s > now_s}
        if wait_s:
            wait_s = max(math.ceil(wait_s), self._limits.wait_at_least_s)
            self._announced[scope] = Announced(name, now_s + wait_s)
            raise self._refusal(name, wait_s)

    def _check_announced(self, *scope: Hashable) -> None:
        announced = self._announced.get(scope)
        if announced is None:
            return
        wait_s = announced.until_s - self._clock()
        if wait_s > 0:
            raise self._refusal(announced.name, wait_s)
        del self._announced[scope]

    def _slow_member(self, account: Account, room: Room) -> Member | None:
        """Who will have to wait after this message, having waited long enough after his last."""
        if not isinstance(room, Channel) or not room.slowmode_s or account.id == room.creator_id:
            return None
        member = room.members[account.id]
        wait_s = member.next_post_at_s - self._clock()
        if wait_s > 0:
            raise self._refusal("SLOWMODE_WAIT", wait_s)
        return member

    def _check_stranger(self, account: Account, room: Room) -> None:
        if self._limits.strangers is None or not isinstance(room, Account) or room is account:
            return
        chat = account.mailbox.chats.get(room.id)
        if self._contacts.has(room.id, account.id) or (chat is not None and chat.ids):
            return
        written_to = self._strangers.setdefault(account.id, set())
        if room.id not in written_to and len(written_to) >= self._limits.strangers:
            self.floods["PEER_FLOOD"] += 1
            raise RequestRefused(400, "PEER_FLOOD")
        written_to.add(room.id)

    def _refusal(self, name: str, wait_s: float) -> RequestRefused:
        self.floods[name] += 1
        return RequestRefused(420, f"{name}_{max(math.ceil(wait_s), 1)}")
