"""The control connection: faults and parts, switched over HTTP by whoever runs beside the stack.

========================================  ==================================================================
``GET /parts``                            ``{name: {"alive": …}}``
``POST /parts/NAME/kill``                 SIGKILL, and wait until it is gone
``POST /parts/NAME/freeze``, ``/thaw``    SIGSTOP, SIGCONT
``POST /parts/NAME/restart``              start it again, and wait until it is ready
``GET /faults``                           ``[{"id", "hits", "action", "path", …}, …]``
``POST /faults``                          set the `tgworker.devstack.Fault` in the body: ``{"fault": id}``
``DELETE /faults``, ``/faults/ID``        clear all, or one: ``{"cleared": how many}``
``POST /stop``                            end the stack
========================================  ==================================================================

NAME is ``postgresql``, ``postgrest`` or ``gateway``. What cannot be done is answered with 4xx and
``{"message": why}``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import h11
import msgspec
import trio

from tgworker.devstack.errors import DevStackError
from tgworker.devstack.exchange import Cut, Exchange, Refused, Request, reply
from tgworker.devstack.faults import Fault, Faults


class Part(Protocol):
    """Something that can be broken, and mended."""

    def is_alive(self) -> bool:
        """Whether it runs."""
        ...

    async def kill(self) -> None:
        """End it without warning."""
        ...

    def freeze(self) -> None:
        """Stop it where it is."""
        ...

    def thaw(self) -> None:
        """Let it go on."""
        ...

    async def restart(self) -> None:
        """Start it again, and wait until it is ready."""
        ...


@dataclass(frozen=True, slots=True)
class Control:
    """What is controlled.

    Attributes:
        parts: By name.
        faults: The gateway's.
        stop: Ends it all.
    """

    parts: Mapping[str, Part]
    faults: Faults
    stop: Callable[[], None]

    async def obey(self, request: Request) -> object:
        """Carry out a command; returns its result.

        Raises:
            Refused: It cannot be done.
        """
        if request.header("origin"):
            # Any page in a browser on this machine could send commands otherwise; it says where it is from.
            raise Refused(403, {"message": "not for pages in a browser"})
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "parts"]:
                return {name: {"alive": part.is_alive()} for name, part in self.parts.items()}
            case ["POST", "parts", name, verb]:
                return await self._turn(name, verb)
            case ["GET", "faults"]:
                listing = self.faults.listing()
                return [{"id": each.id, "hits": each.hits, **asdict(each.fault)} for each in listing]
            case ["POST", "faults"]:
                return {"fault": self.faults.set(_fault(await request.read(65536)))}
            case ["DELETE", "faults"]:
                return {"cleared": self.faults.clear()}
            case ["DELETE", "faults", number] if number.isdecimal():
                return {"cleared": self.faults.clear(int(number))}
            case ["POST", "stop"]:
                return {}
            case _:
                raise Refused(404, {"message": f"no command is called {request.method} {request.path}"})

    async def _turn(self, name: str, verb: str) -> object:
        part = self.parts.get(name)
        if part is None:
            raise Refused(404, {"message": f"no part is called {name}: there are {', '.join(self.parts)}"})
        try:
            match verb:
                case "kill":
                    await part.kill()
                case "freeze":
                    part.freeze()
                case "thaw":
                    part.thaw()
                case "restart":
                    await part.restart()
                case _:
                    raise Refused(404, {"message": f"{verb} is none of kill, freeze, thaw, restart"})
        except DevStackError as error:
            raise Refused(409, {"message": str(error)}) from None
        return {"alive": part.is_alive()}


def _fault(text: bytes) -> Fault:
    try:
        return msgspec.json.decode(text, type=Fault)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Refused(400, {"message": " ".join(str(error).split())}) from None


async def serve_controller(
    control: Control, gate: Callable[[], Awaitable[None]], stream: trio.SocketStream
) -> None:
    """Carry out what comes over one control connection, until it ends.

    Args:
        control: What is controlled.
        gate: Awaited before each byte that goes in or out.
        stream: The connection; it is closed when this returns.

    Cancellation: a command may be carried out by half: a part may be down.
    """
    exchange = Exchange(stream, gate)
    async with stream:
        try:
            while (request := await exchange.next_request()) is not None:
                try:
                    await reply(exchange, 200, await control.obey(request))
                    if (request.method, request.path) == ("POST", "/stop"):
                        control.stop()
                except Refused as refusal:
                    await reply(exchange, refusal.status, refusal.value)
        except h11.RemoteProtocolError:
            await exchange.complain()
        except (Cut, trio.BrokenResourceError, trio.ClosedResourceError):
            return  # whoever controlled us is gone
