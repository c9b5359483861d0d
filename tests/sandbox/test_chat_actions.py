"""Titles, photos, links, kicks: each is a service message, and refused to whom it is not allowed."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import open_mini
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Sandbox, SandboxError


def actions(client: Any) -> list[Any]:
    heard = client.heard((types.UpdateNewMessage, types.UpdateNewChannelMessage))
    return [each.message.action for each in heard]


def make(sandbox: Sandbox, kind: str) -> int:
    """A group, supergroup or channel of the first two users; returns its marked id."""
    alice, bob, _ = (user.id for user in sandbox.users)
    if kind == "group":
        return sandbox.rooms.create_group(alice, [bob], "Old").peer
    return sandbox.rooms.create_channel(alice, [bob], "Old", broadcast=kind == "channel").peer


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
async def test_members_read_of_title_and_photo(sandbox: Sandbox, kind: str) -> None:
    peer = make(sandbox, kind)
    async with open_mini(sandbox, sandbox.users[1].session) as client:
        assert sandbox.rooms.edit_title(peer, "New").title == "New"
        sandbox.rooms.edit_photo(peer, PICTURE)
        sandbox.rooms.edit_photo(peer, None)
        await client.until(lambda: len(actions(client)) == 3)
        title, photo, gone = actions(client)
        assert title == types.MessageActionChatEditTitle("New")
        assert isinstance(photo.photo, types.Photo)
        assert isinstance(gone, types.MessageActionChatDeletePhoto)
        pushed: list[Any] = [
            each for each in client.received if isinstance(each, types.Updates) and each.chats
        ]
        assert pushed[0].chats[0].title == "New"
        assert [type(each.chats[0].photo) for each in pushed] == [
            types.ChatPhotoEmpty,
            types.ChatPhoto,
            types.ChatPhotoEmpty,
        ]
    with pytest.raises(SandboxError, match="CHAT_NOT_MODIFIED"):
        sandbox.rooms.edit_title(peer, "New")
    with pytest.raises(SandboxError, match="CHAT_NOT_MODIFIED"):
        sandbox.rooms.edit_photo(peer, None)
    with pytest.raises(SandboxError, match="CHAT_TITLE_EMPTY"):
        sandbox.rooms.edit_title(peer, " ")
    with pytest.raises(SandboxError, match="IMAGE_PROCESS_FAILED"):
        sandbox.rooms.edit_photo(peer, b"no picture")


@pytest.mark.parametrize(
    ("kind", "member", "stranger"),
    [
        ("group", None, "CHAT_ID_INVALID"),
        ("supergroup", None, "CHANNEL_PRIVATE"),
        ("channel", "CHAT_ADMIN_REQUIRED", "CHANNEL_PRIVATE"),
    ],
)
async def test_members_change_groups_and_creators_channels(
    sandbox: Sandbox, kind: str, member: str | None, stranger: str
) -> None:
    peer = make(sandbox, kind)
    _, bob, carol = (user.id for user in sandbox.users)
    if member is None:
        assert sandbox.rooms.edit_title(peer, "By a member", by=bob).title == "By a member"
        assert sandbox.rooms.export_chat_invite(peer, by=bob)
    else:
        with pytest.raises(SandboxError, match=member):
            sandbox.rooms.edit_title(peer, "By a member", by=bob)
        with pytest.raises(SandboxError, match=member):
            sandbox.rooms.export_chat_invite(peer, by=bob)
    with pytest.raises(SandboxError, match=stranger):
        sandbox.rooms.edit_title(peer, "By a stranger", by=carol)
    with pytest.raises(SandboxError, match="PEER_ID_INVALID"):
        sandbox.rooms.export_chat_invite(peer, by=carol)


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
async def test_whoever_has_the_link_joins_once(sandbox: Sandbox, kind: str) -> None:
    peer = make(sandbox, kind)
    alice, bob, carol = sandbox.users
    link = sandbox.rooms.export_chat_invite(peer)
    assert link.startswith("https://t.me/+")
    assert link != sandbox.rooms.export_chat_invite(peer)
    async with open_mini(sandbox, bob.session) as client, open_mini(sandbox, carol.session) as newcomer:
        assert sandbox.rooms.import_chat_invite(carol.id, link).members == (alice.id, bob.id, carol.id)
        if kind == "channel":
            assert (await newcomer.hear(types.UpdateChannel)).channel_id == 2_000_000_001
            await client.ask(functions.PingRequest(2))
            assert actions(client) == []
        else:
            await client.until(lambda: bool(actions(client)))
            await newcomer.until(lambda: bool(actions(newcomer)))
            assert actions(client) == actions(newcomer) == [types.MessageActionChatJoinedByLink(alice.id)]
    with pytest.raises(SandboxError, match="USER_ALREADY_PARTICIPANT"):
        sandbox.rooms.import_chat_invite(carol.id, link)
    with pytest.raises(SandboxError, match="INVITE_HASH_INVALID"):
        sandbox.rooms.import_chat_invite(carol.id, "https://t.me/+other")


async def test_the_link_to_a_group_ends_with_the_group(sandbox: Sandbox) -> None:
    peer = make(sandbox, "group")
    link = sandbox.rooms.export_chat_invite(peer)
    sandbox.rooms.migrate(peer)
    with pytest.raises(SandboxError, match="INVITE_HASH_EXPIRED"):
        sandbox.rooms.import_chat_invite(sandbox.users[2].id, link)
    with pytest.raises(SandboxError, match="PEER_ID_INVALID"):
        sandbox.rooms.export_chat_invite(peer)


async def test_a_banned_member_is_out_and_stays_out(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew", username="the_crew")
    link = sandbox.rooms.export_chat_invite(room.peer)
    async with open_mini(sandbox, bob.session) as client, open_mini(sandbox, alice.session) as owner:
        assert sandbox.rooms.edit_banned(room.peer, bob.id).members == (alice.id,)
        await owner.until(lambda: bool(actions(owner)))
        assert actions(owner) == [types.MessageActionChatDeleteUser(bob.id)]
        await client.hear(types.UpdateChannel)
        pushed = [each for each in client.received if isinstance(each, types.Updates)][-1]
        assert isinstance(pushed.chats[0], types.ChannelForbidden)
    with pytest.raises(SandboxError, match="INVITE_HASH_EXPIRED"):
        sandbox.rooms.import_chat_invite(bob.id, link)
    sandbox.rooms.edit_banned(room.peer, bob.id, banned=False)
    assert sandbox.rooms.import_chat_invite(bob.id, link).members == (alice.id, bob.id)
    sandbox.rooms.edit_banned(room.peer, bob.id)
    assert sandbox.rooms.add_member(room.peer, bob.id).members == (alice.id, bob.id)
    with pytest.raises(SandboxError, match="USER_ADMIN_INVALID"):
        sandbox.rooms.edit_banned(room.peer, alice.id)
    with pytest.raises(SandboxError, match="is no channel"):
        sandbox.rooms.edit_banned(make(sandbox, "group"), bob.id)
