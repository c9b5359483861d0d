"""A sandbox as a program of its own: it says in one line where it is, and serves until it is stopped."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.opening import open_sandbox
from tgworker.sandbox.sandbox import Sandbox
from tgworker.sandbox.server_key import write_file
from tgworker.sandbox.values import SandboxBot, SandboxUser

MAX_USERS = 10_000


class Announcement(msgspec.Struct, frozen=True):
    """The line that a sandbox begins with.

    Attributes:
        server: ``host:port`` for clients.
        key_file: The server's public RSA key, PKCS#1 PEM.
        dc: The data centre that it claims to be.
        control: ``host:port`` of the control connection.
        dcs: ``host:port`` of each of its data centres, by number.
        users: Its users, each with a session that is logged in, and what he would log in with.
        bots: Its bots, each with its token and a session.
    """

    server: str
    key_file: str
    dc: int
    control: str | None
    dcs: dict[int, str]
    users: tuple[SandboxUser, ...]
    bots: tuple[SandboxBot, ...] = ()


async def run_sandbox(
    *,
    users: int,
    two_step: int = 0,
    bots: int = 0,
    port: int,
    control_port: int,
    emit: Callable[[str], None],
    key_file: Path,
    more_dcs: Sequence[int] = (),
    behaviour: Behaviour | None = None,
) -> None:
    """Open a sandbox, announce it, and serve until it is cancelled or told to ``stop``.

    Args:
        users: How many users it begins with.
        two_step: How many of them, the first ones, have a two-step password.
        bots: How many bots there are besides.
        port: Where it listens; 0: anywhere.
        control_port: Where its control connection listens; 0: anywhere.
        emit: Gets one line of JSON, an `Announcement`, once the sandbox can be used.
        key_file: Where the server's public key is written.
        more_dcs: Further data centres, each on a port of its own.
        behaviour: The switches to begin with.

    Raises:
        PortTaken: Another program listens there.
        SandboxError: It cannot be opened for another reason; the text says what to do.

    Cancellation: connections and ports are closed at once; the key file stays.
    """
    if not 1 <= users <= MAX_USERS:
        raise SandboxError(f"--users must be between 1 and {MAX_USERS}, not {users}")
    if not 0 <= two_step <= users:
        raise SandboxError(f"--two-step must be between 0 and --users ({users}), not {two_step}")
    if not 0 <= bots <= MAX_USERS:
        raise SandboxError(f"--bots must be between 0 and {MAX_USERS}, not {bots}")
    async with open_sandbox(
        users, port=port, control_port=control_port, more_dcs=more_dcs, behaviour=behaviour
    ) as sandbox:
        for user in sandbox.users[:two_step]:
            sandbox.set_password(user.id, f"open sesame {user.id}", hint="open what?")
        for _ in range(bots):
            sandbox.add_bot()
        write_file(key_file, sandbox.public_key_pem.encode())
        emit(announcement(sandbox, key_file))
        await sandbox.stopped.wait()


def announcement(sandbox: Sandbox, key_file: Path) -> str:
    """Where a sandbox is, as one line of JSON: an `Announcement`."""
    facts = Announcement(
        sandbox.server,
        str(key_file.absolute()),
        sandbox.dc,
        sandbox.control,
        sandbox.dcs,
        sandbox.users,
        sandbox.bots,
    )
    return msgspec.json.encode(facts).decode()
