"""A Telegram that accepts each random id once, loses some answers, and notes every broken promise."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random

import trio

from file_fakes import NoFiles
from job_fakes import ScriptedJobs
from tgworker.messaging.formatted import Entity
from tgworker.messaging.hearing import Heard, Told
from tgworker.messaging.models import ChatList, HistoryPage, Look, Met, Peer, Position
from tgworker.messaging.outcomes import Deferred, Outcome, Sent, Unknown
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import UpdateBatch

LOST_ANSWERS = 0.02
LOST_SENDS = 0.01
FLOODS = 0.01


@dataclass
class Judge:
    """What arrived, in the order in which it did; texts are numbers, given in their order."""

    rng: Random
    texts: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, int] = field(default_factory=dict[str, int])
    violations: list[str] = field(default_factory=list[str])
    repeats: int = 0
    doubtful: int = 0
    _by_random_id: dict[int, int] = field(default_factory=dict[int, int])
    _flying: dict[int, str] = field(default_factory=dict[int, str])

    async def take(self, chat_id: int, text: str, random_id: int) -> Outcome:
        """One attempt. (A chat is one conversation here: never may two attempts of one fly at a time.)"""
        other = self._flying.setdefault(chat_id, text)
        if other != text:
            self.violations.append(f"{text} and {other} in flight in chat {chat_id} at a time")
        try:
            await trio.sleep(self.rng.uniform(0, 0.01))
            fate = self.rng.random()
            if fate < FLOODS:
                return Deferred(0.05, "FLOOD_WAIT")
            if fate < FLOODS + LOST_SENDS:
                self.doubtful += 1
                return Unknown("the request was lost")
            telegram_id = self._accept(chat_id, text, random_id)
            await trio.sleep(self.rng.uniform(0, 0.01))
            if fate > 1 - LOST_ANSWERS:
                self.doubtful += 1
                return Unknown("the answer was lost")
            return Sent(telegram_id)
        finally:
            if self._flying.get(chat_id) == text:
                del self._flying[chat_id]

    def _accept(self, chat_id: int, text: str, random_id: int) -> int:
        if random_id in self._by_random_id:
            self.repeats += 1
            return self._by_random_id[random_id]
        if text in self.ids:
            self.violations.append(f"{text} was sent twice, under two random ids")
        before = self.texts[chat_id]
        if before and before[-1] > text:
            self.violations.append(f"{text} came after {before[-1]} in chat {chat_id}")
        before.append(text)
        self._by_random_id[random_id] = self.ids[text] = len(self._by_random_id) + 1
        return self.ids[text]


class JudgedLine(NoFiles, ScriptedJobs):
    """Fills what senders ask of `tgworker.messaging.ports.Connection`."""

    def __init__(self, judge: Judge) -> None:
        ScriptedJobs.__init__(self)
        self._judge = judge

    @property
    def text_limit(self) -> int:
        return 4096

    @property
    def caption_limit(self) -> int:
        return 1024

    async def send_text(
        self, peer: Peer, text: str, *, random_id: int, entities: Sequence[Entity] = ()
    ) -> Outcome:
        return await self._judge.take(peer.chat_id, text, random_id)

    async def look_for(self, peer: Peer, text: str, *, above: int, entities: Sequence[Entity] = ()) -> Look:
        raise AssertionError(f"nothing is in doubt for so long, and {text} was looked for")

    async def history(
        self, peer: Peer, *, below: int, limit: int, ahead: int = 0, takeout: int | None = None
    ) -> HistoryPage:
        raise AssertionError(f"nobody asked for a history, and {peer.chat_id} was read")

    async def open_takeout(self) -> int:
        raise AssertionError("nobody asked for a whole account, and it was to be exported")

    async def close_takeout(self, takeout: int, *, success: bool) -> None:
        raise AssertionError(f"nothing is exported, and {takeout} was ended")

    async def chats(self, cursor: str | None, *, takeout: int | None = None) -> ChatList:
        raise AssertionError("nobody asked for a whole account, and its chats were listed")

    async def resolve(self, to: str) -> Peer:
        raise AssertionError(f"the peers are known, and {to} was asked for")

    async def meet(self, seen: int) -> Met:
        raise AssertionError("the peers are known, and the lists were read")

    async def connect(self, position: Position | None, peers: Sequence[Peer]) -> Peer:
        raise AssertionError("the line is made")

    async def ping(self) -> None:
        raise AssertionError("nobody asks this line")

    async def compare(self) -> Told:
        raise AssertionError("nobody asks whether this line is deaf")

    def heard(self) -> Heard:
        raise AssertionError("nobody asks what this line has heard")

    def catch_up(self, logs: Collection[int]) -> None:
        raise AssertionError(f"this line misses nothing, and {logs} were asked for")

    async def wait_lost(self) -> str:
        await trio.sleep_forever()
        raise AssertionError

    @property
    def updates(self) -> trio.MemoryReceiveChannel[UpdateBatch]:
        raise AssertionError("nothing arrives here")

    def hear_presence(self, hear: Callable[[Presence], None]) -> None:
        raise NotImplementedError

    @property
    def last_heard_at(self) -> float:
        return trio.current_time()
