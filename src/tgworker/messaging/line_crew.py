"""Everything that runs while an account's line is held."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.errors import AccountRefused, TelegramAway
from tgworker.messaging.fetching import Fetcher
from tgworker.messaging.file_sending import FileSender
from tgworker.messaging.gate import Gate
from tgworker.messaging.history_desk import HistoryDesk
from tgworker.messaging.history_reader import HistoryReader
from tgworker.messaging.inbound import run_inbound
from tgworker.messaging.introducing import introduce
from tgworker.messaging.job_desk import JobDesk
from tgworker.messaging.job_doing import AT_ONCE, JobDoer
from tgworker.messaging.keepalive import keep_alive
from tgworker.messaging.listening import listen
from tgworker.messaging.models import AccountId
from tgworker.messaging.naming import run_naming
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.resolver import Resolver
from tgworker.messaging.sender import run_sender
from tgworker.messaging.senders import Take, run_senders
from tgworker.messaging.side_pulse import SidePulse
from tgworker.messaging.traffic import Traffic

INTRODUCTION = "introduction"
"""Why senders wait at an account's first connect: whom it knows is being read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCrew:
    """What needs one line of one account.

    Attributes:
        account_id: The account.
        kind: What it is.
        context: What all accounts share.
        pulse: The child's sign of life: the keepalive beats for all.
        side: The same for the others, who never beat.
        gate: When messages may leave.
        resolver: Finds whom rows are for.
        inbound_outage: What is known of the store where updates are committed, over all lines.
        new_outage: The same for everybody else, anew with each line.
        connection: The line.
        desk: The attempts.
        histories: The history jobs.
        jobs: The message jobs.
    """

    account_id: AccountId
    context: AccountContext
    pulse: Pulse
    side: SidePulse
    gate: Gate
    resolver: Resolver
    inbound_outage: Outage
    new_outage: Callable[[], Outage]
    connection: Connection
    desk: Desk
    histories: HistoryDesk
    jobs: JobDesk
    kind: AccountKind = AccountKind.USER

    async def run(self, *, introduced: bool) -> TelegramAway:
        """Run everything that needs the line, until one part says that the line is lost."""
        context, connection, desk = self.context, self.connection, self.desk
        bell, traffic = Bell(), Traffic()
        context.presence.begin(self.account_id)
        connection.hear_presence(partial(context.presence.hear, self.account_id))
        endings: list[TelegramAway | AccountRefused] = []

        async def end_with(lost: Callable[[], Awaitable[str | None]]) -> None:
            try:
                reason = await lost()
                if reason is None:
                    return  # it is done, and the line goes on without it
                endings.append(TelegramAway(reason))
            except (TelegramAway, AccountRefused) as ending:
                endings.append(ending)
            nursery.cancel_scope.cancel(reason=f"account {self.account_id} lost its line")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                end_with, partial(keep_alive, self.pulse, connection, desk, context.limits), name="keepalive"
            )
            nursery.start_soon(self.gate.run, name="gate")
            nursery.start_soon(end_with, partial(self.resolver.run, connection), name="resolver")
            if not introduced:
                is_known = trio.Event()
                nursery.start_soon(end_with, partial(self._introduce, is_known), name="introduction")
                nursery.start_soon(self._begin_sending, is_known, name="introduction's bound")
            nursery.start_soon(
                end_with,
                partial(
                    listen,
                    self.side,
                    account_id=self.account_id,
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
                    account_id=self.account_id,
                    updates=connection.updates,
                    store=context.store,
                    limits=context.limits,
                    outage=self.inbound_outage,
                    report=context.report,
                    ring=bell.ring,
                    traffic=traffic,
                ),
                name="inbound",
            )
            fetcher = Fetcher(
                self.side,
                account_id=self.account_id,
                plan=context.fetching,
                connection=connection,
                store=context.store,
                limits=context.limits,
                outage=self.new_outage(),
                report=context.report,
                bell=bell,
            )
            nursery.start_soon(end_with, fetcher.run, name="files")
            history = HistoryReader(
                self.side,
                desk=self.histories,
                sends=desk,
                traffic=traffic,
                connection=connection,
                find=self.resolver.find,
                gate=self.gate,
                store=context.store,
                limits=context.limits,
                delays=context.line_delays,
                outage=self.new_outage(),
                report=context.report,
                now=context.now,
                vault=context.vault,
                ring=context.histories.ring,
                tell_files=bell.ring,
            )
            nursery.start_soon(end_with, history.run, name="history")
            doer = JobDoer(
                self.account_id,
                self.side,
                desk=self.jobs,
                sends=desk,
                gate=self.gate,
                connection=connection,
                store=context.store,
                limits=context.limits,
                outage=self.new_outage(),
                report=context.report,
                format_text=context.telegram.format_text,
                kind=self.kind,
            )
            for number in range(AT_ONCE):
                nursery.start_soon(end_with, doer.run, name=f"jobs {number}")
            nursery.start_soon(
                partial(
                    run_naming,
                    self.side,
                    account_id=self.account_id,
                    desk=desk,
                    connection=connection,
                    store=context.store,
                    limits=context.limits,
                    outage=self.new_outage(),
                    format_text=context.telegram.format_text,
                ),
                name="naming",
            )

            files = FileSender(
                connection=connection,
                gate=self.gate,
                store=context.store,
                limits=context.limits,
                preparer=context.preparer,
                uploads=context.uploads,
                can_park=lambda: desk.can_park,
            )

            async def send(take: Take) -> None:
                await run_sender(
                    self.side,
                    desk=desk,
                    gate=self.gate,
                    connection=connection,
                    store=context.store,
                    limits=context.limits,
                    report=context.report,
                    format_text=context.telegram.format_text,
                    files=files,
                    take=take,
                )

            nursery.start_soon(run_senders, desk, context.in_flight, send, name="senders")
            await end_with(connection.wait_lost)
        # Several parts may notice in the same step. Telegram's final no explains the others.
        return unless_refused(next((one for one in endings if isinstance(one, AccountRefused)), endings[0]))

    async def _introduce(self, introduced: trio.Event) -> None:
        """Read whom the account knows, and say so."""
        context = self.context
        await introduce(
            self.side,
            account_id=self.account_id,
            connection=self.connection,
            store=context.store,
            limits=context.limits,
            delays=context.line_delays,
            outage=self.new_outage(),
            report=context.report,
            ring=context.dispatch.ring,
        )
        introduced.set()

    async def _begin_sending(self, introduced: trio.Event) -> None:
        """Let senders begin once the account is introduced, or has been at it for long."""
        with trio.move_on_after(self.context.limits.introduction_s):
            await introduced.wait()
        self.desk.halt(halted=False, by=INTRODUCTION)


def unless_refused(ending: TelegramAway | AccountRefused) -> TelegramAway:
    """Why a line ended; raises Telegram's final no."""
    if isinstance(ending, AccountRefused):
        raise ending
    return ending
