"""What a store forgets, and when; and that nothing of the application's goes with it."""

from contracts.store_kit import OWNER, Inbox, batch, inbound, outgoing, user
from tgworker.messaging.limits import Retention
from tgworker.messaging.models import MessageId
from tgworker.messaging.outcomes import Refused, Settled
from tgworker.messaging.records import OutboxState

DAY_S = 86_400
KEEP = Retention(days=30, failed_days=180)


async def sweep(inbox: Inbox, keep: Retention = KEEP) -> None:
    while await inbox.store.sweep(keep):
        pass


async def states(inbox: Inbox, *messages: MessageId) -> list[OutboxState | None]:
    rows = await inbox.store.outcomes(messages)
    return [rows[each].state if each in rows else None for each in messages]


async def test_settled_rows_go_after_their_days_and_failed_ones_later(inbox: Inbox) -> None:
    sent, refused, withdrawn, waiting = (
        inbox.write(inbox.chat(str(500 + number)), text)
        for number, text in enumerate(("sent", "refused", "withdrawn", "waiting"))
    )
    inbox.kit.app.update("messages", withdrawn, external_message_id="x")
    attempts = {attempt.text: attempt for attempt in await inbox.claim()}
    await inbox.send(attempts["sent"], 70)
    await inbox.store.turn([Settled(attempts["refused"], Refused("NO"))], {}, known=())
    parts = len(inbox.kit.app.rows("tgworker_outbox_parts"))
    before = {each: inbox.message(each) for each in (sent, refused, withdrawn, waiting)}

    async def after(days: float, keep: Retention = KEEP) -> list[OutboxState | None]:
        inbox.kit.calendar.advance(days * DAY_S)
        await sweep(inbox, keep)
        return await states(inbox, sent, refused, waiting)

    assert await after(29) == [OutboxState.SENT, OutboxState.DEAD, OutboxState.SENDING]
    assert await after(2) == [None, OutboxState.DEAD, OutboxState.SENDING]
    assert len(inbox.kit.app.rows("tgworker_outbox_parts")) == parts - 1
    assert await after(148) == [None, OutboxState.DEAD, OutboxState.SENDING]
    assert await after(2) == [None, None, OutboxState.SENDING]
    assert len(inbox.kit.app.rows("tgworker_outbox_parts")) == parts - 2
    # The application's rows are as they were.
    assert {each: inbox.message(each) for each in before} == before


async def test_failed_rows_may_be_kept_for_a_shorter_time_than_others(inbox: Inbox) -> None:
    sent, refused = (
        inbox.write(inbox.chat(str(500 + n)), text) for n, text in enumerate(("sent", "refused"))
    )
    attempts = {attempt.text: attempt for attempt in await inbox.claim()}
    await inbox.send(attempts["sent"], 70)
    await inbox.store.turn([Settled(attempts["refused"], Refused("NO"))], {}, known=())
    inbox.kit.calendar.advance(3 * DAY_S)
    await sweep(inbox, Retention(days=7, failed_days=2))
    assert await states(inbox, sent, refused) == [OutboxState.SENT, None]


async def test_what_was_sent_does_not_come_back_once_its_row_is_forgotten(inbox: Inbox) -> None:
    sent = inbox.write(inbox.chat("500"), "hello")
    await inbox.store.ingest(inbox.account, batch(peers=[user(500)]))
    await inbox.send(await inbox.claim_one(), 70)
    inbox.kit.calendar.advance(31 * DAY_S)
    await sweep(inbox)
    assert await states(inbox, sent) == [None]
    assert await inbox.store.ingest(inbox.account, batch(outgoing(500, 70), inbound(500, 71))) == 1
    assert len(inbox.kit.app.rows("messages")) == 2
    # Nor is it sent again, however often the store is looked through.
    await sweep(inbox)
    assert await inbox.claim() == []


async def test_claims_of_jobs_that_the_application_took_away_are_forgotten(inbox: Inbox) -> None:
    jobs = [
        inbox.kit.app.insert(
            "message_jobs",
            owner_id=OWNER,
            integration_account_id=inbox.account,
            action="mark_read",
            payload=f'{{"conversation_id": "{inbox.chat(str(500 + number))}"}}',
        )
        for number in range(3)
    ]
    assert len((await inbox.store.claim_jobs([inbox.account], known=())).jobs) == 3
    removed, ended, kept = jobs
    inbox.kit.app.delete("message_jobs", removed)
    inbox.kit.app.update("message_jobs", ended, status="failed")
    await sweep(inbox)
    claims = {str(claim["job_id"]) for claim in inbox.kit.app.rows("tgworker_job_claims")}
    assert claims == {kept}
    assert len(inbox.kit.app.rows("message_jobs")) == 2
