"""One account's child: its line to Telegram, what comes in over it, and what goes out.

A line is disposable. When it is lost the account is *reconnecting*: an outage, waited for with capped backoff
for as long as it takes. When Telegram refuses the account for good, the child returns; a person must act.
"""

from functools import partial

import trio

from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.bounded import Outage
from tgworker.messaging.errors import AccountRefused, SessionUnreadable, TelegramAway, TelegramFloods
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.gate import Gate, Standing
from tgworker.messaging.line_crew import INTRODUCTION, LineCrew, unless_refused
from tgworker.messaging.models import Account, AccountState, Secret
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.recorder import StateRecorder
from tgworker.messaging.resolver import Resolver
from tgworker.messaging.side_pulse import SidePulse

ANOTHER_USER = "the session is another Telegram user's than before: what was known of that one is forgotten"


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
        return unless_refused(ending)

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
            context.dispatch.open_desk(
                account_id, lambda: connection.text_limit, lambda: connection.caption_limit
            ) as desk,
            context.histories.open(account_id) as histories,
            context.jobs.open(account_id) as jobs,
        ):
            desk.halt(halted=not recipients.introduced, by=INTRODUCTION)
            self._stand(self._gate.attach(desk), user_id=me.chat_id)
            crew = LineCrew(
                account_id=account_id,
                kind=self._account.kind,
                context=context,
                pulse=pulse,
                side=self._side,
                gate=self._gate,
                resolver=self._resolver,
                inbound_outage=self._inbound_outage,
                new_outage=partial(self._new_outage, self._side),
                connection=connection,
                desk=desk,
                histories=histories,
                jobs=jobs,
            )
            return await crew.run(introduced=recipients.introduced)
