"""The demo's story: traffic both ways from start to end, faults on the way, the count at the end."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from tgworker.cli.demo.figures import Figures, Span, longest_gap, percentile, untouched
from tgworker.cli.demo.parcels import Delivery
from tgworker.cli.demo.stage import Actor, Stage
from tgworker.cli.demo.view import LiveView, PlainView, Scene
from tgworker.cli.demo.watch import Happening
from tgworker.devstack import DevStackError
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import AccountChanged, HeartbeatWritten, StoreBack
from tgworker.messaging.models import AccountState
from tgworker.sandbox import SandboxUser
from tgworker.supervision import ChildReady

GIVE_EVERY_S = 0.05
"""On average, each way."""

CALM_S = 3.0
BLACK_HOLE_S = 4.0
REST_AWAY_S = 3.0
EXCHANGES = 2
"""Of files: out and in."""
ACT_WITHIN_S = 15.0
"""Files one way, an edit, a history: they need about a second."""
RECOVER_WITHIN_S = 15.0
"""A fault that is not cured within this time counts as not recovered."""
FINISH_WITHIN_S = 20.0
"""What is on its way at the end has this long to arrive."""


class Story:
    """Tells the story on a stage, and keeps what the figures need.

    Args:
        stage: The worker, the sandbox and the traffic between them.
        view: Where it is told.
        scene: What the live view draws.
        rng: Chooses who writes to whom.
    """

    def __init__(self, stage: Stage, view: PlainView | LiveView, scene: Scene, rng: random.Random) -> None:
        self._stage = stage
        self._view = view
        self._scene = scene
        self._rng = rng
        self._faults: list[Span] = []
        self._hangs = self._hangs_cured = 0
        self._crashes = self._crashes_cured = 0
        self._outages = self._outages_cured = 0
        self._five_s: float | None = None
        self._exchanged = self._edits = self._reactions = self._histories = self._presences = 0

    async def tell(self) -> Figures:
        """Tell it from start to end; returns what was found."""
        started_at = trio.current_time()
        await self._online()
        await self._five_messages()
        await self._files()
        await self._company()
        async with self._traffic():
            await self._calm("messages both ways over several chats")
            self._hangs += 1
            self._hangs_cured += await self._fault("the outbound loop hangs in an endless sleep", self._hang)
            self._crashes += 1
            self._crashes_cured += await self._fault("an account's child crashes", self._crash)
            self._outages += 1
            self._outages_cured += await self._fault(
                f"the network is a black hole for {BLACK_HOLE_S:g} s", self._black_hole
            )
            if self._stage.has_rest:
                self._outages += 1
                self._outages_cured += await self._fault(
                    f"PostgREST is killed, and comes back after {REST_AWAY_S:g} s", self._rest_dies
                )
            await self._calm("all is well again")
        return await self._count(started_at)

    # ---------------------------------------------------------------- acts

    async def _online(self) -> None:
        self._act("two accounts log in")
        for account in self._stage.accounts:
            online = await self._becomes(account, AccountState.ONLINE, since=0)
            self._view.tell(f"{account.name}: {'online' if online else 'NOT online'}")

    async def _five_messages(self) -> None:
        self._act("the plan's five messages in a row")
        account, partner = self._stage.accounts[0], self._stage.partners[0]
        started_at = trio.current_time()
        ids = [await self._stage.give_outbound(account, partner) for _ in range(5)]
        if await self._stage.wait_sent(ids, within_s=10):
            self._five_s = trio.current_time() - started_at
            self._view.tell(f"five messages are with Telegram after {self._five_s * 1000:.0f} ms")
        else:
            self._view.tell("five messages were NOT sent within 10 s")

    async def _files(self) -> None:
        self._act("files both ways: a photo, a voice note, an album of three")
        courier = self._stage.courier
        # (At the end they are counted once more: what comes again then is seen, too.)
        self._exchanged += await self._in_time("sent", courier.send_all)
        self._exchanged += await self._in_time("received", courier.receive_all)

    async def _company(self) -> None:
        self._act("an edit, a reaction, a history sync, presence")
        companion = self._stage.companion
        self._edits += await self._in_time("edited", companion.edit)
        self._reactions += await self._in_time("reacted to", companion.react)
        self._histories += await self._in_time("synced", companion.sync)
        self._presences += await self._in_time("seen", companion.appear)

    async def _in_time(self, done: str, act: Callable[[], Awaitable[str]]) -> bool:
        """Wait until an act is done; returns whether it was."""
        started_at = trio.current_time()
        why = f"not within {ACT_WITHIN_S:g} s"
        with trio.move_on_after(ACT_WITHIN_S):
            try:
                said = await act()
            except StoreAway as away:
                why = str(away)
            else:
                self._view.tell(f"{done} after {trio.current_time() - started_at:.1f} s: {said}")
                return True
        self._view.tell(f"NOT {done}: {why}")
        return False

    async def _calm(self, title: str) -> None:
        self._act(title)
        await trio.sleep(CALM_S)
        sends = len(self._stage.answered_at_s())
        self._view.tell(f"{self._stage.given} messages given so far, {sends} sends acknowledged")

    async def _hang(self) -> bool:
        since = len(self._stage.watch.notes)
        self._stage.hang("outbound")
        return await self._replaced("outbound", since)

    async def _crash(self) -> bool:
        since = len(self._stage.watch.notes)
        account = self._stage.accounts[0]
        self._stage.crash(account)
        return await self._becomes(account, AccountState.ONLINE, since=since)

    async def _black_hole(self) -> bool:
        since = len(self._stage.watch.notes)
        with self._stage.black_hole():
            await trio.sleep(BLACK_HOLE_S)
        for account in self._stage.accounts:
            if not await self._becomes(account, AccountState.RECONNECTING, since=since):
                return False
        return await self._stage.wait_online(within_s=RECOVER_WITHIN_S)

    async def _rest_dies(self) -> bool:
        since = len(self._stage.watch.notes)
        try:
            async with self._stage.without_rest():
                await trio.sleep(REST_AWAY_S)
        except DevStackError as error:
            self._view.tell(str(error))
            return False

        def back(event: Happening) -> bool:
            return isinstance(event, StoreBack) and event.operation == "outbound"

        if not await self._stage.watch.wait_for(back, since=since, within_s=RECOVER_WITHIN_S):
            return False
        since = len(self._stage.watch.notes)
        return await self._stage.watch.wait_for(
            lambda event: isinstance(event, HeartbeatWritten), since=since, within_s=RECOVER_WITHIN_S
        )

    # ---------------------------------------------------------------- parts of acts

    async def _fault(self, title: str, inject: Callable[[], Awaitable[bool]]) -> bool:
        """Inject a fault; it is cured when what broke is back and a message given afterwards has left."""
        self._act(title)
        started_at = trio.current_time()
        cured = await inject()
        if cured:
            account, partner = self._stage.accounts[0], self._stage.partners[-1]
            proof = await self._stage.give_outbound(account, partner)
            cured = await self._stage.wait_sent([proof], within_s=RECOVER_WITHIN_S)
        ended_at = trio.current_time()
        self._faults.append(Span(started_at, ended_at))
        took_s = ended_at - started_at
        self._view.tell(f"recovered after {took_s:.1f} s" if cured else f"NOT recovered after {took_s:.1f} s")
        return cured

    async def _becomes(self, account: Actor, state: AccountState, *, since: int) -> bool:
        def wanted(event: Happening) -> bool:
            return isinstance(event, AccountChanged) and event.account == account.id and event.state is state

        return await self._stage.watch.wait_for(wanted, since=since, within_s=RECOVER_WITHIN_S)

    async def _replaced(self, child: str, since: int) -> bool:
        def again(event: Happening) -> bool:
            return isinstance(event, ChildReady) and event.path.endswith(f".{child}")

        return await self._stage.watch.wait_for(again, since=since, within_s=RECOVER_WITHIN_S)

    @asynccontextmanager
    async def _traffic(self) -> AsyncGenerator[None]:
        """Both ways, each by itself: where one cannot write the other still does."""
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            for give in (self._give_outbound, self._give_inbound):
                nursery.start_soon(self._keep_giving, give, random.Random(self._rng.getrandbits(64)), over)
            yield
            # Not by cancelling: what is being given is either given or not.
            over.set()

    async def _keep_giving(
        self, give: Callable[[Actor, SandboxUser], Awaitable[object]], rng: random.Random, over: trio.Event
    ) -> None:
        while not over.is_set():
            await give(rng.choice(self._stage.accounts), rng.choice(self._stage.partners))
            with trio.move_on_after(rng.uniform(0, 2 * GIVE_EVERY_S)):
                await over.wait()

    async def _give_outbound(self, account: Actor, partner: SandboxUser) -> None:
        await self._stage.give_outbound(account, partner)

    async def _give_inbound(self, account: Actor, partner: SandboxUser) -> None:
        self._stage.give_inbound(account, partner)

    async def _count(self, started_at: float) -> Figures:
        self._act("counting on both sides")
        await self._stage.wait_all_arrived(within_s=FINISH_WITHIN_S)
        out, inn = await self._stage.counts()
        both = out + inn
        sent = self._stage.courier.delivered()
        try:
            kept = await self._stage.courier.kept()
        except StoreAway as away:
            self._view.tell(f"the files cannot be counted: {away}")
            self._exchanged, kept = 0, Delivery()
        files = sent.clean and kept.clean and self._exchanged == EXCHANGES
        company = self._edits == self._reactions == self._histories == self._presences == 1
        notes = self._stage.watch.notes
        beats = [noted.at_s for noted in notes if isinstance(noted.event, HeartbeatWritten)]
        calm_s = untouched(self._stage.sends(), self._faults)
        cured = (
            self._hangs == self._hangs_cured
            and self._crashes == self._crashes_cured
            and self._outages == self._outages_cured
        )
        return Figures(
            ok=both.clean and files and company and cured and self._five_s is not None,
            sent=out.arrived,
            received=inn.arrived,
            lost=both.lost,
            duplicated=both.duplicated,
            out_of_order=both.out_of_order,
            unexpected=both.unexpected,
            files_sent=sent.whole,
            files_received=kept.whole,
            files_wrong=sent.wrong + kept.wrong,
            edits=self._edits,
            reactions=self._reactions,
            histories=self._histories,
            presences=self._presences,
            five_messages_s=_rounded(self._five_s),
            send_p50_ms=_milliseconds(percentile(calm_s, 0.5)),
            send_p99_ms=_milliseconds(percentile(calm_s, 0.99)),
            hangs_injected=self._hangs,
            hangs_recovered=self._hangs_cured,
            crashes_injected=self._crashes,
            crashes_recovered=self._crashes_cured,
            outages_injected=self._outages,
            outages_recovered=self._outages_cured,
            heartbeats=len(beats),
            heartbeat_max_gap_s=_rounded(longest_gap(beats)),
            seconds=round(trio.current_time() - started_at, 2),
        )

    def _act(self, title: str) -> None:
        self._scene.act = title
        self._view.tell(f"-- {title}")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
