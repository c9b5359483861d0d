"""A long text with markup, through the whole worker: the other side reads all of it, once and in order."""

import json
from pathlib import Path

import pytest
import trio

from embedded.embedded_kit import SqliteApplication
from tgworker.embedded import DataFolder
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import Fault
from worker.worker_world import OWNER, World, open_world

PARAGRAPH = (
    "A **bold** word, an __italic__ one, a [link](https://example.org/{n}) and \U0001f44b; sentence {n}. "
)
LONG = "\n\n".join(PARAGRAPH.format(n=n) * 4 for n in range(46))
"""Of more than 15,000 characters."""


def written(world: World, text: str, **wishes: str) -> MessageId:
    """What the application writes into the first conversation: a row, with its wishes in ``raw_payload``."""
    app = SqliteApplication(DataFolder(world.folder).database)
    try:
        conversation = app.rows("conversations")[0]
        return MessageId(
            app.insert(
                "messages",
                owner_id=OWNER,
                conversation_id=conversation["id"],
                integration_account_id=world.account,
                channel="telegram",
                direction="outbound",
                text=text,
                external_message_id=f"local-{text[:8]}",
                raw_payload=json.dumps({"telegram": wishes}),
            )
        )
    finally:
        app.close()


async def settled(world: World, message_id: MessageId) -> OutboxState:
    with trio.fail_after(3600):
        while not (await world.state_of(message_id)).settled:
            await trio.sleep(0.05)
    return await world.state_of(message_id)


def words(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("limit", [4096, 1000])
async def test_15000_characters_with_markdown_arrive_in_order_and_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, limit: int
) -> None:
    assert len(LONG) > 15_000
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        world.sandbox.behave(message_length_max=limit)
        world.sandbox.drop_connections(world.me.id)  # the next line reads the limit
        await trio.sleep(5)
        long = written(world, LONG, parse_mode="markdown")
        after = await world.give("after")
        assert await settled(world, after) is OutboxState.SENT
        row = (await world.store.outcomes([long]))[long]
        assert (row.state, row.error) == (OutboxState.SENT, None)
        first, *parts, last = world.arrived()
        assert (first, last) == ("before", "after")
        assert len(parts) > 9000 // limit
        assert all(len(part.encode("utf-16-le")) // 2 <= limit for part in parts)
        plain = LONG.replace("**", "").replace("__", "")
        for number in range(46):
            plain = plain.replace(f"[link](https://example.org/{number})", "link")
        assert words("".join(parts)) == words(plain)
        # Each part is cut between two paragraphs, and the application sees the first one's id.
        assert all(part.startswith("A bold word") and part.endswith(".") for part in parts)
        mine = world.sandbox.chat(world.me.id, world.peer.id)
        row = (await world.store.outcomes([long]))[long]
        assert row.telegram_id == mine[1].id


async def test_parts_survive_floods_lost_answers_and_lost_lines(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        expected = ["before"]
        for fault in (
            Fault("accept_drop", method="SendMessageRequest", count=1),
            Fault("flood_wait", method="SendMessageRequest", seconds=3, count=1),
            Fault("accept_mute", method="SendMessageRequest", count=1),
            Fault("drop", method="SendMessageRequest", count=1),
        ):
            world.sandbox.faults.set(fault)
            expected.append(f"{fault.action} " + "0123456789 " * 900)
            assert await settled(world, written(world, expected[-1])) is OutboxState.SENT
            assert words("".join(world.arrived())) == words("".join(expected))


async def test_broken_markup_is_sent_and_unknown_markup_is_dead_lettered(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path) as world:
        await settled(world, await world.give("before"))
        broken = written(world, "fish & chips <b>today", parse_mode="html")
        unknown = written(world, "hi", parse_mode="bbcode")
        hopeless = written(world, "<![<b>", parse_mode="html")
        after = await world.give("after")
        assert await settled(world, after) is OutboxState.SENT
        assert world.arrived() == ["before", "fish & chips today", "after"]
        assert await world.state_of(broken) is OutboxState.SENT
        rows = await world.store.outcomes([unknown, hopeless])
        assert rows[unknown].state is rows[hopeless].state is OutboxState.DEAD
        assert rows[unknown].error == "parse_mode is 'bbcode': it must be markdown or html, or be left out"
        assert str(rows[hopeless].error).startswith("its html cannot be read")
