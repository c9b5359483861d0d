"""What Telegram would refuse, told to whoever asks for it from outside of a client."""

from collections.abc import Generator
from contextlib import contextmanager

from tgworker.sandbox.errors import RequestRefused, SandboxError


@contextmanager
def allowed() -> Generator[None]:
    """Turn a refusal in here into a `SandboxError`."""
    try:
        yield
    except RequestRefused as refusal:
        raise SandboxError(f"Telegram would refuse that: {refusal.message}") from None
