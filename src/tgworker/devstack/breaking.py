"""A request and its answer under a fault."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import assert_never

import trio

from tgworker.devstack.exchange import Answer, Cut, Exchange, Headers, Refused
from tgworker.devstack.faults import Fault

BY_FAULT = {"message": "a fault of the dev-stack's gateway"}


class _Lost:
    """An answer that nobody gets."""

    async def start(self, status: int, headers: Headers) -> None:
        del status, headers
        await trio.lowlevel.checkpoint()

    async def send(self, data: bytes) -> None:
        del data
        await trio.lowlevel.checkpoint()

    async def end(self) -> None:
        await trio.lowlevel.checkpoint()


class _Late:
    """An answer that comes later.

    Args:
        answer: Where it goes then.
        seconds: How much later.
    """

    def __init__(self, answer: Answer, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds

    async def start(self, status: int, headers: Headers) -> None:
        await trio.sleep(self._seconds)
        await self._answer.start(status, headers)

    async def send(self, data: bytes) -> None:
        await self._answer.send(data)

    async def end(self) -> None:
        await self._answer.end()


async def carry_out_under(
    fault: Fault | None, exchange: Exchange, carry_out: Callable[[Answer], Awaitable[None]]
) -> None:
    """Carry a request out, or not, and answer it, or not.

    Args:
        fault: What goes wrong.
        exchange: The client's connection.
        carry_out: Does what was asked for, and answers to where it is told.

    Raises:
        Refused: With the answer that the request gets instead.
        Cut: The connection is to be cut.

    Cancellation: as for ``carry_out``.
    """
    if fault is None:
        await carry_out(exchange)
        return
    match fault.action:
        case "delay":
            await trio.sleep(fault.seconds)
            await carry_out(exchange)
        case "delay_answer":
            try:
                await carry_out(_Late(exchange, fault.seconds))
            except Refused:
                await trio.sleep(fault.seconds)
                raise
        case "error":
            await exchange.receive_small()
            raise Refused(fault.status, BY_FAULT)
        case "cut":
            # A small request was sent as a whole then; of a large one there is some more to be sent.
            await exchange.receive_small()
            raise Cut
        case "cut_answer":
            exchange.halve_answer = True
            await carry_out(exchange)
        case "lose_answer":
            with suppress(Refused):
                await carry_out(_Lost())
            raise Cut
        case "blackhole":
            await exchange.swallow()
            raise Cut
        case "mute":
            with suppress(Refused):
                await carry_out(_Lost())
            await exchange.swallow()
            raise Cut
        case _:
            assert_never(fault.action)
