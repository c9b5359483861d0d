"""What users do without a client: theirs hear of it as of another device, and others as usual."""

import pytest
from telethon.tl import types

from sandbox.mini_client import open_mini
from tgworker.sandbox import Sandbox, SandboxError


async def test_edits_and_deletes_in_private_reach_both_sides(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.send_text(alice.id, alice.id, "a note, so that the numbers differ")
    sent = sandbox.send_text(alice.id, bob.id, "hello")
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        sandbox.edit_text(alice.id, bob.id, sent.sender_message_id, "bye")
        for each, number in ((client, 2), (other, 1)):
            edited = await each.hear(types.UpdateEditMessage)
            assert (edited.message.id, edited.message.message) == (number, "bye")
        assert sandbox.read_chat(bob.id, alice.id) is True
        assert sandbox.read_chat(bob.id, alice.id) is False
        assert (await client.hear(types.UpdateReadHistoryOutbox)).max_id == 2
        assert sandbox.delete_messages(alice.id, bob.id, [1, 2, 2, 9]) == 1  # 1 is the note: another chat
        assert (await other.hear(types.UpdateDeleteMessages)).messages == [1]
        assert (await client.hear(types.UpdateDeleteMessages)).messages == [2]
    assert len(sandbox.chat(alice.id, alice.id)) == 1


async def test_edits_deletes_and_reads_in_groups_and_channels(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    group = sandbox.rooms.create_group(alice.id, [bob.id, carol.id], "Choir").peer
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew").peer
    async with open_mini(sandbox, bob.session) as client:
        in_group = sandbox.send_text(alice.id, group, "in the group").sender_message_id
        in_crew = sandbox.send_text(alice.id, crew, "in the crew").sender_message_id
        sandbox.edit_text(alice.id, group, in_group, "changed")
        sandbox.edit_text(alice.id, crew, in_crew, "changed")
        assert (await client.hear(types.UpdateEditMessage)).message.message == "changed"
        assert (await client.hear(types.UpdateEditChannelMessage)).message.message == "changed"
        assert [sandbox.read_chat(bob.id, each) for each in (group, crew)] == [True, True]
        assert await client.hear(types.UpdateReadChannelInbox)
        sandbox.delete_messages(alice.id, crew, [in_crew])
        assert (await client.hear(types.UpdateDeleteChannelMessages)).messages == [in_crew]
        assert sandbox.delete_messages(alice.id, group, [in_group], revoke=False) == 1
    assert [len(sandbox.chat(user.id, group)) for user in (alice, bob, carol)] == [0, 1, 1]
    assert sandbox.chat(bob.id, crew) == ()


async def test_what_nobody_could_do_is_refused(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew").peer
    sent = sandbox.send_text(alice.id, bob.id, "hello")
    with pytest.raises(SandboxError, match="another's"):
        sandbox.edit_text(bob.id, alice.id, sent.recipient_message_id, "mine")
    with pytest.raises(SandboxError, match="has no message 77"):
        sandbox.edit_text(alice.id, bob.id, 77, "x")
    with pytest.raises(SandboxError, match="MESSAGE_EMPTY"):
        sandbox.edit_text(alice.id, bob.id, sent.sender_message_id, " ")
    with pytest.raises(SandboxError, match=f"user {carol.id} is not in {crew}"):
        sandbox.read_chat(carol.id, crew)
