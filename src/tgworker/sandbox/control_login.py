"""The part of the control connection's language that is about logging in, and what only a login may do."""

from typing import TYPE_CHECKING, Any, assert_never

from tgworker.sandbox.control_command import Command

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox


class SetPassword(Command, tag="set_password"):
    """Give a user a two-step password; ``null``: none. Result: ``{}``."""

    user: int
    password: str | None
    hint: str = ""


class Scan(Command, tag="scan"):
    """Let a user scan a QR code, ``tg://login?token=…``. Result: ``{}``."""

    user: int
    url: str


class AllowTakeout(Command, tag="allow_takeout"):
    """Let a user's exports wait no more, as he does on another device. Result: ``{"allowed": how many}``."""

    user: int


class ReadTakeouts(Command, tag="takeouts"):
    """A user's takeout sessions, oldest first.

    Result: ``{"takeouts": [{"parts", "file_max_size", "state", "requests"}, …]}``.
    """

    user: int


class CountLogins(Command, tag="logins"):
    """How many keys are logged in as a user, half-finished logins included. Result: ``{"logins"}``."""

    user: int


class AddBot(Command, tag="add_bot"):
    """A new bot. Result: ``{"id", "username", "token", "session"}``."""


class RenewToken(Command, tag="renew_token"):
    """Give a bot another token; its sessions are ended. Result: ``{"token"}``."""

    bot: int


LoginCommand = SetPassword | Scan | AllowTakeout | ReadTakeouts | CountLogins | AddBot | RenewToken


def obey_login_command(sandbox: "Sandbox", command: LoginCommand) -> Any:
    """Carry out a command about logging in.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case SetPassword():
            sandbox.set_password(command.user, command.password, hint=command.hint)
            return {}
        case Scan():
            sandbox.scan(command.user, command.url)
            return {}
        case AllowTakeout():
            return {"allowed": sandbox.allow_takeout(command.user)}
        case ReadTakeouts():
            return {"takeouts": sandbox.takeouts(command.user)}
        case CountLogins():
            return {"logins": sandbox.logins(command.user)}
        case AddBot():
            return sandbox.add_bot()
        case RenewToken():
            return {"token": sandbox.renew_token(command.bot)}
        case _:
            assert_never(command)
