"""Authorization keys are made as Telegram makes them, and by nobody who cheats."""

import struct
from hashlib import sha1
from typing import Any

import pytest
import trio
from telethon.crypto import AES, rsa
from telethon.helpers import generate_key_data_from_nonce
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, PlainLine, RpcFailure, open_plain
from tgworker.sandbox import Sandbox, ServerKey
from tgworker.sandbox.connection import HANDSHAKE_S
from tgworker.sandbox.handshake import DH_PRIME, P, Q


async def test_a_key_from_a_handshake_works(sandbox: Sandbox, server_key: ServerKey) -> None:
    rsa.add_key(server_key.public_pem, old=False)
    async with open_plain(sandbox) as line, trio.open_nursery() as nursery:
        key = await make_key(line)
        client = MiniClient(line.client.stream, key)
        client._sent_packets = line.client._sent_packets
        nursery.start_soon(client.read)
        assert (await client.ask(functions.help.GetNearestDcRequest())).this_dc == sandbox.dc
        with pytest.raises(RpcFailure, match="AUTH_KEY_UNREGISTERED"):
            await client.ask(functions.updates.GetStateRequest())
        nursery.cancel_scope.cancel()
    assert sandbox.statistics().handshakes == 1


async def make_key(line: PlainLine) -> bytes:
    while True:
        try:
            return await line.make_key()
        except AssertionError:  # one key in 256 begins with a zero byte: the server asks for another
            continue


def test_the_fingerprint_is_the_one_that_clients_compute(server_key: ServerKey) -> None:
    assert rsa.encrypt(server_key.fingerprint ^ 1, b"x" * 100) is None
    rsa.add_key(server_key.public_pem, old=False)
    assert rsa.encrypt(server_key.fingerprint, b"x" * 100) is not None


async def begin(line: PlainLine, nonce: int = 5) -> Any:
    return await line.send(functions.ReqPqMultiRequest(nonce))


def dh_request(server_key: ServerKey, answer: Any, **wrong: Any) -> Any:
    rsa.add_key(server_key.public_pem, old=False)
    p, q = P.to_bytes(4, "big"), Q.to_bytes(4, "big")
    inner = types.PQInnerData(answer.pq, p, q, answer.nonce, answer.server_nonce, new_nonce=7)
    fields: dict[str, Any] = {
        "nonce": answer.nonce,
        "server_nonce": answer.server_nonce,
        "p": p,
        "q": q,
        "public_key_fingerprint": server_key.fingerprint,
        "encrypted_data": rsa.encrypt(server_key.fingerprint, bytes(inner)),
    }
    return functions.ReqDHParamsRequest(**(fields | wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": 6},
        {"server_nonce": 6},
        {"p": b"\0\0\0\x02"},
        {"public_key_fingerprint": 1},
        {"encrypted_data": bytes(256)},
        {"encrypted_data": b"short"},
    ],
    ids=str,
)
async def test_a_cheat_in_the_second_step_ends_the_line(
    sandbox: Sandbox, server_key: ServerKey, wrong: dict[str, Any]
) -> None:
    async with open_plain(sandbox) as line:
        answer = await begin(line)
        with pytest.raises(EOFError):
            await line.send(dh_request(server_key, answer, **wrong))


async def test_the_last_step_before_the_others_ends_the_line(sandbox: Sandbox, server_key: ServerKey) -> None:
    async with open_plain(sandbox) as line:
        answer = await begin(line)
        with pytest.raises(EOFError):
            await line.send(functions.SetClientDHParamsRequest(answer.nonce, answer.server_nonce, bytes(16)))


@pytest.mark.parametrize("cipher", [bytes(32), b"odd"])
async def test_a_cheat_in_the_last_step_ends_the_line(
    sandbox: Sandbox, server_key: ServerKey, cipher: bytes
) -> None:
    async with open_plain(sandbox) as line:
        answer = await begin(line)
        assert isinstance(await line.send(dh_request(server_key, answer)), types.ServerDHParamsOk)
        with pytest.raises(EOFError):
            await line.send(functions.SetClientDHParamsRequest(answer.nonce, answer.server_nonce, cipher))


async def test_nonces_under_a_wrong_hash_end_the_line(sandbox: Sandbox, server_key: ServerKey) -> None:
    async with open_plain(sandbox) as line:
        answer = await begin(line)
        p, q = P.to_bytes(4, "big"), Q.to_bytes(4, "big")
        inner = bytes(types.PQInnerData(answer.pq, p, q, answer.nonce, answer.server_nonce, new_nonce=7))
        plain = bytes(20) + inner
        public = server_key.private.public_key().public_numbers()
        number = int.from_bytes(b"\0" + plain + bytes(255 - len(plain)), "big")
        cipher = pow(number, public.e, public.n).to_bytes(256, "big")
        with pytest.raises(EOFError):
            await line.send(dh_request(server_key, answer, encrypted_data=cipher))


@pytest.mark.parametrize(
    ("g_b", "hash_is_right", "accepted"),
    [
        (pow(3, 1 << 2000, DH_PRIME), True, True),
        (pow(3, 1 << 2000, DH_PRIME), False, False),
        (1, True, False),
        (DH_PRIME - 1, True, False),
        (1 << 1983, True, False),
    ],
    ids=["good", "wrong hash", "one", "minus one", "small"],
)
async def test_the_clients_half_of_the_secret_is_checked(
    sandbox: Sandbox, server_key: ServerKey, g_b: int, hash_is_right: bool, accepted: bool
) -> None:
    async with open_plain(sandbox) as line:
        answer = await begin(line)
        await line.send(dh_request(server_key, answer))
        inner = bytes(
            types.ClientDHInnerData(
                answer.nonce, answer.server_nonce, 0, g_b.to_bytes((g_b.bit_length() + 7) // 8, "big")
            )
        )
        digest = sha1(inner).digest() if hash_is_right else bytes(20)
        key, iv = generate_key_data_from_nonce(answer.server_nonce, 7)
        cipher = AES.encrypt_ige(digest + inner, key, iv)
        request = functions.SetClientDHParamsRequest(answer.nonce, answer.server_nonce, cipher)
        if accepted:
            assert isinstance(await line.send(request), types.DhGenOk | types.DhGenRetry)
        else:
            with pytest.raises(EOFError):
                await line.send(request)
    assert sandbox.statistics().handshakes <= accepted


@pytest.mark.parametrize("body", [b"", b"\x01\x02\x03\x04", bytes(functions.help.GetConfigRequest())])
async def test_plain_nonsense_ends_the_line(sandbox: Sandbox, body: bytes) -> None:
    async with open_plain(sandbox) as line:
        await line.send_plain(body)
        assert await line.client.receive_packet() is None


async def test_a_handshake_may_begin_again(sandbox: Sandbox, server_key: ServerKey) -> None:
    async with open_plain(sandbox) as line:
        await begin(line, nonce=5)
        answer = await begin(line, nonce=6)
        assert answer.nonce == 6
        assert isinstance(await line.send(dh_request(server_key, answer)), types.ServerDHParamsOk)


async def test_a_line_that_never_speaks_is_closed_in_time(
    sandbox: Sandbox, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_plain(sandbox) as line:
        began = trio.current_time()
        assert await line.client.receive_packet() is None
        assert trio.current_time() - began == HANDSHAKE_S


async def test_a_line_that_only_shakes_hands_is_closed_in_time(
    sandbox: Sandbox, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_plain(sandbox) as line:
        began = trio.current_time()
        await trio.sleep(20)
        await begin(line)
        assert await line.client.receive_packet() is None
        assert trio.current_time() - began == HANDSHAKE_S


async def test_a_key_that_nobody_knows_is_answered_with_404(sandbox: Sandbox) -> None:
    async with open_plain(sandbox) as line:
        await line.client.send_packet(struct.pack("<Q", 12345) + bytes(56))
        assert await line.client.receive_packet() == struct.pack("<i", -404)
