"""A scene of `unmodified_client.py` with what is exported."""

from typing import Any

from telethon import errors
from telethon.tl import functions, types

from sandbox.unmodified_world import World, refusal


async def takeouts(world: World) -> Any:
    bob = world.users[1]
    found: dict[str, Any] = {}
    session = (await world.control(cmd="new_session", user=world.users[2]["id"]))["session"]
    await world.control(cmd="behave", takeout_delay_s=86400, takeout_range=3)
    async with world.client(session) as client:
        for number in range(5):
            await client.send_message(bob["username"], str(number))
        try:
            async with client.takeout(users=True):
                pass
        except errors.TakeoutInitDelayError as error:
            found["to wait"] = 86390 < error.seconds <= 86400
        (dialog,) = [each for each in await client.get_dialogs() if each.id == 777000]
        told = dialog.message
        found["told"] = [dialog.name, told.message.startswith("Data export request.")]
        found["still"] = await refusal(client(functions.account.InitTakeoutSessionRequest()))
        found["allowed"] = (await world.control(cmd="allow_takeout", user=world.users[2]["id"]))["allowed"]
        await world.control(cmd="behave", takeout_delay_s=0)
        found["nothing to finish"] = await refusal(client(functions.account.FinishTakeoutSessionRequest()))
        found["ranges, outside"] = await refusal(client(functions.messages.GetSplitRangesRequest()))
        async with client.takeout(users=True, chats=True, files=True, max_file_size=1024) as takeout:
            said = [m.message async for m in takeout.iter_messages(bob["id"], limit=5, wait_time=0)]
            found["read"] = said
            found["dialogs"] = bob["id"] in [d.id async for d in takeout.iter_dialogs()]
            ranges = await takeout(functions.messages.GetSplitRangesRequest())
            found["ranges"] = ranges[0].max_id - ranges[0].min_id + 1
            last = (await takeout.get_messages(bob["id"], limit=1))[0]
            inside = next(each for each in ranges if each.min_id <= last.id <= each.max_id)
            asked = functions.messages.GetHistoryRequest(
                await client.get_input_entity(bob["id"]), 0, None, 0, 100, 0, 0, 0
            )
            part = await takeout(functions.InvokeWithMessagesRangeRequest(inside, asked))
            ids = [each.id for each in part.messages]
            found["in a range"] = bool(ids) and min(ids) >= inside.min_id and last.id in ids
            wrong = functions.InvokeWithTakeoutRequest(12345, functions.messages.GetSplitRangesRequest())
            found["unknown"] = await refusal(client(wrong))
            found["uploaded"] = await _fetched(client, takeout)
        found["finished"] = client.session.takeout_id is None
        found["failed"] = await _failing(client)
    found["sessions"] = [
        [each["state"], each["parts"], each["file_max_size"]]
        for each in (await world.control(cmd="takeouts", user=world.users[2]["id"]))["takeouts"]
    ]
    return found


async def _fetched(client: Any, takeout: Any) -> bool:
    """Whether a file comes within the export as it is."""
    data = b"exported" * 600
    sent = await client.send_file("me", data, force_document=True, file_name="a.bin")
    document: types.Document = sent.media.document
    place = types.InputDocumentFileLocation(document.id, document.access_hash, document.file_reference, "")
    piece = await takeout(functions.upload.GetFileRequest(place, 0, 8192))
    return bool(piece.bytes == data)


async def _failing(client: Any) -> str:
    try:
        async with client.takeout():
            raise LookupError
    except LookupError:
        return "as it should"
