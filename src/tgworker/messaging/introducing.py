"""An account's introduction: whom it knows is read once, before it sends, from its contacts and its chats.

An adopted database names people by bare ids. Telegram lets nobody be addressed by an id alone; what is
missing (the access hash, another one for each account) stands in the account's own lists.
"""

from collections.abc import Callable
from functools import partial

import trio

from tgworker.messaging.bounded import Delays, Outage
from tgworker.messaging.events import AccountIntroduced, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Met
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.store_ports import IntroductionStore


async def introduce(
    pulse: Pulse,
    *,
    account_id: AccountId,
    connection: Connection,
    store: IntroductionStore,
    limits: Limits,
    delays: Delays,
    outage: Outage,
    report: Report,
    ring: Callable[[], None],
) -> None:
    """Read an account's contacts and chats page by page into the store; returns at their end.

    What Telegram asks to wait for is waited for. Rows that wait for one of them may be claimed at once.

    Args:
        pulse: Shows the operations.
        account_id: The account.
        connection: Its line.
        store: Where peers go, and where it is remembered that this was done.
        limits: ``entity_s`` for a page, and the database's deadline.
        delays: Backoff after a page that did not come.
        outage: This reader's view of the store.
        report: Hears that it is done.
        ring: Tells who claims that rows may have become due.

    Raises:
        TelegramAway: The line broke. It begins anew with the next one.

    Cancellation: the same; what was stored stays.
    """
    began_s = trio.current_time()
    seen = tries = 0
    while True:
        page: Met | Refused | Deferred | None = None
        with pulse.deadline("telegram.lists", limits.entity_s):
            page = await connection.meet(seen)
        if isinstance(page, Refused):
            break
        if isinstance(page, Deferred):
            await trio.sleep(page.retry_after_s)
            continue
        if page is None:
            tries += 1
            await trio.sleep(delays(tries))
            continue
        tries = 0
        if page.peers:
            save = partial(store.save_peers, account_id, page.peers)
            await outage.insist("database.save_peers", limits.database_s, save)
            seen += len(page.peers)
            ring()
        if page.is_all:
            break
    done = partial(store.record_introduced, account_id)
    await outage.insist("database.record_introduced", limits.database_s, done)
    error = page.reason if isinstance(page, Refused) else None
    report(AccountIntroduced(account_id, seen, trio.current_time() - began_s, error))
