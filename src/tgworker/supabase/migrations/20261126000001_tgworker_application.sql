-- The application's tables, by the application's names: made where they are missing, left alone where they stand.
-- Whether this database had an application before us is decided here, once, and remembered.
--
-- All files here may be run again, and in one transaction each: by `supabase db push`, `psql -v ON_ERROR_STOP=1 -f`
-- or `python -m tgworker migrate`. They need the roles of Supabase and no superuser.
begin;
set local lock_timeout = '3s'; -- rather fail, and be run again, than make the application queue up behind us

do $$
begin
    if not exists (select from pg_roles where rolname = 'service_role') then
        raise exception 'there is no role service_role: this is no Supabase database'
            using hint = 'apply these files to the database of a Supabase project, or to `tgworker dev-stack`';
    end if;
end $$;

-- What is there must be what we take it for: say it in one line now, and change nothing.
do $$
declare
    v_wrong text;
begin
    select string_agg(
            format('%s.%s is %s, not %s', e.table_name, e.column_name,
                coalesce(format_type(a.atttypid, null), 'missing'), e.type_name),
            '; ' order by e.table_name, e.column_name)
    into v_wrong
    from (values
        ('integration_accounts', 'id', 'uuid'), ('integration_accounts', 'owner_id', 'uuid'),
        ('integration_accounts', 'workspace_id', 'uuid'), ('integration_accounts', 'type', 'text'),
        ('integration_accounts', 'is_active', 'boolean'), ('integration_accounts', 'secrets_encrypted', 'text'),
        ('integration_accounts', 'config', 'jsonb'),
        ('integration_accounts', 'last_sync_at', 'timestamp with time zone'),
        ('integration_accounts', 'last_error', 'text'),
        ('contact_identities', 'id', 'uuid'), ('contact_identities', 'owner_id', 'uuid'),
        ('contact_identities', 'contact_id', 'uuid'), ('contact_identities', 'type', 'text'),
        ('contact_identities', 'value', 'text'), ('contact_identities', 'metadata', 'jsonb'),
        ('conversations', 'id', 'uuid'), ('conversations', 'owner_id', 'uuid'),
        ('conversations', 'workspace_id', 'uuid'), ('conversations', 'contact_id', 'uuid'),
        ('conversations', 'primary_identity_id', 'uuid'), ('conversations', 'status', 'text'),
        ('conversations', 'last_channel', 'text'),
        ('conversations', 'last_message_at', 'timestamp with time zone'),
        ('conversations', 'last_message_preview', 'text'), ('conversations', 'unread_count', 'integer'),
        ('messages', 'id', 'uuid'), ('messages', 'owner_id', 'uuid'), ('messages', 'conversation_id', 'uuid'),
        ('messages', 'integration_account_id', 'uuid'), ('messages', 'identity_id', 'uuid'),
        ('messages', 'channel', 'text'), ('messages', 'direction', 'text'), ('messages', 'text', 'text'),
        ('messages', 'message_type', 'text'), ('messages', 'sent_at', 'timestamp with time zone'),
        ('messages', 'external_message_id', 'text'), ('messages', 'raw_payload', 'jsonb'),
        ('attachments', 'id', 'uuid'), ('attachments', 'owner_id', 'uuid'), ('attachments', 'message_id', 'uuid'),
        ('attachments', 'storage_bucket', 'text'), ('attachments', 'storage_path', 'text'),
        ('attachments', 'file_name', 'text'), ('attachments', 'mime_type', 'text'),
        ('attachments', 'byte_size', 'integer'),
        ('message_events', 'id', 'uuid'), ('message_events', 'owner_id', 'uuid'),
        ('message_events', 'message_id', 'uuid'), ('message_events', 'type', 'text'),
        ('message_events', 'occurred_at', 'timestamp with time zone'), ('message_events', 'payload', 'jsonb'),
        ('presence_status', 'owner_id', 'uuid'), ('presence_status', 'contact_identity_id', 'uuid'),
        ('presence_status', 'conversation_id', 'uuid'), ('presence_status', 'is_typing', 'boolean'),
        ('presence_status', 'is_online', 'boolean'),
        ('presence_status', 'last_seen_at', 'timestamp with time zone'),
        ('presence_status', 'typing_expires_at', 'timestamp with time zone'),
        ('presence_status', 'updated_at', 'timestamp with time zone'),
        ('sync_history_jobs', 'id', 'uuid'), ('sync_history_jobs', 'conversation_id', 'uuid'),
        ('sync_history_jobs', 'integration_account_id', 'uuid'), ('sync_history_jobs', 'telegram_id', null),
        ('sync_history_jobs', 'is_group', 'boolean'), ('sync_history_jobs', 'status', 'text'),
        ('sync_history_jobs', 'limit_messages', 'integer'), ('sync_history_jobs', 'messages_synced', 'integer'),
        ('sync_history_jobs', 'error_message', 'text'),
        ('sync_history_jobs', 'created_at', 'timestamp with time zone'),
        ('sync_history_jobs', 'processed_at', 'timestamp with time zone'),
        ('message_jobs', 'id', 'uuid'), ('message_jobs', 'message_id', 'uuid'),
        ('message_jobs', 'integration_account_id', 'uuid'), ('message_jobs', 'action', 'text'),
        ('message_jobs', 'payload', 'jsonb'), ('message_jobs', 'status', 'text'),
        ('message_jobs', 'error_message', 'text'),
        ('message_jobs', 'created_at', 'timestamp with time zone'),
        ('message_jobs', 'processed_at', 'timestamp with time zone'),
        ('worker_heartbeats', 'worker_id', 'text'), ('worker_heartbeats', 'status', 'text'),
        ('worker_heartbeats', 'last_heartbeat_at', 'timestamp with time zone'),
        ('worker_heartbeats', 'loops_status', 'jsonb')
    ) as e (table_name, column_name, type_name)
    join pg_class c on c.oid = to_regclass('public.' || e.table_name)
    left join pg_attribute a on a.attrelid = c.oid and a.attname = e.column_name and not a.attisdropped
    where a.attnum is null
        or not (coalesce(a.atttypid = to_regtype(e.type_name), true)
            -- A varchar takes and gives text as well (an enumeration does not), and any number a count.
            or (select (e.type_name = 'text' and t.typcategory = 'S')
                    or (e.type_name = 'integer' and t.typcategory = 'N')
                from pg_type t where t.oid = a.atttypid));
    -- What a row must have, and the worker does not know.
    select concat_ws('; ', v_wrong, string_agg(
            format('%s.%s must not be null, and has no default', c.relname, a.attname), '; '
            order by c.relname, a.attname))
    into v_wrong
    from (values
        ('contact_identities', array['owner_id', 'type', 'value', 'metadata']),
        ('conversations', array['owner_id', 'primary_identity_id', 'last_channel']),
        ('messages', array['owner_id', 'conversation_id', 'integration_account_id', 'identity_id', 'channel',
            'direction', 'message_type', 'sent_at', 'external_message_id']),
        ('attachments', array['id', 'owner_id', 'message_id', 'storage_bucket', 'storage_path', 'file_name',
            'mime_type', 'byte_size']),
        ('message_events', array['id', 'owner_id', 'message_id', 'type', 'occurred_at', 'payload']),
        ('presence_status', array['owner_id', 'contact_identity_id', 'is_typing', 'is_online', 'updated_at']),
        ('integration_accounts', array['owner_id', 'type', 'is_active', 'secrets_encrypted'])
    ) as k (table_name, filled)
    join pg_class c on c.oid = to_regclass('public.' || k.table_name)
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attname <> all (k.filled);
    v_wrong := nullif(v_wrong, '');
    if v_wrong is not null then
        raise exception 'this application''s tables are not those of the worker: %', v_wrong
            using hint = 'nothing was changed; compare with docs/reference/supabase.md';
    end if;
end $$;

create table if not exists public.tgworker_meta (
    key text primary key,
    value jsonb not null
);

insert into public.tgworker_meta (key, value)
values ('adopted', to_jsonb(
    to_regclass('public.messages') is not null or to_regclass('public.integration_accounts') is not null))
on conflict (key) do nothing;

-- The tables of ours to be: what is missing now. They get row security without a policy (only who bypasses it, as
-- service_role does, sees anything: the application's own policies are its business), references and indexes.
do $$
begin
    perform set_config('tgworker.missing', coalesce(string_agg(name, ','), ''), true)
    from unnest(array['integration_accounts', 'contact_identities', 'conversations', 'messages', 'attachments',
        'message_events', 'presence_status', 'sync_history_jobs', 'message_jobs', 'worker_heartbeats']) as name
    where to_regclass('public.' || name) is null;
end $$;

create table if not exists public.integration_accounts (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    workspace_id uuid,
    type text not null default 'telegram_user',
    is_active boolean not null default true,
    secrets_encrypted text,
    config jsonb not null default '{}',
    last_sync_at timestamptz,
    last_error text
);

create table if not exists public.contact_identities (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    contact_id uuid,
    type text not null default 'telegram_user',
    value text not null,
    metadata jsonb not null default '{}',
    unique (owner_id, type, value)
);

create table if not exists public.conversations (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    workspace_id uuid,
    contact_id uuid,
    primary_identity_id uuid,
    status text not null default 'open',
    last_channel text,
    last_message_at timestamptz,
    last_message_preview text,
    unread_count integer not null default 0
);

create table if not exists public.messages (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    conversation_id uuid not null,
    integration_account_id uuid,
    identity_id uuid,
    channel text not null default 'telegram',
    direction text not null check (direction in ('inbound', 'outbound')),
    text text,
    message_type text not null default 'text',
    sent_at timestamptz default now(),
    external_message_id text,
    raw_payload jsonb
);

create table if not exists public.attachments (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    message_id uuid not null,
    storage_bucket text,
    storage_path text,
    file_name text,
    mime_type text,
    byte_size bigint
);

create table if not exists public.message_events (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    message_id uuid not null,
    type text not null,
    occurred_at timestamptz not null default now(),
    payload jsonb not null default '{}'
);

create table if not exists public.presence_status (
    owner_id uuid not null,
    contact_identity_id uuid not null,
    conversation_id uuid,
    is_typing boolean not null default false,
    is_online boolean not null default false,
    last_seen_at timestamptz,
    typing_expires_at timestamptz,
    updated_at timestamptz not null default now(),
    unique (owner_id, contact_identity_id)
);

create table if not exists public.sync_history_jobs (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    workspace_id uuid,
    conversation_id uuid,
    integration_account_id uuid,
    telegram_id text,
    telegram_name text,
    is_group boolean not null default false,
    status text not null default 'pending',
    limit_messages integer not null default 100,
    messages_synced integer not null default 0,
    error_message text,
    created_at timestamptz not null default now(),
    processed_at timestamptz
);

create table if not exists public.message_jobs (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    message_id uuid,
    integration_account_id uuid,
    action text not null,
    payload jsonb not null default '{}',
    status text not null default 'pending',
    error_message text,
    created_at timestamptz not null default now(),
    processed_at timestamptz
);

create table if not exists public.worker_heartbeats (
    worker_id text primary key,
    status text not null,
    last_heartbeat_at timestamptz not null default now(),
    loops_status jsonb not null default '{}'
);
-- This one is ours: with these an older heartbeat never overwrites a newer one.
alter table public.worker_heartbeats add column if not exists incarnation bigint not null default 0;
alter table public.worker_heartbeats add column if not exists seq bigint not null default 0;

do $$
declare
    v_table text;
    v_missing text[] := string_to_array(current_setting('tgworker.missing'), ',');
    v_statement text;
begin
    foreach v_table in array v_missing loop
        execute format('alter table public.%I enable row level security', v_table);
    end loop;
    if 'conversations' = any (v_missing) then
        create index conversations_identity on public.conversations (primary_identity_id);
    end if;
    if 'contact_identities' = any (v_missing) then
        create index contact_identities_contact on public.contact_identities (contact_id)
            where contact_id is not null;
    end if;
    if 'messages' = any (v_missing) then
        create index messages_conversation on public.messages (conversation_id, sent_at);
    end if;
    if 'attachments' = any (v_missing) then
        create index attachments_message on public.attachments (message_id);
    end if;
    if 'message_events' = any (v_missing) then
        create index message_events_message on public.message_events (message_id);
    end if;
    if 'sync_history_jobs' = any (v_missing) then
        create index sync_history_jobs_open on public.sync_history_jobs (integration_account_id)
            where status in ('pending', 'processing');
    end if;
    if 'message_jobs' = any (v_missing) then
        create index message_jobs_open on public.message_jobs (integration_account_id)
            where status in ('pending', 'processing');
    end if;
    -- References only among tables that are all ours: one to a table of the application would be a trigger on it.
    if cardinality(v_missing) = 10 then
        foreach v_statement in array array[
            'conversations add foreign key (primary_identity_id) references public.contact_identities on delete set null',
            'messages add foreign key (conversation_id) references public.conversations on delete cascade',
            'messages add foreign key (integration_account_id) references public.integration_accounts on delete set null',
            'messages add foreign key (identity_id) references public.contact_identities on delete set null',
            'attachments add foreign key (message_id) references public.messages on delete cascade',
            'message_events add foreign key (message_id) references public.messages on delete cascade',
            'presence_status add foreign key (contact_identity_id) references public.contact_identities on delete cascade',
            'presence_status add foreign key (conversation_id) references public.conversations on delete cascade',
            'sync_history_jobs add foreign key (conversation_id) references public.conversations on delete cascade',
            'sync_history_jobs add foreign key (integration_account_id) references public.integration_accounts on delete cascade',
            'message_jobs add foreign key (message_id) references public.messages on delete cascade',
            'message_jobs add foreign key (integration_account_id) references public.integration_accounts on delete cascade'
        ] loop
            execute 'alter table public.' || v_statement;
        end loop;
        -- What references look up when a row goes away.
        create index messages_account on public.messages (integration_account_id);
        create index messages_identity on public.messages (identity_id);
        create index presence_status_identity on public.presence_status (contact_identity_id);
        create index presence_status_conversation on public.presence_status (conversation_id);
        create index sync_history_jobs_conversation on public.sync_history_jobs (conversation_id);
        create index message_jobs_message on public.message_jobs (message_id);
    end if;
end $$;

commit;
