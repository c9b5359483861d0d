"""What goes wrong in the sandbox, and what to do about it.

::

    SandboxError
     +- PortTaken            another program listens there
     +- KeyFileUnusable      the key file is not a key, or cannot be written
     +- UnknownUser          no such user
     +- UnknownPeer          no such group or channel, or not for this user
     +- ControlRefused       the control connection answered with an error
     +- ControlLost          the control connection ended
    RequestRefused           an answer to a client: Telegram's ``rpc_error``
    LineBroken               a client broke the protocol or went away: ends its connection, nothing else
    Unreadable               bytes that are no TL object
"""


class SandboxError(Exception):
    """Something that whoever runs the sandbox can put right; the text is one line."""


class PortTaken(SandboxError):
    """Another program listens on the port. Remedy: another port, or 0 for any.

    Args:
        port: The port.
        option: The option that sets it, for the message.
    """

    def __init__(self, port: int, option: str) -> None:
        super().__init__(f"port {port} on 127.0.0.1 is taken: choose another with {option}, or 0 for any")
        self.port = port


class KeyFileUnusable(SandboxError):
    """A key file that cannot be read, written or understood. Remedy: remove it, or name another."""


class UnknownUser(SandboxError):
    """No user has this id. Remedy: one of the ids in ``users``.

    Args:
        user_id: The id that was asked for.
    """

    def __init__(self, user_id: int) -> None:
        super().__init__(f"the sandbox has no user {user_id}")
        self.user_id = user_id


class UnknownPeer(SandboxError):
    """No group or channel has this id. Remedy: the ``peer`` that the sandbox named when it was made.

    Args:
        peer: The marked id that was asked for.
    """

    def __init__(self, peer: int) -> None:
        super().__init__(f"the sandbox has no group or channel {peer}")
        self.peer = peer


class ControlRefused(SandboxError):
    """The sandbox did not do what it was told over the control connection; the text says why."""


class ControlLost(SandboxError):
    """The control connection ended. Remedy: see whether the sandbox still runs."""


class RequestRefused(Exception):
    """A request is answered with an error, as Telegram would.

    Args:
        code: Telegram's error code: 400, 401, 406, 420, 500…
        message: Telegram's error name, ``PEER_ID_INVALID`` for example.

    Source: https://core.telegram.org/api/errors
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class LineBroken(Exception):
    """A client's connection is over: it went away, or what it sent is not MTProto."""


class Unreadable(Exception):
    """Bytes from a client that are no TL object of a known type."""
