"""Messages go into both mailboxes under numbers of their own, and everyone concerned is told."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer, send, texts
from tgworker.sandbox import Sandbox, SandboxError, ServerKey, open_sandbox

ME = types.InputPeerSelf()


@dataclass
class Scene:
    """Alice on two devices, and Bob."""

    alice: MiniClient
    laptop: MiniClient
    bob: MiniClient
    to_alice: Any
    to_bob: Any
    pts: dict[str, int] = field(default_factory=dict[str, int])


@asynccontextmanager
async def open_scene(sandbox: Sandbox) -> AsyncGenerator[Scene]:
    alice, bob, _ = sandbox.users
    async with (
        open_mini(sandbox, alice.session) as phone,
        open_mini(sandbox, sandbox.new_session(alice.id)) as laptop,
        open_mini(sandbox, bob.session) as his,
    ):
        yield Scene(phone, laptop, his, await peer(his, alice), await peer(phone, bob))


async def test_a_message_reaches_the_other_side_and_the_senders_other_devices(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        await scene.alice.ask(send(ME, "a note first", 1))
        answer = await scene.alice.ask(send(scene.to_bob, "hello", 2))
        at_bob = await scene.bob.hear(types.UpdateNewMessage)
        at_laptop = await scene.laptop.hear(types.UpdateNewMessage, 2)
        assert (answer.id, answer.pts, answer.pts_count, answer.out) == (2, 3, 1, True)
        assert (at_bob.message.id, at_bob.pts, at_bob.message.out) == (1, 2, False)
        assert (at_laptop.message.id, at_laptop.pts, at_laptop.message.out) == (2, 3, True)
        assert scene.alice.heard(types.UpdateNewMessage) == []
        (push,) = [each for each in scene.bob.heard(types.Updates) if each.users]
        hashes = {user.id: user.access_hash for user in push.users}
        assert hashes[sandbox.users[0].id] == scene.to_alice.access_hash


async def test_a_note_to_oneself_is_stored_once(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        await scene.alice.ask(send(ME, "note", 1))
        me = sandbox.users[0]
        myself = types.InputPeerUser(me.id, (await peer(scene.alice, me)).access_hash)
        await scene.alice.ask(send(myself, "another", 2))
        lines = sandbox.chat(me.id, me.id)
        assert [(line.id, line.outgoing, line.text) for line in lines] == [
            (1, True, "note"),
            (2, True, "another"),
        ]
        assert sandbox.chats(me.id)[0].unread == 0


async def test_the_full_answer_holds_the_message(sandbox: Sandbox) -> None:
    sandbox.behave(answers="full")
    async with open_scene(sandbox) as scene:
        answer = await scene.alice.ask(send(scene.to_bob, "hello", 77))
        numbered, new = answer.updates
        assert (numbered.id, numbered.random_id) == (1, 77)
        assert (new.message.message, new.pts, new.pts_count) == ("hello", 2, 1)
        assert {user.id for user in answer.users} == {sandbox.users[0].id, sandbox.users[1].id}


async def test_short_pushes_bring_no_access_hash(sandbox: Sandbox) -> None:
    sandbox.behave(pushes="short")
    async with open_scene(sandbox) as scene:
        await scene.alice.ask(send(scene.to_bob, "hello", 1))
        push = await scene.bob.hear(types.UpdateShortMessage)
        assert (push.user_id, push.message, push.pts, push.out) == (sandbox.users[0].id, "hello", 2, False)
        own = await scene.laptop.hear(types.UpdateShortMessage)
        assert (own.user_id, own.out) == (sandbox.users[1].id, True)


async def test_a_repeat_answers_with_the_original_and_delivers_nothing(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        first = await scene.alice.ask(send(scene.to_bob, "hello", 5))
        await scene.alice.ask(send(ME, "between", 6))
        again = await scene.alice.ask(send(scene.to_bob, "hello", 5))
        numbered, new = again.updates
        assert (numbered.id, numbered.random_id) == (first.id, 5)
        assert (new.message.id, new.pts, new.pts_count) == (first.id, 3, 0)
        assert texts(sandbox, 1, 0) == ["hello"]
        assert (sandbox.statistics().delivered, sandbox.statistics().repeats) == (2, 1)


async def test_a_repeat_is_refused_where_that_is_switched_on(sandbox: Sandbox) -> None:
    sandbox.behave(repeats="error")
    async with open_scene(sandbox) as scene:
        await scene.alice.ask(send(scene.to_bob, "hello", 5))
        with pytest.raises(RpcFailure, match="RANDOM_ID_DUPLICATE") as failure:
            await scene.alice.ask(send(scene.to_bob, "hello", 5))
        assert failure.value.code == 500
        await scene.bob.ask(send(scene.to_alice, "the same id is another's", 5))
        assert texts(sandbox, 1, 0) == ["hello", "the same id is another's"]


async def test_a_repeat_of_a_deleted_message_is_refused(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        sent = await scene.alice.ask(send(scene.to_bob, "hello", 5))
        await scene.alice.ask(functions.messages.DeleteMessagesRequest([sent.id], revoke=True))
        with pytest.raises(RpcFailure, match="RANDOM_ID_DUPLICATE"):
            await scene.alice.ask(send(scene.to_bob, "hello", 5))


async def test_another_device_repeats_too(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        first = await scene.alice.ask(send(ME, "hello", 5))
        again = await scene.laptop.ask(send(ME, "hello", 5))
        assert again.updates[0].id == first.id


async def test_an_edit_changes_both_sides(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        sent = await scene.alice.ask(send(scene.to_bob, "hello", 1))
        bold = types.MessageEntityBold(0, 3)
        edit = functions.messages.EditMessageRequest(scene.to_bob, sent.id, message="bye", entities=[bold])
        answer = await scene.alice.ask(edit)
        assert (answer.updates[0].pts, answer.updates[0].pts_count) == (3, 1)
        for client in (scene.bob, scene.laptop):
            heard = await client.hear(types.UpdateEditMessage)
            assert (heard.message.message, heard.message.entities, heard.pts) == ("bye", [bold], 3)
            assert heard.message.edit_date is not None
        assert scene.alice.heard(types.UpdateEditMessage) == []  # who did it is answered, not told
        assert texts(sandbox, 1, 0) == texts(sandbox, 0, 1) == ["bye"]


async def test_a_message_that_only_its_writer_kept_can_be_edited(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        sent = await scene.alice.ask(send(scene.to_bob, "hello", 1))
        arrived = await scene.bob.hear(types.UpdateNewMessage)
        await scene.bob.ask(functions.messages.DeleteMessagesRequest([arrived.message.id]))
        await scene.alice.ask(functions.messages.EditMessageRequest(scene.to_bob, sent.id, message="bye"))
        assert (texts(sandbox, 0, 1), texts(sandbox, 1, 0)) == (["bye"], [])


@pytest.mark.parametrize("revoke", [True, False])
async def test_a_deletion_is_for_both_sides_only_when_asked(sandbox: Sandbox, revoke: bool) -> None:
    async with open_scene(sandbox) as scene:
        sent = [await scene.alice.ask(send(scene.to_bob, f"{n}", n)) for n in range(1, 4)]
        answer = await scene.alice.ask(
            functions.messages.DeleteMessagesRequest([sent[0].id, sent[2].id, 999], revoke=revoke)
        )
        assert (answer.pts, answer.pts_count) == (6, 2)
        at_laptop = await scene.laptop.hear(types.UpdateDeleteMessages)
        assert (at_laptop.messages, at_laptop.pts, at_laptop.pts_count) == ([1, 3], 6, 2)
        assert scene.alice.heard(types.UpdateDeleteMessages) == []
        assert texts(sandbox, 0, 1) == ["2"]
        assert texts(sandbox, 1, 0) == (["2"] if revoke else ["1", "2", "3"])
        assert len(scene.bob.heard(types.UpdateDeleteMessages)) == revoke
        nothing = await scene.alice.ask(functions.messages.DeleteMessagesRequest([sent[0].id]))
        assert (nothing.pts, nothing.pts_count) == (6, 0)


async def test_reading_tells_the_writer_and_the_readers_other_devices(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        for number in range(1, 4):
            await scene.bob.ask(send(types.InputPeerSelf(), "shifts the numbers", number))
            await scene.bob.ask(send(scene.to_alice, f"{number}", 100 + number))
        answer = await scene.alice.ask(functions.messages.ReadHistoryRequest(scene.to_bob, 2))
        assert (answer.pts, answer.pts_count) == (5, 1)
        inbox = await scene.laptop.hear(types.UpdateReadHistoryInbox)
        assert (inbox.peer.user_id, inbox.max_id, inbox.still_unread_count) == (sandbox.users[1].id, 2, 1)
        outbox = await scene.bob.hear(types.UpdateReadHistoryOutbox)
        assert (outbox.peer.user_id, outbox.max_id, outbox.pts) == (sandbox.users[0].id, 4, 8)
        assert scene.alice.heard(types.UpdateReadHistoryInbox) == []
        dialogs = functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 10, 0)
        hers = (await scene.alice.ask(dialogs)).dialogs
        his = (await scene.bob.ask(dialogs)).dialogs
        assert [(each.read_inbox_max_id, each.unread_count) for each in hers] == [(2, 1)]
        assert [each.read_outbox_max_id for each in his if each.peer.user_id == sandbox.users[0].id] == [4]
        again = await scene.alice.ask(functions.messages.ReadHistoryRequest(scene.to_bob, 2))
        assert again.pts_count == 0
        await scene.alice.ask(functions.messages.ReadHistoryRequest(scene.to_bob, 0))
        assert (await scene.bob.hear(types.UpdateReadHistoryOutbox, 2)).max_id == 6
        assert sandbox.chats(sandbox.users[0].id)[0].unread == 0


async def test_typing_is_seen_and_not_stored(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        typing = functions.messages.SetTypingRequest(scene.to_bob, types.SendMessageTypingAction())
        assert await scene.alice.ask(typing) is True
        heard = await scene.bob.hear(types.UpdateUserTyping)
        assert heard.user_id == sandbox.users[0].id
        assert (await scene.bob.ask(functions.updates.GetStateRequest())).pts == 1


async def test_a_mention_arrives_without_an_access_hash(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        user = types.InputUser(scene.to_bob.user_id, scene.to_bob.access_hash)
        mention = types.InputMessageEntityMentionName(0, 3, user)
        await scene.alice.ask(send(scene.to_bob, "Bob", 1, entities=[mention]))
        arrived = await scene.bob.hear(types.UpdateNewMessage)
        assert arrived.message.entities == [types.MessageEntityMentionName(0, 3, sandbox.users[1].id)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "MESSAGE_EMPTY"),
        (" \n\t", "MESSAGE_EMPTY"),
        ("x" * 4097, "MESSAGE_TOO_LONG"),
        ("😀" * 2049, "MESSAGE_TOO_LONG"),
        ("😀" * 2048, None),
        ("x" * 4096, None),
    ],
    ids=["empty", "blank", "long", "long in pairs", "just right in pairs", "just right"],
)
async def test_the_length_of_a_text(sandbox: Sandbox, text: str, error: str | None) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        if error is None:
            await client.ask(send(ME, text, 1))
            sandbox.send_text(bob.id, alice.id, text)
        else:
            with pytest.raises(RpcFailure, match=error):
                await client.ask(send(ME, text, 1))
            with pytest.raises(SandboxError, match=error):
                sandbox.send_text(bob.id, alice.id, text)
    assert texts(sandbox, 0, 1) == ([text] if error is None else [])


def history(to: Any, **asked: Any) -> Any:
    fields: dict[str, Any] = dict.fromkeys(("offset_id", "add_offset", "max_id", "min_id", "hash"), 0)
    fields |= {"offset_date": None, "limit": 100}
    return functions.messages.GetHistoryRequest(to, **(fields | asked))


async def test_history_before_a_date(server_key: ServerKey) -> None:
    days = iter(range(1, 100))
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

    class Calendar:
        now = start

        def __call__(self) -> float:
            return self.now

    calendar = Calendar()
    async with open_sandbox(users=2, key=server_key, calendar=calendar) as sandbox:
        alice, bob = sandbox.users
        for day in (next(days) for _ in range(10)):
            calendar.now = start + day * 86400
            sandbox.send_text(bob.id, alice.id, str(day))
        line = sandbox.chat(alice.id, bob.id)[-1]
        assert line.date == datetime(2026, 1, 11, tzinfo=UTC)
        async with open_mini_at(sandbox, alice.session, calendar.now) as client:
            to = await peer(client, bob)
            page = await client.ask(history(to, offset_date=datetime(2026, 1, 5, tzinfo=UTC)))
            assert [m.message for m in page.messages] == ["3", "2", "1"]
            page = await client.ask(
                history(to, offset_date=datetime(2026, 1, 5, tzinfo=UTC), add_offset=-2, limit=3)
            )
            assert [m.message for m in page.messages] == ["5", "4", "3"]
            dialogs = await client.ask(
                functions.messages.GetDialogsRequest(
                    datetime(2026, 1, 5, tzinfo=UTC), 0, types.InputPeerEmpty(), 10, 0
                )
            )
            assert dialogs.dialogs == []


@asynccontextmanager
async def open_mini_at(sandbox: Sandbox, session: str, unix_s: float) -> AsyncGenerator[MiniClient]:
    """A client whose clock agrees with the sandbox's calendar, as its first answer tells it."""
    async with open_mini(sandbox, session, greet=False) as client:
        client.state.time_offset = int(unix_s - time.time())
        await client.ask(functions.PingRequest(1))
        yield client


async def test_an_access_hash_is_the_viewers_own(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, carol.session) as other:
        mine, hers = await peer(client, bob), await peer(other, bob)
        assert mine.access_hash != hers.access_hash
        assert 0 not in (mine.access_hash, hers.access_hash)
        for wrong in (0, mine.access_hash ^ 2, hers.access_hash):
            to = types.InputPeerUser(bob.id, wrong)
            for request in (
                send(to, "x", 1),
                history(to),
                functions.messages.ReadHistoryRequest(to, 0),
                functions.messages.SetTypingRequest(to, types.SendMessageTypingAction()),
                functions.messages.EditMessageRequest(to, 1, message="x"),
            ):
                with pytest.raises(RpcFailure, match="PEER_ID_INVALID"):
                    await client.ask(request)
            with pytest.raises(RpcFailure, match="USER_ID_INVALID"):
                await client.ask(functions.users.GetFullUserRequest(types.InputUser(bob.id, wrong)))
            (nobody,) = await client.ask(functions.users.GetUsersRequest([types.InputUser(bob.id, wrong)]))
            assert nobody == types.UserEmpty(bob.id)
        for nobody in (types.InputPeerEmpty(), types.InputPeerChat(5), types.InputPeerUser(5, 5)):
            with pytest.raises(RpcFailure, match="PEER_ID_INVALID"):
                await client.ask(send(nobody, "x", 1))
    assert sandbox.statistics().delivered == 0


async def test_pages_of_dialogs(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    others = [*sandbox.users[1:], *(sandbox.add_user() for _ in range(3))]
    for other in others:
        sandbox.send_text(other.id, alice.id, "hello")
    async with open_mini(sandbox, alice.session) as client:
        seen: list[int] = []
        offset = 0
        while True:
            page = await client.ask(
                functions.messages.GetDialogsRequest(None, offset, types.InputPeerEmpty(), 2, 0)
            )
            seen += [dialog.peer.user_id for dialog in page.dialogs]
            if len(page.dialogs) < 2:
                break
            assert page.count == 5
            offset = page.messages[-1].id
        assert seen == [other.id for other in reversed(others)]


async def test_a_banned_user_can_be_written_to_no_more(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        to = await peer(client, bob)
        sandbox.revoke(bob.id, "USER_DEACTIVATED")
        with pytest.raises(RpcFailure, match="INPUT_USER_DEACTIVATED"):
            await client.ask(send(to, "x", 1))
        with pytest.raises(RpcFailure, match="USERNAME_NOT_OCCUPIED"):
            await peer(client, bob)


async def test_a_revoked_session_hears_nothing_more(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        assert sandbox.revoke(alice.id) == 1
        assert sandbox.revoke(alice.id) == 0
        sandbox.send_text(bob.id, alice.id, "unheard")
        with pytest.raises(RpcFailure, match="SESSION_REVOKED") as failure:
            await client.ask(functions.updates.GetStateRequest())
        assert failure.value.code == 401
        assert client.heard(types.UpdateNewMessage) == []
    async with open_mini(sandbox, sandbox.new_session(alice.id)) as client:
        assert (await client.ask(functions.updates.GetStateRequest())).pts == 2
