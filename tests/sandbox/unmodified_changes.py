"""Scenes of `unmodified_client.py` with what changes about groups, channels and users themselves."""

import asyncio
from typing import Any

from telethon import events
from telethon.tl import functions, types

from sandbox.unmodified_files import PICTURE
from sandbox.unmodified_world import World, heard, refusal


async def chat_actions(world: World) -> Any:
    bob, carol = world.users[1:3]
    async with world.of(0) as client, world.of(1) as other, world.of(2) as third:
        came: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(came.put, events.ChatAction())
        made = await client(functions.messages.CreateChatRequest([bob["username"]], "Duo"))
        duo = made.updates.chats[0]
        await heard(came)
        found: dict[str, Any] = {}
        await client(functions.messages.EditChatTitleRequest(duo.id, "Trio"))
        found["title"] = (await heard(came)).new_title
        picture = await client.upload_file(PICTURE, file_name="a.png")
        await client(functions.messages.EditChatPhotoRequest(duo.id, types.InputChatUploadedPhoto(picture)))
        photo = await heard(came)
        found["photo"] = [
            photo.new_photo,
            len(await other.download_media(photo.photo, bytes)) == len(PICTURE),
        ]
        await client(functions.messages.EditChatPhotoRequest(duo.id, types.InputChatPhotoEmpty()))
        found["no photo"] = [
            (await heard(came)).photo,
            (await client.get_entity(duo.id)).photo.CONSTRUCTOR_ID,
        ]
        invite = await client(functions.messages.ExportChatInviteRequest(duo))
        secret = invite.link.rpartition("+")[2]
        before = await third(functions.messages.CheckChatInviteRequest(secret))
        await third(functions.messages.ImportChatInviteRequest(secret))
        joined = await heard(came)
        found["by link"] = [before.title, joined.user_joined, joined.user_id == carol["id"]]
        after = await third(functions.messages.CheckChatInviteRequest(secret))
        found["already"] = [type(after).__name__, after.chat.participants_count]
        await client.kick_participant(duo, carol["username"])
        kicked = await heard(came)
        found["kicked"] = [kicked.user_kicked, kicked.user_id == carol["id"]]
        found["again"] = await refusal(client(functions.messages.EditChatTitleRequest(duo.id, "Trio")))
        return found


async def channel_actions(world: World) -> Any:
    alice, bob, carol = world.users[:3]
    room = await world.control(
        cmd="create_channel", creator=alice["id"], members=[bob["id"], carol["id"]], title="Ship"
    )
    async with world.of(0) as client, world.of(1) as other, world.of(2) as third:
        came: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(came.put, events.ChatAction())
        for each in (client, other, third):
            await each.get_dialogs()
        ship = await client.get_input_entity(room["peer"])
        found: dict[str, Any] = {}
        await client(functions.channels.EditTitleRequest(ship, "Boat"))
        found["title"] = [(await heard(came)).new_title, (await other.get_entity(room["peer"])).title]
        picture = await client.upload_file(PICTURE, file_name="a.png")
        await client(functions.channels.EditPhotoRequest(ship, types.InputChatUploadedPhoto(picture)))
        photo = await heard(came)
        found["photo"] = [photo.new_photo, len(await other.download_profile_photo(room["peer"], bytes)) > 0]
        rights = types.ChatBannedRights(None, view_messages=True)
        await client(functions.channels.EditBannedRequest(ship, carol["username"], rights))
        kicked = await heard(came)
        found["kicked"] = [kicked.user_kicked, kicked.user_id == carol["id"]]
        found["out"] = await refusal(third.send_message(room["peer"], "x"))
        link = (await client(functions.messages.ExportChatInviteRequest(ship))).link.rpartition("+")[2]
        found["banned"] = await refusal(third(functions.messages.ImportChatInviteRequest(link)))
        allowed = types.ChatBannedRights(None)
        await client(functions.channels.EditBannedRequest(ship, carol["username"], allowed))
        await third(functions.messages.ImportChatInviteRequest(link))
        joined = await heard(came)
        found["joined"] = [joined.user_joined, joined.user_id == carol["id"]]
        found["no link"] = await refusal(third(functions.messages.ImportChatInviteRequest("nowhere")))
        found["twice"] = await refusal(third(functions.messages.ImportChatInviteRequest(link)))
        return found


async def profile(world: World) -> Any:
    bob = world.users[1]
    async with world.of(0) as client, world.of(1) as other:
        came: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(came.put, events.Raw((types.UpdateUserName, types.UpdateUser)))
        me = await other(functions.account.UpdateProfileRequest(first_name="Robert", last_name="Stone"))
        name = await heard(came)
        found: dict[str, Any] = {
            "me": [me.first_name, me.last_name],
            "name": [name.user_id == bob["id"], name.first_name, name.last_name, name.usernames[0].username],
        }
        await other(functions.account.UpdateUsernameRequest("robert_stone"))
        found["username"] = (await heard(came)).usernames[0].username
        found["found"] = (await client.get_entity("robert_stone")).id == bob["id"]
        update = functions.account.UpdateUsernameRequest
        found["refusals"] = [await refusal(other(update(each))) for each in ("robert_stone", "x", "user1001")]
        picture = await other.upload_file(PICTURE, file_name="a.png")
        made = await other(functions.photos.UploadProfilePhotoRequest(file=picture))
        found["photo"] = [
            type(await heard(came)).__name__,
            len(await client.download_profile_photo("robert_stone", bytes)) == len(PICTURE),
        ]
        photo = types.InputPhoto(made.photo.id, made.photo.access_hash, made.photo.file_reference)
        found["deleted"] = await other(functions.photos.DeletePhotosRequest([photo])) == [made.photo.id]
        found["deleted again"] = await other(functions.photos.DeletePhotosRequest([photo]))
        await heard(came)
        found["none"] = (await client.get_entity("robert_stone")).photo
        await world.control(cmd="update_username", user=bob["id"], username=bob["username"])
        return found
