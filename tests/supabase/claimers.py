"""The proof that claims keep their promises: many claimers at once while PostgREST is killed time and again.

``scripts/prove-claims`` runs it in its long form: twelve claimers, two hundred conversations, ten thousand
messages, which the application inserts in its old way meanwhile. Claimers are the worker's own outbound loop,
senders and Supabase store; Telegram is `supabase.judge`. A message may go through any account, so that the
rows of one conversation wait for each other across claimers. Claimers die, too, with whatever they hold, and
others of the same holder take over.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import trio

from file_fakes import no_sender
from supabase.judge import Judge, JudgedLine
from supabase_schema.rpc_kit import migrations
from tgworker.app.supabase import boot_s
from tgworker.cli.dev_stack import places
from tgworker.devstack import Binaries, Fault, Stack, open_stack
from tgworker.messaging.bounded import Outage
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.gate import Gate
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Secret
from tgworker.messaging.outbound import run_outbound
from tgworker.messaging.pace import Pace, PaceLimits
from tgworker.messaging.pacing import UNPACED
from tgworker.messaging.sender import run_sender
from tgworker.messaging.values import utc_now
from tgworker.supabase import Holder, RequestFailed, SupabaseLeases, SupabaseStore, open_rest
from tgworker.supervision.testing import lone_pulse

OWNER = "0f000000-0000-4000-8000-000000000001"
SENDERS = 4
LIMITS = Limits(database_s=5)
PACE = PaceLimits(fast_s=0.02, slow_s=0.2, watched_s=0.2)
RENEW_EVERY_S = 5.0

_FILL = """
insert into integration_accounts (id, owner_id, type, is_active, secrets_encrypted)
select md5('account ' || a)::uuid, %(owner)s, 'telegram_user', true, 'none'
from generate_series(1, %(accounts)s) a;
insert into contact_identities (id, owner_id, type, value)
select md5('identity ' || c)::uuid, %(owner)s, 'telegram_user', c::text from generate_series(1, %(chats)s) c;
insert into conversations (id, owner_id, primary_identity_id)
select md5('chat ' || c)::uuid, %(owner)s, md5('identity ' || c)::uuid from generate_series(1, %(chats)s) c;
insert into tgworker_peers (integration_account_id, chat_id, kind, access_hash)
select md5('account ' || a)::uuid, c, 'user', c
from generate_series(1, %(accounts)s) a, generate_series(1, %(chats)s) c
"""
# Nothing but what the application wrote before there was a tgworker.
_INSERT = """
insert into messages (owner_id, conversation_id, integration_account_id, channel, direction, text,
    external_message_id)
values (%s, md5('chat ' || %s)::uuid, md5('account ' || %s)::uuid, 'telegram', 'outbound', %s, 'local-' || %s)
"""
_OPEN = "select 1 from tgworker_outbox where state <> 'sent' limit 1"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to happen.

    Attributes:
        claimers: How many, each with an account of its own.
        chats: How many conversations.
        messages: How many.
        per_s: How many the application writes in a second, about.
        kills: PostgREST is killed as long as there are messages to send, and so often at least.
        kill_every_s: From one kill to the next, at most; half of it at least.
        away_s: How long it stays dead, at most.
        seed: Of everything random here.
        within_s: When all messages must have arrived, seconds.
    """

    claimers: int = 12
    chats: int = 200
    messages: int = 10_000
    per_s: float = 200
    kills: int = 3
    kill_every_s: float = 4.0
    away_s: float = 1.0
    seed: int = 1
    within_s: float = 300.0


@dataclass
class Found:
    """What happened. ``violations`` is empty, and ``lost`` is 0, if the promises were kept."""

    messages: int = 0
    lost: int = 0
    violations: list[str] = field(default_factory=list[str])
    kills: int = 0
    answers_lost_on_purpose: int = 0
    claimers_died: int = 0
    doubtful_sends: int = 0
    repeated_sends: int = 0
    failed_requests: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, sent twice, or out of order."""
        return not (self.lost or self.violations)


class Crowd:
    """The claimers, the application, and what befalls them."""

    def __init__(self, stack: Stack, plan: Plan, judge: Judge) -> None:
        self.stack = stack
        self.plan = plan
        self.judge = judge
        self.found = Found()
        self._rng = Random(plan.seed)
        self._scopes: dict[int, trio.CancelScope] = {}

    async def run(self) -> Found:
        """Everything, until all messages have arrived and their rows say so."""
        began_s = trio.current_time()
        await self._sql(_FILL, {"owner": OWNER, "accounts": self.plan.claimers, "chats": self.plan.chats})
        async with trio.open_nursery() as nursery:
            for number in range(1, self.plan.claimers + 1):
                nursery.start_soon(self._keep_claiming, number)
            nursery.start_soon(self._kill_claimers)
            nursery.start_soon(self._keep_killing_postgrest)
            with trio.move_on_after(self.plan.within_s) as patience:
                await self._write()
                while self.found.kills < self.plan.kills or await self._sql(_OPEN):
                    await trio.sleep(0.1)
            if patience.cancelled_caught:
                self.found.violations.append(f"not done after {self.plan.within_s:g} s")
            nursery.cancel_scope.cancel(reason="all is sent")
        self.found.seconds = round(trio.current_time() - began_s, 2)
        await self._compare()
        return self.found

    # ------------------------------------------------------------ the application

    async def _write(self) -> None:
        """In bursts, over one connection: so the numbers are the order."""
        rng = Random(self.plan.seed + 1)
        left = list(range(self.plan.messages))
        while left:
            some = [f"{number:06d}" for number in left[: rng.randint(1, 40)]]
            del left[: len(some)]
            rows = [
                (OWNER, rng.randint(1, self.plan.chats), rng.randint(1, self.plan.claimers), text, text)
                for text in some
            ]
            await trio.to_thread.run_sync(self._insert, rows)
            await trio.sleep(rng.uniform(0, 2 * len(some) / self.plan.per_s))

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        with psycopg.connect(self.stack.db_url, autocommit=True) as connection:
            for row in rows:
                connection.execute(_INSERT, [str(value) for value in row])

    # ------------------------------------------------------------ the claimers

    async def _keep_claiming(self, number: int) -> None:
        """One holder's processes, one after the other."""
        holder = UUID(int=number)
        for incarnation in range(1, 1_000_000):
            with trio.CancelScope() as self._scopes[number]:
                await self._claim(Holder(holder, incarnation, f"claimer {number}"), number)
            self.found.claimers_died += 1
            await trio.sleep(self._rng.uniform(0, 0.2))

    async def _claim(self, holder: Holder, number: int) -> None:
        """One process: nothing of it outlives it."""
        (row,) = await self._sql("select md5('account ' || %s)::uuid::text", (str(number),))
        account = AccountId(row[0])
        rng = Random(self._rng.random())

        def delays(attempt: int) -> float:
            return rng.uniform(0, min(0.5, 0.1 * 2.0**attempt))

        async with open_rest(
            self.stack.url,
            Secret(self.stack.service_role_key),
            rng=rng,
            observer=self._note,
            max_connections=2,
        ) as rest:
            leases = SupabaseLeases(rest, holder, clock=boot_s)
            store = SupabaseStore(rest, leases)
            while account not in leases.held():
                try:
                    await leases.acquire([account])
                except StoreAway:
                    await trio.sleep(delays(1))
            dispatch = Dispatch()
            gate = Gate(
                account,
                rates=UNPACED,
                store=store,
                limits=LIMITS,
                outage=Outage(lone_pulse(), lambda _event: None, delays),
                report=lambda _event: None,
                tell=lambda _standing: None,
                now=utc_now,
            )
            line = JudgedLine(self.judge)
            with dispatch.open_desk(account) as desk:
                async with trio.open_nursery() as nursery:
                    for _ in range(SENDERS):
                        nursery.start_soon(
                            partial(
                                run_sender,
                                lone_pulse(),
                                desk=desk,
                                gate=gate,
                                connection=line,
                                store=store,
                                limits=LIMITS,
                                report=lambda _event: None,
                                format_text=lambda text, _mode: FormattedText(text),
                                files=no_sender(line, gate, store),
                            )
                        )
                    nursery.start_soon(
                        partial(
                            run_outbound,
                            lone_pulse(),
                            store=store,
                            dispatch=dispatch,
                            limits=LIMITS,
                            delays=delays,
                            report=lambda _event: None,
                            pace=Pace(PACE),
                        )
                    )
                    while True:
                        await trio.sleep(RENEW_EVERY_S)
                        try:
                            await leases.renew()
                        except StoreAway:
                            continue  # a lease is many tries long

    def _note(self, event: RequestFailed) -> None:
        self.found.failed_requests[f"{event.call}: {event.reason}"] += 1

    # ------------------------------------------------------------ what befalls them

    async def _keep_killing_postgrest(self) -> None:
        while True:
            await self._kill_postgrest()

    async def _kill_postgrest(self) -> None:
        every_s = self.plan.kill_every_s
        await trio.sleep(self._rng.uniform(every_s / 2, every_s))
        await self.stack.postgrest.kill()
        self.found.kills += 1
        await trio.sleep(self._rng.uniform(0, self.plan.away_s))
        await self.stack.postgrest.start()
        # And answers are lost after the commit.
        self.stack.faults.set(Fault("lose_answer", path="/rest/v1/rpc/tgworker_tick", count=4))

    async def _kill_claimers(self) -> None:
        while True:
            await trio.sleep(self._rng.uniform(0, self.plan.kill_every_s / 2))
            self._scopes[self._rng.randint(1, self.plan.claimers)].cancel(reason="this claimer dies")

    # ------------------------------------------------------------ both sides

    async def _compare(self) -> None:
        """What the application wrote against what arrived, and against what the rows say."""
        found, judge = self.found, self.judge
        written = await self._sql(
            "select m.text, m.external_message_id, i.value::int from messages m"
            " join conversations c on c.id = m.conversation_id"
            " join contact_identities i on i.id = c.primary_identity_id order by m.text"
        )
        found.messages = len(written)
        found.lost = sum(text not in judge.ids for text, _, _ in written)
        found.violations += judge.violations
        of_chat: dict[int, list[str]] = {}
        for text, _, chat in written:
            of_chat.setdefault(chat, []).append(text)
        found.violations += [
            f"what arrived in chat {chat} is not what was written for it, in its order"
            for chat, texts in of_chat.items()
            if judge.texts.get(chat) != texts
        ]
        found.violations += [
            f"{text} has the id {judge.ids[text]}, its row says {external_id}"
            for text, external_id, _ in written
            if text in judge.ids and external_id != str(judge.ids[text])
        ]
        states = await self._sql("select state, count(*)::int from tgworker_outbox group by 1")
        if states != [("sent", len(written))]:
            found.violations.append(f"the outbox says {states} of {len(written)} messages")
        if lanes := await self._sql("select conversation_id::text from tgworker_lanes"):
            found.violations.append(f"{len(lanes)} lanes are left")
        if found.messages != self.plan.messages:
            found.violations.append(f"{found.messages} rows of {self.plan.messages} were written")
        found.doubtful_sends, found.repeated_sends = judge.doubtful, judge.repeats
        found.answers_lost_on_purpose = self.stack.faults.hits().get("lose_answer", 0)

    async def _sql(self, query: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        def run() -> list[tuple[Any, ...]]:
            with (
                psycopg.ClientCursor(psycopg.connect(self.stack.db_url, autocommit=True)) as cursor,
                cursor.connection,
            ):
                cursor.execute(query.encode(), arguments)
                return cursor.fetchall() if cursor.description else []

        return await trio.to_thread.run_sync(run)


async def prove(plan: Plan, binaries: Binaries) -> Found:
    """Carry a plan out on a stack of its own."""
    async with open_stack(binaries, migrations=migrations()) as stack:
        return await Crowd(stack, plan, Judge(Random(plan.seed))).run()


def main() -> int:
    """The long form; exit status 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="scripts/prove-claims", description=__doc__)
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    plan = Plan(**vars(parser.parse_args()))
    found = trio.run(prove, plan, places().find())
    sys.stdout.write(json.dumps({"ok": found.ok, **vars(found)}, indent=1) + "\n")
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
