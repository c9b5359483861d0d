"""The sandbox itself, as whoever opens one in his own process sees it."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from tgworker.sandbox import blocking, phone
from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.bots import new_token
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.connection import Connection
from tgworker.sandbox.errors import RequestRefused, SandboxError
from tgworker.sandbox.faults import Faults
from tgworker.sandbox.formatting import Formatting
from tgworker.sandbox.ledger import chat_lines, chat_summaries
from tgworker.sandbox.limits import Limits
from tgworker.sandbox.listening import HOST
from tgworker.sandbox.phone_acts import PhoneActs
from tgworker.sandbox.phone_files import PhoneFiles
from tgworker.sandbox.proxies import Proxies
from tgworker.sandbox.requests.table import request_table
from tgworker.sandbox.rooms import Rooms
from tgworker.sandbox.scanning import scan, shown
from tgworker.sandbox.statistics import Statistics
from tgworker.sandbox.string_session import new_key, string_session
from tgworker.sandbox.two_step import new_two_step
from tgworker.sandbox.values import (
    ChatLine,
    ChatSummary,
    Revocation,
    SandboxBot,
    SandboxUser,
    SentText,
    TakeoutSession,
)


class Sandbox:
    """A pretended Telegram, in service. `open_sandbox` makes them.

    Nothing here waits: what it does has happened when the call returns, and clients hear of it as soon as the
    event loop turns.

    Args:
        cloud: What it remembers.
        control: Where its control connection listens, if it has one.

    Attributes:
        host: Where clients connect to: always 127.0.0.1.
        port: And at which port.
        dc: The data centre that they find there.
        dcs: Where all of its data centres listen, as ``host:port``, by number.
        control: ``host:port`` of the control connection, or ``None``.
        rooms: Its groups and channels.
        files: Its files.
        phone: What users do with messages that are there.
        proxies: What may stand in front of it.
        stopped: Set by `stop`.
    """

    def __init__(self, cloud: Cloud, control: str | None) -> None:
        self._cloud = cloud
        self._connections: set[Connection] = set()
        self._users: dict[int, SandboxUser] = {}
        self._bots: dict[int, SandboxBot] = {}
        self._table = request_table()
        self.host = HOST
        self.port = cloud.ports[cloud.dc_id]
        self.dc = cloud.dc_id
        self.dcs = {each: f"{HOST}:{port}" for each, port in cloud.ports.items()}
        self.control = control
        self.rooms = Rooms(cloud)
        self.files = PhoneFiles(cloud, self.rooms)
        self.phone = PhoneActs(cloud, self.rooms)
        self.proxies = Proxies(cloud.ports)
        self.stopped = trio.Event()

    @property
    def server(self) -> str:
        """``host:port`` for clients."""
        return f"{self.host}:{self.port}"

    @property
    def public_key_pem(self) -> str:
        """The server's RSA public key, PKCS#1 PEM: clients that make a handshake need it.

        The key is made at first use, which takes about 0.1 s; sessions of `users` need none.
        """
        return self._cloud.server_key.public_pem

    @property
    def faults(self) -> Faults:
        """What goes wrong: set and clear faults here."""
        return self._cloud.faults

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves where Telegram may behave in several ways."""
        return self._cloud.behaviour

    @property
    def users(self) -> tuple[SandboxUser, ...]:
        """All users who are people, in the order in which they were added."""
        code = self.behaviour.login_code
        names = {each.id: each.username for each in self._cloud.directory}
        return tuple(replace(user, login_code=code, username=names[user.id]) for user in self._users.values())

    @property
    def bots(self) -> tuple[SandboxBot, ...]:
        """All bots, in the order in which they were added."""
        return tuple(self._bots.values())

    def behave(self, **switches: Any) -> None:
        """Turn switches of `Behaviour`, by name: ``behave(repeats="error")``."""
        self._cloud.behaviour = replace(self._cloud.behaviour, **switches)

    @property
    def limits(self) -> Limits:
        """How often an account may ask."""
        return self._cloud.throttle.limits

    def limit(self, limits: Limits) -> None:
        """Hold accounts to other limits: ``limit(Limits.published())``. What was counted before is forgotten.

        Only clients are held to them, not `send_text`.
        """
        self._cloud.throttle.limit(limits)

    def add_user(self, *, stranger: bool = False, premium: bool = False) -> SandboxUser:
        """A new user with a session.

        Args:
            stranger: Whether he is nobody's contact; others are everybody's.
            premium: Whether he pays: longer captions, and no ``FLOOD_PREMIUM_WAIT``.
        """
        account = self._cloud.directory.add(stranger=stranger, premium=premium)
        session, code = self.new_session(account.id), self.behaviour.login_code
        user = SandboxUser(account.id, account.phone, account.username, session, code)
        self._users[account.id] = user
        return user

    def add_bot(self) -> SandboxBot:
        """A new bot with a token and a session. In groups it hears everything (privacy mode is off)."""
        account = self._cloud.directory.add_bot(partial(new_token, self._cloud.rng))
        assert account.bot is not None, "it is one"
        bot = SandboxBot(account.id, account.username, account.bot.token, self.new_session(account.id))
        self._bots[account.id] = bot
        return bot

    def renew_token(self, bot_id: int) -> str:
        """Give a bot another token, as @BotFather does: the old one is expired, and its sessions are ended.

        Raises:
            UnknownUser: There is no such user.
            SandboxError: He is no bot.
        """
        account = self._cloud.directory.get(bot_id)
        if account.bot is None:
            raise SandboxError(f"user {bot_id} is no bot")
        account.bot.renew(self._cloud.rng)
        self._bots[bot_id] = replace(self._bots[bot_id], token=account.bot.token)
        self.revoke(bot_id)
        return account.bot.token

    def block(self, user_id: int, other_id: int, *, blocked: bool = True) -> None:
        """Let a user block another, or a bot (he stops it), or unblock him. Raises UnknownUser."""
        one, other = map(self._cloud.directory.get, (user_id, other_id))
        blocking.block(self._cloud, one, other, blocked=blocked)

    def befriend(self, user_id: int, other_id: int) -> None:
        """Let two users have each other among their contacts. Raises UnknownUser."""
        self._note_contacts(user_id, other_id, have=True)

    def part(self, user_id: int, other_id: int) -> None:
        """Let two users not have each other among their contacts any more. Raises UnknownUser."""
        self._note_contacts(user_id, other_id, have=False)

    def _note_contacts(self, user_id: int, other_id: int, *, have: bool) -> None:
        one, other = map(self._cloud.directory.get, (user_id, other_id))
        self._cloud.directory.note_contact(one, other, has=have)
        self._cloud.directory.note_contact(other, one, has=have)

    def check_users(self, *user_ids: int | None) -> None:
        """Make sure that these are users; ``None`` passes.

        Raises:
            UnknownUser: One of them is none.
        """
        for user_id in user_ids:
            if user_id is not None:
                self._cloud.directory.get(user_id)

    def new_session(self, user_id: int) -> str:
        """Log a user in anew, as on another device; returns the ``StringSession``.

        Raises:
            UnknownUser: There is no such user.
        """
        account = self._cloud.directory.get(user_id)
        key, born = new_key(self._cloud.rng), self._cloud.faults.moment()
        self._cloud.keys.add(key, account.id, dc_id=account.dc_id, born=born)
        return string_session(account.dc_id, self.host, self._cloud.ports[account.dc_id], key)

    def set_password(self, user_id: int, password: str | None, *, hint: str = "") -> None:
        """Give a user a two-step password, or (``None``) none: logins from now on are asked for it.

        Raises:
            UnknownUser: There is no such user.
            SandboxError: The password is empty, or he is a bot.
        """
        account = self._cloud.directory.get(user_id)
        if account.bot is not None:
            raise SandboxError(f"{user_id} is a bot: it has a token, and no password")
        if password == "":
            raise SandboxError("a password has one character at least")
        rng = self._cloud.rng
        account.two_step = None if password is None else new_two_step(rng, password, hint)
        self._users[user_id] = replace(self._users[user_id], password=password)

    def shown(self) -> tuple[str, ...]:
        """What the QR codes say that clients show and nobody has scanned, oldest first."""
        return shown(self._cloud)

    def scan(self, user_id: int, url: str) -> None:
        """Let a user scan a QR code (``tg://login?token=…``): whoever shows it is logged in as he.

        Raises:
            UnknownUser: There is no such user.
            SandboxError: It is no such code, or it cannot be accepted (any more).
        """
        scan(self._cloud, self._cloud.directory.get(user_id), url)

    def allow_takeout(self, user_id: int) -> int:
        """Let a user's exports wait no more, as he does on another device; returns how many were waiting.

        Raises:
            UnknownUser: There is no such user.
        """
        self.check_users(user_id)
        return self._cloud.takeouts.allow(user_id)

    def takeouts(self, user_id: int) -> tuple[TakeoutSession, ...]:
        """The exports of what a user's account holds, oldest first.

        Raises:
            UnknownUser: There is no such user.
        """
        self.check_users(user_id)
        return tuple(
            TakeoutSession(each.parts, each.file_max_size, each.state, each.requests)
            for each in self._cloud.takeouts.of_user(user_id)
        )

    def logins(self, user_id: int) -> int:
        """How many keys are logged in as a user and alive, half-finished logins included.

        Raises:
            UnknownUser: There is no such user.
        """
        self.check_users(user_id)
        return sum(
            user_id in (each.user_id, each.half_user_id) and each.refusal is None for each in self._cloud.keys
        )

    def move_user(self, user_id: int, dc_id: int) -> None:
        """Let a user live in another data centre: at all others his clients get ``USER_MIGRATE_X``.

        Raises:
            UnknownUser: There is no such user.
            SandboxError: There is no such data centre.
        """
        account = self._cloud.directory.get(user_id)
        if dc_id not in self._cloud.ports:
            raise SandboxError(f"the sandbox has no data centre {dc_id}")
        account.dc_id = dc_id

    def check_peer(self, peer: int | None) -> None:
        """Make sure that a marked id is one of a user, group or channel; ``None`` passes.

        Raises:
            UnknownUser, UnknownPeer: It is none.
        """
        if peer is not None:
            self.rooms.find(peer)

    def send_text(
        self, sender_id: int, recipient_id: int, text: str, entities: Iterable[Formatting] = ()
    ) -> SentText:
        """Send a text as a user who needs no client.

        Args:
            sender_id: Who sends.
            recipient_id: To whom; a group or channel by its marked id.
            text: What.
            entities: Its formatting.

        Raises:
            UnknownUser, UnknownPeer: There is no such user, group or channel.
            SandboxError: The text is empty or too long, its formatting does not fit, or he may not
                write there.
        """
        sender, room = self._cloud.directory.get(sender_id), self.rooms.find(recipient_id)
        return phone.send_text(self._cloud, sender, room, text, entities)

    def edit_text(
        self, user_id: int, peer_id: int, message_id: int, text: str, entities: Iterable[Formatting] = ()
    ) -> None:
        """Give a message of a user's another text. Raises as `send_text`, and if the message is not there."""
        editor, room = self._cloud.directory.get(user_id), self.rooms.find(peer_id)
        phone.edit_text(self._cloud, editor, room, message_id, text, entities)

    def delete_messages(self, user_id: int, peer_id: int, ids: Iterable[int], *, revoke: bool = True) -> int:
        """Delete messages of a chat, by a user's numbers; returns how many were there.

        ``revoke``: for all who have them; in a channel that is always so.
        """
        user, room = self._cloud.directory.get(user_id), self.rooms.find(peer_id)
        return phone.delete_messages(self._cloud, user, room, ids, revoke=revoke)

    def read_chat(self, user_id: int, peer_id: int, max_id: int = 0) -> bool:
        """Mark a chat as read up to a message (0: all); returns whether anything was unread."""
        return phone.read_chat(
            self._cloud, self._cloud.directory.get(user_id), self.rooms.find(peer_id), max_id
        )

    def chat(
        self, user_id: int, peer_id: int, *, after: int = 0, limit: int | None = None
    ) -> tuple[ChatLine, ...]:
        """What a user's account holds of a chat, oldest first; service messages are left out.

        Args:
            user_id: Whose account.
            peer_id: The chat; the user's own id for his notes, the marked id of a group or channel.
            after: Only messages with a higher id.
            limit: How many at most; ``None``: all.

        Raises:
            UnknownUser, UnknownPeer: There is no such user, group or channel.
        """
        account = self._cloud.directory.get(user_id)
        return chat_lines(account, self.rooms.find(peer_id), after=after, limit=limit)

    def chats(self, user_id: int) -> tuple[ChatSummary, ...]:
        """A user's chats that hold messages, by their marked ids.

        Raises:
            UnknownUser: There is no such user.
        """
        return chat_summaries(self._cloud, self._cloud.directory.get(user_id))

    def drop_connections(self, user_id: int | None = None) -> int:
        """Cut the connections of a user, or all; returns how many.

        Raises:
            UnknownUser: There is no such user.
        """
        self.check_users(user_id)
        cut = [each for each in self._connections if user_id in (None, each.user_id)]
        for connection in cut:
            connection.cut("dropped")
        return len(cut)

    def forget_sessions(self, user_id: int | None = None) -> int:
        """Forget the MTProto sessions of a user, or all; returns how many clients had one.

        Nothing is pushed to such a client before its next packet, which begins a new session
        (``new_session_created``); what happened in between it has to ask for.

        Raises:
            UnknownUser: There is no such user.
        """
        self.check_users(user_id)
        forgotten = [each for each in self._connections if user_id in (None, each.user_id)]
        return sum(each.forget_session() for each in forgotten)

    def revoke(self, user_id: int, reason: Revocation = "SESSION_REVOKED") -> int:
        """Kill the keys that a user is logged in with: from the next request on they get this error.

        ``USER_DEACTIVATED`` and ``USER_DEACTIVATED_BAN`` also ban the user: nobody can log in as
        him any more.

        Returns:
            How many keys died.

        Raises:
            UnknownUser: There is no such user.
        """
        account = self._cloud.directory.get(user_id)
        account.banned = account.banned or reason.startswith("USER_DEACTIVATED")
        alive = [each for each in self._cloud.keys.of_user(user_id) if each.refusal is None]
        for record in alive:
            record.refusal = RequestRefused(406 if reason == "AUTH_KEY_DUPLICATED" else 401, reason)
        return len(alive)

    def turn_salt(self) -> None:
        """Take another server salt: clients that use the old one are told so (``bad_server_salt``)."""
        self._cloud.turn_salt()

    def statistics(self) -> Statistics:
        """What happened so far."""
        return self._cloud.counts.snapshot(self._cloud.faults.hits(), self._cloud.throttle.floods)

    def stop(self) -> None:
        """End the service: connections and ports are closed as soon as the event loop turns."""
        self.stopped.set()

    async def serve_client(self, dc_id: int, stream: trio.SocketStream) -> None:
        """Serve one client's connection to a data centre until it ends."""
        connection = Connection(self._cloud, self._table, stream, dc_id)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
