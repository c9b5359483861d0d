"""What calls cost does not grow with what lies in the tables, counted in steps of SQLite's machine."""

import sqlite3

import pytest

from contracts.store_kit import OWNER, START, batch, inbound, outgoing, user
from embedded.embedded_kit import EmbeddedKit, open_kit
from tgworker.messaging.changes import ReadByThem, ReadByUs
from tgworker.messaging.models import AccountId, Copy, MessageId, Position
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Sent, Settled, Unknown, Unresolved
from tgworker.messaging.presence import Presence


class Work:
    """Counts the steps of SQLite's virtual machine, in hundreds."""

    def __init__(self, kit: EmbeddedKit) -> None:
        self.hundreds = 0
        connection = kit.store._database._connection
        assert connection is not None
        connection.set_progress_handler(self._count, 100)
        self.connection = connection

    def _count(self) -> int:
        self.hundreds += 1
        return 0


@pytest.fixture
async def account(kit: EmbeddedKit) -> AccountId:
    return await kit.store.add_account("ada", OWNER, "token", user_id=1)


def fill(kit: EmbeddedKit, account: AccountId, chats: int, rows: int) -> None:
    """A backlog, written as the application writes it."""
    connection = kit.app._connection
    connection.execute("begin")
    for chat in range(chats):
        identity = f"identity-{chat}"
        connection.execute(
            "insert into contact_identities (id, owner_id, type, value) values (?, ?, 'telegram_user', ?)",
            (identity, OWNER, str(10_000 + chat)),
        )
        connection.execute(
            "insert into conversations (id, owner_id, primary_identity_id) values (?, ?, ?)",
            (f"chat-{chat}", OWNER, identity),
        )
    connection.execute("commit")
    write(kit, account, chats, rows)


def write(kit: EmbeddedKit, account: AccountId, chats: int, rows: int) -> None:
    connection = kit.app._connection
    connection.execute("begin")
    connection.executemany(
        "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
        " external_message_id) values (?, ?, ?, 'outbound', 'x', ?)",
        [(OWNER, f"chat-{n % chats}", account, f"local-{n}") for n in range(rows)],
    )
    connection.execute("commit")


async def send_all(kit: EmbeddedKit, account: AccountId) -> None:
    sent = 0
    while attempts := (await kit.store.turn((), {account: 2000}, known=())).attempts:
        await kit.store.turn(
            [Settled(attempt, Sent(sent + number, START)) for number, attempt in enumerate(attempts)],
            {},
            known=(),
        )
        sent += len(attempts)


async def cycle(kit: EmbeddedKit, account: AccountId, work: Work) -> tuple[int, int, int, int]:
    """The steps of one claim, one settle, one ingest, and of what is asked about one message in doubt."""
    outcomes: tuple[Outcome, ...] = (Sent(900_000_001, START), Deferred(9, "x"), Refused("x"), Unknown("x"))
    work.hundreds = 0
    attempts = (await kit.store.turn((), {account: 4}, known=())).attempts
    claim, work.hundreds = work.hundreds, 0
    assert len(attempts) == 4
    await kit.store.turn([Settled(a, o) for a, o in zip(attempts, outcomes, strict=True)], {}, known=())
    settle, work.hundreds = work.hundreds, 0
    new = await kit.store.ingest(
        account,
        batch(
            inbound(10_001, 800_000_000),
            outgoing(10_002, 800_000_001),
            inbound(9_999_999, 800_000_002),
            peers=[user(10_001)],
            sent_ids=[(1, 2)],
            position=Position(1, 1, 1, 1),
        ),
    )
    assert new == 3
    ingest, work.hundreds = work.hundreds, 0
    await kit.store.owned(attempts[3], 10_001, [800_000_000])
    await kit.store.unnamed(account)
    await kit.store.name(attempts[3], 10_001, Copy(800_000_003, START))
    return claim, settle, ingest, work.hundreds


@pytest.mark.slow
async def test_rows_that_wait_for_their_recipient_make_no_call_dearer(
    kit: EmbeddedKit, account: AccountId
) -> None:
    work = Work(kit)
    costs: list[tuple[int, int, int]] = []
    for first, last in ((0, 10), (10, 3_000)):
        for number in range(first, last):
            identity = kit.app.insert(
                "contact_identities", owner_id=OWNER, type="telegram_user", value=f"@name{number}"
            )
            chat = kit.app.insert("conversations", owner_id=OWNER, primary_identity_id=identity)
            kit.app.insert(
                "messages",
                owner_id=OWNER,
                conversation_id=chat,
                integration_account_id=account,
                channel="telegram",
                direction="outbound",
                text="x",
                external_message_id=f"local-{number}",
            )
        while attempts := (await kit.store.turn((), {account: 2000}, known=())).attempts:
            await kit.store.turn([Settled(each, Unresolved("x")) for each in attempts], {}, known=())
        work.hundreds = 0
        await kit.store.turn((), {account: 4}, known=[MessageId("somebody")])
        claim, work.hundreds = work.hundreds, 0
        await kit.store.save_peers(account, [user(100_000 + last)])
        saved, work.hundreds = work.hundreds, 0
        await kit.store.record_recipients(account, {f"@name{first}": user(200_000 + last)})
        costs.append((claim, saved, work.hundreds))
    for small, large in zip(*costs, strict=True):
        assert large <= small * 1.5 + 5, costs


@pytest.mark.slow
@pytest.mark.parametrize("chats", [20, 2000], ids=["long lanes", "many lanes"])
@pytest.mark.parametrize("settled", [False, True], ids=["pending", "sent"])
async def test_a_backlog_makes_no_call_dearer(
    kit: EmbeddedKit,
    account: AccountId,
    chats: int,
    settled: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fill(kit, account, 20, 40)
    small = await cycle(kit, account, Work(kit))
    with open_kit(tmp_path_factory.mktemp("big") / "data") as big_kit:
        big_account = await big_kit.store.add_account("ada", OWNER, "token", user_id=1)
        fill(big_kit, big_account, chats, 4_000)
        if settled:
            await send_all(big_kit, big_account)
            write(big_kit, big_account, chats, 40)
        big = await cycle(big_kit, big_account, Work(big_kit))
    for before, after in zip(small, big, strict=True):
        assert after <= before * 1.2 + 2, (small, big)


async def test_an_idle_claim_takes_no_lock_and_a_handful_of_steps(
    kit: EmbeddedKit, account: AccountId
) -> None:
    await kit.store.turn((), {account: 5}, known=())
    other = sqlite3.connect(kit.folder.database, isolation_level=None)
    other.execute("begin immediate")  # would make a writer wait
    work = Work(kit)
    for _ in range(10):
        assert list((await kit.store.turn((), {account: 5}, known=())).attempts) == []
    assert work.hundreds <= 1
    other.execute("rollback")
    other.close()


@pytest.mark.slow
async def test_a_read_costs_the_same_however_long_the_chat_is(kit: EmbeddedKit, account: AccountId) -> None:
    work = Work(kit)
    costs: list[int] = []
    for first, last in ((1, 1_000), (1_001, 12_000)):
        await kit.store.ingest(account, batch(*(outgoing(500, number) for number in range(first, last + 1))))
        kit.app._connection.execute("delete from tgworker_read_marks")
        work.hundreds = 0
        await kit.store.ingest(account, batch(changes=[ReadByThem(500, last), ReadByUs(500, last, 0)]))
        costs.append(work.hundreds)
    small, large = costs
    assert large <= small * 1.2 + 2, costs
    assert len(kit.app.rows("message_events")) == 200


async def test_presence_costs_the_same_for_each_contact_however_many_there_are(
    kit: EmbeddedKit, account: AccountId
) -> None:
    work = Work(kit)
    costs: list[float] = []
    for contacts in (50, 500):
        chats = [20_000 + number for number in range(contacts)]
        await kit.store.ingest(account, batch(*(inbound(chat, 700_000 + chat) for chat in chats)))
        work.hundreds = 0
        await kit.store.record_presence({account: [Presence(chat, is_online=True) for chat in chats]})
        costs.append(work.hundreds / contacts)
    assert sum(row["is_online"] for row in kit.app.rows("presence_status")) == 500
    small, large = costs
    assert large <= small * 1.5, costs
