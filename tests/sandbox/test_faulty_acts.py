"""Every fault of a request works on the requests that act on messages, chats and users."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Fault, Limits, Rate, Sandbox


@dataclass
class Scene:
    """A client of the first user's, his chat with the second, a group and a supergroup of his."""

    client: MiniClient
    bob: Any
    group: int
    crew: Any
    link: str
    token: str

    @property
    def channel(self) -> Any:
        return types.InputChannel(self.crew.channel_id, self.crew.access_hash)

    @property
    def file(self) -> Any:
        return types.InputFile(7, 1, "a.png", "")


@asynccontextmanager
async def open_scene(sandbox: Sandbox) -> AsyncGenerator[Scene]:
    alice, bob, carol = sandbox.users
    group = sandbox.rooms.create_group(alice.id, [bob.id], "Group")
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    others = sandbox.rooms.create_channel(carol.id, [bob.id], "Others")
    sandbox.send_text(bob.id, alice.id, "hello")
    link = sandbox.rooms.export_chat_invite(others.peer).rpartition("+")[2]
    async with open_mini(sandbox, alice.session) as client:
        found = await client.ask(functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0))
        channel: Any
        (channel,) = [each for each in found.chats if isinstance(each, types.Channel)]
        await client.ask(functions.upload.SaveFilePartRequest(7, 0, PICTURE))
        named = types.InputPeerChannel(channel.id, channel.access_hash)
        token = sandbox.add_bot().token
        yield Scene(client, await peer(client, bob), -group.peer, named, link, token)
    assert crew.peer == -1_000_000_000_000 - channel.id


Ask = Callable[[Scene], Any]

REQUESTS: dict[str, Ask] = {
    "messages.sendReaction": lambda at: functions.messages.SendReactionRequest(
        at.bob, 2, reaction=[types.ReactionEmoji("👍")]
    ),
    "messages.getMessagesReactions": lambda at: functions.messages.GetMessagesReactionsRequest(at.bob, [2]),
    "messages.getUnreadReactions": lambda at: functions.messages.GetUnreadReactionsRequest(
        at.bob, 0, 0, 100, 0, 0
    ),
    "messages.readReactions": lambda at: functions.messages.ReadReactionsRequest(at.bob),
    "messages.updatePinnedMessage": lambda at: functions.messages.UpdatePinnedMessageRequest(at.bob, 2),
    "messages.unpinAllMessages": lambda at: functions.messages.UnpinAllMessagesRequest(at.bob),
    "messages.forwardMessages": lambda at: functions.messages.ForwardMessagesRequest(
        at.bob, [2], types.InputPeerSelf(), random_id=[1]
    ),
    "messages.toggleNoForwards": lambda at: functions.messages.ToggleNoForwardsRequest(at.crew, enabled=True),
    "messages.setTyping": lambda at: functions.messages.SetTypingRequest(
        at.bob, types.SendMessageTypingAction()
    ),
    "account.initTakeoutSession": lambda _: functions.account.InitTakeoutSessionRequest(message_users=True),
    "contacts.getStatuses": lambda _: functions.contacts.GetStatusesRequest(),
    "account.updateStatus": lambda _: functions.account.UpdateStatusRequest(offline=False),
    "account.updateProfile": lambda _: functions.account.UpdateProfileRequest(first_name="Ann"),
    "account.updateUsername": lambda _: functions.account.UpdateUsernameRequest("ann_stone"),
    "photos.uploadProfilePhoto": lambda at: functions.photos.UploadProfilePhotoRequest(file=at.file),
    "photos.deletePhotos": lambda _: functions.photos.DeletePhotosRequest([]),
    "messages.editChatTitle": lambda at: functions.messages.EditChatTitleRequest(at.group, "New"),
    "messages.editChatPhoto": lambda at: functions.messages.EditChatPhotoRequest(
        at.group, types.InputChatUploadedPhoto(at.file)
    ),
    "channels.editTitle": lambda at: functions.channels.EditTitleRequest(at.channel, "New"),
    "channels.editPhoto": lambda at: functions.channels.EditPhotoRequest(
        at.channel, types.InputChatUploadedPhoto(at.file)
    ),
    "channels.editBanned": lambda at: functions.channels.EditBannedRequest(
        at.channel, at.bob, types.ChatBannedRights(None, view_messages=True)
    ),
    "messages.deleteChatUser": lambda at: functions.messages.DeleteChatUserRequest(at.group, at.bob),
    "messages.exportChatInvite": lambda at: functions.messages.ExportChatInviteRequest(at.crew),
    "messages.checkChatInvite": lambda at: functions.messages.CheckChatInviteRequest(at.link),
    "messages.importChatInvite": lambda at: functions.messages.ImportChatInviteRequest(at.link),
    "contacts.block": lambda at: functions.contacts.BlockRequest(at.bob),
    "contacts.unblock": lambda at: functions.contacts.UnblockRequest(at.bob),
    "auth.importBotAuthorization": lambda at: functions.auth.ImportBotAuthorizationRequest(
        0, 1, "hash", at.token
    ),
}


def held(sandbox: Sandbox) -> Any:
    """What of a sandbox any of these would change."""
    users = [
        (each.first_name, each.username, each.photo, each.online_until, tuple(each.blocks))
        for each in sandbox._cloud.directory
    ]
    logins = [each.user_id for each in sandbox._cloud.keys]
    logs = [each.mailbox.log.pts for each in sandbox._cloud.directory]
    lines = sandbox.chat(sandbox.users[0].id, sandbox.users[1].id)
    rooms = [(each.title, each.noforwards, each.photo) for each in sandbox._cloud.channels]
    takeouts = sandbox.takeouts(sandbox.users[0].id)
    listed = sandbox.rooms.listing(), len(sandbox._cloud.invitations)
    return users, logins, logs, lines, rooms, listed, takeouts


@pytest.mark.parametrize("method", REQUESTS)
async def test_a_refused_request_changes_nothing_and_goes_through_later(
    sandbox: Sandbox, method: str
) -> None:
    async with open_scene(sandbox) as scene:
        before, ask = held(sandbox), REQUESTS[method](scene)
        for fault, refusal in (
            (Fault("flood_wait", method, seconds=3, count=1), (420, "FLOOD_WAIT_3")),
            (Fault("rpc_error", method, code=500, message="INTERNAL", count=1), (500, "INTERNAL")),
        ):
            sandbox.faults.set(fault)
            with pytest.raises(RpcFailure) as failure:
                await scene.client.ask(ask)
            assert (failure.value.code, failure.value.message) == refusal
        assert held(sandbox) == before
        await scene.client.ask(ask)
        assert sandbox.faults.listing() == ()


@pytest.mark.parametrize("method", REQUESTS)
async def test_a_delayed_request_is_executed_later_and_a_dropped_one_never(
    sandbox: Sandbox, autojump_clock: MockClock, method: str
) -> None:
    async with open_scene(sandbox) as scene:
        before, ask = held(sandbox), REQUESTS[method](scene)
        sandbox.faults.set(Fault("delay", method, seconds=7.5, count=1))
        sent_at = trio.current_time()
        pending = await scene.client.post(ask)
        await scene.client.hear(types.MsgsAck)
        assert held(sandbox) == before
        await pending.done.wait()
        assert trio.current_time() - sent_at == 7.5
        assert not isinstance(pending.result, RpcFailure)
        after = held(sandbox)
        sandbox.faults.set(Fault("drop", method, count=1))
        await scene.client.post(ask)
        await scene.client.closed.wait()
        assert held(sandbox) == after


@pytest.mark.parametrize(
    ("method", "peer_of"),
    [
        ("messages.sendReaction", lambda at: at.bob.user_id),
        ("messages.updatePinnedMessage", lambda at: at.bob.user_id),
        ("messages.editChatTitle", lambda at: -at.group),
        ("messages.editChatPhoto", lambda at: -at.group),
        ("channels.editTitle", lambda at: -1_000_000_000_000 - at.crew.channel_id),
    ],
)
async def test_a_fault_for_one_peer_leaves_others_alone(
    sandbox: Sandbox, method: str, peer_of: Callable[[Scene], int]
) -> None:
    async with open_scene(sandbox) as scene:
        fault = Fault("rpc_error", method, peer=sandbox.users[2].id, message="NOT_THIS_ONE")
        sandbox.faults.set(fault)
        await scene.client.ask(REQUESTS[method](scene))
        sandbox.faults.set(Fault("rpc_error", method, peer=peer_of(scene), message="THIS_ONE"))
        with pytest.raises(RpcFailure, match="THIS_ONE"):
            await scene.client.ask(REQUESTS[method](scene))


async def test_a_fault_for_where_a_message_is_forwarded_to(sandbox: Sandbox) -> None:
    async with open_scene(sandbox) as scene:
        method = "messages.forwardMessages"
        sandbox.faults.set(Fault("rpc_error", method, peer=scene.bob.user_id, message="TO_BOB"))
        await scene.client.ask(REQUESTS[method](scene))
        to_bob = functions.messages.ForwardMessagesRequest(scene.bob, [2], scene.bob, random_id=[2])
        with pytest.raises(RpcFailure, match="TO_BOB"):
            await scene.client.ask(to_bob)


async def test_too_many_are_a_flood_without_a_fault(sandbox: Sandbox, autojump_clock: MockClock) -> None:
    sandbox.limit(Limits(methods={"messages.sendReaction": Rate(1, 0.1)}, chat=Rate(1, 0.1)))
    async with open_scene(sandbox) as scene:
        await scene.client.ask(REQUESTS["messages.sendReaction"](scene))
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_10"):
            await scene.client.ask(REQUESTS["messages.sendReaction"](scene))
        await scene.client.ask(REQUESTS["messages.forwardMessages"](scene))
        again = functions.messages.ForwardMessagesRequest(
            scene.bob, [2], types.InputPeerSelf(), random_id=[2]
        )
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_10"):
            await scene.client.ask(again)
        await trio.sleep(10)
        assert await scene.client.ask(again)
