"""A message that we sent is stored once, whatever comes first: the answer, the update, its id, the history.

So is one that the owner wrote on another device. Hypothesis makes the order; each example has a chat of its
own in one store.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.conftest import OpenKit
from contracts.store_kit import OWNER, Inbox, StoreKit, WholeStore, batch, inbound, outgoing, user
from tgworker.messaging.models import AccountId, Attempt, ChatMessage, JobId, MessageId
from tgworker.messaging.outcomes import Sent, Settled, Unknown

OURS = "ours"

KINDS = (
    "answer",  # to the send, with the message's id
    "already sent",  # the answer to a repeat that names no id
    "doubt",  # no answer
    "update",  # the message, with the random id that it was sent with
    "message",  # the message alone
    "id",  # the id alone
    "history",  # what a history job finds
    "phone",  # a message from another device
    "reply",  # one of the other side
    "crash",  # another worker goes on
)


@dataclass(frozen=True)
class Plan:
    """An order of happenings.

    Attributes:
        happenings: Out of `KINDS`.
        phone_text: What the owner writes on another device: perhaps the same.
    """

    happenings: tuple[str, ...]
    phone_text: str


PLANS = st.builds(
    Plan,
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=8).map(tuple),
    st.sampled_from((OURS, "from the phone")),
)


class Chat:
    """One example: a chat, a message of ours, what Telegram holds of both."""

    def __init__(
        self, kit: StoreKit, worker: WholeStore, account: AccountId, number: int, plan: Plan
    ) -> None:
        self.kit = kit
        self.worker = worker
        self.account = account
        self.id = 5000 + number
        self.plan = plan
        self.ours = outgoing(self.id, 10 * number + 1, OURS)
        self.phone = outgoing(self.id, 10 * number + 2, plan.phone_text)
        self.reply = inbound(self.id, 10 * number + 3)
        self.came: set[str] = set()
        self.held: Attempt | None = None
        self.row = MessageId("")

    async def play(self) -> WholeStore:
        """Let all of it happen, then everything else; returns the worker that is left."""
        await self.worker.save_peers(self.account, [user(self.id)])
        inbox = Inbox(self.kit, self.account)
        chat = inbox.chat(str(self.id))
        self.row = inbox.write(chat, OURS)
        await self.claim()
        assert self.held is not None
        self.random_id = self.held.random_id
        for happening in self.plan.happenings:
            await self.happen(happening)
        await self.happen("update")
        for _ in range(3):
            self.kit.calendar.advance(61)
            await self.claim()
            await self.happen("answer")
        for happening in ("phone", "reply"):
            await self.happen(happening)
        return self.worker

    async def claim(self) -> None:
        claimed = (await self.worker.turn((), {self.account: 10}, known=())).attempts
        self.held = next((one for one in claimed if one.to == str(self.id)), self.held)

    async def happen(self, what: str) -> None:
        known = ((self.random_id, self.ours.telegram_id),)
        match what:
            case "answer":
                await self.settle(Sent(self.ours.telegram_id, self.ours.sent_at))
            case "already sent":
                await self.settle(Sent(None))
            case "doubt":
                await self.settle(Unknown("no answer"))
            case "update":
                await self.ingest(self.ours, sent_ids=known)
            case "message":
                await self.ingest(self.ours)
            case "id":
                await self.ingest(sent_ids=known)
            case "history":
                await self.read_history()
            case "phone":
                await self.ingest(self.phone)
            case "reply":
                await self.ingest(self.reply)
            case "crash":
                self.worker = self.kit.take_over()
                await self.claim()
            case _:
                raise AssertionError(what)

    async def settle(self, outcome: Sent | Unknown) -> None:
        if self.held is not None:
            await self.worker.turn([Settled(self.held, outcome)], {}, known=())
            self.held = None

    async def ingest(self, *messages: ChatMessage, sent_ids: Sequence[tuple[int, int]] = ()) -> None:
        await self.worker.ingest(self.account, batch(*messages, sent_ids=sent_ids))

    async def read_history(self) -> None:
        self.kit.app.insert(
            "sync_history_jobs",
            owner_id=OWNER,
            integration_account_id=self.account,
            telegram_id=str(self.id),
        )
        (job,) = await self.worker.claim_history([self.account], known=())
        await self.worker.save_history(job, [self.reply, self.phone, self.ours], [])
        await self.worker.finish_history(JobId(job.id))

    def check(self) -> None:
        conversations = {row["id"]: row for row in self.kit.app.rows("conversations")}
        rows = {row["id"]: row for row in self.kit.app.rows("messages")}
        chat = rows[self.row]["conversation_id"]
        here = [row for row in rows.values() if row["conversation_id"] == chat]
        assert sorted((row["external_message_id"], row["direction"], row["text"]) for row in here) == sorted(
            (str(each.telegram_id), "outbound" if each.outgoing else "inbound", each.text)
            for each in (self.ours, self.phone, self.reply)
        )
        if self.plan.phone_text != OURS:
            assert rows[self.row]["external_message_id"] == str(self.ours.telegram_id)
        assert conversations[chat]["unread_count"] <= 1


async def play_all(open_store_kit: OpenKit, plans: Sequence[Plan]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store_kit(Path(folder) / "data") as kit:
            account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
            worker = kit.store
            for number, plan in enumerate(plans, 1):
                chat = Chat(kit, worker, account, number, plan)
                worker = await chat.play()
                chat.check()


HEALTHY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("open_store_kit", ["embedded"], indirect=True)
@settings(max_examples=20, deadline=None, suppress_health_check=HEALTHY)
@given(plans=st.lists(PLANS, min_size=1, max_size=10))
async def test_it_is_stored_once_in_whatever_order(open_store_kit: OpenKit, plans: list[Plan]) -> None:
    await play_all(open_store_kit, plans)


@pytest.mark.slow
@pytest.mark.parametrize("open_store_kit", ["functions"], indirect=True)
@settings(max_examples=10, deadline=None, suppress_health_check=HEALTHY)
@given(plans=st.lists(PLANS, min_size=1, max_size=10))
async def test_it_is_stored_once_in_whatever_order_in_postgresql(
    open_store_kit: OpenKit, plans: list[Plan]
) -> None:
    await play_all(open_store_kit, plans)


async def test_it_is_stored_once_whichever_of_two_comes_first(open_store_kit: OpenKit) -> None:
    """On each store, the whole one included: every pair, and the ones that once went wrong."""
    told = ("answer", "update", "message", "id", "history", "phone")
    await play_all(
        open_store_kit,
        [
            *(Plan((first, second), OURS) for first in told for second in told if first != second),
            Plan(("message", "already sent"), "from the phone"),
            Plan(("already sent", "message"), "from the phone"),
            Plan(("doubt", "message", "crash"), "from the phone"),
            Plan(("message", "crash", "history", "already sent"), OURS),
        ],
    )
