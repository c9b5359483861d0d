-- An inbox application's database as people have them: made by hand over time, with policies, functions and triggers of
-- its own, columns that we know nothing of, and data that keeps no rule which nothing enforces.

create table public.integration_accounts (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references auth.users,
    workspace_id uuid,
    type text not null,
    is_active boolean default true,
    secrets_encrypted text,
    config jsonb default '{}',
    last_sync_at timestamptz,
    last_error text,
    created_at timestamptz default now()
);

-- (Its unique key on (owner_id, type, value) was forgotten.)
create table public.contact_identities (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    contact_id uuid,
    type text not null,
    value text,
    metadata jsonb,
    created_at timestamptz default now()
);

create table public.conversations (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    workspace_id uuid,
    contact_id uuid,
    primary_identity_id uuid references public.contact_identities,
    status varchar(20) default 'open',
    last_channel text,
    last_message_at timestamptz,
    last_message_preview text,
    unread_count integer default 0,
    assigned_to uuid
);

create table public.messages (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    conversation_id uuid references public.conversations on delete cascade,
    integration_account_id uuid,
    identity_id uuid,
    channel text not null,
    direction text not null,
    text text,
    message_type text default 'text',
    sent_at timestamptz default now(),
    external_message_id text,
    raw_payload jsonb,
    created_at timestamptz default now()
);
create index messages_by_conversation on public.messages (conversation_id, sent_at desc);

create table public.attachments (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    message_id uuid references public.messages on delete cascade,
    storage_bucket text,
    storage_path text,
    file_name text,
    mime_type text,
    byte_size bigint
);

create table public.message_events (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    message_id uuid references public.messages on delete cascade,
    type text,
    occurred_at timestamptz default now(),
    payload jsonb
);

create table public.presence_status (
    owner_id uuid,
    contact_identity_id uuid,
    conversation_id uuid,
    is_typing boolean,
    is_online boolean,
    last_seen_at timestamptz,
    typing_expires_at timestamptz,
    updated_at timestamptz
);

create table public.sync_history_jobs (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid,
    workspace_id uuid,
    conversation_id uuid,
    integration_account_id uuid,
    telegram_id bigint,
    telegram_name text,
    is_group boolean,
    status text default 'pending',
    limit_messages integer,
    messages_synced integer,
    error_message text,
    created_at timestamptz default now(),
    processed_at timestamptz
);

create table public.message_jobs (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid,
    message_id uuid,
    integration_account_id uuid,
    action text,
    payload jsonb,
    status text default 'pending',
    error_message text,
    created_at timestamptz default now(),
    processed_at timestamptz
);

-- As the plan has it.
create table public.worker_heartbeats (
    worker_id text primary key,
    status text,
    last_heartbeat_at timestamptz,
    loops_status jsonb
);

-- What it does with them
create table public.audit (n bigint generated always as identity, what text, at timestamptz default now());

create function public.audit_message() returns trigger language plpgsql security definer as $$
begin
    insert into public.audit (what) values (tg_op || ' ' || coalesce(new.text, old.text, ''));
    return coalesce(new, old);
end $$;
create trigger audit_messages after insert or update or delete on public.messages
    for each row execute function public.audit_message();

create function public.inbox_of(p_owner uuid) returns table (conversation_id uuid, preview text, unread integer)
language sql stable as $$
    select id, last_message_preview, unread_count from public.conversations where owner_id = p_owner
    order by last_message_at desc nulls last, id
$$;

create function public.send_message(p_conversation uuid, p_account uuid, p_text text) returns uuid
language sql as $$
    insert into public.messages (owner_id, conversation_id, integration_account_id, channel, direction, text,
        external_message_id)
    select c.owner_id, c.id, p_account, 'telegram', 'outbound', p_text, 'local-' || gen_random_uuid()
    from public.conversations c where c.id = p_conversation
    returning id
$$;

create view public.pending_messages as
    select id, text from public.messages where direction = 'outbound' and external_message_id like 'local-%';

alter table public.messages enable row level security;
create policy messages_of_owner on public.messages to authenticated
    using (owner_id = auth.uid()) with check (owner_id = auth.uid());
alter table public.conversations enable row level security;
create policy conversations_of_owner on public.conversations to authenticated using (owner_id = auth.uid());
alter table public.integration_accounts enable row level security;
create policy accounts_of_owner on public.integration_accounts for select to authenticated
    using (owner_id = auth.uid());
revoke all on public.integration_accounts from anon;
revoke execute on function public.send_message from anon;

insert into auth.users (id, email) values ('0f000000-0000-4000-8000-000000000001', 'ada@example.org');
insert into public.integration_accounts (id, owner_id, type, is_active, secrets_encrypted, last_sync_at) values
    ('0a000000-0000-4000-8000-000000000001', '0f000000-0000-4000-8000-000000000001', 'telegram_user', true, 's1', now()),
    ('0a000000-0000-4000-8000-000000000002', '0f000000-0000-4000-8000-000000000001', 'telegram_user', false, 's2', null),
    ('0a000000-0000-4000-8000-000000000003', '0f000000-0000-4000-8000-000000000001', 'whatsapp', true, null, null);
insert into public.contact_identities (id, owner_id, type, value, metadata) values
    ('0b000000-0000-4000-8000-000000000001', '0f000000-0000-4000-8000-000000000001', 'telegram_user', '500', null),
    ('0b000000-0000-4000-8000-000000000002', '0f000000-0000-4000-8000-000000000001', 'telegram_user', '500', '{}'), -- twice
    ('0b000000-0000-4000-8000-000000000003', '0f000000-0000-4000-8000-000000000001', 'telegram_user', null, '[]'),
    ('0b000000-0000-4000-8000-000000000004', '0f000000-0000-4000-8000-000000000001', 'telegram_user', '501', '"text"'),
    ('0b000000-0000-4000-8000-000000000005', '0f000000-0000-4000-8000-000000000001', 'email', 'a@example.org', 'null');
insert into public.conversations (id, owner_id, primary_identity_id, last_message_at, last_message_preview, unread_count) values
    ('0c000000-0000-4000-8000-000000000001', '0f000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000002', '2026-01-01', 'hello', null),
    ('0c000000-0000-4000-8000-000000000002', '0f000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000003', null, null, 0),
    ('0c000000-0000-4000-8000-000000000003', '0f000000-0000-4000-8000-000000000001', null, null, null, 0),
    ('0c000000-0000-4000-8000-000000000004', '0f000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000004', null, null, 0);
insert into public.messages (id, owner_id, conversation_id, integration_account_id, channel, direction, text, sent_at, external_message_id, raw_payload) values
    -- What the old worker stored, once twice
    ('0d000000-0000-4000-8000-000000000001', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'inbound', 'hello', '2026-01-01', '70', null),
    ('0d000000-0000-4000-8000-000000000002', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'inbound', 'hello', '2026-01-01', '70', null),
    ('0d000000-0000-4000-8000-000000000003', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'sent', '2026-01-01', '71', null),
    ('0d000000-0000-4000-8000-000000000004', '0f000000-0000-4000-8000-000000000001', null, null, 'telegram', 'outbound', null, null, null, '[]'),
    -- What waits: since last year, since nobody knows when, since a moment ago (in this order), for nobody, for an account that is gone
    ('0e000000-0000-4000-8000-000000000001', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'old', '2025-01-01', 'local-old', null),
    ('0e000000-0000-4000-8000-000000000002', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'undated', null, 'local-undated', null),
    ('0e000000-0000-4000-8000-000000000004', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'first', now() - interval '2 minutes', 'local-first', null),
    ('0e000000-0000-4000-8000-000000000003', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'second', now() - interval '1 minute', 'local-second', '"scalar"'),
    ('0e000000-0000-4000-8000-000000000005', '0f000000-0000-4000-8000-000000000001', null, '0a000000-0000-4000-8000-000000000001', 'telegram', 'outbound', 'nowhere', now(), 'local-nowhere', null),
    ('0e000000-0000-4000-8000-000000000006', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000003', '0a000000-0000-4000-8000-00000000dead', 'telegram', 'outbound', 'orphan', now(), 'local-orphan', null),
    ('0e000000-0000-4000-8000-000000000007', '0f000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000004', null, 'telegram', 'outbound', 'accountless', now(), 'local-accountless', null);
insert into public.worker_heartbeats values ('telegram-main', 'online', now(), null);
