"""One account's child: its line to Telegram, what comes in over it, and what goes out.

A line is disposable. When it is lost the account is *reconnecting*: an outage, waited for with capped backoff
for as long as it takes. When Telegram refuses the account for good, the child returns; a person must act.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage
from tgworker.messaging.dispatch import Desk, Dispatch
from tgworker.messaging.errors import AccountRefused, SessionUnreadable, TelegramAway, TelegramFloods
from tgworker.messaging.events import AccountChanged, Report
from tgworker.messaging.gate import Gate, Standing
from tgworker.messaging.hearing import Ears
from tgworker.messaging.history import HistoryReader
from tgworker.messaging.history_desk import HistoryDesk, HistoryDesks
from tgworker.messaging.inbound import run_inbound
from tgworker.messaging.introducing import introduce
from tgworker.messaging.keepalive import keep_alive
from tgworker.messaging.limits import Limits
from tgworker.messaging.listening import listen
from tgworker.messaging.models import Account, AccountId, AccountState, Secret
from tgworker.messaging.naming import run_naming
from tgworker.messaging.pacing import PUBLISHED, Rates
from tgworker.messaging.ports import AccountChildStore, Connection, Pulse, Telegram, Vault
from tgworker.messaging.recorder import StateRecorder
from tgworker.messaging.resolver import Resolver
from tgworker.messaging.sender import run_sender
from tgworker.messaging.senders import Take, run_senders
from tgworker.messaging.side_pulse import SidePulse
from tgworker.messaging.stagger import Stagger
from tgworker.messaging.values import utc_now

INTRODUCTION = "introduction"
"""Why senders wait at an account's first connect: whom it knows is being read."""


ANOTHER_USER = "the session is another Telegram user's than before: what was known of that one is forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountContext:
    """What the children of all accounts share.

    Attributes:
        telegram: Opens lines.
        vault: Decrypts sessions.
        store: Where positions, peers and what arrives are kept.
        dispatch: Where claimed attempts come from, and outcomes go to.
        histories: Where claimed history jobs come from.
        limits: The deadlines.
        line_delays: Backoff between two lines.
        flood_delays: Backoff while Telegram takes no connections from here: a class of its own, in minutes.
        store_delays: Backoff while the store is away.
        report: Hears what happens.
        in_flight: To how many chats one account sends at the same time.
        stagger: When the next line may be made: lines of many accounts are not made in one step.
        rates: How fast each account may send.
        now: The calendar's time, aware, for what people read.
        ears: What was tried for accounts that were deaf.
        renew: Asks for a new process for the sake of a deaf account; whether there will be one.
    """

    telegram: Telegram
    vault: Vault
    store: AccountChildStore
    dispatch: Dispatch
    histories: HistoryDesks
    limits: Limits
    line_delays: Delays
    flood_delays: Delays
    store_delays: Delays
    report: Report
    in_flight: int = 20
    stagger: Stagger = field(default_factory=lambda: Stagger(0))
    rates: Rates = PUBLISHED
    now: Callable[[], datetime] = utc_now
    ears: Ears = field(default_factory=Ears)
    renew: Callable[[AccountId], bool] = lambda _account_id: False


async def run_account(
    pulse: Pulse,
    *,
    account: Account,
    context: AccountContext,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold one account online; returns only when a person must act (refused, or an unreadable session).

    That final state is stored for certain, however long the store is away.

    Args:
        pulse: The child's sign of life.
        account: The account, as the store had it.
        context: What all accounts share.
        task_status: Started at once: an account that is not online yet is waiting, not failing.

    Cancellation: the line is closed within milliseconds. What no sender had begun to send is filed as
    `Released`; what was on its way as `Unknown`, to be repeated with the same ``random_id``. Updates not
    committed come again from the stored position.
    """
    task_status.started()
    try:
        session = context.vault.decrypt(account.secrets_encrypted)
    except SessionUnreadable as error:
        refusal = AccountRefused(AccountState.NEEDS_LOGIN, str(error))
    else:
        refusal = await _Child(pulse, account, context).run(session)
    context.report(AccountChanged(account.id, refusal.state, refusal.reason))
    await Outage(pulse, context.report, context.store_delays, account=account.id).insist(
        "database.record_account",
        context.limits.database_s,
        partial(context.store.record_account, account.id, refusal.state, last_error=refusal.reason),
    )


class _Child:
    """What an account's child remembers between its lines."""

    def __init__(self, pulse: Pulse, account: Account, context: AccountContext) -> None:
        self._pulse = pulse
        self._account = account
        self._context = context
        self._outage = self._new_outage(pulse)
        # While a line is held, its keepalive beats for the child; the recorder never does.
        self._side = SidePulse(pulse)
        self._inbound_outage = self._new_outage(self._side)
        self._recorder = StateRecorder(
            account.id, store=context.store, limits=context.limits, outage=self._new_outage(self._side)
        )
        self._gate = Gate(
            account.id,
            rates=context.rates,
            store=context.store,
            limits=context.limits,
            outage=self._new_outage(self._side),
            report=context.report,
            tell=self._stand,
            now=context.now,
        )
        self._resolver = Resolver(
            account.id,
            rate=context.rates.names,
            pulse=self._side,
            gate=self._gate,
            store=context.store,
            limits=context.limits,
            delays=context.line_delays,
            outage=self._new_outage(self._side),
            report=context.report,
            ring=context.dispatch.ring,
        )
        self._recalled = False
        self._losses = self._floods = 0
        self._online_at: float | None = None

    def _new_outage(self, pulse: Pulse) -> Outage:
        return Outage(pulse, self._context.report, self._context.store_delays, account=self._account.id)

    async def run(self, session: Secret) -> AccountRefused:
        """Hold one line after the other; returns Telegram's final no."""
        with self._context.dispatch.seeking(self._account.id, self._resolver.want):
            return await self._run(session)

    async def _run(self, session: Secret) -> AccountRefused:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._recorder.run, name="recorder")
            nursery.start_soon(self._gate.keep, name="waits")
            refusal = await self._hold_lines(session)
            nursery.cancel_scope.cancel(reason=f"account {self._account.id} was refused")
        return refusal

    async def _hold_lines(self, session: Secret) -> AccountRefused:
        self._become(AccountState.CONNECTING, None)
        while True:
            await self._wait_until(self._context.stagger.reserve(trio.current_time()))
            self._online_at = None
            try:
                loss = await self._hold_line(session)
            except AccountRefused as refusal:
                return refusal
            if self._was_stable():
                self._losses = self._floods = 0
            if isinstance(loss, TelegramFloods):
                self._floods += 1
                state, delay_s = AccountState.WAITING, self._context.flood_delays(self._floods)
            else:
                self._losses += 1
                state, delay_s = AccountState.RECONNECTING, self._context.line_delays(self._losses)
            self._become(state, str(loss), retry_in_s=delay_s)
            await self._wait_until(trio.current_time() + delay_s)

    async def _wait_until(self, at_s: float) -> None:
        self._pulse.beat()
        self._pulse.expect(max(0, at_s - trio.current_time()))
        await trio.sleep_until(at_s)

    def _was_stable(self) -> bool:
        # A line that is made and lost again at once, over and over, must not be made ever faster for that.
        stable_s = self._context.limits.line_stable_s
        return self._online_at is not None and trio.current_time() - self._online_at >= stable_s

    def _become(
        self,
        state: AccountState,
        reason: str | None,
        *,
        retry_in_s: float | None = None,
        user_id: int | None = None,
    ) -> None:
        self._context.report(AccountChanged(self._account.id, state, reason, retry_in_s))
        self._recorder.record(state, reason, user_id=user_id)

    def _stand(self, standing: Standing, *, user_id: int | None = None) -> None:
        self._become(standing.state, standing.reason, retry_in_s=standing.retry_in_s, user_id=user_id)

    async def _hold_line(self, session: Secret) -> TelegramAway:
        """Make one line and hold it; returns why it was lost. Raises `AccountRefused`."""
        ending: TelegramAway | AccountRefused
        async with self._context.telegram.open(self._account, session) as connection:
            # Caught inside: on its way out of the line's own nursery it would be wrapped into a group.
            try:
                ending = await self._use(connection)
            except TelegramAway as away:
                ending = away
            except AccountRefused as refusal:
                ending = refusal
        return _unless_refused(ending)

    async def _use(self, connection: Connection) -> TelegramAway:
        context, pulse = self._context, self._pulse
        account_id, limit_s = self._account.id, context.limits.database_s
        if not self._recalled:
            await self._gate.recall(self._outage)
            self._recalled = True
        position = await self._outage.insist(
            "database.position", limit_s, partial(context.store.position, account_id)
        )
        peers = await self._outage.insist("database.peers", limit_s, partial(context.store.peers, account_id))
        ask = partial(context.store.recipients, account_id)
        recipients = await self._outage.insist("database.recipients", limit_s, ask)
        self._resolver.recall(recipients)
        pulse.beat()
        me = None
        with pulse.deadline("telegram.connect", context.limits.connect_s):
            me = await connection.connect(position, peers)
        if me is None:
            return TelegramAway(f"no connection within {context.limits.connect_s:g} s")
        pulse.beat()
        if position is not None and position.user_id not in (None, me.chat_id):
            # Somebody has put another user's session into the row. This line asks from the other one's
            # position, and nothing of it is used.
            forget = partial(context.store.forget_user, account_id, me.chat_id)
            await self._outage.insist("database.forget_user", limit_s, forget)
            return TelegramAway(ANOTHER_USER)
        self._online_at = trio.current_time()
        with (
            context.dispatch.open_desk(account_id, lambda: connection.text_limit) as desk,
            context.histories.open(account_id) as histories,
        ):
            desk.halt(halted=not recipients.introduced, by=INTRODUCTION)
            self._stand(self._gate.attach(desk), user_id=me.chat_id)
            return await self._serve(connection, desk, histories, introduced=recipients.introduced)

    async def _introduce(self, connection: Connection, introduced: trio.Event) -> str:
        """Read whom the account knows, and say so."""
        context = self._context
        await introduce(
            self._side,
            account_id=self._account.id,
            connection=connection,
            store=context.store,
            limits=context.limits,
            delays=context.line_delays,
            outage=self._new_outage(self._side),
            report=context.report,
            ring=context.dispatch.ring,
        )
        introduced.set()
        await trio.sleep_forever()  # it is no reason for the line to end
        raise AssertionError

    async def _begin_sending(self, desk: Desk, introduced: trio.Event) -> None:
        """Let senders begin once the account is introduced, or has been at it for long."""
        with trio.move_on_after(self._context.limits.introduction_s):
            await introduced.wait()
        desk.halt(halted=False, by=INTRODUCTION)

    async def _serve(
        self, connection: Connection, desk: Desk, histories: HistoryDesk, *, introduced: bool
    ) -> TelegramAway:
        """Run everything that needs the line, until one part says that the line is lost."""
        context, pulse = self._context, self._pulse
        endings: list[TelegramAway | AccountRefused] = []

        async def end_with(lost: Callable[[], Awaitable[str]]) -> None:
            try:
                endings.append(TelegramAway(await lost()))
            except (TelegramAway, AccountRefused) as ending:
                endings.append(ending)
            nursery.cancel_scope.cancel(reason=f"account {self._account.id} lost its line")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_with, connection.wait_lost, name="line")
            nursery.start_soon(
                end_with, partial(keep_alive, pulse, connection, desk, context.limits), name="keepalive"
            )
            nursery.start_soon(self._gate.run, name="gate")
            nursery.start_soon(end_with, partial(self._resolver.run, connection), name="resolver")
            if not introduced:
                is_known = trio.Event()
                nursery.start_soon(
                    end_with, partial(self._introduce, connection, is_known), name="introduction"
                )
                nursery.start_soon(self._begin_sending, desk, is_known, name="introduction's bound")
            nursery.start_soon(desk.run_parked, name="parked")
            nursery.start_soon(
                end_with,
                partial(
                    listen,
                    self._side,
                    account_id=self._account.id,
                    connection=connection,
                    ears=context.ears,
                    renew=context.renew,
                    limits=context.limits,
                    report=context.report,
                ),
                name="hearing",
            )
            nursery.start_soon(
                partial(
                    run_inbound,
                    account_id=self._account.id,
                    updates=connection.updates,
                    store=context.store,
                    limits=context.limits,
                    outage=self._inbound_outage,
                    report=context.report,
                ),
                name="inbound",
            )
            history = HistoryReader(
                self._side,
                desk=histories,
                sends=desk,
                connection=connection,
                store=context.store,
                limits=context.limits,
                delays=context.line_delays,
                outage=self._new_outage(self._side),
                report=context.report,
                now=context.now,
                ring=context.histories.ring,
            )
            nursery.start_soon(end_with, history.run, name="history")
            nursery.start_soon(
                partial(
                    run_naming,
                    self._side,
                    account_id=self._account.id,
                    desk=desk,
                    connection=connection,
                    store=context.store,
                    limits=context.limits,
                    outage=self._new_outage(self._side),
                    format_text=context.telegram.format_text,
                ),
                name="naming",
            )

            async def send(take: Take) -> None:
                await run_sender(
                    self._side,
                    desk=desk,
                    gate=self._gate,
                    connection=connection,
                    store=context.store,
                    limits=context.limits,
                    report=context.report,
                    format_text=context.telegram.format_text,
                    take=take,
                )

            nursery.start_soon(run_senders, desk, context.in_flight, send, name="senders")
        # Several parts may notice in the same step. Telegram's final no explains the others.
        return _unless_refused(next((one for one in endings if isinstance(one, AccountRefused)), endings[0]))


def _unless_refused(ending: TelegramAway | AccountRefused) -> TelegramAway:
    if isinstance(ending, AccountRefused):
        raise ending
    return ending
