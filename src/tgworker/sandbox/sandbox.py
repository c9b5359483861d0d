"""The sandbox itself, as whoever opens one in his own process sees it."""

import base64
import ipaddress
import random
import struct
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import trio

from tgworker.sandbox import post
from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.connection import Connection
from tgworker.sandbox.control import serve_control
from tgworker.sandbox.errors import RequestRefused, SandboxError
from tgworker.sandbox.faults import Faults
from tgworker.sandbox.handshake import KEY_BYTES
from tgworker.sandbox.listening import HOST, listen, port_of
from tgworker.sandbox.requests.table import request_table
from tgworker.sandbox.server_key import ServerKey
from tgworker.sandbox.statistics import Statistics
from tgworker.sandbox.values import ChatLine, ChatSummary, Revocation, SandboxUser, SentText

DC_ID = 2


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
        dc: The data centre that it claims to be.
        control: ``host:port`` of the control connection, or ``None``.
        stopped: Set by `stop`.
    """

    def __init__(self, cloud: Cloud, control: str | None) -> None:
        self._cloud = cloud
        self._connections: set[Connection] = set()
        self._users: dict[int, SandboxUser] = {}
        self._table = request_table()
        self.host = HOST
        self.port = cloud.port
        self.dc = cloud.dc_id
        self.control = control
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
        """All users, in the order in which they were added."""
        return tuple(self._users.values())

    def behave(self, **switches: Any) -> None:
        """Turn switches of `Behaviour`, by name: ``behave(repeats="error")``."""
        self._cloud.behaviour = replace(self._cloud.behaviour, **switches)

    def add_user(self) -> SandboxUser:
        """A new user with a session, everybody's contact."""
        account = self._cloud.directory.add()
        user = SandboxUser(account.id, account.phone, account.username, self.new_session(account.id))
        self._users[account.id] = user
        return user

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
        user_id = self._cloud.directory.get(user_id).id
        # Telethon and its sessions forget leading zero bytes of a key.
        key = bytes([self._cloud.rng.randrange(1, 256)]) + self._cloud.rng.randbytes(KEY_BYTES - 1)
        self._cloud.keys.add(key, user_id)
        return string_session(self.dc, self.host, self.port, key)

    def send_text(self, sender_id: int, recipient_id: int, text: str) -> SentText:
        """Send a text as a user who needs no client.

        Raises:
            UnknownUser: There is no such user.
            SandboxError: The text is empty or too long.
        """
        sender, recipient = map(self._cloud.directory.get, (sender_id, recipient_id))
        try:
            text.encode()
            post.check_text(text)
        except RequestRefused as refusal:
            raise SandboxError(f"this text cannot be sent: {refusal.message}") from None
        except UnicodeEncodeError:
            raise SandboxError("this text cannot be sent: half a surrogate pair is no character") from None
        letter = post.deliver(self._cloud, sender, recipient, text)
        return SentText(letter.id, letter.id if letter.twin_id is None else letter.twin_id)

    def chat(
        self, user_id: int, peer_id: int, *, after: int = 0, limit: int | None = None
    ) -> tuple[ChatLine, ...]:
        """What a user's account holds of a chat, oldest first.

        Args:
            user_id: Whose account.
            peer_id: The chat; the user's own id for his notes.
            after: Only messages with a higher id.
            limit: How many at most; ``None``: all.

        Raises:
            UnknownUser: There is no such user.
        """
        mailbox = self._cloud.directory.get(user_id).mailbox
        chat = mailbox.chats.get(self._cloud.directory.get(peer_id).id)
        ids = [] if chat is None else chat.ids[bisect_right(chat.ids, after) :][:limit]
        letters = [mailbox.letters[each] for each in ids]
        return tuple(ChatLine(each.id, each.outgoing, each.text, each.date) for each in letters)

    def chats(self, user_id: int) -> tuple[ChatSummary, ...]:
        """A user's chats that hold messages, by the other side's id.

        Raises:
            UnknownUser: There is no such user.
        """
        chats = sorted(self._cloud.directory.get(user_id).mailbox.chats.items())
        return tuple(
            ChatSummary(peer_id, len(chat.ids), len(chat.unread), chat.ids[-1])
            for peer_id, chat in chats
            if chat.ids
        )

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

        ``USER_DEACTIVATED`` also bans the user: nobody can log in as him any more.

        Returns:
            How many keys died.

        Raises:
            UnknownUser: There is no such user.
        """
        account = self._cloud.directory.get(user_id)
        account.banned = account.banned or reason == "USER_DEACTIVATED"
        alive = [each for each in self._cloud.keys.of_user(user_id) if each.refusal is None]
        for record in alive:
            record.refusal = RequestRefused(406 if reason == "AUTH_KEY_DUPLICATED" else 401, reason)
        return len(alive)

    def turn_salt(self) -> None:
        """Take another server salt: clients that use the old one are told so (``bad_server_salt``)."""
        self._cloud.turn_salt()

    def statistics(self) -> Statistics:
        """What happened so far."""
        return self._cloud.counts.snapshot(self._cloud.faults.hits())

    def stop(self) -> None:
        """End the service: connections and ports are closed as soon as the event loop turns."""
        self.stopped.set()

    async def serve_client(self, stream: trio.SocketStream) -> None:
        """Serve one client's connection until it ends."""
        connection = Connection(self._cloud, self._table, stream)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


@asynccontextmanager
async def open_sandbox(
    users: int = 2,
    *,
    port: int = 0,
    control_port: int | None = None,
    dc_id: int = DC_ID,
    rng: Random | None = None,
    calendar: Callable[[], float] = time.time,
    behaviour: Behaviour | None = None,
    key: ServerKey | None = None,
) -> AsyncGenerator[Sandbox]:
    """A Telegram server on 127.0.0.1 that lives as long as the context.

    Args:
        users: How many users it begins with.
        port: Where it listens; 0: anywhere.
        control_port: Where its control connection listens; 0: anywhere; ``None``: it has none.
        dc_id: The number of the data centre that it claims to be.
        rng: Where keys, salts and access hashes come from; a seeded one makes them the same each time.
        calendar: Unix time in seconds, for message ids and dates. Whatever waits uses trio's clock.
        behaviour: The switches to begin with.
        key: The server's RSA key; ``None``: one is made when it is first needed.

    Raises:
        PortTaken: Another program listens there.

    Cancellation, and leaving the context: connections and ports are closed at once; nothing of it runs on.
    """
    cloud = Cloud(
        dc_id=dc_id,
        rng=random.SystemRandom() if rng is None else rng,
        calendar=calendar,
        behaviour=behaviour or Behaviour(),
        given_key=key,
    )
    async with AsyncExitStack() as listeners:
        clients = await listeners.enter_async_context(await listen(port, "--port"))
        controllers = None
        if control_port is not None:
            controllers = await listeners.enter_async_context(await listen(control_port, "--control-port"))
        cloud.port = port_of(clients)
        sandbox = Sandbox(cloud, None if controllers is None else f"{HOST}:{port_of(controllers)}")
        for _ in range(users):
            sandbox.add_user()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, sandbox, clients, controllers, name="sandbox")
            try:
                yield sandbox
            except Exception as error:  # noqa: BLE001 # raised below: the nursery would wrap it into a group
                failure = error
            nursery.cancel_scope.cancel(reason="the sandbox is closed")
    if failure is not None:
        raise failure


async def _serve(
    sandbox: Sandbox, clients: trio.SocketListener, controllers: trio.SocketListener | None
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, sandbox.serve_client, [clients])
        if controllers is not None:
            serve = partial(serve_control, sandbox)
            nursery.start_soon(trio.serve_listeners, serve, [controllers])
        await sandbox.stopped.wait()
        nursery.cancel_scope.cancel(reason="the sandbox is stopped")


def string_session(dc_id: int, host: str, port: int, key: bytes) -> str:
    """Telethon's ``StringSession``: version 1, then data centre, address, port and key in base 64."""
    address = ipaddress.ip_address(host).packed
    return "1" + base64.urlsafe_b64encode(struct.pack(">B4sH256s", dc_id, address, port, key)).decode()
