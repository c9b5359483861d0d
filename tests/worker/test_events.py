"""What happens at Telegram reaches the application's rows, while a worker runs and while none does."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from embedded.embedded_kit import SqliteApplication
from sandbox.unmodified_files import PICTURE
from tgworker.messaging.events import PresenceWritten
from tgworker.messaging.limits import Limits
from tgworker.messaging.presence import ONLINE_FOR_S, TYPING_FOR_S
from tgworker.sandbox import Sandbox
from tgworker.telegram.missed_reactions import ASK_EVERY_S
from worker.worker_world import Ground, open_ground


@dataclass
class Scene:
    """Three users at Telegram, of whom the first is ours, and the application that reads what is stored."""

    sandbox: Sandbox
    app: SqliteApplication

    @property
    def me(self) -> int:
        return self.sandbox.users[0].id

    @property
    def ada(self) -> int:
        return self.sandbox.users[1].id

    @property
    def bob(self) -> int:
        return self.sandbox.users[2].id

    def message(self, text: str) -> Mapping[str, Any]:
        (found,) = self.app.rows("messages", text=text)
        return found

    def raw(self, text: str) -> Any:
        return json.loads(self.message(text)["raw_payload"])

    def told(self, text: str) -> list[tuple[str, Any]]:
        """The events of a message, as kinds with whoever is behind them."""
        events = self.app.rows("message_events", message_id=self.message(text)["id"])
        return [(event["type"], json.loads(event["payload"]).get("by")) for event in events]

    def metadata(self, chat: int) -> Any:
        (found,) = self.app.rows("contact_identities", value=str(chat))
        return json.loads(found["metadata"])

    def conversation(self, chat: int) -> Mapping[str, Any]:
        (identity,) = self.app.rows("contact_identities", value=str(chat))
        (found,) = self.app.rows("conversations", primary_identity_id=identity["id"])
        return found

    def presence(self, user: int) -> Mapping[str, Any]:
        (identity,) = self.app.rows("contact_identities", value=str(user))
        (found,) = self.app.rows("presence_status", contact_identity_id=identity["id"])
        return found

    def services(self, chat: int) -> list[tuple[str, int | None]]:
        """The service messages of a conversation in their order, with those who caused them."""
        rows = self.app.rows("messages", conversation_id=self.conversation(chat)["id"])
        values = {row["id"]: int(row["value"]) for row in self.app.rows("contact_identities")}
        return [
            (row["message_type"].removeprefix("service_"), values.get(row["identity_id"]))
            for row in rows
            if row["message_type"].startswith("service_")
        ]


@asynccontextmanager
async def scene(folder: Path) -> AsyncGenerator[tuple[Ground, Scene]]:
    async with open_ground(folder) as ground:
        app = SqliteApplication(folder / "tgworker.db")
        try:
            yield ground, Scene(ground.sandbox, app)
        finally:
            app.close()


async def settle(seconds: float = 2) -> None:
    """So long that everything has arrived and was written."""
    await trio.sleep(seconds)


def write(here: Scene, chat: int) -> None:
    """What the acts are about: four messages of ours in a chat of ours with Ada, and three of hers."""
    theirs_as = here.me if chat == here.ada else chat
    for text in ("edited", "kept", "pinned", "deleted"):
        here.sandbox.send_text(here.me, chat, f"{chat} my {text}")
    for text in ("edited", "kept", "deleted"):
        here.sandbox.send_text(here.ada, theirs_as, f"{chat} her {text}")


def act(here: Scene, chat: int) -> None:
    """Everything that may happen to messages, on Ada's telephone and on ours."""
    sandbox, phone = here.sandbox, here.sandbox.phone
    theirs_as = here.me if chat == here.ada else chat
    mine = {line.text.removeprefix(f"{chat} "): line.id for line in sandbox.chat(here.me, chat)}
    hers = {line.text.removeprefix(f"{chat} "): line.id for line in sandbox.chat(here.ada, theirs_as)}
    sandbox.edit_text(here.me, chat, mine["my edited"], f"{chat} my new")
    sandbox.edit_text(here.ada, theirs_as, hers["her edited"], f"{chat} her new")
    phone.send_reaction(here.ada, theirs_as, hers["my kept"], "👍")
    phone.send_reaction(here.me, chat, mine["her kept"], "👏")
    phone.update_pinned_message(here.ada, theirs_as, hers["my pinned"])
    sandbox.delete_messages(here.me, chat, [mine["my deleted"]])
    sandbox.delete_messages(here.ada, theirs_as, [hers["her deleted"]])
    sandbox.read_chat(here.ada, theirs_as, hers["my kept"])
    sandbox.read_chat(here.me, chat, mine["her kept"])
    sandbox.send_text(here.me, chat, f"{chat} from the telephone")


def check(here: Scene, chat: int, *, own_reactions: bool) -> None:
    """The rows say all of it; of our own reactions only where those are told."""
    assert here.told(f"{chat} my new") == [("edit", None), ("read", "them")]
    assert here.told(f"{chat} her new") == [("edit", None), ("read", "us")]
    assert {kind for kind, _ in here.told(f"{chat} my kept")} == {"reaction", "read"}
    assert ("read", "us") in here.told(f"{chat} her kept")
    assert here.raw(f"{chat} my kept")["reactions"]["counts"] == {"👍": 1}
    if own_reactions:
        assert here.raw(f"{chat} her kept")["reactions"]["own"] == ["👏"]
    assert here.told(f"{chat} my pinned") == [("pin", None)]
    assert here.raw(f"{chat} my pinned")["pinned"] is True
    assert here.message(f"{chat} from the telephone")["direction"] == "outbound"
    for whose in ("my", "her"):
        assert "deleted_at" in here.raw(f"{chat} {whose} deleted")
        assert "edited_at" in here.raw(f"{chat} {whose} new")


@pytest.mark.parametrize(("while_away", "reactions"), [(False, "update"), (True, "update"), (True, "edit")])
async def test_what_becomes_of_messages_is_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, while_away: bool, reactions: str
) -> None:
    """Reactions that came as an update meanwhile are known later if they are others', to our messages."""
    async with scene(tmp_path) as (ground, here):
        here.sandbox.behave(reactions=reactions)
        group = here.sandbox.rooms.create_group(here.ada, [here.me], "Group").peer
        room = here.sandbox.rooms.create_channel(here.ada, [here.me], "Room").peer
        chats = (here.ada, group, room)
        async with ground.worker():
            await settle()
            for chat in chats:
                write(here, chat)
            await settle()
            assert {here.message(f"{chat} my kept")["direction"] for chat in chats} == {"outbound"}
            if not while_away:
                for chat in chats:
                    act(here, chat)
                await settle()
        if while_away:
            for chat in chats:
                act(here, chat)
            async with ground.worker():
                # Reads in channels are found by comparing, and so are chats with reactions.
                await settle(Limits().hearing_first_s + 3 * ASK_EVERY_S)
        for chat in chats:
            check(here, chat, own_reactions=not while_away or reactions == "edit")


def busy(here: Scene, room: int) -> None:
    """Everything that a group or supergroup of Ada's tells of itself."""
    rooms = here.sandbox.rooms
    here.sandbox.send_text(here.ada, room, f"{room} first")
    first = here.sandbox.chat(here.ada, room)[-1].id
    here.sandbox.phone.update_pinned_message(here.ada, room, first)
    rooms.edit_title(room, f"{room} new")
    rooms.edit_photo(room, PICTURE)
    rooms.edit_photo(room, None)
    rooms.remove_member(room, here.bob)
    rooms.add_member(room, here.bob)
    rooms.remove_member(room, here.bob, by=here.bob)
    rooms.import_chat_invite(here.bob, rooms.export_chat_invite(room))


BUSY = ("pin", "title", "photo", "photo_removed", "kick", "add", "leave", "join")
"""The service messages of all that."""


@pytest.mark.parametrize("while_away", [False, True], ids=["live", "away"])
async def test_what_groups_tell_of_themselves_stands_in_their_conversations(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, while_away: bool
) -> None:
    async with scene(tmp_path) as (ground, here):
        group, other = (
            here.sandbox.rooms.create_group(here.ada, [here.me, here.bob], title).peer
            for title in ("Group", "Other")
        )
        room = here.sandbox.rooms.create_channel(here.ada, [here.me, here.bob], "Room").peer

        def act() -> int:
            for chat in (group, room):
                busy(here, chat)
            moved = here.sandbox.rooms.migrate(other).peer
            here.sandbox.send_text(here.bob, moved, "after the move")
            return moved

        async with ground.worker():
            await settle()
            for chat in (group, other, room):
                here.sandbox.send_text(here.ada, chat, f"before in {chat}")
            await settle()
            moving, moved = here.conversation(other)["id"], 0
            if not while_away:
                moved = act()
                await settle()
        if while_away:
            moved = act()
            async with ground.worker():
                await settle(Limits().jobs_every_s + 2)  # a log that is new is read from the history
        expected = [(kind, here.bob if kind in {"leave", "join"} else here.ada) for kind in BUSY]
        for chat in (group, room):
            assert [each for each in here.services(chat) if each[0] != "create"][-len(BUSY) :] == expected
            assert here.metadata(chat)["title"] == f"{chat} new"
            assert here.raw(f"{chat} first")["pinned"] is True
        assert here.services(moved).count(("migrate", here.ada)) == 2  # told in either log
        assert here.conversation(moved)["id"] == moving == here.message("after the move")["conversation_id"]
        assert here.metadata(moved) == {"title": "Other", "is_group": True}


async def test_who_is_there_who_types_and_how_he_is_called(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with scene(tmp_path) as (ground, here):
        phone = here.sandbox.phone
        group = here.sandbox.rooms.create_group(here.ada, [here.me], "Group").peer

        def shown() -> tuple[bool, bool]:
            row = here.presence(here.ada)
            return bool(row["is_online"]), bool(row["is_typing"])

        async with ground.worker() as world:
            await settle()
            here.sandbox.send_text(here.ada, here.me, "hello")
            here.sandbox.send_text(here.ada, group, "hello, all")
            await settle()
            phone.update_status(here.ada, seconds=60)
            phone.set_typing(here.ada, here.me)
            await settle()
            assert shown() == (True, True)
            assert here.presence(here.ada)["conversation_id"] == here.conversation(here.ada)["id"]
            here.sandbox.send_text(here.ada, here.me, "typed")
            await settle()
            assert shown() == (True, False)
            phone.set_typing(here.ada, group)
            await settle()
            assert shown() == (True, True)
            assert here.presence(here.ada)["conversation_id"] == here.conversation(group)["id"]
            await settle(TYPING_FOR_S)
            assert shown() == (True, False)
            phone.update_status(here.ada, offline=True)
            await settle()
            assert shown() == (False, False)
            phone.update_status(here.ada, seconds=60)
            await settle()
            assert shown() == (True, False)
            await settle(60)
            assert shown() == (False, False)  # nobody said so: his time was over

            phone.update_profile(here.ada, first_name="Augusta", last_name="King")
            phone.update_username(here.ada, "countess")
            await settle()
            called = {"first_name": "Augusta", "last_name": "King", "username": "countess", "is_group": False}
            assert here.metadata(here.ada) == called
            calls = sum(event.contacts for _, event in world.seen(PresenceWritten))
            for _ in range(100):
                phone.set_typing(here.ada, here.me)
                await trio.sleep(0.1)
            assert sum(event.contacts for _, event in world.seen(PresenceWritten)) - calls <= 4
        phone.update_profile(here.ada, last_name="Byron")
        async with ground.worker():
            await settle(Limits().hearing_first_s + 2)  # the list of chats has it, no log
            assert here.metadata(here.ada) == called | {"last_name": "Byron"}


async def test_who_went_while_no_worker_ran_is_shown_offline(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with scene(tmp_path) as (ground, here):
        here.sandbox.part(here.me, here.bob)  # no contact of ours; a chat is all that we have with him

        def online() -> tuple[bool, bool]:
            ada, bob = here.presence(here.ada), here.presence(here.bob)
            return bool(ada["is_online"]), bool(bob["is_online"])

        async with ground.worker():
            await settle()
            for user in (here.ada, here.bob):
                here.sandbox.send_text(user, here.me, "hello")
            await settle()
            for user in (here.ada, here.bob):
                here.sandbox.phone.update_status(user)
            await settle()
            assert online() == (True, True)
            here.sandbox.phone.set_typing(here.bob, here.me)
            await settle()
        for user in (here.ada, here.bob):
            here.sandbox.phone.update_status(user, offline=True)
        async with ground.worker():
            await settle(4)
            assert online() == (False, True)
            assert not here.presence(here.bob)["is_typing"]
            await settle(ONLINE_FOR_S)
            assert online() == (False, False)
