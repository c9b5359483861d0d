"""A running worker's answers over a Unix socket in its data folder, and the client that asks.

One question for each connection: a line ``{"command": "status"}``, answered by a line
``{"ok": true, "answer": {…}}`` or ``{"ok": false, "error": "…"}``. The socket has mode 0600: whoever may read
the data folder's secrets may ask.
"""

import errno
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import trio

from tgworker.operations.lines import LineTooLong, receive_line

SOCKET_NAME: Final = "status.sock"
LONGEST_ADDRESS_BYTES: Final = 103
"""What ``sockaddr_un`` takes everywhere: 107 bytes on Linux, 103 on macOS, and a NUL."""
LONGEST_QUESTION_BYTES: Final = 1024
LONGEST_ANSWER_BYTES: Final = 16 * 1024 * 1024

Answer = Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""Gives what can be written as JSON, now or soon; what JSON does not know becomes text. Must not block."""


class StatusUnavailable(Exception):
    """The status socket cannot be served, or will not answer; the message says why, and what to do."""


async def serve_status(
    answers: Mapping[str, Answer],
    *,
    data_dir: Path,
    client_within_s: float = 2,
    most_clients: int = 16,
    task_status: trio.TaskStatus[Path] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer questions until cancelled; the socket file is removed on the way out.

    A socket file that a killed worker left behind is replaced; one on which somebody answers is not.

    Args:
        answers: What may be asked, by command.
        data_dir: The folder of the socket; it must exist.
        client_within_s: A client that has not asked and taken its answer by then is hung up on.
        most_clients: How many are served at a time; those beyond are told so at once.
        task_status: Started with the socket's path once it listens.

    Raises:
        StatusUnavailable: If another worker answers there, or the folder cannot hold a socket.
    """
    clients = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal clients
        clients += 1
        try:
            with trio.move_on_after(client_within_s):
                async with stream:
                    await _serve_one(stream, answers, busy=clients > most_clients)
        except trio.BrokenResourceError:
            pass  # the client went away
        finally:
            clients -= 1

    path = data_dir / SOCKET_NAME
    listening = _listen(path)
    inode = _inode(path)
    try:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        task_status.started(path)
        await trio.serve_listeners(serve, [listener])
    finally:
        listening.close()
        if _inode(path) == inode:
            path.unlink(missing_ok=True)


async def ask(data_dir: Path, command: str, *, within_s: float = 2) -> dict[str, Any] | None:
    """Ask the worker of a data folder.

    Args:
        data_dir: The worker's data folder.
        command: What to ask: ``status``, ``stacks`` or ``sync``.
        within_s: How long to wait for the answer.

    Returns:
        The answer, or ``None`` where nobody answers in time.

    Raises:
        StatusUnavailable: If the worker does not know the command or has no time, or if its socket belongs to
            another user.
    """
    reply = None
    with trio.move_on_after(within_s):
        reply = await _exchange(data_dir / SOCKET_NAME, {"command": command})
    match reply:
        case {"ok": True, "answer": dict(answer)}:
            return cast("dict[str, Any]", answer)
        case {"ok": False, "error": str(error)}:
            raise StatusUnavailable(error)
        case _:
            return None


async def _serve_one(stream: trio.SocketStream, answers: Mapping[str, Answer], *, busy: bool) -> None:
    try:
        line = await receive_line(stream, LONGEST_QUESTION_BYTES)
    except LineTooLong:
        line = b""
    reply: dict[str, object]
    match _parsed(line):
        case _ if busy:
            reply = {"ok": False, "error": "the worker answers too many others just now: ask again"}
        case {"command": str(command)} if command in answers:
            answer = answers[command]()
            reply = {"ok": True, "answer": await answer if isinstance(answer, Awaitable) else answer}
        case {"command": str(command)}:
            known = ", ".join(sorted(answers))
            reply = {
                "ok": False,
                "error": f"the worker does not know {command[:40]!r}: ask for one of {known}",
            }
        case _:
            reply = {"ok": False, "error": 'a question is one line of JSON: {"command": "status"}'}
    await stream.send_all(json.dumps(reply, default=str).encode() + b"\n")


async def _exchange(path: Path, question: Mapping[str, str]) -> object:
    """The reply, or ``None`` where there is nobody or who is there hangs up."""
    try:
        with _address(path) as address:
            stream = await trio.open_unix_socket(address)
        async with stream:
            await stream.send_all(json.dumps(question).encode() + b"\n")
            return _parsed(await receive_line(stream, LONGEST_ANSWER_BYTES))
    except PermissionError:
        raise StatusUnavailable(f"{path} belongs to another user: ask as the worker's own user") from None
    except (OSError, trio.BrokenResourceError, LineTooLong):
        return None


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        with suppress(OSError):  # Linux: the file is born with it; macOS refuses, and has it a moment later
            os.fchmod(listening.fileno(), 0o600)
        with _address(path) as address:
            listening.bind(address)
        path.chmod(0o600)
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise StatusUnavailable(
            f"{path} cannot be made ({error.strerror or error}): "
            "make TGWORKER_DATA_DIR a folder that this user may write to"
        ) from error
    except BaseException:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a worker that is no more.

    Raises:
        StatusUnavailable: If a worker lives there, or the file is none of ours.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StatusUnavailable(f"{path} is not a socket: move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _address(path) as address:
        probe.setblocking(False)
        error = probe.connect_ex(address)
    if error in {0, errno.EAGAIN}:  # EAGAIN: somebody lives there, with a full backlog
        raise StatusUnavailable(
            f"another worker answers on {path}: stop it, or give this one its own TGWORKER_DATA_DIR"
        )
    path.unlink(missing_ok=True)


@contextmanager
def _address(path: Path) -> Generator[str]:
    """The path in a form that fits into a socket address: through /proc where it is too long."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        through_proc = f"/proc/self/fd/{folder}"
        if not Path(through_proc).exists():
            raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket: give a shorter one")
        yield f"{through_proc}/{path.name}"
    finally:
        os.close(folder)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
