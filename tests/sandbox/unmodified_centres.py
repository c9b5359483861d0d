"""A scene of `unmodified_client.py` with two data centres."""

from typing import Any

from telethon.sessions import StringSession
from telethon.tl import functions

from sandbox.unmodified_world import API, World, refusal


async def data_centres(world: World) -> Any:
    mover = await world.control(cmd="add_user")
    await world.control(cmd="move_user", user=mover["id"], dc=4)
    found: dict[str, Any] = {}

    client = world.client()  # at data centre 2
    await client.connect()
    sent = await client.send_code_request(mover["phone"])
    me = await client.sign_in(mover["phone"], "12345", phone_code_hash=sent.phone_code_hash)
    found["phone"] = [me.id == mover["id"], client.session.dc_id]
    config = await client(functions.help.GetConfigRequest())
    found["centres"] = [config.this_dc, sorted(each.id for each in config.dc_options)]
    await client.send_message("me", "at home")
    moved = client.session.save()
    await client.disconnect()

    async with world.client(moved) as again:
        found["at home"] = (await again.get_messages("me", limit=1))[0].message

    stray: Any = StringSession(moved)  # the key of 4 at 2
    stray.set_dc(2, world.host, world.port)
    lost = world.client(stray.save(), connection_retries=0)
    found["another's key"] = await refusal(lost.connect())
    await lost.disconnect()

    late = await world.control(cmd="add_user")
    left = world.client(late["session"])  # logged in at 2, before he moved
    await left.connect()
    await world.control(cmd="move_user", user=late["id"], dc=4)
    ticket = await left(functions.auth.ExportAuthorizationRequest(4))
    found["no such centre"] = await refusal(left(functions.auth.ExportAuthorizationRequest(5)))
    found["user"] = await refusal(left(functions.updates.GetStateRequest()))
    found["user is sent to"] = left.session.dc_id
    found["a login from there"] = (
        await left(functions.auth.ImportAuthorizationRequest(ticket.id, ticket.bytes))
    ).user.id == late["id"]
    found["now he is"] = await refusal(left(functions.updates.GetStateRequest()))
    found["forged"] = await refusal(left(functions.auth.ImportAuthorizationRequest(1001, ticket.bytes)))
    await left.disconnect()

    await world.control(cmd="behave", nearest_dc=4)
    nobody = type(left)(StringSession(), *API)
    nobody.session.set_dc(2, world.host, world.port)
    await nobody.connect()
    await nobody.send_code_request("+999660000000")
    found["network"] = nobody.session.dc_id
    found["nearest"] = (await nobody(functions.help.GetNearestDcRequest())).nearest_dc
    await nobody.disconnect()
    await world.control(cmd="behave", nearest_dc=None)
    return found
