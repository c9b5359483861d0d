"""A row that names what is another owner's is refused with its reason, and is in nobody's way."""

import json

import pytest

from contracts.store_kit import NOBODY, OTHER_OWNER, OWNER, Inbox, StoreKit
from tgworker.messaging.models import AccountId, ConversationId, MessageId
from tgworker.messaging.records import OutboxState


class Two:
    """Two owners with an account and a chat each: `mine` is the one that rows are written for here."""

    def __init__(self, kit: StoreKit, mine: AccountId, theirs: AccountId) -> None:
        self.kit = kit
        self.mine, self.theirs = mine, theirs
        self.inbox = Inbox(kit, mine)
        self.my_chat = self.inbox.chat("500")
        their_contact = kit.app.insert(
            "contact_identities", owner_id=OTHER_OWNER, type="telegram_user", value="500"
        )
        self.their_chat = ConversationId(
            kit.app.insert("conversations", owner_id=OTHER_OWNER, primary_identity_id=their_contact)
        )

    def write_theirs(self, text: str) -> MessageId:
        row = {"owner_id": OTHER_OWNER, "conversation_id": self.their_chat, "channel": "telegram"}
        sent = {"integration_account_id": self.theirs, "external_message_id": f"local-{text}"}
        return MessageId(self.kit.app.insert("messages", **row, **sent, direction="outbound", text=text))

    async def handed_out(self, *accounts: AccountId) -> list[MessageId]:
        turn = await self.kit.store.turn((), dict.fromkeys(accounts, 9), known=())
        return [attempt.message_id for attempt in turn.attempts]

    async def end_of(self, message: MessageId) -> tuple[OutboxState, str | None]:
        record = (await self.kit.store.outcomes([message]))[message]
        return record.state, record.error


@pytest.fixture
async def two(kit: StoreKit) -> Two:
    mine = await kit.store.add_account("ada", OWNER, "token", user_id=1)
    return Two(kit, mine, await kit.store.add_account("eve", OTHER_OWNER, "token", user_id=2))


async def test_a_message_reaches_no_other_owners_account(two: Two) -> None:
    stray = two.inbox.write(two.my_chat, "stray", integration_account_id=two.theirs)
    plain = two.inbox.write(two.my_chat, "plain")
    assert await two.handed_out(two.theirs) == []
    assert await two.handed_out(two.mine) == [plain]
    assert await two.end_of(stray) == (OutboxState.DEAD, "its account belongs to another owner")
    assert two.inbox.message(stray)["external_message_id"].startswith("error-")


@pytest.mark.parametrize("named", ["mine", "nobody"])
async def test_one_in_another_owners_chat_holds_up_nothing_there(two: Two, named: str) -> None:
    account = two.mine if named == "mine" else None
    stray = two.inbox.write(two.their_chat, "stray", integration_account_id=account)
    theirs = two.write_theirs("theirs")
    assert await two.handed_out(two.theirs) == [theirs]  # and the other account is not even online
    assert await two.end_of(stray) == (OutboxState.DEAD, "its conversation belongs to another owner")


async def test_nor_does_one_whose_owner_changes_while_it_waits(two: Two) -> None:
    message, moved = two.inbox.write(two.my_chat, "first"), two.inbox.write(two.my_chat, "second")
    two.kit.app.update("messages", message, owner_id=OTHER_OWNER)
    two.kit.app.update("messages", moved, conversation_id=two.their_chat)
    assert await two.handed_out(two.mine, two.theirs) in ([], [moved])
    assert await two.end_of(message) == (OutboxState.DEAD, "its account belongs to another owner")


async def test_a_job_about_a_message_in_another_owners_chat_is_refused_and_holds_up_nothing(two: Two) -> None:
    stray = two.inbox.write(two.their_chat, "stray", external_message_id="7")
    mine = {"owner_id": OWNER, "integration_account_id": two.mine}
    theirs = {"owner_id": OTHER_OWNER, "integration_account_id": two.theirs}
    refused = two.kit.app.insert("message_jobs", **mine, message_id=stray, action="edit")
    plain = two.kit.app.insert(
        "message_jobs", **theirs, action="mark_read", payload=json.dumps({"conversation_id": two.their_chat})
    )
    turn = await two.kit.store.claim_jobs([two.theirs], known=())
    assert [job.id for job in turn.jobs] == [plain]
    row = two.kit.app.row("message_jobs", refused)
    assert row is not None
    assert (row["status"], row["error_message"]) == ("failed", "its conversation belongs to another owner")


async def test_a_history_that_nobody_can_read_fails_whoever_asks(two: Two) -> None:
    for account in (None, NOBODY):
        two.kit.app.insert(
            "sync_history_jobs", owner_id=OWNER, integration_account_id=account, telegram_id="500"
        )
    assert list(await two.kit.store.claim_history([two.theirs], known=())) == []
    ended = [(row["status"], row["error_message"]) for row in two.kit.app.rows("sync_history_jobs")]
    assert ended == [("failed", "the job names no account"), ("failed", "its account does not exist")]
