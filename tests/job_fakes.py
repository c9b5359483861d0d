"""What a scripted line does with message jobs: it keeps what it was asked, and answers as it is told to."""

from collections import deque
from collections.abc import Sequence

import trio

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.job_outcomes import Done, JobAnswer
from tgworker.messaging.models import Peer


class ScriptedJobs:
    """Fills `tgworker.messaging.job_ports.JobConnection`: everything is done at once unless told otherwise.

    Attributes:
        asked_jobs: What it was asked: time, chat, and the request with its arguments.
        job_script: What becomes of the next requests; ``None`` hangs.
    """

    def __init__(self) -> None:
        self.asked_jobs: list[tuple[float, int, tuple[object, ...]]] = []
        self.job_script: deque[JobAnswer | Exception | None] = deque()

    async def edit(self, peer: Peer, telegram_id: int, text: FormattedText) -> JobAnswer:
        return await self._answer(peer, "edit", telegram_id, text.text)

    async def delete(self, peer: Peer, telegram_ids: Sequence[int], *, for_both: bool) -> JobAnswer:
        return await self._answer(peer, "delete", tuple(telegram_ids), for_both)

    async def mark_read(self, peer: Peer, *, up_to: int) -> JobAnswer:
        return await self._answer(peer, "mark_read", up_to)

    async def set_typing(self, peer: Peer) -> JobAnswer:
        return await self._answer(peer, "typing")

    async def react(self, peer: Peer, telegram_id: int, emoji: str | None) -> JobAnswer:
        return await self._answer(peer, "react", telegram_id, emoji)

    async def pin(
        self, peer: Peer, telegram_id: int, *, pinned: bool, notify: bool, for_both: bool
    ) -> JobAnswer:
        return await self._answer(peer, "pin", telegram_id, pinned, notify, for_both)

    async def forward(
        self, peer: Peer, telegram_ids: Sequence[int], to: Peer, random_ids: Sequence[int]
    ) -> JobAnswer:
        return await self._answer(peer, "forward", tuple(telegram_ids), to.chat_id, tuple(random_ids))

    async def _answer(self, peer: Peer, *request: object) -> JobAnswer:
        self.asked_jobs.append((trio.current_time(), peer.chat_id, request))
        answer = self.job_script.popleft() if self.job_script else Done()
        if answer is None:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer
