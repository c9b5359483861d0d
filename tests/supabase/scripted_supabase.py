"""A project behind a scripted HTTP server.

What is tested with it is the worker and its clock. That the functions keep their promises is what the
contract tests say of the real ones.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import httpx
import msgspec
import trio

from supabase.scripted_functions import ScriptedFunctions
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.errors import StoreRefused
from tgworker.supabase import Rest

Weather = Literal["fair", "unreachable", "unavailable", "hanging", "deaf"]
"""``deaf``: what is asked is done, and never answered."""

T = TypeVar("T")


class ScriptedSupabase:
    """Answers what the worker asks; `weather` says how.

    A function that is not in the script, an argument that it does not know, or an answer that the worker
    cannot read is a fault of the script, which a worker would heal for ever: `wait_broken` raises it.

    Args:
        store: What keeps it all.
    """

    def __init__(self, store: EmbeddedStore) -> None:
        self.weather: Weather = "fair"
        self.asked: Counter[str] = Counter()
        self.functions = ScriptedFunctions(store)
        self._fault: Exception | None = None
        self._broke = trio.Event()

    @property
    def transport(self) -> httpx.MockTransport:
        """What httpx takes for the network."""
        return httpx.MockTransport(self._handle)

    def ring(self) -> None:
        """The application has written something."""
        self.functions.ring()

    def breaks(self, fault: Exception) -> None:
        """The script does not fit what the worker asks."""
        self._fault = self._fault or fault
        self._broke.set()

    async def wait_broken(self) -> None:
        """Never returns; raises what is wrong with the script."""
        await self._broke.wait()
        raise AssertionError("the scripted project does not fit the worker") from self._fault

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        function = request.url.path.rpartition("/")[2]
        self.asked[function] += 1
        match self.weather:
            case "unreachable":
                raise httpx.ConnectError("no route", request=request)
            case "unavailable":
                return httpx.Response(503, json={"code": "PGRST000"}, headers={"Retry-After": "600"})
            case "hanging":
                await trio.sleep_forever()
            case "deaf":
                await self._answer(function, request)
                await trio.sleep_forever()
            case "fair":
                pass
        return httpx.Response(200, content=msgspec.json.encode(await self._answer(function, request)))

    async def _answer(self, function: str, request: httpx.Request) -> object:
        arguments: dict[str, Any] = json.loads(await request.aread())
        try:
            return await self.functions.call(function, arguments)
        except Exception as fault:
            self.breaks(fault)
            raise


class ScriptedRest(Rest):
    """The way to a scripted project; tells it of answers that cannot be read. Arguments: as `Rest`."""

    def __init__(self, project: ScriptedSupabase, *args: Any, **more: Any) -> None:
        super().__init__(*args, transport=project.transport, **more)
        self._project = project

    async def call(self, function: str, arguments: Mapping[str, Any], answer: type[T]) -> T:
        """As `Rest.call`."""
        try:
            return await super().call(function, arguments, answer)
        except StoreRefused as refusal:
            self._project.breaks(refusal)
            raise
