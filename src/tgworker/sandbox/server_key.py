"""The server's RSA key: whoever knows its public half can ask for an authorization key."""

import os
import tempfile
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from telethon.tl import TLObject

from tgworker.sandbox.errors import KeyFileUnusable

KEY_BITS = 2048
"""Telegram's clients send blocks of exactly 256 bytes (https://core.telegram.org/mtproto/auth_key)."""


@dataclass(frozen=True, slots=True, repr=False)
class ServerKey:
    """An RSA key pair as MTProto uses it: raw, without padding of its own.

    Attributes:
        private: The private key.
    """

    private: rsa.RSAPrivateKey

    @classmethod
    def generate(cls) -> "ServerKey":
        """Make a new key; takes about 0.1 s."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))

    @classmethod
    def load_or_create(cls, path: Path) -> "ServerKey":
        """Read the private key in ``path``; make one there (mode 0600) if there is none.

        Raises:
            KeyFileUnusable: The file cannot be read or written, or is not an RSA key of 2048 bits.
        """
        try:
            pem = path.read_bytes()
        except FileNotFoundError:
            key = cls.generate()
            write_file(path, key._private_pem())
            return key
        except OSError as error:
            raise KeyFileUnusable(f"cannot read the key file {path}: {error.strerror}") from None
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, rsa.RSAPrivateKey) or private.key_size != KEY_BITS:
            raise KeyFileUnusable(f"{path} is not an RSA private key of {KEY_BITS} bits")
        return cls(private)

    def _private_pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    @property
    def public_pem(self) -> str:
        """The public key as PKCS#1 PEM: what ``telethon.crypto.rsa.add_key`` takes."""
        return (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
            .decode()
        )

    @property
    def fingerprint(self) -> int:
        """By what clients choose among their keys: the last 64 bits of the SHA1 of the serialised key.

        Source: https://core.telegram.org/mtproto/auth_key
        """
        public = self.private.public_key().public_numbers()
        serialised = b"".join(TLObject.serialize_bytes(_minimal(number)) for number in (public.n, public.e))
        return int.from_bytes(sha1(serialised, usedforsecurity=False).digest()[-8:], "little", signed=True)

    def decrypt(self, block: bytes) -> bytes:
        """Undo the client's raw RSA; returns the 256 bytes that it encrypted."""
        numbers = self.private.private_numbers()
        cipher = int.from_bytes(block, "big")
        # Chinese remainder theorem: three times faster than one power with the whole exponent.
        of_p = pow(cipher % numbers.p, numbers.dmp1, numbers.p)
        of_q = pow(cipher % numbers.q, numbers.dmq1, numbers.q)
        plain = of_q + (numbers.iqmp * (of_p - of_q)) % numbers.p * numbers.q
        return plain.to_bytes(KEY_BITS // 8, "big")


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, readable by its owner only.

    Raises:
        KeyFileUnusable: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KeyFileUnusable(f"cannot write the key file {path}: {error.strerror}") from None


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
