"""Opens lines to Telegram, and logins: one asyncio loop inside trio for each."""

import traceback
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from telethon.crypto import rsa

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.logging_in import LoggedIn
from tgworker.messaging.models import Account, AccountId, Secret
from tgworker.messaging.outcomes import Refused
from tgworker.telegram.client import AccountClient, ClientHooks
from tgworker.telegram.connection import TelethonConnection
from tgworker.telegram.doubts import KeyDoubts
from tgworker.telegram.events import LoopFailed, Observer, TelethonWarned, ignore
from tgworker.telegram.host import open_host
from tgworker.telegram.login import RunSync, TelethonLogin, in_thread
from tgworker.telegram.loss import KEY_DOUBTED
from tgworker.telegram.markup import format_text
from tgworker.telegram.quiet_log import QuietLogger
from tgworker.telegram.session import AccountSession, fresh_session
from tgworker.telegram.settings import Appearance, TelegramSettings
from tgworker.telegram.wait_for import wait_for_is_safe

LOGIN = AccountId("login")
"""Stands for the account in events while nobody knows yet whose session it is."""


class TelethonTelegram:
    """Fills `tgworker.messaging.ports.Telegram` with Telethon under trio-asyncio.

    A server override adds its public key to Telethon's, which are the process's: a test server is trusted by
    every connection of the process, so the composition root makes one of these, not several.

    Args:
        settings: The application and, for tests, the server.
        observer: Gets what happens inside and concerns no single call.
        may_write: Whether an account is still ours: asked before every write to its socket, also by a
            process that was stopped or slept meanwhile.

    Raises:
        RuntimeError: `install_wait_for` was not called on a Python older than 3.12.
    """

    def __init__(
        self,
        settings: TelegramSettings,
        observer: Observer = ignore,
        *,
        may_write: Callable[[AccountId], bool] = lambda _account_id: True,
    ) -> None:
        if not wait_for_is_safe():
            raise RuntimeError(
                "call tgworker.telegram.install_wait_for() first: leaving a connection could hang"
            )
        self._settings = settings
        self._observer = observer
        self._may_write = may_write
        self._doubts = KeyDoubts()
        self._open: dict[AccountId, TelethonConnection] = {}
        if settings.server is not None:
            rsa.add_key(settings.server.public_key_pem, old=False)

    @asynccontextmanager
    async def open(self, account: Account, session: Secret) -> AsyncGenerator[TelethonConnection]:
        """Prepare a line for one account; nothing is sent before `TelethonConnection.connect`.

        Leaving the context closes the line in milliseconds, whatever state it is in; cancellation does too.

        Raises:
            NotASession: The session cannot be read.
            ConfigUnusable: The account's ``config`` asks for what cannot be done.
        """
        appearance = Appearance.of(account.config)
        permit = partial(self._may_write, account.id)
        async with self._opened(
            account.id, session, appearance, listens=True, permit=permit, kind=account.kind
        ) as connection:
            self._open[account.id] = connection
            try:
                yield connection
            finally:
                if self._open.get(account.id) is connection:
                    del self._open[account.id]

    def format_text(self, text: str, parse_mode: str) -> FormattedText | Refused:
        """See the port."""
        return format_text(text, parse_mode)

    def stacks(self, account_id: AccountId) -> str | None:
        """What the asyncio tasks of an account's line wait for right now; ``None`` where there is no line."""
        connection = self._open.get(account_id)
        return None if connection is None else connection.stacks()

    def updates_waiting(self) -> int:
        """How many packets of updates, and messages, wait in memory for the store, of all lines together."""
        held = [connection.statistics() for connection in self._open.values()]
        return sum(one.packets + one.held + one.messages for one in held)

    async def describe_session(self, session: Secret, config: Mapping[str, Any] | None = None) -> LoggedIn:
        """Find out whose session a text is. Nothing is received, stored or sent.

        While it runs nobody else may be connected with this session: Telegram would end it for ever
        (``AUTH_KEY_DUPLICATED``).

        Args:
            session: The text.
            config: The account's, if it has one: as which device, and from where, it is asked.

        Returns:
            Who is logged in with it.

        Raises:
            NotASession: The text is not a StringSession.
            ConfigUnusable: ``config`` asks for what cannot be done.
            AccountRefused: Nobody is logged in with it, or the account is banned.
            TelegramAway: There is no line.
        """
        try:
            return await self._describe(session, config)
        except TelegramAway as away:
            if str(away) != KEY_DOUBTED:
                raise
        return await self._describe(session, config)  # the second -404 is final

    async def log_out(self, account: Account, session: Secret) -> None:
        """End a session at Telegram: it is of no use to anybody any more.

        While it runs nobody else may be connected with this session, as with `describe_session`.

        Raises:
            NotASession: The text is not a StringSession.
            ConfigUnusable: The account's ``config`` asks for what cannot be done.
            AccountRefused: Telegram will not have the session (any more).
            TelegramAway: There is no line, or no answer.

        Cancellation: Telegram may have ended the session all the same.
        """
        for again in (True, False):
            try:
                async with self._opened(
                    account.id, session, Appearance.of(account.config), listens=False
                ) as connection:
                    await connection.connect(None, ())
                    await connection.log_out()
            except TelegramAway as away:
                if str(away) != KEY_DOUBTED or not again:
                    raise
            else:
                return

    async def _describe(self, session: Secret, config: Mapping[str, Any] | None) -> LoggedIn:
        async with self._opened(LOGIN, session, Appearance.of(config or {}), listens=False) as connection:
            me = await connection.connect(None, ())
            return LoggedIn(session, me, connection.kind)

    @asynccontextmanager
    async def open_login(
        self, config: Mapping[str, Any], *, run_sync: RunSync = in_thread
    ) -> AsyncGenerator[TelethonLogin]:
        """Prepare a login; nothing is sent before its first step.

        Leaving the context ends at Telegram what was begun and not kept, within seconds, and discards the
        key; cancellation does too.

        Args:
            config: The account's: it logs in as the device, and from where, it will run later.
            run_sync: How a two-step password is made a number of, which takes 0.1 s.

        Raises:
            ConfigUnusable: ``config`` asks for what cannot be done.
        """
        appearance = Appearance.of(config)
        async with self._hosted(LOGIN) as loop:
            client = await loop.run_aio_coroutine(self._idle_client_aio(appearance))
            login = TelethonLogin(client, loop, run_sync)
            try:
                yield login
            finally:
                await login.aclose()

    async def _idle_client_aio(self, appearance: Appearance) -> AccountClient:
        """A client that makes lines for others; made inside the loop, because Telethon asks for it."""

        async def nothing_aio(*_: object) -> None:
            """Nobody listens."""

        hooks = ClientHooks(
            on_updates_aio=nothing_aio,
            on_lost=lambda _error: None,
            on_refused=lambda _refusal: None,
            on_heard=lambda: None,
            on_difference_delayed=lambda _s, _name: None,
            on_overflow=lambda _dropped: None,
        )
        logger = QuietLogger(lambda *said: self._observer(TelethonWarned(LOGIN, *said)))
        return AccountClient(
            fresh_session(self._settings.server), self._settings, appearance, hooks, logger, listens=False
        )

    @asynccontextmanager
    async def _opened(
        self,
        account_id: AccountId,
        session: Secret,
        appearance: Appearance,
        *,
        listens: bool,
        permit: Callable[[], bool] = lambda: True,
        kind: AccountKind | None = None,
    ) -> AsyncGenerator[TelethonConnection]:
        AccountSession(session, self._settings.server)  # raises before anything is opened
        async with self._hosted(account_id) as loop:
            failure: BaseException | None = None
            connection = TelethonConnection(
                account_id,
                session,
                self._settings,
                appearance,
                loop=loop,
                observer=self._observer,
                doubts=self._doubts,
                listens=listens,
                permit=permit,
                kind=kind,
            )
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(connection.run)
                    try:
                        yield connection
                    except BaseException as error:
                        failure = error
                        raise
                    finally:
                        await connection.aclose()
                        nursery.cancel_scope.cancel("the connection was left")
            except BaseExceptionGroup as group:
                if failure is None or not _is_only(failure, group):
                    raise
            if failure is not None:
                raise failure

    @asynccontextmanager
    async def _hosted(self, account_id: AccountId) -> AsyncGenerator[Any]:
        """An asyncio loop; what is raised in the block comes out of it as it is, not in a group."""
        failure: BaseException | None = None
        try:
            async with open_host(stock=self._settings.stock_loop) as loop:
                loop.set_exception_handler(lambda _, context: self._loop_failed(account_id, context))
                try:
                    yield loop
                except BaseException as error:
                    failure = error
                    raise
        except BaseExceptionGroup as group:
            if failure is None or not _is_only(failure, group):
                raise
        if failure is not None:
            raise failure

    def _loop_failed(self, account_id: AccountId, context: dict[str, Any]) -> None:
        """What trio-asyncio would raise out of ``open_loop()``, killing the account; asyncio only logs it."""
        message = str(context.get("message") or "unhandled error")
        what = next((known for known in _LOOP_MESSAGES if message.startswith(known)), "unhandled error")
        self._observer(LoopFailed(account_id, what, _where(context.get("exception"))))


_LOOP_MESSAGES = (
    "Exception in callback",
    "Task exception was never retrieved",
    "Future exception was never retrieved",
    "Task was destroyed but it is pending",
    "Fatal",
)
"""How asyncio begins to speak of an error. The rest of its sentence quotes arguments and results."""


def _where(error: BaseException | None) -> str:
    if error is None:
        return "no exception"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"


def _is_only(failure: BaseException, group: BaseExceptionGroup[BaseException]) -> bool:
    """Whether a group, made by the nurseries in between, holds ``failure`` and nothing else of interest.

    Compared leaf by leaf: ``open_loop()`` splits groups, which copies them.
    """
    wanted = {id(leaf) for leaf in _leaves(failure)}
    return all(id(leaf) in wanted or isinstance(leaf, trio.Cancelled) for leaf in _leaves(group))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
