-- What the worker adds. Nothing here refers to a table of the application: a reference would be a trigger on that
-- table, could stop its deletes, and would forbid it to be truncated.
begin;
set local lock_timeout = '3s';

-- What "now" means in every function below. Tests put a calendar of their own here.
-- (In PL/pgSQL, which keeps its plans; functions in SQL are planned with every call.)
create or replace function public.tgworker_now() returns timestamptz
language plpgsql volatile set search_path = pg_catalog, public, pg_temp
as $$ begin return clock_timestamp(); end $$;

create table if not exists public.tgworker_accounts (
    integration_account_id uuid primary key,
    name text,
    phone text, -- digits only
    user_id bigint,
    state text not null default 'waiting',
    last_error text,
    changed_at timestamptz not null default public.tgworker_now(),
    -- On an adopted database: whose the account is. See tgworker_adopt_account.
    stage text not null default 'ours' check (stage in ('adopting', 'ours', 'releasing', 'released')),
    owner_switch boolean, -- what is_active said, and is to say again, while it is kept false; null: is_active itself
    seen_sync_at timestamptz, -- last_sync_at as it was last seen, while the account is being adopted
    still_since timestamptz, -- since when last_sync_at stands still
    adopted_at timestamptz,
    introduced_at timestamptz -- its contacts and chats were read
);
-- On an adopted database: the session, encrypted by us, where the application encrypts it in a way of its own. Its own
-- column stays as it is: that is what the old worker finds when it gets the account back.
alter table public.tgworker_accounts
    add column if not exists session text,
    add column if not exists session_of text, -- which value of that column it was made of: it counts as long as that stands
    add column if not exists session_renewed boolean not null default false; -- a login here has made a newer one
create unique index if not exists tgworker_accounts_name on public.tgworker_accounts (name) where name is not null;
create index if not exists tgworker_accounts_user on public.tgworker_accounts (user_id);
create index if not exists tgworker_accounts_phone on public.tgworker_accounts (phone) where phone is not null;

-- Which process may hold an account online, and with which token it writes.
create table if not exists public.tgworker_leases (
    integration_account_id uuid primary key,
    holder uuid, -- null: nobody
    incarnation bigint not null default 0, -- which process of that holder
    worker_id text, -- for people
    fence bigint not null default 0,
    expires_at timestamptz not null default '-infinity'
) with (fillfactor = 50);

create table if not exists public.tgworker_peers (
    integration_account_id uuid not null,
    chat_id bigint not null, -- marked: -id for basic groups, -100…id for channels
    kind text not null check (kind in ('user', 'chat', 'channel')),
    access_hash bigint,
    first_name text,
    last_name text,
    title text,
    username text,
    phone text,
    is_self boolean not null default false,
    is_contact boolean not null default false,
    photo_id bigint, -- of the newest photo that Telegram told of
    avatar_id bigint, -- of the photo that was fetched
    avatar_tries integer not null default 0, -- so often the newest one could not be fetched
    avatar_not_before timestamptz,
    primary key (integration_account_id, chat_id)
);
create index if not exists tgworker_peers_avatars
    on public.tgworker_peers (integration_account_id, avatar_tries, chat_id)
    where photo_id is not null and photo_id is distinct from avatar_id and avatar_tries < 5;
create index if not exists tgworker_peers_username on public.tgworker_peers (integration_account_id, lower(username))
    where username is not null;
create index if not exists tgworker_peers_phone on public.tgworker_peers (integration_account_id, phone)
    where phone is not null;

-- Whom a name meant when Telegram was asked, where the peer itself does not show it: one of several usernames, a phone
-- number that only its owner's contacts see.
create table if not exists public.tgworker_names (
    integration_account_id uuid not null,
    name text not null, -- `@username` in lower case, or `+` and digits
    chat_id bigint not null,
    primary key (integration_account_id, name)
);

-- What Telegram asked an account to wait for: a method, a chat, first messages to strangers.
create table if not exists public.tgworker_waits (
    integration_account_id uuid not null,
    kind text not null check (kind in ('method', 'chat', 'strangers')),
    key text not null, -- the method's name, the chat's marked id, or nothing
    until_at timestamptz not null,
    reason text not null, -- Telegram's error name
    primary key (integration_account_id, kind, key)
);

create table if not exists public.tgworker_positions (
    integration_account_id uuid primary key,
    pts bigint not null,
    qts bigint not null,
    date bigint not null,
    seq bigint not null,
    fence bigint not null default 0, -- of the batch that wrote it, with its number: a late repeat moves nothing back
    number bigint not null default 0
) with (fillfactor = 50);

create table if not exists public.tgworker_channel_positions (
    integration_account_id uuid not null,
    channel_id bigint not null, -- bare
    pts bigint not null,
    primary key (integration_account_id, channel_id)
) with (fillfactor = 70);

-- Which row of `messages` is which message of Telegram. `scope` is whose message ids they are: the account's. A key
-- outlives its message, so that what a person deleted does not come back with the next history.
create table if not exists public.tgworker_message_keys (
    scope uuid not null,
    telegram_id bigint not null, -- before the chat: a delete in a private chat names no chat
    chat_id bigint not null,
    message_id uuid not null,
    from_log boolean not null default false, -- the update log told of it: and so of everything before it in its chat
    primary key (scope, telegram_id, chat_id)
);
-- The newest message of a chat that is known.
create index if not exists tgworker_message_keys_chat
    on public.tgworker_message_keys (scope, chat_id, telegram_id);
create index if not exists tgworker_message_keys_message on public.tgworker_message_keys (message_id);

-- Basic groups that became supergroups: what comes from the old one, and what comes from the new one, is of one
-- conversation, the new one's.
create table if not exists public.tgworker_migrated (
    owner_id uuid not null,
    chat_id bigint not null,
    new_chat_id bigint not null,
    primary key (owner_id, chat_id)
);

-- How far a chat was read: by the other side, of what the account sent, and by the account, of what it got.
create table if not exists public.tgworker_read_marks (
    integration_account_id uuid not null,
    chat_id bigint not null,
    by_them bigint not null default 0, -- up to this message
    by_us bigint not null default 0,
    primary key (integration_account_id, chat_id)
) with (fillfactor = 70);

-- Files of stored messages that are to be fetched from Telegram: filed with their messages, in the same transaction.
create table if not exists public.tgworker_files (
    message_id uuid primary key,
    integration_account_id uuid not null,
    chat_id bigint not null, -- marked
    telegram_id bigint not null,
    facts jsonb not null, -- what was said of the file when the message came
    sent_at timestamptz not null,
    is_history boolean not null, -- a history had it: it comes after what is new
    state text not null default 'pending' check (state in ('pending', 'done', 'unwanted', 'failed')),
    tries integer not null default 0, -- so many failed
    not_before timestamptz,
    error text,
    settled_at timestamptz
);
create index if not exists tgworker_files_wanted
    on public.tgworker_files (integration_account_id, is_history, sent_at desc, telegram_id desc)
    where state = 'pending';
create index if not exists tgworker_files_settled on public.tgworker_files (settled_at) where settled_at is not null;

create sequence if not exists public.tgworker_claim_tokens;

create table if not exists public.tgworker_outbox (
    seq bigint generated by default as identity primary key, -- the order; below zero: older than the adoption
    message_id uuid not null unique, -- a row that is in flight outlives its message
    conversation_id uuid not null,
    integration_account_id uuid, -- null: not decided yet, or unknown; the next claim decides
    local_id text not null, -- the application's `local-…`
    state text not null default 'waiting' check (state in (
        'waiting', 'resolving', 'deferred', 'held', 'sending', 'sent', 'unsure', 'dead', 'cancelled', 'expired')),
    not_before timestamptz,
    expires_at timestamptz,
    attempts integer not null default 0,
    fence bigint, -- of the lease under which it was claimed last
    claim bigint, -- the token of that claim: never given twice
    worker_id text, -- who made it, for people
    claimed_at timestamptz,
    doubt_since timestamptz, -- the first attempt of which nobody knows whether Telegram has it
    chat_top_id bigint, -- the newest message of the chat that was known at that attempt, else at the last one
    chat_id bigint,
    recipient text, -- whom a row in `resolving` waits for, in lower case
    awaiting_id boolean not null default false, -- Telegram has it, under an id that we have not seen yet
    looks integer not null default 0, -- so often that id was looked for in the chat's history
    error text,
    part integer not null default 0, -- the part that is sent next
    parts integer, -- how many there are; null: the worker has not counted them yet
    -- What the parts are made of, as the claim committed it: a repeat makes the very same ones.
    text_limit integer, -- UTF-16 code units in one part
    parse_mode text,
    long_text text, -- the whole text, if it may take several
    caption_limit integer, -- UTF-16 code units under a file
    files jsonb, -- what it carries, [{"id", "bucket", "path", "file_name", "mime_type", "byte_size"}]; each is a part
    filed_at timestamptz, -- since then its attachments may come; null: since created_at
    files_until timestamptz, -- it waits for them; then they are counted again
    late_file boolean not null default false, -- one was linked after the claim had committed them, and it was sent
    bytes_done bigint, -- of its files
    bytes_total bigint,
    cancel_asked_at timestamptz, -- somebody asked for it while it was on its way, or when it was too late
    created_at timestamptz not null default public.tgworker_now(),
    sent_at timestamptz, -- by Telegram's clock
    settled_at timestamptz,
    -- Whether the row takes part in its conversation's order. A row that was never tried and asks for a later time
    -- does not: it holds nobody up.
    in_lane boolean generated always as (
        state in ('waiting', 'resolving', 'sending') or (state = 'deferred' and attempts > 0)) stored
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
create index if not exists tgworker_outbox_lane on public.tgworker_outbox (conversation_id, seq) where in_lane;
-- One attempt of a conversation at a time, whatever a function may get wrong.
create unique index if not exists tgworker_outbox_in_flight on public.tgworker_outbox (conversation_id)
    where state = 'sending';
create index if not exists tgworker_outbox_later on public.tgworker_outbox (not_before)
    where state = 'deferred' and attempts = 0;
-- (What has begun to be sent is sent to its end.)
create index if not exists tgworker_outbox_expiring on public.tgworker_outbox (expires_at)
    where expires_at is not null and state in ('waiting', 'resolving', 'deferred') and part = 0
        and doubt_since is null;
-- Whose message one in the history could be, too.
create index if not exists tgworker_outbox_doubtful on public.tgworker_outbox (integration_account_id, chat_id)
    where doubt_since is not null;
create index if not exists tgworker_outbox_resolving on public.tgworker_outbox (integration_account_id, recipient)
    where state = 'resolving';
create index if not exists tgworker_outbox_cancelling on public.tgworker_outbox (message_id)
    where cancel_asked_at is not null and state = 'sending';
create index if not exists tgworker_outbox_awaiting_id on public.tgworker_outbox (integration_account_id)
    where awaiting_id;
create index if not exists tgworker_outbox_unnamed on public.tgworker_outbox (integration_account_id, seq)
    where awaiting_id and looks < 3 and parts = 1 and chat_id is not null;
create index if not exists tgworker_outbox_chatless on public.tgworker_outbox (integration_account_id)
    where state = 'sent' and chat_id is null;
create index if not exists tgworker_outbox_open on public.tgworker_outbox (integration_account_id, seq)
    where settled_at is null;
create index if not exists tgworker_outbox_settled on public.tgworker_outbox (settled_at)
    where settled_at is not null;
create index if not exists tgworker_outbox_late_file on public.tgworker_outbox (seq) where late_file and state = 'sent';
-- What people look for. (The states of a smooth send are not in it: it costs them nothing.)
create index if not exists tgworker_outbox_listed on public.tgworker_outbox (state, seq)
    where state in ('deferred', 'held', 'unsure', 'dead', 'cancelled', 'expired');

create table if not exists public.tgworker_outbox_parts (
    message_id uuid not null,
    part integer not null,
    random_id bigint not null,
    telegram_id bigint,
    primary key (message_id, part)
);
create index if not exists tgworker_outbox_parts_random on public.tgworker_outbox_parts (random_id);

-- In which order attachments were linked to messages that are not inbound ones: the application's table does not say it,
-- and may have no index by message. A row stays as long as its attachment.
create table if not exists public.tgworker_attachments (
    attachment_id uuid primary key,
    message_id uuid not null,
    n bigint generated by default as identity
);
create index if not exists tgworker_attachments_linked on public.tgworker_attachments (message_id, n);

-- One row for a conversation with something to send: its head. A claim reads nothing else, so that it costs the same
-- whatever the backlog.
create table if not exists public.tgworker_lanes (
    conversation_id uuid primary key,
    integration_account_id uuid, -- the head's
    head_seq bigint not null,
    ready_at timestamptz not null, -- when the head may be claimed
    fence bigint -- of the lease under which the head was claimed; null: nobody has it
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000);
create index if not exists tgworker_lanes_ready on public.tgworker_lanes
    (integration_account_id, ready_at, head_seq) where fence is null;
create index if not exists tgworker_lanes_claimed on public.tgworker_lanes (integration_account_id, head_seq)
    where fence is not null;

-- Conversations whose lane must be looked at again. The application's statements only add rows here: they wait for no
-- lock of ours, and ours wait for none of theirs, however long their transactions are.
create table if not exists public.tgworker_touched (
    n bigint generated always as identity primary key,
    conversation_id uuid not null,
    integration_account_id uuid, -- whom to wake; null: anybody
    message_id uuid, -- whose attachments changed, or what it says of them
    is_unrecorded boolean not null default false -- tgworker_attachments may not know them
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What could not be written to a row of the application, because somebody held it just then.
create table if not exists public.tgworker_chores (
    n bigint generated always as identity primary key,
    message_id uuid, -- write what became of it
    conversation_id uuid, -- or count these as unread, and show this
    unread integer,
    latest_at timestamptz,
    preview text
);

-- What went wrong in a trigger: the application was not told, the next claim repairs. Until then nothing of the
-- conversation is sent, and the place in its order is kept.
create table if not exists public.tgworker_trigger_errors (
    n bigint generated always as identity primary key,
    message_id uuid,
    conversation_id uuid, -- where it is to be sent; for one that moved, both
    seq bigint, -- of the outbox, should it be new there
    trigger_name text not null,
    error text not null,
    at timestamptz not null default clock_timestamp(),
    repaired_at timestamptz
);
create index if not exists tgworker_trigger_errors_open on public.tgworker_trigger_errors (n)
    where repaired_at is null;
create index if not exists tgworker_trigger_errors_lane on public.tgworker_trigger_errors (conversation_id)
    where repaired_at is null;

-- Accounts that were deleted, and of which rows of ours are left.
create table if not exists public.tgworker_removed_accounts (
    integration_account_id uuid primary key,
    removed_at timestamptz not null default clock_timestamp(),
    outbox_done boolean not null default false
);

-- Which worker holds a job of `sync_history_jobs` or `message_jobs`.
create table if not exists public.tgworker_job_claims (
    job_id uuid primary key,
    seq bigint not null generated always as identity, -- the order in which they were seen first
    integration_account_id uuid, -- of the last claim
    fence bigint, -- of the last claim; null: nobody's now
    attempts integer not null default 0, -- so often it was tried, this claim included
    not_before timestamptz, -- it is tried again then
    below bigint not null default 0, -- a history was read down to this id; 0: nothing was read yet
    seen integer not null default 0, -- so many messages
    total bigint, -- so many the chat has, as Telegram said with the last page
    tries integer not null default 0 -- so often it was claimed again since the last page
);

-- Jobs of `sync_history_jobs` that the worker filed because Telegram did not tell all that was missed in a chat: each
-- reads back until it meets what is known.
create table if not exists public.tgworker_gap_jobs (
    job_id uuid primary key,
    integration_account_id uuid not null,
    chat_id bigint not null,
    known_top bigint -- the newest message that the update log had told of when the gap was found
);
create index if not exists tgworker_gap_jobs_chat on public.tgworker_gap_jobs (integration_account_id, chat_id);

-- Jobs of `sync_history_jobs` for a whole account: each files one for every chat. See tgworker_is_whole_account.
create table if not exists public.tgworker_account_histories (
    job_id uuid primary key,
    integration_account_id uuid not null,
    takeout text, -- the id of its takeout session, as a Fernet token
    cursor text, -- where the list of chats goes on
    is_listed boolean not null default false, -- whether the list was read to its end
    not_before timestamptz, -- it is claimed again then
    chats integer, -- once it has ended: so many it had
    failed integer -- so many of their jobs have failed
);
create index if not exists tgworker_account_histories_account
    on public.tgworker_account_histories (integration_account_id);

-- The jobs that these have filed.
create table if not exists public.tgworker_account_chats (
    job_id uuid primary key,
    integration_account_id uuid not null,
    whole_id uuid not null, -- the job for the whole account
    chat_id bigint not null,
    n integer not null, -- its place in the list of chats
    unique (whole_id, chat_id)
);
create index if not exists tgworker_account_chats_account on public.tgworker_account_chats (integration_account_id);

-- Requests of the application to log somebody in, and what the worker answers. See the file on logins.
create table if not exists public.tgworker_login_requests (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid,
    workspace_id uuid,
    method text default 'phone', -- or 'qr'
    phone text,
    name text,
    config jsonb, -- what the account is to run with
    state text default 'new',
    code text, -- the application's answer in state code_sent
    password text, -- and in state password_needed
    hint text, -- where the code is, or what the person wrote to remember the password by
    qr_url text, -- in state qr_shown
    qr_expires_at timestamptz,
    tries_left integer,
    error text,
    integration_account_id uuid, -- once it is done
    ticket uuid, -- who answers
    heard_at timestamptz, -- when that one was heard of last
    told integer not null default 0, -- grows with every state that it writes: one that comes without is the application's
    created_at timestamptz, -- the trigger's: who files a row may not call our functions
    ended_at timestamptz
) with (fillfactor = 50);
create index if not exists tgworker_login_requests_open on public.tgworker_login_requests (created_at)
    where ended_at is null;
create index if not exists tgworker_login_requests_ended on public.tgworker_login_requests (ended_at)
    where ended_at is not null;

-- What workers say about themselves, for people: verdicts, restarts, refusals.
create table if not exists public.tgworker_events (
    id uuid primary key,
    at timestamptz not null default public.tgworker_now(),
    worker_id text not null,
    integration_account_id uuid,
    kind text not null,
    detail jsonb not null default '{}'
);
create index if not exists tgworker_events_at on public.tgworker_events (at);

delete from public.tgworker_meta where key like 'retention\_%'; -- the worker's environment says it

-- Closed to everybody but who bypasses row security; grants are taken back from the API's roles by name, since
-- Supabase's default privileges give them everything.
do $$
declare
    v_ours record;
    v_role text;
begin
    for v_ours in
        select c.relname as name, c.relkind = 'S' as is_sequence from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'S') and c.relname like 'tgworker\_%'
    loop
        for v_role in
            select 'public' union all select quote_ident(rolname) from pg_roles
            where rolname in ('anon', 'authenticated', 'service_role')
        loop
            execute format('revoke all on %s public.%I from %s',
                case when v_ours.is_sequence then 'sequence' else 'table' end, v_ours.name, v_role);
        end loop;
        if v_ours.is_sequence then
            execute format('grant usage on sequence public.%I to service_role', v_ours.name);
        else
            execute format('alter table public.%I enable row level security', v_ours.name);
            execute format('grant select, insert, update, delete on public.%I to service_role', v_ours.name);
        end if;
    end loop;
end $$;

-- Types that functions hand each other. Nothing is stored in them.
do $$
begin
    if to_regtype('public.tgworker_verdict') is null then
        create type public.tgworker_verdict as (
            seq bigint, part integer, state text, telegram_id bigint, chat_id bigint, sent_at timestamptz,
            not_before timestamptz, error text, doubtful boolean, unclaimed boolean);
    end if;
    if to_regtype('public.tgworker_incoming') is null then
        create type public.tgworker_incoming as (
            n integer, chat_id bigint, telegram_id bigint, sender_id bigint, outgoing boolean, text text,
            message_type text, sent_at timestamptz, raw_payload jsonb, message_id uuid, file jsonb);
    end if;
end $$;

commit;
