"""kill -9 at every step of what comes in, caught up or heard: nothing is lost, and nothing stored twice."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from crashes.ground import Ground
from crashes.steps import READ
from crashes.victims import Life

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

INGEST = "crashes.ingest_scenario:ingest"
TRIES = 3
"""A step that does not come again (tasks may run in another order) is asked for so often."""


Words = tuple[int, int, str]
"""Sender, recipient, text."""


class Scene:
    """An account, a person who writes to it, and a supergroup of both."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.me, self.peer = (user.id for user in ground.sandbox.users)
        self.room = ground.sandbox.rooms.create_channel(self.peer, [self.me], "Room").peer
        self.began: dict[int, int] = {}
        self.before: list[str] = []

    async def begin(self) -> None:
        """The account's first line; what was said before is none of its affair. Then the room is met."""
        await self.life()
        self.began = {chat: self._last_id(chat) for chat in (self.peer, self.room)}
        await self.life(live=self.words("the steps come every time"))

    def _last_id(self, chat: int) -> int:
        return max((line.id for line in self.ground.sandbox.chat(self.me, chat)), default=0)

    def words(self, text: str) -> list[Words]:
        """To the account, from its owner's phone, and into the room."""
        return [
            (self.peer, self.me, f"{text}, to me"),
            (self.me, self.peer, f"{text}, from my phone"),
            (self.peer, self.room, f"{text}, to all"),
        ]

    def say(self, text: str) -> None:
        """Say it while nobody listens."""
        for sender, recipient, words in self.words(text):
            self.ground.sandbox.send_text(sender, recipient, words)
            self.before.append(words)

    async def life(
        self,
        *,
        live: Sequence[Words] = (),
        catching_up: bool = False,
        die_before: str | None = None,
    ) -> Life:
        """One worker's life."""
        return await self.ground.victims.run(
            INGEST,
            die_before=die_before,
            control=self.ground.sandbox.control,
            before=self.before,
            live=list(live),
            catching_up=catching_up,
            **self.ground.arguments,
        )

    def agreed(self) -> None:
        """Both sides hold the same, in the same order, and what came in is unread."""
        rows = self.ground.rows("messages")
        identities = {str(row["id"]): row["value"] for row in self.ground.rows("contact_identities")}
        for chat, began in self.began.items():
            (conversation,) = [
                row
                for row in self.ground.rows("conversations")
                if identities[str(row["primary_identity_id"])] == str(chat)
            ]
            stored = [_shown(row) for row in rows if row["conversation_id"] == conversation["id"]]
            said = [line for line in self.ground.sandbox.chat(self.me, chat) if line.id > began]
            assert sorted(stored) == [(line.id, line.outgoing, line.text) for line in said]
            assert conversation["unread_count"] == sum(not line.outgoing for line in said)
        assert self.ground.rows("sync_history_jobs") == []


def _shown(row: Mapping[str, Any]) -> tuple[int, bool, str]:
    return int(row["external_message_id"]), row["direction"] == "outbound", row["text"]


async def test_every_step_of_catching_up_on_the_embedded_store(embedded_ground: Ground) -> None:
    await _die_while_catching_up(embedded_ground)


async def test_every_step_of_catching_up_on_supabase(supabase_ground: Ground) -> None:
    await _die_while_catching_up(supabase_ground)


async def test_every_step_of_what_is_heard_on_the_embedded_store(embedded_ground: Ground) -> None:
    await _die_while_hearing(embedded_ground)


async def test_every_step_of_what_is_heard_on_supabase(supabase_ground: Ground) -> None:
    await _die_while_hearing(supabase_ground)


async def _die_while_catching_up(ground: Ground) -> None:
    scene = Scene(ground)
    await scene.begin()
    steps: list[tuple[str, ...]] = []
    for number in range(2):
        scene.say(f"the steps are named, {number}")
        steps.append((await scene.life(catching_up=True)).steps)
    every = [step for step in steps[1] if step in steps[0]]
    assert any("ingest" in step for step in every), every
    missed: list[str] = []
    for step in every:
        for number in range(1, TRIES + 1):
            scene.say(f"{step}, {number}")
            if (await scene.life(catching_up=True, die_before=step)).killed:
                break
        else:
            missed.append(step)
    await scene.life()
    assert [step for step in missed if READ not in step] == []  # (how often it reads is the network's matter)
    scene.agreed()


async def _die_while_hearing(ground: Ground) -> None:
    scene = Scene(ground)
    await scene.begin()
    steps = [(await scene.life(live=scene.words(f"named, {number}"))).steps for number in range(2)]
    every = [step for step in steps[1] if step in steps[0]]
    assert any("ingest" in step for step in every), every
    missed: list[str] = []
    for step in every:
        for number in range(1, TRIES + 1):
            words = scene.words(f"{step}, {number}")
            if (await scene.life(live=words, die_before=step)).killed:
                break
        else:
            missed.append(step)
    scene.before = [line.text for line in ground.sandbox.chat(scene.me, scene.room)]
    await scene.life()
    assert [step for step in missed if READ not in step] == []  # (how often it reads is the network's matter)
    scene.agreed()
