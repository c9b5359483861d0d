"""Login requests of the application, answered: each is a conversation with Telegram, held through its row.

What is begun is worth nothing without the key, and the key is in this process's memory alone: when the worker
dies amid a conversation, the next one only tells so.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Protocol

import trio

from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import AccountRefused, StoreAway, StoreFault, TelegramAway
from tgworker.messaging.events import LoginEnded, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.logging_in import (
    LOGIN_S,
    CodeSent,
    LoggedIn,
    LoginLine,
    LoginRefused,
    PasswordNeeded,
    Problem,
    QrCode,
    bare_code,
    log_in,
)
from tgworker.messaging.login_ports import (
    LoginGone,
    LoginId,
    LoginNews,
    LoginRequest,
    LoginState,
    LoginStore,
)
from tgworker.messaging.models import Secret
from tgworker.messaging.ports import Pulse
from tgworker.messaging.side_pulse import SidePulse
from tgworker.messaging.values import phone_digits

AT_ONCE: Final = 4
"""So many conversations are held at a time."""

AWAY_EVERY_S: Final = 5.0
"""How often requests are looked for while the store is away: other loops ask it more often."""

ANSWER_EVERY_S: Final = 1.0
"""How often it is looked whether there is an answer."""

STORE_S: Final = 30.0
"""So long a login that has succeeded is tried to be stored."""

NO_PHONE = "phone: this is no phone number: write it with its country code, such as +49 170 1234567"
NO_METHOD = "method: 'phone' or 'qr'"
NO_NAME = "name: it must be printable and have 1 to 64 characters"
TOO_LONG = f"nobody finished the login within {LOGIN_S / 60:g} minutes: begin again"
LONGEST_NAME = 64


class LoginDoor(Protocol):
    """Where logins begin; `tgworker.telegram` has one."""

    def open_login(self, config: Mapping[str, Any]) -> AbstractAsyncContextManager[LoginLine]:
        """Prepare a login; leaving it discards what was not kept. A bad config is an `AccountRefused`."""
        ...


class Sealer(Protocol):
    """Encrypts session strings."""

    def encrypt(self, session: Secret) -> str:
        """A token of the session."""
        ...


async def run_logins(
    pulse: Pulse,
    *,
    store: LoginStore,
    door: LoginDoor,
    vault: Sealer,
    tickets: Callable[[], str],
    bell: Bell,
    limits: Limits,
    delays: Delays,
    report: Report,
    added: Callable[[], None],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer login requests; returns never.

    Args:
        pulse: This loop's sign of life.
        store: Where they are.
        door: Where logins begin.
        vault: What sessions are encrypted with.
        tickets: Makes a ticket; each incarnation of this loop has its own.
        bell: Rings when there may be a request.
        limits: ``jobs_every_s`` and the database deadline.
        delays: A conversation's backoff while the store is away.
        report: Hears of logins that ended, and of outages.
        added: Called when an account was added: it is to connect at once.
        task_status: Started at once.

    Cancellation: conversations end, and what they began at Telegram; their rows are ended by the next worker.
    """
    task_status.started()
    outage = Outage(pulse, report, lambda _: AWAY_EVERY_S)
    ticket = tickets()
    held: set[LoginId] = set()
    rang = True
    async with trio.open_nursery() as nursery:

        async def hold(request: LoginRequest) -> None:
            talk = Conversation(
                request,
                pulse=SidePulse(pulse),
                store=store,
                door=door,
                vault=vault,
                ticket=ticket,
                limits=limits,
                delays=delays,
                report=report,
                added=added,
            )
            try:
                await talk.run()
            finally:
                held.discard(request.id)
            bell.ring()  # there is room for another

        while True:
            pulse.beat()
            try:
                with pulse.cycle(limits.cycle_s):
                    if not rang:
                        count = await within(pulse, "database.logins", limits.database_s, store.count_logins)
                        rang = count > len(held)
                    if rang:
                        claim = partial(store.claim_logins, ticket, known=held, limit=AT_ONCE - len(held))
                        for request in await within(pulse, "database.logins", limits.database_s, claim):
                            held.add(request.id)
                            nursery.start_soon(hold, request)
            except StoreAway as error:
                rang = True
                await outage.wait("logins", error)
                continue
            outage.over("logins")
            pulse.expect(limits.jobs_every_s)
            rang = await bell.wait(limits.jobs_every_s)


class Conversation:
    """One request, from its claim to its end. Fills `tgworker.messaging.logging_in.Asker`.

    Args:
        request: The request.
        pulse: Shows the calls to the store; another task beats.
        store: Where its row is.
        door: Where the login begins.
        vault: What the session is encrypted with.
        ticket: Whose it is.
        limits: The database deadline.
        delays: Backoff while the store is away.
        report: Hears how it ended.
        added: Called when an account was added.
    """

    def __init__(
        self,
        request: LoginRequest,
        *,
        pulse: Pulse,
        store: LoginStore,
        door: LoginDoor,
        vault: Sealer,
        ticket: str,
        limits: Limits,
        delays: Delays,
        report: Report,
        added: Callable[[], None],
    ) -> None:
        self._request = request
        self._store = store
        self._door = door
        self._vault = vault
        self._ticket = ticket
        self._limits = limits
        self._report = report
        self._added = added
        self._pulse = pulse
        self._outage = Outage(pulse, report, delays)

    async def run(self) -> None:
        """Hold it. It takes `LOGIN_S` at most, and a while for what is left to be said."""
        state, error = LoginState.EXPIRED, TOO_LONG
        try:
            with trio.move_on_after(LOGIN_S):
                refusal = await self._talk()
                if refusal is None:
                    self._report(LoginEnded(self._request.id, LoginState.DONE.value, None))
                    self._added()
                    return
                state, error = LoginState.FAILED, refusal
        except LoginGone:
            self._report(LoginEnded(self._request.id, LoginState.CANCELLED.value, None))
            return
        with trio.move_on_after(STORE_S):
            await self._insist(partial(self._store.end_login, self._ticket, self._request.id, state, error))
        self._report(LoginEnded(self._request.id, state.value, error))

    async def _talk(self) -> str | None:
        """Log in and store it; returns why it came to nothing, or ``None``."""
        request = self._request
        name = request.name
        if name is not None and not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
            return NO_NAME
        match request.method:
            case "qr":
                phone = None
            case "phone":
                phone = phone_digits(request.phone or "")
                if phone is None:
                    return NO_PHONE
            case _:
                return NO_METHOD
        try:
            async with self._door.open_login(request.config) as line:
                done = await log_in(line, self, phone=phone)
                if isinstance(done, LoginRefused):
                    return done.reason
                await self._keep(line, done)
        except TelegramAway as away:
            return f"Telegram cannot be reached ({away}): try again"
        except (AccountRefused, StoreFault) as error:
            return str(error)
        return None

    async def _keep(self, line: LoginLine, done: LoggedIn) -> None:
        """Store the session. Unless it is certain that it is not stored, Telegram must not forget it."""
        line.keep()
        store = partial(
            self._store.store_login,
            self._ticket,
            self._request.id,
            self._vault.encrypt(done.session),
            user_id=done.me.chat_id,
            phone=done.me.phone,
        )
        try:
            await self._insist(store)
        except (LoginGone, StoreFault):
            line.keep(stays=False)
            raise

    # -- the port `Asker`

    async def code(self, sent: CodeSent, problem: Problem | None) -> Secret:
        """See the port."""
        return await self._ask(LoginState.CODE_SENT, sent.where, problem)

    async def password(self, needed: PasswordNeeded, problem: Problem | None) -> Secret:
        """See the port."""
        return await self._ask(LoginState.PASSWORD_NEEDED, needed.hint, problem)

    async def show(self, qr: QrCode) -> None:
        """See the port."""
        await self._tell(LoginNews(LoginState.QR_SHOWN, qr_url=qr.url, qr_lives_s=qr.lives_s))

    async def _ask(self, state: LoginState, hint: str | None, problem: Problem | None) -> Secret:
        news = LoginNews(state, hint=hint)
        if problem is not None:
            news = LoginNews(state, problem.reason, problem.left, hint)
        await self._tell(news)
        while True:
            await trio.sleep(ANSWER_EVERY_S)
            answer: Secret | None = None
            take = partial(self._store.take_answer, self._ticket, self._request.id)
            try:
                answer = await within(self._pulse, "database.logins", self._limits.database_s, take)
            except StoreAway as error:
                await self._outage.wait("logins", error)
                # The answer may be lost with the store's: who gave it is asked again, and knows why.
                again = "the answer may have been lost on its way: give it again"
                await self._tell(LoginNews(state, again, news.left, hint))
            if answer is not None and answer.value.strip():
                return bare_code(answer) if state is LoginState.CODE_SENT else answer

    async def _tell(self, news: LoginNews) -> None:
        await self._insist(partial(self._store.tell_login, self._ticket, self._request.id, news))

    async def _insist(self, call: Callable[[], Awaitable[object]]) -> None:
        await self._outage.insist("database.logins", self._limits.database_s, call)
