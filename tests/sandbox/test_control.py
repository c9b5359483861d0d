"""The control connection: what it does, and what it says to those who get it wrong."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from telethon.tl import functions, types

from sandbox.mini_client import RpcFailure, open_mini, texts
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import (
    ActiveFault,
    Behaviour,
    ChatSummary,
    ControlLost,
    ControlRefused,
    Fault,
    Formatting,
    Limits,
    Rate,
    Sandbox,
    SandboxControl,
    ServerKey,
    open_control,
    open_sandbox,
)
from tgworker.sandbox.control_files import SentFile
from tgworker.sandbox.control_messages import MAX_LINE_BYTES, MAX_PAGE
from tgworker.sandbox.control_things import AnyThing, Contact, Place, Poll, Venue
from tgworker.sandbox.lines import LineReader

GET_STATE = functions.updates.GetStateRequest()


@pytest.fixture
async def controlled(server_key: ServerKey) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=2, key=server_key, control_port=0) as sandbox:
        yield sandbox


@asynccontextmanager
async def controlling(sandbox: Sandbox) -> AsyncGenerator[SandboxControl]:
    assert sandbox.control is not None
    async with open_control(sandbox.control) as control:
        yield control


class RawControl:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.lines = LineReader(stream, 10_000_000)

    async def say(self, line: bytes | dict[str, Any]) -> Any:
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        await self.stream.send_all(data + b"\n")
        answer = await self.lines.read()
        assert isinstance(answer, bytes)
        return json.loads(answer)


@asynccontextmanager
async def raw(sandbox: Sandbox) -> AsyncGenerator[RawControl]:
    assert sandbox.control is not None
    host, port = sandbox.control.split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield RawControl(stream)


async def test_faults_are_set_listed_and_cleared(controlled: Sandbox) -> None:
    fault = Fault("flood_wait", "messages.sendMessage", user=1001, peer=1002, seconds=2.5, count=3)
    async with controlling(controlled) as control:
        number = await control.set_fault(fault)
        assert await control.list_faults() == (ActiveFault(number, fault, hits=0),)
        assert controlled.faults.listing() == await control.list_faults()
        deaf = await control.set_fault(Fault("deaf", "push", user=1001, heals="reconnect"))
        assert (await control.list_faults())[1].fault.heals == "reconnect"
        assert await control.clear_faults(deaf) == 1
        assert await control.forget_sessions() == 0
        other = await control.set_fault(Fault("drop", "raw"))
        assert await control.clear_faults(number) == 1
        assert [each.id for each in await control.list_faults()] == [other]
        assert await control.clear_faults() == 1
        assert await control.list_faults() == ()


async def test_groups_and_channels_are_made_and_changed(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control:
        carol = (await control.add_user()).id
        group = await control.create_group(alice, [bob], "Choir")
        assert (await control.add_member(group.peer, carol)).members == (alice, bob, carol)
        assert (await control.remove_member(group.peer, bob)).members == (alice, carol)
        big = await control.migrate_group(group.peer)
        news = await control.create_channel(alice, [bob], "News", broadcast=True, username="news")
        assert [each.kind for each in await control.rooms()] == ["group", "supergroup", "channel"]
        assert await control.rooms() == controlled.rooms.listing()
        await control.send_text(alice, news.peer, "extra")
        assert [line.text for line in await control.chat(bob, news.peer)] == ["extra"]
        assert await control.chats(carol) == controlled.chats(carol)
        assert {chat.peer for chat in await control.chats(carol)} == {group.peer, big.peer}
        with pytest.raises(ControlRefused, match="CHAT_ADMIN_REQUIRED"):
            await control.send_text(bob, news.peer, "x")
        with pytest.raises(ControlRefused, match="no group or channel -7"):
            await control.set_fault(Fault("drop", peer=-7))


async def test_users_react_over_the_control_connection(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    sent = controlled.send_text(alice, bob, "hello")
    async with controlling(controlled) as control:
        await control.send_reaction(bob, alice, sent.recipient_message_id, "👍", big=True)
        assert (await control.chat(alice, bob))[0].reactions == ((bob, "👍"),)
        await control.send_reaction(bob, alice, sent.recipient_message_id)
        assert (await control.chat(alice, bob))[0].reactions == ()
        assert (await control.behave(reactions="edit")).reactions == "edit"
        with pytest.raises(ControlRefused, match="MESSAGE_ID_INVALID"):
            await control.send_reaction(bob, alice, 99, "👍")


async def test_users_pin_and_forward_over_the_control_connection(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    sent = controlled.send_text(alice, bob, "hello").recipient_message_id
    async with controlling(controlled) as control:
        assert await control.update_pinned_message(bob, alice, sent, pm_oneside=True)
        assert not await control.update_pinned_message(bob, alice, sent)
        assert [line.pinned for line in await control.chat(bob, alice)] == [True]
        assert await control.unpin_all_messages(bob, alice) == 1
        assert await control.update_pinned_message(bob, alice, sent, silent=True)
        assert await control.update_pinned_message(bob, alice, sent, unpin=True)
        (there,) = await control.forward_messages(bob, alice, [sent], bob)
        assert [(line.id, line.forwarded_from) for line in await control.chat(bob, bob)] == [
            (there.sender_message_id, alice)
        ]
        with pytest.raises(ControlRefused, match="MESSAGE_ID_INVALID"):
            await control.forward_messages(bob, alice, [sent, 99], bob)
        room = await control.create_channel(alice, [bob], "Shut")
        await control.toggle_no_forwards(room.peer, enabled=True)
        with pytest.raises(ControlRefused, match="CHAT_FORWARDS_RESTRICTED"):
            await control.forward_messages(
                bob, room.peer, [(await control.send_text(alice, room.peer, "x")).sender_message_id], bob
            )


async def test_users_are_there_and_type_over_the_control_connection(controlled: Sandbox) -> None:
    alice, bob = controlled.users
    async with controlling(controlled) as control, open_mini(controlled, alice.session) as client:
        await control.update_status(bob.id, seconds=60)
        assert isinstance((await client.hear(types.UpdateUserStatus)).status, types.UserStatusOnline)
        await control.update_status(bob.id, offline=True)
        assert isinstance((await client.hear(types.UpdateUserStatus, 2)).status, types.UserStatusOffline)
        await control.set_typing(bob.id, alice.id, "record_audio")
        heard = await client.hear(types.UpdateUserTyping)
        assert isinstance(heard.action, types.SendMessageRecordAudioAction)
        with pytest.raises(ControlRefused, match="seconds must be above 0"):
            await control.update_status(bob.id, seconds=0)


async def test_groups_channels_and_users_change_over_the_control_connection(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control, raw(controlled) as line:
        carol = (await control.add_user()).id
        crew = await control.create_channel(alice, [bob], "Crew")
        assert (await control.edit_title(crew.peer, "Crew of two", by=bob)).title == "Crew of two"
        await control.edit_photo(crew.peer, PICTURE)
        assert controlled._cloud.channels.get(2_000_000_001).photo is not None
        await control.edit_photo(crew.peer, None)
        assert controlled._cloud.channels.get(2_000_000_001).photo is None
        link = await control.export_chat_invite(crew.peer)
        assert (await control.import_chat_invite(carol, link)).members == (alice, bob, carol)
        assert (await control.edit_banned(crew.peer, carol)).members == (alice, bob)
        with pytest.raises(ControlRefused, match="INVITE_HASH_EXPIRED"):
            await control.import_chat_invite(carol, link)
        await control.edit_banned(crew.peer, carol, banned=False)
        await control.import_chat_invite(carol, link)
        await control.update_profile(bob, first_name="Bob", last_name="Stone")
        await control.update_username(bob, "bob_stone")
        assert controlled.users[1].username == "bob_stone"
        assert controlled._cloud.directory.get(bob).last_name == "Stone"
        answer = await line.say({"cmd": "edit_photo", "peer": crew.peer, "data": "*"})
        assert answer["error"] == "data is base64"


async def test_formatting_goes_over_the_control_connection(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    bold = Formatting("bold", 0, 4)
    async with controlling(controlled) as control:
        await control.send_text(alice, bob, "bold", [bold])
        assert (await control.chat(bob, alice))[0].entities == (bold,)
        with pytest.raises(ControlRefused, match="ENTITY_BOUNDS_INVALID"):
            await control.send_text(alice, bob, "x", [bold])


async def test_limits_are_set_and_lifted(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    limits = Limits(chat=Rate(2, 0.5), methods={"updates.getState": Rate(1, 1)}, strangers=3, scope="chat")
    async with controlling(controlled) as control, raw(controlled) as line:
        await control.limit(limits)
        assert controlled.limits == limits
        answer = await line.say({"cmd": "limit", "published": True, "group": {"burst": 1, "per_s": 1}})
        assert answer["result"]["group"] == {"burst": 1, "per_s": 1}
        assert controlled.limits == replace(Limits.published(), group=Rate(1, 1))
        assert "burst of 1" in (await line.say({"cmd": "limit", "chat": {"burst": 0, "per_s": 1}}))["error"]
        await control.limit(Limits())
        assert controlled.limits == Limits()
        room = await control.create_channel(alice, [bob], "Crew")
        await control.set_slowmode(room.peer, 30)
        assert controlled._cloud.channels.get(2_000_000_001).slowmode_s == 30
        assert (await control.behave(random_id_window_s=2.5)).random_id_window_s == 2.5
        assert (await control.behave(random_id_window_s=None)).random_id_window_s is None


async def test_users_move_between_data_centres(server_key: ServerKey) -> None:
    async with (
        open_sandbox(users=1, key=server_key, control_port=0, more_dcs=(4,)) as sandbox,
        controlling(sandbox) as control,
    ):
        alice = sandbox.users[0].id
        await control.move_user(alice, 4)
        assert sandbox._cloud.directory.get(alice).dc_id == 4
        with pytest.raises(ControlRefused, match="no data centre 9"):
            await control.move_user(alice, 9)
        assert (await control.behave(nearest_dc=4)).nearest_dc == 4


async def test_users_edit_delete_and_read_without_a_client(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control:
        sent = await control.send_text(alice, bob, "hello")
        await control.edit_text(alice, bob, sent.sender_message_id, "bye", [Formatting("bold", 0, 3)])
        (line,) = await control.chat(bob, alice)
        assert (line.text, line.entities) == ("bye", (Formatting("bold", 0, 3),))
        assert await control.read_chat(bob, alice) is True
        assert await control.delete_messages(alice, bob, [sent.sender_message_id], revoke=False) == 1
        assert (len(await control.chat(bob, alice)), await control.chat(alice, bob)) == (1, ())
        with pytest.raises(ControlRefused, match="is another's"):
            await control.edit_text(bob, alice, sent.recipient_message_id, "mine")


async def test_users_befriend_and_part(controlled: Sandbox) -> None:
    alice = controlled.users[0].id
    async with controlling(controlled) as control:
        stranger = (await control.add_user(stranger=True)).id
        contacts = controlled._cloud.directory.contacts
        assert not contacts.has(alice, stranger)
        await control.befriend(alice, stranger)
        assert contacts.has(alice, stranger)
        assert contacts.has(stranger, alice)
        await control.part(alice, stranger)
        assert not contacts.has(stranger, alice)


async def test_texts_are_sent_and_chats_read(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control:
        sent = await control.send_text(alice, bob, "grüße\n😀")
        assert (sent.sender_message_id, sent.recipient_message_id) == (1, 1)
        assert await control.chat(bob, alice) == controlled.chat(bob, alice)
        (line,) = await control.chat(bob, alice)
        assert (line.id, line.outgoing, line.text) == (1, False, "grüße\n😀")
        assert await control.chats(bob) == (ChatSummary(alice, messages=1, unread=1, last_id=1),)
        assert await control.chat(bob, bob) == ()


async def test_long_chats_are_read_page_by_page(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    for number in range(MAX_PAGE + 100):
        controlled.send_text(alice, bob, f"{number} " + "x" * 4000)
    async with controlling(controlled) as control, raw(controlled) as line:
        answer = await line.say({"cmd": "chat", "user": bob, "peer": alice})
        page = answer["result"]
        assert page["more"] is True
        assert 1 < len(page["lines"]) < MAX_PAGE  # the page is full of bytes before it is full of lines
        whole = await control.chat(bob, alice)
        assert [each.text.split()[0] for each in whole] == [str(n) for n in range(MAX_PAGE + 100)]
        rest = await control.chat(bob, alice, after=whole[-3].id)
        assert rest == whole[-2:]
        exact = await line.say({"cmd": "chat", "user": bob, "peer": alice, "after": whole[-3].id, "limit": 2})
        assert exact["result"]["more"] is False


async def test_many_chats_are_read_page_by_page(controlled: Sandbox) -> None:
    alice = controlled.users[0].id
    for _ in range(MAX_PAGE + 10):
        controlled.send_text(alice, controlled.add_user().id, "hello")
    async with controlling(controlled) as control:
        assert len(await control.chats(alice)) == MAX_PAGE + 10


async def test_users_are_added_and_can_log_in(controlled: Sandbox) -> None:
    async with controlling(controlled) as control:
        user = await control.add_user()
        assert user == controlled.users[-1]
        for session in (user.session, await control.new_session(user.id)):
            async with open_mini(controlled, session) as client:
                assert (await client.ask(GET_STATE)).pts == 1


async def test_connections_are_dropped_and_keys_revoked(controlled: Sandbox) -> None:
    alice, bob = controlled.users
    async with (
        controlling(controlled) as control,
        open_mini(controlled, alice.session) as hers,
        open_mini(controlled, bob.session) as his,
    ):
        assert await control.drop_connections(alice.id) == 1
        await hers.closed.wait()
        assert await his.ask(GET_STATE)
        assert await control.revoke(bob.id, "AUTH_KEY_UNREGISTERED") == 1
        with pytest.raises(RpcFailure, match="AUTH_KEY_UNREGISTERED"):
            await his.ask(GET_STATE)
        assert await control.drop_connections() == 1
        await his.closed.wait()


async def test_switches_and_statistics(controlled: Sandbox) -> None:
    async with controlling(controlled) as control:
        assert await control.behave(repeats="error", difference_limit=5) == Behaviour(
            repeats="error", difference_limit=5
        )
        assert await control.behave() == controlled.behaviour
        async with open_mini(controlled, controlled.users[0].session) as client:
            await client.ask(GET_STATE)
            statistics = await control.statistics()
        assert statistics.requests == {"updates.getState": 1}
        assert (statistics.connections, statistics.open) == (1, 1)


async def test_a_gibibyte_is_sent_by_its_number(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control:
        (sent,) = await control.send_files(alice, bob, SentFile(kind="document", made=1 << 30, name="a.bin"))
        assert controlled.files.of(bob, alice, sent.recipient_message_id).size == 1 << 30
        (small,) = await control.send_files(alice, bob, SentFile(kind="voice", made=3 << 20))
        digest = await control.file_of(bob, alice, small.recipient_message_id)
        again = await control.file_of(alice, bob, small.sender_message_id)
        assert (digest.size, digest.sha256) == (3 << 20, again.sha256)
        for wrong in (
            SentFile(kind="document", made=(1 << 30) + 1),
            SentFile(kind="voice", made=1, duration_s=1 << 31),
            SentFile(kind="document", data="nonsense!"),
        ):
            with pytest.raises(ControlRefused, match=r"made is|duration_s is|data is base64"):
                await control.send_files(alice, bob, wrong)


async def test_what_has_no_file_is_sent_and_refused(controlled: Sandbox) -> None:
    alice, bob = (user.id for user in controlled.users)
    async with controlling(controlled) as control:
        sent = await control.send_other(alice, bob, Place(latitude=90, longitude=-180))
        assert (await control.chats(bob))[0].last_id == sent.recipient_message_id
        channel = await control.create_channel(alice, [bob], "News", broadcast=True)
        poll = Poll(question="which?", answers=("a", "b"))
        await control.send_other(alice, channel.peer, poll)
        with pytest.raises(ControlRefused, match="CHAT_ADMIN_REQUIRED"):
            await control.send_other(bob, channel.peer, poll)
        wrongs: list[tuple[AnyThing, str]] = [
            (Place(latitude=90.1, longitude=0), "`float` <= 90"),
            (Venue(latitude=0, longitude=-181, title="Bar", address=""), "`float` >= -180"),
            (Poll(question="", answers=("a", "b")), "length >= 1"),
            (Poll(question="which?", answers=("a",)), "length >= 2"),
            (Contact(phone="1555", first_name="Ann", user=7), "no user 7"),
        ]
        for wrong, why in wrongs:
            with pytest.raises(ControlRefused, match=why):
                await control.send_other(alice, bob, wrong)
        assert len(await control.chat(bob, alice)) == 1


async def test_a_bug_of_the_sandbox_is_told_and_ends_nothing(
    controlled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statistics() -> float:
        return 1 / len(controlled.limits.methods)

    monkeypatch.setattr(controlled, "statistics", statistics)
    async with controlling(controlled) as control:
        with pytest.raises(ControlRefused, match=r"a bug: ZeroDivisionError in test_control\.py:\d+$"):
            await control.statistics()
        monkeypatch.setattr(controlled, "statistics", lambda: object())  # what JSON cannot say
        with pytest.raises(ControlRefused, match="a bug: TypeError"):
            await control.statistics()
        assert (await control.add_user()).id == controlled.users[-1].id


async def test_stop_answers_and_ends_it_all(controlled: Sandbox) -> None:
    async with (
        controlling(controlled) as control,
        open_mini(controlled, controlled.users[0].session) as client,
    ):
        await control.stop()
        await client.closed.wait()
        assert controlled.stopped.is_set()
        with pytest.raises(ControlLost):
            await control.statistics()
    assert controlled.control is not None
    with pytest.raises(ControlLost, match="nobody listens"):
        async with open_control(controlled.control):
            pass


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"nonsense", "JSON is malformed"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `cmd`"),
        ({"cmd": "explode"}, "Invalid value 'explode'"),
        ({"cmd": "chat", "user": "x", "peer": 1}, "Expected `int`, got `str` - at `$.user`"),
        ({"cmd": "chat", "user": 1001}, "missing required field `peer`"),
        ({"cmd": "chat", "user": 1, "peer": 1001}, "the sandbox has no user 1"),
        ({"cmd": "chat", "user": 1001, "peer": 1002, "limit": 0}, "limit must be 1 or more"),
        ({"cmd": "stop", "now": True}, "unknown field `now`"),
        ({"cmd": "set_fault", "action": "explode"}, "Invalid enum value 'explode' - at `$.action`"),
        ({"cmd": "set_fault", "action": "delay"}, "delay needs seconds above 0"),
        ({"cmd": "set_fault", "action": "drop", "methud": "x"}, "unknown field `methud`"),
        ({"cmd": "set_fault", "action": "drop", "user": 5}, "the sandbox has no user 5"),
        ({"cmd": "set_fault", "action": "drop", "method": "no.such"}, "Telegram has no method no.such"),
        (b'{"cmd": "set_fault", "action": "delay", "seconds": 1e999}', "out of range"),
        ({"cmd": "send_text", "sender": 1001, "recipient": 1002, "text": ""}, "MESSAGE_EMPTY"),
        ({"cmd": "send_text", "sender": 1001, "recipient": 1002, "text": "x" * 5000}, "MESSAGE_TOO_LONG"),
        (b'{"cmd": "send_text", "sender": 1001, "recipient": 1002, "text": "\\ud800"}', ""),
        ({"cmd": "revoke", "user": 1001, "reason": "BORED"}, "Invalid enum value 'BORED'"),
        ({"cmd": "behave", "repeats": "never"}, "Invalid enum value 'never'"),
        ({"cmd": "behave", "difference_limit": 0}, "difference_limit must be 1 or more"),
        ({"cmd": "behave", "login_code": "abc"}, "login_code is made of digits"),
        ({"cmd": "drop_connections", "user": 5}, "the sandbox has no user 5"),
        (b'{"cmd": ' + b"[" * 20_000, ""),
        (b" " * (MAX_LINE_BYTES + 1), f"a line longer than {MAX_LINE_BYTES} bytes"),
        (b"x" * (5 * MAX_LINE_BYTES), f"a line longer than {MAX_LINE_BYTES} bytes"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_whoever_gets_it_wrong_is_told_in_one_line_and_may_go_on(
    controlled: Sandbox, line: bytes | dict[str, Any], error: str
) -> None:
    async with raw(controlled) as control:
        answer = await control.say(line)
        assert answer["ok"] is False
        assert "result" not in answer
        assert error in answer["error"]
        assert "\n" not in answer["error"]
        assert "Traceback" not in answer["error"]
        assert (await control.say({"cmd": "list_faults"})) == {"ok": True, "result": {"faults": []}}
    assert texts(controlled, 0, 1) == []


async def test_answers_bring_the_ids_of_their_commands(controlled: Sandbox) -> None:
    async with raw(controlled) as control:
        assert (await control.say({"cmd": "list_faults", "id": 7}))["id"] == 7
        assert (await control.say({"cmd": "chat", "id": 8}))["id"] == 8
        assert "id" not in await control.say(b"nonsense")


async def test_blank_lines_are_passed_over_and_two_commands_may_come_at_once(controlled: Sandbox) -> None:
    async with raw(controlled) as control:
        first = await control.say(b'\n  \n{"cmd":"list_faults","id":1}\n{"cmd":"list_faults","id":2}')
        second = await control.lines.read()
        assert isinstance(second, bytes)
        assert (first["id"], json.loads(second)["id"]) == (1, 2)


async def test_a_controller_that_goes_in_the_middle_of_a_line_harms_nobody(controlled: Sandbox) -> None:
    async with raw(controlled) as control:
        await control.stream.send_all(b'{"cmd": "stop"')
    async with controlling(controlled) as control_again:
        assert await control_again.list_faults() == ()
    assert not controlled.stopped.is_set()


async def test_a_call_that_was_cancelled_does_not_confuse_the_next(controlled: Sandbox) -> None:
    async with controlling(controlled) as control:
        for number in range(20):
            with trio.CancelScope() as scope:
                scope.deadline = trio.current_time() + 0.0002 * number
                await control.set_fault(Fault("drop", count=number + 1))
            assert isinstance(await control.chats(1001), tuple)
        with pytest.raises(ControlRefused, match="no user 9"):
            await control.chats(9)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:http", ""])
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        async with open_control(address):
            pass
