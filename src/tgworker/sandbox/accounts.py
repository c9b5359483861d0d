"""The users, and what each may know of the others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from telethon.tl import types

from tgworker.sandbox.bots import BotCard
from tgworker.sandbox.contact_book import ContactBook
from tgworker.sandbox.errors import RequestRefused, UnknownUser
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.looks import Looks
from tgworker.sandbox.mailbox import Mailbox
from tgworker.sandbox.two_step import TwoStep

FIRST_ID = 1001
SERVICE_ID = 777000
"""Telegram itself, as it writes to its users."""

FIRST_PHONE = 999_661_001
"""Telegram keeps numbers that begin with 99966 for its test servers (https://core.telegram.org/api/auth)."""


class Line(Protocol):
    """A connection of an account, as far as pushing goes."""

    def push(self, body: bytes) -> None:
        """Send an update, if the client wants updates. Never blocks."""
        ...


@dataclass(eq=False, slots=True)
class Account:
    """One user, or bot.

    Attributes:
        id: Telegram's user id.
        phone: Digits, without a plus; a bot has none.
        username: Without an at sign.
        first_name: What others see.
        last_name: The same; empty: none.
        dc_id: The data centre where he lives.
        premium: Whether he pays.
        banned: Whether Telegram has deactivated the account.
        lines: The connections that hear of its updates; change them by `Directory.connect`.
        photo: What others see of him.
        online_until: Until when he is online; `Directory.lapse` ends that.
        was_online: When he was last; ``None``: nobody knows, and he is said to have been here recently.
        two_step: His two-step password, if he has one.
        bot: What makes it a bot; ``None``: it is a person.
        blocks: Whom he has blocked.
        mailbox: What it holds.
    """

    id: int
    phone: str = field(repr=False)
    username: str
    first_name: str
    dc_id: int
    premium: bool = False
    last_name: str = ""
    banned: bool = False
    lines: set[Line] = field(default_factory=set[Line], repr=False)
    online_until: datetime | None = None
    was_online: datetime | None = None
    photo: StoredFile | None = field(default=None, repr=False)
    two_step: TwoStep | None = field(default=None, repr=False)
    bot: BotCard | None = None
    blocks: set[int] = field(default_factory=set[int], repr=False)
    mailbox: Mailbox = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Give it a mailbox."""
        self.mailbox = Mailbox(self.id)

    @property
    def peer(self) -> int:
        """Its marked id: that of a user is his id."""
        return self.id


class Directory:
    """All users of a sandbox.

    Args:
        secret: What access hashes are made from.
        dc_id: Where new users live.
        now: The time, in whole seconds.

    Attributes:
        looks: What users look like. `views` fills it.
        listening: Those who have a line.
        contacts: Who has whom among his contacts; change it by `note_contact`.
        service: Telegram itself, as it writes to its users; it is not one of them.
    """

    def __init__(self, secret: bytes, dc_id: int, now: Callable[[], datetime]) -> None:
        self._dc_id = dc_id
        self._now = now
        self.looks = Looks()
        self.listening: set[Account] = set()
        self.contacts = ContactBook()
        self.service = Account(SERVICE_ID, "42777", "", "Telegram", dc_id)
        self.contacts.make_stranger(SERVICE_ID)
        self._secret = secret
        self._by_id: dict[int, Account] = {}
        self._by_username: dict[str, Account] = {}
        self._by_phone: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, *, stranger: bool = False, premium: bool = False) -> Account:
        """A new user, under the next id: everybody's contact, or nobody's if he is a ``stranger``."""
        number = len(self._by_id)
        user_id = FIRST_ID + number
        account = Account(
            user_id, str(FIRST_PHONE + number), f"user{user_id}", f"User {user_id}", self._dc_id, premium
        )
        self._by_id[account.id] = account
        self._by_username[account.username] = account
        self._by_phone[account.phone] = account
        if stranger:
            self.contacts.make_stranger(account.id)
        return account

    def add_bot(self, draw_token: Callable[[int], str]) -> Account:
        """A new bot, under the next id: nobody's contact, and nobody is its.

        Args:
            draw_token: Makes a token for an id.
        """
        bot_id = FIRST_ID + len(self._by_id)
        account = Account(bot_id, "", f"user{bot_id}_bot", f"Bot {bot_id}", self._dc_id)
        account.bot = BotCard(draw_token(bot_id))
        self._by_id[account.id] = account
        self._by_username[account.username] = account
        self.contacts.make_stranger(account.id)
        return account

    def note_contact(self, owner: Account, other: Account, *, has: bool) -> None:
        """Say whether one user has another among his contacts."""
        self.contacts.note(owner.id, other.id, has=has)
        self.looks.forget(owner.id)
        self.looks.forget(other.id)

    def connect(self, account: Account, line: Line) -> None:
        """Let a connection hear of an account's updates."""
        account.lines.add(line)
        self.listening.add(account)

    def disconnect(self, account: Account, line: Line) -> None:
        """Let it hear of them no more."""
        account.lines.discard(line)
        if not account.lines:
            self.listening.discard(account)

    def lapse(self, account: Account) -> None:
        """Let a user be offline if the time is over for which he said that he was online."""
        if account.online_until is not None and account.online_until <= self._now():
            account.was_online, account.online_until = account.online_until, None
            self.looks.forget(account.id)

    def rename(self, account: Account, username: str) -> None:
        """Let a user be found under another name, or, if it is empty, under none."""
        self._by_username.pop(account.username.lower(), None)
        account.username = username
        if username:
            self._by_username[username.lower()] = account

    def get(self, user_id: int) -> Account:
        """The user with an id.

        Raises:
            UnknownUser: There is none.
        """
        try:
            return self._by_id[user_id]
        except KeyError:
            if user_id == SERVICE_ID:
                return self.service
            raise UnknownUser(user_id) from None

    def by_username(self, username: str) -> Account | None:
        """The user with a name, in any case."""
        return self._by_username.get(username.lower())

    def by_phone(self, phone: str) -> Account | None:
        """The user with a number; what is no digit does not count."""
        return self._by_phone.get("".join(filter(str.isdigit, phone)))

    def access_hash(self, viewer: Account, peer: int) -> int:
        """What ``viewer`` must know to address a marked id: another number for each viewer, never 0."""
        digest = sha256(self._secret + b"%d/%d" % (viewer.id, peer)).digest()
        return int.from_bytes(digest[:8], "little", signed=True) | 1

    def proof(self, statement: bytes) -> bytes:
        """What nobody but this sandbox can say about a statement."""
        return sha256(self._secret + statement).digest()

    def resolve(self, viewer: Account, peer: Any, error: str = "PEER_ID_INVALID") -> Account:
        """Whom an ``inputPeer`` or ``inputUser`` means.

        Args:
            viewer: Who uses it.
            peer: It.
            error: What to answer if it means nobody.

        Raises:
            RequestRefused: Nobody has this id, or the access hash is not the viewer's.
        """
        match peer:
            case types.InputPeerSelf() | types.InputUserSelf():
                return viewer
            case types.InputPeerUser() | types.InputUser():
                target = self.service if peer.user_id == SERVICE_ID else self._by_id.get(peer.user_id)
                if target is not None and peer.access_hash == self.access_hash(viewer, target.id):
                    return target
            case _:
                pass
        raise RequestRefused(400, error)
