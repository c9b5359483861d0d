"""How long anything may take, in seconds of trio's clock, and how long it is kept, in days."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is ours is kept. Rows of the application's tables are never removed.

    Attributes:
        days: What went well: settled rows of the outbox, what workers said about themselves.
        failed_days: Rows of the outbox that a person may still want to look at: dead-lettered, unsure.
    """

    days: int = 30
    failed_days: int = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """How much of a chat's past is fetched.

    Attributes:
        most_messages: A job is granted no more, whatever it asks for, unless it fills a gap.
        days: Nothing older is fetched.
    """

    most_messages: int = 500
    days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The deadlines of the plan, and the pace of the loops.

    Attributes:
        repeat_window_s: So long after the first doubtful attempt a message is repeated under its
            ``random_id``; later it is looked for. (How long Telegram remembers an id is undocumented.)
        name_after_s: So long after a message was sent under an id that nobody knows it is looked for: the
            update log usually tells first.
        name_again_s: Between two looks.
        send_s: One message handed to Telegram and acknowledged.
        entity_s: One name, phone or id resolved to a peer; one page of contacts or chats.
        introduction_s: So long an account that connects for the first time sends nothing while whom it knows
            is read. After that it sends what it can, and reading goes on.
        media_s: Without progress in a file, either way.
        attachments_wait_s: So long after it was written a message waits for attachments of which it does not
            say how many come.
        database_s: One call to the store.
        cycle_s: One turn of a loop.
        connect_s: A connection made, from the first byte to the account's own state.
        line_stable_s: A line that was held this long ends a series of losses: backoff begins anew.
        ping_s: An answer to a ping.
        ping_idle_s: A line that has been silent this long is asked whether it lives.
        ping_busy_s: The same with a request in flight. With ``ping_s`` it makes 9 s: a line that goes silent
            is noticed within 10 s of when there was something to send, and the rest is for the claim.
        accounts_every_s: How often accounts are compared with the table.
        heartbeat_every_s: How often the heartbeat is written.
        outbound_every_s: How often the outbox is asked while there is nothing to do.
        jobs_every_s: How often the tables of jobs are asked.
        sweep_every_s: How often the store is swept.
        hearing_first_s: How long after a line was made, or cured, it is asked whether it is deaf.
        hearing_every_s: How often after that.
        hearing_settle_s: How long an update may be on its way.
        lease_renew_s: How often leases of accounts are renewed.
        lease_margin_s: So long before the end of its lease an account is disconnected.
        history: How much of a chat's past is fetched.
        retention: What a sweep may remove.
    """

    repeat_window_s: float = 1800
    name_after_s: float = 10
    name_again_s: float = 300
    send_s: float = 30
    entity_s: float = 15
    introduction_s: float = 30
    media_s: float = 60
    attachments_wait_s: float = 3
    database_s: float = 10
    cycle_s: float = 120
    connect_s: float = 30
    line_stable_s: float = 60
    ping_s: float = 5
    ping_idle_s: float = 60
    ping_busy_s: float = 4
    accounts_every_s: float = 60
    heartbeat_every_s: float = 15
    outbound_every_s: float = 0.1
    jobs_every_s: float = 5
    sweep_every_s: float = 60
    hearing_first_s: float = 15
    hearing_every_s: float = 300
    hearing_settle_s: float = 10
    lease_renew_s: float = 15
    lease_margin_s: float = 10
    history: HistoryLimits = HistoryLimits()
    retention: Retention = Retention()
