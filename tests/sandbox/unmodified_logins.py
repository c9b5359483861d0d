"""Scenes of `unmodified_client.py` about logging in: passwords, QR codes, codes that are worth nothing."""

import asyncio
from typing import Any

from telethon import password as srp
from telethon.errors import SessionPasswordNeededError
from telethon.tl import functions, types

from sandbox.unmodified_world import World, refusal

WORDS = "open sesame"


async def two_step(world: World) -> Any:
    user = await world.control(cmd="add_user")
    phone = user["phone"]
    await world.control(cmd="set_password", user=user["id"], password=WORDS, hint="what opens?")
    client = world.client()
    await client.connect()
    found: dict[str, Any] = {"nobody": await refusal(client(functions.account.GetPasswordRequest()))}
    sent = await client.send_code_request(phone)
    found["code"] = await refusal(client.sign_in(phone, "12345", phone_code_hash=sent.phone_code_hash))
    found["half"] = [(await world.control(cmd="logins", user=user["id"]))["logins"], await client.get_me()]
    asked = await client(functions.account.GetPasswordRequest())
    found["hint"] = [asked.has_password, asked.hint]
    found["wrong"] = await refusal(client.sign_in(password="open barley"))
    answer = srp.compute_check(asked, WORDS)
    stale = types.InputCheckPasswordSRP(answer.srp_id ^ 1, answer.A, answer.M1)
    found["stale"] = await refusal(client(functions.auth.CheckPasswordRequest(stale)))
    forged = types.InputCheckPasswordSRP(answer.srp_id, bytes(256), answer.M1)
    found["forged"] = await refusal(client(functions.auth.CheckPasswordRequest(forged)))
    me = await client.sign_in(password=WORDS)
    found["in"] = me.id == user["id"]
    found["own"] = (await client(functions.account.GetPasswordRequest())).has_password
    await client.log_out()

    other = world.client()
    await other.connect()
    sent = await other.send_code_request(phone)
    await refusal(other.sign_in(phone, "12345", phone_code_hash=sent.phone_code_hash))
    found["given up"] = [
        (await world.control(cmd="logins", user=user["id"]))["logins"],
        type(await other(functions.auth.LogOutRequest())).__name__,
        (await world.control(cmd="logins", user=user["id"]))["logins"],  # its first session
    ]
    await other.disconnect()
    return found


async def codes(world: World) -> Any:
    phone = world.users[1]["phone"]
    found: dict[str, Any] = {}
    client = world.client()
    await client.connect()
    sent = await client.send_code_request(phone)
    again = await client(functions.auth.ResendCodeRequest(phone, sent.phone_code_hash))
    found["again"] = [type(sent.type).__name__, type(again.type).__name__]
    found["once more"] = await refusal(client(functions.auth.ResendCodeRequest(phone, again.phone_code_hash)))
    found["the first"] = await refusal(signing_in(client, phone, "12345", sent.phone_code_hash))
    found["empty"] = await refusal(signing_in(client, phone, "", again.phone_code_hash))
    found["no hash"] = await refusal(signing_in(client, phone, "12345", ""))
    found["cancelled"] = await client(functions.auth.CancelCodeRequest(phone, again.phone_code_hash))
    found["after that"] = await refusal(signing_in(client, phone, "12345", again.phone_code_hash))
    await world.control(cmd="behave", login_code_lives_s=0.01)
    late = (await client.send_code_request(phone)).phone_code_hash
    await asyncio.sleep(0.02)
    found["late"] = await refusal(signing_in(client, phone, "12345", late))
    await world.control(cmd="behave", login_code_lives_s=300)
    await world.control(cmd="set_fault", action="flood_wait", method="auth.sendCode", seconds=7200, count=1)
    found["flood"] = await refusal(client(send_code(phone)))
    await world.control(
        cmd="set_fault", action="rpc_error", method="auth.sendCode", message="PHONE_NUMBER_FLOOD", count=1
    )
    await client.disconnect()
    other = world.client()  # the first one remembers that it has to wait
    await other.connect()
    found["number"] = await refusal(other(send_code(phone)))
    await other.disconnect()
    return found


def send_code(phone: str) -> Any:
    return functions.auth.SendCodeRequest(phone, 1, "h", types.CodeSettings())


async def signing_in(client: Any, phone: str, code: str, code_hash: str) -> None:
    await client(functions.auth.SignInRequest(phone, code_hash, code))


async def qr_codes(world: World) -> Any:
    found: dict[str, Any] = {}
    alice = world.of(0)
    await alice.connect()

    client = world.client()
    await client.connect()
    qr = await client.qr_login()
    found["url"] = qr.url.startswith("tg://login?token=")
    waiting = asyncio.create_task(qr.wait(10))
    await asyncio.sleep(0)
    accepted = await alice(functions.auth.AcceptLoginTokenRequest(qr.token))
    found["accepted"] = type(accepted).__name__
    found["in"] = (await waiting).id == world.users[0]["id"]
    found["used"] = await refusal(alice(functions.auth.AcceptLoginTokenRequest(qr.token)))
    await client.log_out()

    again = world.client()
    await again.connect()
    qr = await again.qr_login(ignored_ids=[world.users[0]["id"]])
    found["not he"] = await refusal(alice(functions.auth.AcceptLoginTokenRequest(qr.token)))
    waiting = asyncio.create_task(qr.wait(10))
    await asyncio.sleep(0)
    await world.control(cmd="scan", user=world.users[1]["id"], url=qr.url)
    found["scanned"] = (await waiting).id == world.users[1]["id"]
    await again.log_out()

    wary = await world.control(cmd="add_user")
    await world.control(cmd="set_password", user=wary["id"], password=WORDS)
    third = world.client()
    await third.connect()
    qr = await third.qr_login()
    waiting = asyncio.create_task(qr.wait(10))
    await asyncio.sleep(0)
    await world.control(cmd="scan", user=wary["id"], url=qr.url)
    try:
        await waiting
    except SessionPasswordNeededError:
        found["password"] = (await third.sign_in(password=WORDS)).id == wary["id"]
    await third.log_out()

    mover = await world.control(cmd="add_user")
    await world.control(cmd="move_user", user=mover["id"], dc=4)
    fourth = world.client()
    await fourth.connect()
    qr = await fourth.qr_login()
    waiting = asyncio.create_task(qr.wait(10))
    await asyncio.sleep(0)
    await world.control(cmd="scan", user=mover["id"], url=qr.url)
    found["moved"] = [(await waiting).id == mover["id"], fourth.session.dc_id]
    await fourth.log_out()

    await world.control(cmd="behave", login_token_lives_s=0.01)
    fifth = world.client()
    await fifth.connect()
    qr = await fifth.qr_login()
    await asyncio.sleep(0.02)
    found["expired"] = await refusal(alice(functions.auth.AcceptLoginTokenRequest(qr.token)))
    await world.control(cmd="behave", login_token_lives_s=30)
    old = qr.token
    await qr.recreate()
    found["another"] = qr.token != old
    found["no such"] = await refusal(fifth(functions.auth.ImportLoginTokenRequest(b"nothing")))
    await fifth.disconnect()
    await alice.disconnect()
    return found
