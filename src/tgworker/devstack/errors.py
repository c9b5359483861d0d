"""What goes wrong with a stack, and what to do about it.

::

    DevStackError
     +- BinaryMissing    PostgreSQL or PostgREST is not on this machine
     +- FetchFailed      a download did not work, or brought something else
     +- Unfit            this machine, user or folder cannot run a stack
     +- FolderInUse      another stack runs on the data folder
     +- PortTaken        another program listens there
     +- PartFailed       a part did not start, or ended by itself
     +- SqlFailed        PostgreSQL refused a file or a statement
"""


class DevStackError(Exception):
    """Something that whoever starts the stack can put right; the text is one line with the remedy."""


class BinaryMissing(DevStackError):
    """A program is not on this machine. Remedy: let it be fetched, or install it."""


class FetchFailed(DevStackError):
    """A download did not work, or brought something else. Remedy: install the program by other means."""


class Unfit(DevStackError):
    """This machine, this user or this folder cannot run a stack; the text says what else to take."""


class FolderInUse(DevStackError):
    """Another stack runs on the data folder. Remedy: stop it, or take another folder."""


class PortTaken(DevStackError):
    """Another program listens on the port. Remedy: another port, or 0 for any.

    Args:
        port: The port.
        option: The option that sets it, for the message.
    """

    def __init__(self, port: int, option: str) -> None:
        super().__init__(f"port {port} on 127.0.0.1 is taken: choose another with {option}, or 0 for any")
        self.port = port


class PartFailed(DevStackError):
    """A part did not start, or ended by itself; the text holds the last line of its log."""


class SqlFailed(DevStackError):
    """PostgreSQL refused a file or a statement; the text says where and why."""
