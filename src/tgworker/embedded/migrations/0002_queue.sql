-- What the worker adds: the queue, the keys of messages, positions, peers. Times are seconds since 1970.
-- No decision here asks the clock: what "now" is, the worker says.

create table tgworker_meta (
    key text primary key not null,
    value integer not null
) without rowid;
insert into tgworker_meta (key, value) values ('fence', 0); -- grows with each start of a worker

create table tgworker_accounts (
    integration_account_id text primary key not null references integration_accounts (id) on delete cascade,
    name text,
    phone text, -- digits only
    user_id integer,
    state text not null default 'waiting',
    last_error text,
    changed_at text,
    introduced_at text -- its contacts and chats were read
) without rowid;
create unique index tgworker_accounts_name on tgworker_accounts (name) where name is not null;
create index tgworker_accounts_user on tgworker_accounts (user_id);

create table tgworker_peers (
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    chat_id integer not null, -- marked: -id for basic groups, -100…id for channels
    kind text not null check (kind in ('user', 'chat', 'channel')),
    access_hash integer,
    first_name text,
    last_name text,
    title text,
    username text,
    phone text,
    is_self integer not null default 0,
    is_contact integer not null default 0,
    photo_id integer, -- of the newest photo that Telegram told of
    avatar_id integer, -- of the photo that was fetched
    avatar_tries integer not null default 0, -- so often the newest one could not be fetched
    avatar_not_before real,
    primary key (integration_account_id, chat_id)
) without rowid;
create index tgworker_peers_avatars on tgworker_peers (integration_account_id, avatar_tries, chat_id)
    where photo_id is not null and photo_id is not avatar_id and avatar_tries < 5;
create index tgworker_peers_username on tgworker_peers (integration_account_id, lower(username))
    where username is not null;
create index tgworker_peers_phone on tgworker_peers (integration_account_id, phone) where phone is not null;

-- Whom a name meant when Telegram was asked, where the peer itself does not show it: one of several usernames, a phone
-- number that only its owner's contacts see.
create table tgworker_names (
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    name text not null, -- `@username` in lower case, or `+` and digits
    chat_id integer not null,
    primary key (integration_account_id, name)
) without rowid;

-- What Telegram asked an account to wait for: a method, a chat, first messages to strangers.
create table tgworker_waits (
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    kind text not null check (kind in ('method', 'chat', 'strangers')),
    key text not null, -- the method's name, the chat's marked id, or nothing
    until_at real not null,
    reason text not null, -- Telegram's error name
    primary key (integration_account_id, kind, key)
) without rowid;

create table tgworker_positions (
    integration_account_id text primary key not null references integration_accounts (id) on delete cascade,
    pts integer not null,
    qts integer not null,
    date integer not null,
    seq integer not null
) without rowid;

create table tgworker_channel_positions (
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    channel_id integer not null, -- bare
    pts integer not null,
    primary key (integration_account_id, channel_id)
) without rowid;

-- Which row of `messages` is which message of Telegram. `scope` is whose message ids they are: the account's
-- for private chats and basic groups (and, until accounts share the rows of a channel, for channels). A key outlives
-- its message, so that what a person deleted does not come back with the next history.
create table tgworker_message_keys (
    scope text not null,
    telegram_id integer not null, -- before the chat: a delete in a private chat names no chat
    chat_id integer not null,
    message_id text not null,
    from_log integer not null default 0, -- the update log told of it: and so of everything before it in its chat
    primary key (scope, telegram_id, chat_id)
) without rowid;
-- The newest message of a chat that is known.
create index tgworker_message_keys_chat on tgworker_message_keys (scope, chat_id, telegram_id);
create index tgworker_message_keys_message on tgworker_message_keys (message_id);

-- Basic groups that became supergroups: what comes from the old one, and what comes from the new one, is of one
-- conversation, the new one's.
create table tgworker_migrated (
    owner_id text not null,
    chat_id integer not null,
    new_chat_id integer not null,
    primary key (owner_id, chat_id)
) without rowid;

-- How far a chat was read: by the other side, of what the account sent, and by the account, of what it got.
create table tgworker_read_marks (
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    chat_id integer not null,
    by_them integer not null default 0, -- up to this message
    by_us integer not null default 0,
    primary key (integration_account_id, chat_id)
) without rowid;

create table tgworker_outbox (
    seq integer primary key autoincrement, -- the order
    message_id text not null unique, -- no reference: a row that is in flight outlives its message
    conversation_id text not null,
    integration_account_id text, -- null: not decided yet, or unknown; the next claim decides
    local_id text not null, -- the application's `local-…`
    state text not null default 'waiting' check (state in (
        'waiting', 'resolving', 'deferred', 'held', 'sending', 'sent', 'unsure', 'dead', 'cancelled', 'expired')),
    not_before real,
    expires_at real,
    attempts integer not null default 0,
    fence integer, -- of the last claim
    worker text, -- who made it, for people
    claimed_at real,
    doubt_since real, -- the first attempt of which nobody knows whether Telegram has it
    chat_top_id integer, -- the newest message of the chat that was known at that attempt, else at the last one
    chat_id integer,
    recipient text, -- whom a row in `resolving` waits for, in lower case
    awaiting_id integer not null default 0, -- Telegram has it, under an id that we have not seen yet
    looks integer not null default 0, -- so often that id was looked for in the chat's history
    error text,
    part integer not null default 0, -- the part that is sent next
    parts integer, -- how many there are; null: the worker has not counted them yet
    -- What the parts are made of, as the claim committed it: a repeat makes the very same ones.
    text_limit integer, -- UTF-16 code units in one part
    parse_mode text,
    long_text text, -- the whole text, if it may take several
    caption_limit integer, -- UTF-16 code units under a file
    files text, -- what it carries, as JSON; each is a part
    filed_at real not null default ((julianday('now') - 2440587.5) * 86400.0), -- since then its attachments may come
    files_until real, -- so long it waits for them
    late_file integer not null default 0, -- one was linked after the claim had committed them
    bytes_done integer, -- of its files
    bytes_total integer,
    cancel_asked_at real, -- somebody asked for it while it was on its way, or when it was too late
    created_at real not null default ((julianday('now') - 2440587.5) * 86400.0),
    settled_at real,
    -- Whether the row takes part in its conversation's order. A row that was never tried and asks for a later
    -- time does not: it holds nobody up.
    in_lane integer generated always as (
        state in ('waiting', 'resolving', 'sending') or (state = 'deferred' and attempts > 0)) virtual
);
create index tgworker_outbox_lane on tgworker_outbox (conversation_id, seq) where in_lane = 1;
create unique index tgworker_outbox_in_flight on tgworker_outbox (conversation_id) where state = 'sending';
create index tgworker_outbox_deferred on tgworker_outbox (not_before) where state = 'deferred';
create index tgworker_outbox_for_files on tgworker_outbox (files_until)
    where files_until is not null and state = 'waiting';
create index tgworker_outbox_late_file on tgworker_outbox (seq) where late_file = 1 and state = 'sent';
-- (What has begun to be sent is sent to its end.)
create index tgworker_outbox_expiring on tgworker_outbox (expires_at)
    where expires_at is not null and state in ('waiting', 'resolving', 'deferred') and part = 0
        and doubt_since is null;
-- Whose message one in the history could be, too.
create index tgworker_outbox_doubtful on tgworker_outbox (integration_account_id, chat_id)
    where doubt_since is not null;
create index tgworker_outbox_resolving on tgworker_outbox (integration_account_id, recipient) where state = 'resolving';
create index tgworker_outbox_cancelling on tgworker_outbox (message_id)
    where cancel_asked_at is not null and state = 'sending';
create index tgworker_outbox_awaiting_id on tgworker_outbox (integration_account_id) where awaiting_id = 1;
create index tgworker_outbox_unnamed on tgworker_outbox (integration_account_id, seq)
    where awaiting_id = 1 and looks < 3 and parts = 1 and chat_id is not null;
create index tgworker_outbox_chatless on tgworker_outbox (integration_account_id)
    where state = 'sent' and chat_id is null;
-- What people look for. (The states of a smooth send are not in it: it costs them nothing.)
create index tgworker_outbox_listed on tgworker_outbox (state)
    where state in ('deferred', 'held', 'unsure', 'dead', 'cancelled', 'expired');

create table tgworker_outbox_parts (
    message_id text not null references tgworker_outbox (message_id) on delete cascade,
    part integer not null,
    random_id integer not null,
    telegram_id integer,
    primary key (message_id, part)
) without rowid;
create index tgworker_outbox_parts_random on tgworker_outbox_parts (random_id);

-- One row for a conversation with something to send: its head, kept by the triggers below, so that a claim costs
-- the same whatever the backlog.
create table tgworker_lanes (
    conversation_id text primary key not null,
    integration_account_id text, -- the head's
    head_seq integer not null,
    wake_at real, -- the head waits until then (for its recipient: without end); null: it may be claimed
    fence integer -- of the claim that holds the head; null: nobody
) without rowid;
create index tgworker_lanes_ready on tgworker_lanes (integration_account_id, head_seq)
    where wake_at is null and fence is null;
create index tgworker_lanes_claimed on tgworker_lanes (integration_account_id, head_seq) where fence is not null;

create trigger tgworker_outbox_added after insert on tgworker_outbox
begin
    insert into tgworker_lanes (conversation_id, integration_account_id, head_seq)
    select new.conversation_id, new.integration_account_id, new.seq
    where new.state = 'waiting'
        and not exists (select 1 from tgworker_lanes l where l.conversation_id = new.conversation_id);
end;

create trigger tgworker_outbox_claimed
after update of state, integration_account_id, not_before on tgworker_outbox
when new.state = 'sending'
begin
    update tgworker_lanes
    set integration_account_id = new.integration_account_id, head_seq = new.seq, wake_at = null, fence = new.fence
    where conversation_id = new.conversation_id;
end;

-- The row in flight is the head whatever its number (an older row may come back while it flies).
create trigger tgworker_outbox_moved
after update of state, integration_account_id, not_before, files_until on tgworker_outbox
when new.state <> 'sending'
begin
    delete from tgworker_lanes where conversation_id = new.conversation_id;
    insert into tgworker_lanes (conversation_id, integration_account_id, head_seq, wake_at, fence)
    select o.conversation_id, o.integration_account_id, o.seq,
        case o.state when 'deferred' then o.not_before when 'waiting' then o.files_until when 'resolving' then 9e999 end,
        case o.state when 'sending' then o.fence end
    from tgworker_outbox o
    where o.seq = coalesce(
        (select f.seq from tgworker_outbox f where f.conversation_id = new.conversation_id and f.state = 'sending'),
        (select min(w.seq) from tgworker_outbox w where w.conversation_id = new.conversation_id and w.in_lane = 1));
end;

create trigger tgworker_outbox_removed after delete on tgworker_outbox
when old.settled_at is null
begin
    delete from tgworker_lanes where conversation_id = old.conversation_id;
    insert into tgworker_lanes (conversation_id, integration_account_id, head_seq, wake_at, fence)
    select o.conversation_id, o.integration_account_id, o.seq,
        case o.state when 'deferred' then o.not_before when 'waiting' then o.files_until when 'resolving' then 9e999 end,
        case o.state when 'sending' then o.fence end
    from tgworker_outbox o
    where o.seq = coalesce(
        (select f.seq from tgworker_outbox f where f.conversation_id = old.conversation_id and f.state = 'sending'),
        (select min(w.seq) from tgworker_outbox w where w.conversation_id = old.conversation_id and w.in_lane = 1));
end;

-- The application writes `messages` only; these carry over what it means for the queue. A row that names what is
-- another owner's gets no account here: the next claim says so, whoever makes it, and the row holds up nobody's order.

create trigger tgworker_message_inserted after insert on messages
when new.direction = 'outbound' and new.channel = 'telegram' and new.external_message_id like 'local-%'
begin
    insert into tgworker_outbox
        (message_id, conversation_id, integration_account_id, local_id, state, not_before, expires_at)
    select new.id, new.conversation_id,
        (select a.id from integration_accounts a
            where a.id = new.integration_account_id and a.type in ('telegram_user', 'telegram_bot') and a.owner_id = new.owner_id
                and not exists (select 1 from conversations c
                    where c.id = new.conversation_id and c.owner_id is not new.owner_id)),
        new.external_message_id,
        case when asked.not_before is null then 'waiting' else 'deferred' end,
        asked.not_before, asked.expires_at
    from (
        select
            case json_type(payload, '$.telegram.not_before') when 'text' then
                (julianday(json_extract(payload, '$.telegram.not_before')) - 2440587.5) * 86400.0 end as not_before,
            case json_type(payload, '$.telegram.expires_at') when 'text' then
                (julianday(json_extract(payload, '$.telegram.expires_at')) - 2440587.5) * 86400.0 end as expires_at
        from (select case when json_valid(new.raw_payload) then new.raw_payload else '{}' end as payload)
    ) asked
    where not exists (select 1 from tgworker_outbox o where o.message_id = new.id);
end;

-- A row that becomes `local-…` again is to be sent again; what Telegram refused once may be asked once more.
create trigger tgworker_message_returned after update of external_message_id on messages
when new.direction = 'outbound' and new.channel = 'telegram' and new.external_message_id like 'local-%'
    and old.external_message_id is not new.external_message_id
begin
    update tgworker_outbox
    set state = 'waiting', local_id = new.external_message_id, error = null, not_before = null, doubt_since = null,
        settled_at = null, cancel_asked_at = null, filed_at = (julianday('now') - 2440587.5) * 86400.0, files_until = null
    where message_id = new.id and state in ('unsure', 'dead', 'cancelled', 'expired');
    insert into tgworker_outbox (message_id, conversation_id, integration_account_id, local_id)
    select new.id, new.conversation_id,
        (select a.id from integration_accounts a
            where a.id = new.integration_account_id and a.type in ('telegram_user', 'telegram_bot') and a.owner_id = new.owner_id
                and not exists (select 1 from conversations c
                    where c.id = new.conversation_id and c.owner_id is not new.owner_id)),
        new.external_message_id
    where not exists (select 1 from tgworker_outbox o where o.message_id = new.id);
end;

-- A row that is `local-…` no more was withdrawn, or somebody else sent it.
create trigger tgworker_message_withdrawn after update of external_message_id on messages
when old.external_message_id like 'local-%' and new.external_message_id is not old.external_message_id
    and (new.external_message_id is null or new.external_message_id not like 'local-%')
begin
    update tgworker_outbox
    set state = 'cancelled', error = 'withdrawn by the application', not_before = null,
        settled_at = (julianday('now') - 2440587.5) * 86400.0
    where message_id = new.id and state in ('waiting', 'resolving', 'deferred', 'held');
    -- What a worker has in hand it gives back, if nothing of it has left.
    update tgworker_outbox set cancel_asked_at = (julianday('now') - 2440587.5) * 86400.0
    where message_id = new.id and state = 'sending' and cancel_asked_at is null;
end;

-- An attachment that comes, or goes, is counted again by the next claim. One that comes too late is not lost in silence.
create trigger tgworker_attachment_linked after insert on attachments
when exists (select 1 from tgworker_outbox o where o.message_id = new.message_id)
begin
    update tgworker_outbox set files_until = null
    where message_id = new.message_id and state = 'waiting' and files_until is not null;
    update tgworker_outbox
    set late_file = 1, error = case when state = 'sent' then 'an attachment was linked after it was sent' else error end
    where message_id = new.message_id and (state in ('sending', 'sent') or part > 0 or doubt_since is not null)
        and exists (select 1 from messages m where m.id = new.message_id and m.owner_id = new.owner_id);
end;

create trigger tgworker_attachment_moved after update of message_id, owner_id on attachments
when old.message_id is not new.message_id or old.owner_id is not new.owner_id
begin
    update tgworker_outbox set files_until = null
    where message_id in (old.message_id, new.message_id) and state = 'waiting' and files_until is not null;
    update tgworker_outbox
    set late_file = 1, error = case when state = 'sent' then 'an attachment was linked after it was sent' else error end
    where message_id = new.message_id and (state in ('sending', 'sent') or part > 0 or doubt_since is not null)
        and exists (select 1 from messages m where m.id = new.message_id and m.owner_id = new.owner_id);
end;

create trigger tgworker_attachment_removed after delete on attachments
begin
    update tgworker_outbox set files_until = null
    where message_id = old.message_id and state = 'waiting' and files_until is not null;
end;

create trigger tgworker_message_deleted after delete on messages
begin
    update tgworker_outbox
    set state = 'cancelled', error = 'deleted by the application', not_before = null,
        settled_at = (julianday('now') - 2440587.5) * 86400.0
    where message_id = old.id and state in ('waiting', 'resolving', 'deferred', 'held');
    update tgworker_outbox set cancel_asked_at = (julianday('now') - 2440587.5) * 86400.0
    where message_id = old.id and state = 'sending' and cancel_asked_at is null;
end;

create trigger tgworker_account_removed after delete on integration_accounts
begin
    update messages set external_message_id = 'error-' || substr(external_message_id, 7)
    where id in (
        select o.message_id from tgworker_outbox o where o.integration_account_id = old.id
            and o.state in ('waiting', 'resolving', 'deferred', 'held'))
        and external_message_id like 'local-%';
    update tgworker_outbox
    set state = case when doubt_since is null then 'dead' else 'unsure' end,
        error = 'its account was removed' || case when doubt_since is null then ''
            else ' while nobody knew whether Telegram has it' end,
        not_before = null, settled_at = (julianday('now') - 2440587.5) * 86400.0
    where integration_account_id = old.id
        and (state in ('waiting', 'resolving', 'deferred', 'held')
            or (state = 'cancelled' and error = 'withdrawn by the application'));
end;

-- Which worker holds a job of `sync_history_jobs` or `message_jobs`.
create table tgworker_job_claims (
    job_id text primary key not null,
    fence integer, -- of the last claim; null: nobody's now
    attempts integer not null default 0, -- so often it was tried, this claim included
    not_before real, -- it is tried again then
    below integer not null default 0, -- a history was read down to this id; 0: nothing was read yet
    seen integer not null default 0, -- so many messages
    total integer, -- so many the chat has, as Telegram said with the last page
    tries integer not null default 0 -- so often it was claimed again since the last page
) without rowid;

-- Jobs of `sync_history_jobs` that the worker filed because Telegram did not tell all that was missed in a chat:
-- each reads back until it meets what is known.
create table tgworker_gap_jobs (
    job_id text primary key not null references sync_history_jobs (id) on delete cascade,
    integration_account_id text not null,
    chat_id integer not null,
    known_top integer -- the newest message that the update log had told of when the gap was found
) without rowid;
create index tgworker_gap_jobs_chat on tgworker_gap_jobs (integration_account_id, chat_id);

-- Jobs of `sync_history_jobs` for a whole account (`telegram_id` is `all`): each files one for every chat.
create table tgworker_account_histories (
    job_id text primary key not null, -- (its session is to be finished even if the application removes it)
    integration_account_id text not null references integration_accounts (id) on delete cascade,
    takeout text, -- the id of its takeout session, as a Fernet token
    cursor text, -- where the list of chats goes on
    is_listed integer not null default 0, -- whether the list was read to its end
    not_before real, -- it is claimed again then
    chats integer, -- once it has ended: so many it had
    failed integer -- so many of their jobs have failed
) without rowid;
create index tgworker_account_histories_account on tgworker_account_histories (integration_account_id);

-- The jobs that these have filed.
create table tgworker_account_chats (
    job_id text primary key not null references sync_history_jobs (id) on delete cascade,
    whole_id text not null, -- the job for the whole account
    chat_id integer not null,
    n integer not null, -- its place in the list of chats
    unique (whole_id, chat_id)
) without rowid;
