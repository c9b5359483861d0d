"""The making of an authorization key between server and client, step by step. No sockets here.

Source: https://core.telegram.org/mtproto/auth_key
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from random import Random
from typing import Any

from telethon.crypto import AES, AuthKey
from telethon.tl import functions, types

from tgworker.sandbox.errors import LineBroken, Unreadable
from tgworker.sandbox.server_key import ServerKey
from tgworker.sandbox.unpacking import read_object

P, Q = 0x494C553B, 0x53911073
"""The primes of Telegram's documented sample: every client proves that it can factor their product."""

DH_G = 3
DH_PRIME = int(
    "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F48198A0AA7C14058229493D22530F4DB"
    "FA336F6E0AC925139543AED44CCE7C3720FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F64"
    "2477FE96BB2A941D5BCD1D4AC8CC49880708FA9B378E3C4F3A9060BEE67CF9A4A4A695811051907E162753B56B0F6B41"
    "0DBA74D8A84B2A14B3144E0EF1284754FD17ED950D5965B4B9DD46582DB1178D169C6BC465B0D6FF9CA3928FEF5B9AE4"
    "E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F0D8115F635B105EE2E4E15D04B2454BF"
    "6F4FADF034B10403119CD8E3B92FCC5B",
    16,
)
"""Telegram's own prime: clients know it to be safe (https://core.telegram.org/mtproto/auth_key#4-...)."""

DH_MARGIN = 1 << (2048 - 64)
KEY_BYTES = 256


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """What a step of the handshake came to.

    Attributes:
        answer: The TL object for the client.
        key: The new authorization key, after the last step.
    """

    answer: Any
    key: bytes | None = None


class Handshake:
    """One handshake; a connection that begins again gets a new one.

    Args:
        server_key: The server's RSA key.
        rng: Where nonces and secrets come from.
        calendar: Unix time in seconds.
    """

    def __init__(self, server_key: ServerKey, rng: Random, calendar: Callable[[], float]) -> None:
        self._server_key = server_key
        self._rng = rng
        self._calendar = calendar
        self._nonces: tuple[int, int] | None = None
        self._new_nonce = 0
        self._secret = 0

    def step(self, request: Any) -> Step:
        """Answer one plain request.

        Raises:
            LineBroken: It is not the request that must come now, or its proof is wrong.
        """
        match request:
            case functions.ReqPqMultiRequest() | functions.ReqPqRequest():
                return self._begin(request)
            case functions.ReqDHParamsRequest():
                self._check_nonces(request)
                return self._offer(request)
            case functions.SetClientDHParamsRequest():
                self._check_nonces(request)
                return self._finish(request)
            case _:
                raise LineBroken("a plain request that is no handshake")

    def _check_nonces(self, bearer: Any) -> None:
        if (bearer.nonce, bearer.server_nonce) != self._nonces:
            raise LineBroken("handshake out of order")

    def _begin(self, request: Any) -> Step:
        server_nonce = int.from_bytes(self._rng.randbytes(16), "little", signed=True)
        self._nonces, self._secret = (request.nonce, server_nonce), 0
        pq = (P * Q).to_bytes(8, "big")
        return Step(types.ResPQ(request.nonce, server_nonce, pq, [self._server_key.fingerprint]))

    def _offer(self, request: Any) -> Step:
        if request.public_key_fingerprint != self._server_key.fingerprint:
            raise LineBroken("another server's key")
        if [int.from_bytes(part, "big") for part in (request.p, request.q)] != [P, Q]:
            raise LineBroken("wrong factors")
        if len(request.encrypted_data) != KEY_BYTES:
            raise LineBroken("wrong length of the encrypted nonces")
        plain = self._server_key.decrypt(request.encrypted_data)[1:]  # 255 bytes: SHA1, data, padding
        inner = _checked(plain, types.PQInnerData, types.PQInnerDataDc)
        self._check_nonces(inner)
        self._new_nonce = inner.new_nonce
        self._secret = int.from_bytes(self._rng.randbytes(KEY_BYTES), "big")
        offer = types.ServerDHInnerData(
            request.nonce,
            request.server_nonce,
            DH_G,
            _big(DH_PRIME),
            _big(pow(DH_G, self._secret, DH_PRIME)),
            int(self._calendar()),
        )
        body = bytes(offer)
        body = _sha1(body) + body
        body += self._rng.randbytes(-len(body) % 16)
        encrypted = AES.encrypt_ige(body, *self._aes_key(request.server_nonce))
        return Step(types.ServerDHParamsOk(request.nonce, request.server_nonce, encrypted))

    def _finish(self, request: Any) -> Step:
        if not self._secret:
            raise LineBroken("handshake out of order")
        if len(request.encrypted_data) % 16:
            raise LineBroken("wrong length of the encrypted answer")
        plain = AES.decrypt_ige(request.encrypted_data, *self._aes_key(request.server_nonce))
        inner = _checked(plain, types.ClientDHInnerData)
        self._check_nonces(inner)
        g_b = int.from_bytes(inner.g_b, "big")
        if not DH_MARGIN <= g_b <= DH_PRIME - DH_MARGIN:
            raise LineBroken("g_b out of range")
        agreed = _big(pow(g_b, self._secret, DH_PRIME))
        key = AuthKey(agreed)
        if len(agreed) != KEY_BYTES:
            # One in 256 keys begins with a zero byte, which some clients (Telethon) forget: make another.
            again = key.calc_new_nonce_hash(self._new_nonce, 2)
            return Step(types.DhGenRetry(request.nonce, request.server_nonce, again))
        self._secret = 0
        proof = key.calc_new_nonce_hash(self._new_nonce, 1)
        return Step(types.DhGenOk(request.nonce, request.server_nonce, proof), agreed)

    def _aes_key(self, server_nonce: int) -> tuple[bytes, bytes]:
        """Key and vector of the temporary encryption (https://core.telegram.org/mtproto/auth_key#6-…)."""
        server = server_nonce.to_bytes(16, "little", signed=True)
        new = self._new_nonce.to_bytes(32, "little", signed=True)
        first, second, third = _sha1(new + server), _sha1(server + new), _sha1(new + new)
        return first + second[:12], second[12:] + third + new[:4]


def _checked(plain: bytes, *kinds: type[Any]) -> Any:
    """The object behind its SHA1, if it is one of ``kinds`` and the hash is right."""
    try:
        inner = read_object(plain[20:])
    except Unreadable:
        raise LineBroken("unreadable handshake") from None
    if not isinstance(inner, kinds):
        raise LineBroken("unexpected handshake data")
    body = bytes(inner)
    if plain[20 : 20 + len(body)] != body or _sha1(body) != plain[:20]:
        raise LineBroken("wrong handshake hash")
    return inner


def _sha1(data: bytes) -> bytes:
    return sha1(data, usedforsecurity=False).digest()  # the protocol's choice, not ours


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
