"""A whole worker holds a bot beside a person's account: it hears, it answers, and says what it cannot do."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tgworker.embedded import DataFolder, EmbeddedFiles, inline, open_store
from tgworker.messaging.account_kinds import LACKS, Ability, AccountKind
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileKind
from tgworker.messaging.models import AccountId, AccountState, MessageId, Secret
from tgworker.messaging.records import AccountRecord, OutboxState
from tgworker.sandbox import PhoneFile, SandboxBot
from tgworker.vault import FernetVault
from worker.test_files import put
from worker.worker_world import OWNER, Ground, World, open_ground

BOTS = LACKS[AccountKind.BOT]


@dataclass
class Desk:
    """A running worker with a bot."""

    world: World
    bot: SandboxBot
    account: AccountId
    vault: FernetVault

    async def rows(self, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
        def read(connection: sqlite3.Connection) -> list[Mapping[str, Any]]:
            cursor = connection.execute(query, arguments)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self.world.store._database.read(read)

    async def add(self, statement: str, *arguments: Any) -> str:
        """Insert a row as the application does; returns its id."""
        row_id: str = await self.world.store._database.write(
            lambda connection: connection.execute(statement, arguments).fetchone()[0]
        )
        return row_id

    async def inbound(self) -> list[str]:
        return [text for _, text in await self.world.store.transcript(self.account, direction="inbound")]

    async def give(self, to: int, text: str) -> MessageId:
        (message,) = await self.world.store.enqueue(self.account, str(to), [text])
        return message

    async def record(self) -> AccountRecord:
        (found,) = [
            each for each in await self.world.store.list_accounts() if each.account.id == self.account
        ]
        return found

    def held(self) -> list[str]:
        """What the person holds of the chat with the bot."""
        return [line.text for line in self.world.sandbox.chat(self.world.me.id, self.bot.id)]


async def hire(ground: Ground, *, session: str | None = None) -> tuple[SandboxBot, AccountId]:
    """Add a bot as an account, before a worker runs."""
    bot = ground.sandbox.add_bot()
    with open_store(ground.data, as_worker=True, run_sync=inline, now=ground.calendar) as store:
        sealed = ground.vault.encrypt(Secret(session or bot.session))
        account = await store.add_account("helper", OWNER, sealed, user_id=bot.id, kind=AccountKind.BOT)
    return bot, account


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncGenerator[Desk]:
    async with open_ground(folder) as ground:
        bot, account = await hire(ground)
        async with ground.worker() as world:
            await world.until(2)
            yield Desk(world, bot, account, ground.vault)


async def test_a_bot_hears_a_user_and_answers(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        world, sandbox = desk.world, desk.world.sandbox
        assert (await desk.record()).state is AccountState.ONLINE
        sandbox.send_text(world.peer.id, desk.bot.id, "/start")
        await world.until(4)
        assert await desk.inbound() == ["/start"]
        (conversation,) = await desk.rows(
            "select c.id, c.unread_count from conversations c"
            " join contact_identities i on i.id = c.primary_identity_id where i.value = ?",
            str(world.peer.id),
        )
        assert conversation["unread_count"] == 1
        # As the application writes: to the conversation, and to nobody by name.
        answer = await desk.add(
            "insert into messages (owner_id, conversation_id, channel, direction, text, external_message_id)"
            " values (?, ?, 'telegram', 'outbound', 'how can I help?', 'local-1') returning id",
            OWNER,
            conversation["id"],
        )
        await world.until(8)
        assert await world.state_of(MessageId(answer)) is OutboxState.SENT
        texts = [line.text for line in sandbox.chat(world.peer.id, desk.bot.id)]
        assert texts == ["/start", "how can I help?"]


async def test_a_bot_in_a_group_hears_and_answers(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_desk(tmp_path) as desk:
        world, sandbox = desk.world, desk.world.sandbox
        room = sandbox.rooms.create_channel(world.peer.id, [desk.bot.id], "Desk")
        sandbox.send_text(world.peer.id, room.peer, "all of you")
        await world.until(8)
        assert "all of you" in await desk.inbound()
        message = await desk.give(room.peer, "even me?")
        await trio.sleep(4)
        assert await world.state_of(message) is OutboxState.SENT
        assert [line.text for line in sandbox.chat(world.peer.id, room.peer)][-1] == "even me?"


@pytest.mark.slow
async def test_files_go_both_ways(tmp_path: Path) -> None:  # on the real clock: files are read in threads
    async with open_ground(tmp_path, limits=Limits(outbound_every_s=0.05)) as ground:
        bot, account = await hire(ground)
        async with ground.worker() as world:
            desk = Desk(world, bot, account, ground.vault)
            with trio.fail_after(30):
                while (await desk.record()).state is not AccountState.ONLINE:
                    await trio.sleep(0.01)
                document = PhoneFile("document", b"%PDF-1.4", "a.pdf", caption="/start")
                world.sandbox.files.send(world.peer.id, bot.id, document)
                while not (stored := await desk.rows("select file_name, byte_size from attachments")):
                    await trio.sleep(0.01)
                assert stored == [{"file_name": "a.pdf", "byte_size": 8}]
                files = EmbeddedFiles(DataFolder(world.folder).files)
                sent = await put(files, "b.pdf", b"%PDF-1.5", "application/pdf")
                (message,) = await world.store.enqueue(
                    account, str(world.peer.id), ["yours"], files=[sent], kind=FileKind.DOCUMENT
                )
                while await world.state_of(message) is not OutboxState.SENT:
                    await trio.sleep(0.01)
            held = [line.text for line in world.sandbox.chat(world.peer.id, bot.id)]
            assert held == ["/start", "yours"]


async def test_a_bot_catches_up_with_what_came_while_no_worker_ran(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        bot, account = await hire(ground)
        me = ground.sandbox.users[0].id
        async with ground.worker() as world:
            await world.until(2)
            ground.sandbox.send_text(me, bot.id, "/start")
            await world.until(4)
        for number in range(150):
            ground.sandbox.send_text(me, bot.id, f"m {number}")
        async with ground.worker() as world:
            await world.until(12)
            assert sorted(await Desk(world, bot, account, ground.vault).inbound()) == sorted(
                ["/start", *(f"m {number}" for number in range(150))]
            )


async def test_what_a_bot_cannot_do_ends_with_its_reason(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_desk(tmp_path) as desk:
        world, sandbox = desk.world, desk.world.sandbox
        sandbox.send_text(world.me.id, desk.bot.id, "/start")
        await world.until(4)
        (heard,) = await desk.rows("select id from messages where text = '/start' and direction = 'inbound'")
        history = (
            "insert into sync_history_jobs (owner_id, integration_account_id, telegram_id, limit_messages)"
            " values (?, ?, ?, 100) returning id"
        )
        for chat in (str(world.me.id), "all"):
            await desk.add(history, OWNER, desk.account, chat)
        job = (
            "insert into message_jobs (owner_id, integration_account_id, message_id, action, payload)"
            " values (?, ?, ?, ?, ?) returning id"
        )
        jobs = {
            action: await desk.add(job, OWNER, desk.account, heard["id"], action, json.dumps(payload))
            for action, payload in {
                "mark_read": {},
                "pin": {"for_both": False},
                "typing": {},
                "react": {"emoji": "👍"},
            }.items()
        }
        stranger = await desk.give(world.peer.id, "buy!")
        by_phone = await world.store.enqueue(desk.account, f"+{world.stranger.phone}", ["hello"])
        await world.until(60)
        ended = await desk.rows("select status, error_message from sync_history_jobs")
        assert [each["status"] for each in ended] == ["failed", "failed"]
        assert all(BOTS[Ability.READ_HISTORY] in each["error_message"] for each in ended)
        found = {
            row["id"]: (row["status"], row["error_message"])
            for row in await desk.rows("select id, status, error_message from message_jobs")
        }
        assert found[jobs["mark_read"]] == ("failed", BOTS[Ability.MARK_READ])
        assert found[jobs["pin"]] == ("failed", BOTS[Ability.PIN_FOR_ITSELF])
        assert found[jobs["typing"]] == ("completed", None)
        assert found[jobs["react"]] == ("completed", None)
        outcomes = await world.store.outcomes([stranger, *by_phone])
        assert {each.state for each in outcomes.values()} == {OutboxState.DEAD}
        assert BOTS[Ability.LIST_CHATS] in (outcomes[stranger].error or "")
        assert BOTS[Ability.FIND_BY_PHONE] in (outcomes[by_phone[0]].error or "")
        assert "messages.getHistory" not in sandbox.statistics().requests


async def test_a_revoked_token_ends_the_bot_alone_and_a_new_login_keeps_its_row(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_desk(tmp_path) as desk:
        world, sandbox = desk.world, desk.world.sandbox
        sandbox.send_text(world.me.id, desk.bot.id, "/start")
        await world.until(4)
        sandbox.renew_token(desk.bot.id)
        waits = await desk.give(world.me.id, "still there?")
        await world.until(70)
        record = await desk.record()
        assert record.state is AccountState.NEEDS_LOGIN
        assert record.last_error is not None
        assert "@BotFather" in record.last_error
        assert {
            each.state for each in await world.store.list_accounts() if each.account.id == world.account
        } == {AccountState.ONLINE}
        # 'login --bot' does this, once it has the new token.
        again = await world.store.add_account(
            None,
            OWNER,
            desk.vault.encrypt(Secret(sandbox.new_session(desk.bot.id))),
            user_id=desk.bot.id,
            kind=AccountKind.BOT,
        )
        assert again == desk.account
        await world.until(140)
        assert (await desk.record()).state is AccountState.ONLINE
        assert await world.state_of(waits) is OutboxState.SENT
        assert desk.held() == ["/start", "still there?"]


async def test_a_person_s_session_in_a_bot_s_row_is_one_clear_reason_until_the_type_is_corrected(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        bot, account = await hire(ground, session=ground.sandbox.users[2].session)
        async with ground.worker() as world:
            desk = Desk(world, bot, account, ground.vault)
            await world.until(5)
            record = await desk.record()
            assert record.state is AccountState.NEEDS_LOGIN
            assert record.last_error is not None
            assert record.last_error.startswith(
                "the account's type is telegram_bot, and its session is a person's"
            )
            correct = "update integration_accounts set type = 'telegram_user' where id = ? returning id"
            await desk.add(correct, account)
            await world.until(70)
            assert (await desk.record()).state is AccountState.ONLINE
