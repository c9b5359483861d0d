"""The control connection's client side, as far as commands go out and answers come in."""

from typing import TypeVar

import msgspec
import trio

from tgworker.sandbox.control_messages import Answer, AnyCommand
from tgworker.sandbox.errors import ControlLost, ControlRefused
from tgworker.sandbox.lines import LineReader, LineTooLong

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 * 1024 * 1024


class ControlLine:
    """A connection over which one command after the other is asked.

    Args:
        stream: The connection.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._lines = LineReader(stream, MAX_ANSWER_BYTES)
        self._lock = trio.Lock()
        self._last_id = 0
        self._torn = False

    async def _ask(self, command: AnyCommand, result_type: type[T]) -> T:
        async with self._lock:
            self._last_id += 1
            answer = await self._exchange(msgspec.structs.replace(command, id=self._last_id))
        if not answer.ok:
            raise ControlRefused(str(answer.error))
        return msgspec.json.decode(answer.result or b"null", type=result_type)

    async def _exchange(self, command: AnyCommand) -> Answer:
        if self._torn:
            raise ControlLost("an earlier command was cut off in the middle")
        # After this a short line is either sent as a whole or, if the kernel's buffer is full, torn.
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._torn = True
            await self._stream.send_all(msgspec.json.encode(command) + b"\n")
            self._torn = False
            while True:
                line = await self._lines.read()
                if line is None or isinstance(line, LineTooLong):
                    raise ControlLost("the sandbox closed its control connection")
                answer = msgspec.json.decode(line, type=Answer)
                if answer.id == command.id:  # others belong to calls that were cancelled
                    return answer
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ControlLost("the sandbox is gone") from None
