-- The application's tables, by the application's names. Ids are UUIDs in text form, times are ISO 8601 in UTC,
-- JSON is text, booleans are 0 and 1. Defaults are such that the application's plain inserts work.

create table integration_accounts (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    workspace_id text,
    type text not null default 'telegram_user',
    is_active integer not null default 1,
    secrets_encrypted text,
    config text not null default '{}',
    last_sync_at text,
    last_error text
);

create table contact_identities (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    contact_id text,
    type text not null default 'telegram_user',
    value text not null,
    metadata text not null default '{}',
    unique (owner_id, type, value)
);
create index contact_identities_contact on contact_identities (contact_id) where contact_id is not null;

create table conversations (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    workspace_id text,
    contact_id text,
    primary_identity_id text references contact_identities (id) on delete set null,
    status text not null default 'open',
    last_channel text,
    last_message_at text,
    last_message_preview text,
    unread_count integer not null default 0
);
create index conversations_identity on conversations (primary_identity_id);

create table messages (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    conversation_id text not null references conversations (id) on delete cascade,
    integration_account_id text references integration_accounts (id) on delete set null,
    identity_id text references contact_identities (id) on delete set null,
    channel text not null default 'telegram',
    direction text not null check (direction in ('inbound', 'outbound')),
    text text,
    message_type text not null default 'text',
    sent_at text default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    external_message_id text,
    raw_payload text
);
create index messages_conversation on messages (conversation_id, sent_at);

create table attachments (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    message_id text not null references messages (id) on delete cascade,
    storage_bucket text,
    storage_path text,
    file_name text,
    mime_type text,
    byte_size integer
);
create index attachments_message on attachments (message_id);

create table message_events (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    message_id text not null references messages (id) on delete cascade,
    type text not null,
    occurred_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    payload text not null default '{}'
);
create index message_events_message on message_events (message_id);

create table presence_status (
    owner_id text not null,
    contact_identity_id text not null references contact_identities (id) on delete cascade,
    conversation_id text references conversations (id) on delete cascade,
    is_typing integer not null default 0,
    is_online integer not null default 0,
    last_seen_at text,
    typing_expires_at text,
    updated_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    unique (owner_id, contact_identity_id)
);

create table sync_history_jobs (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    workspace_id text,
    conversation_id text references conversations (id) on delete cascade,
    integration_account_id text references integration_accounts (id) on delete cascade,
    telegram_id text,
    telegram_name text,
    is_group integer not null default 0,
    status text not null default 'pending',
    limit_messages integer not null default 100,
    messages_synced integer not null default 0,
    error_message text,
    created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    processed_at text
);
create index sync_history_jobs_open on sync_history_jobs (integration_account_id, status)
    where status in ('pending', 'processing');

create table message_jobs (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text not null,
    message_id text references messages (id) on delete cascade,
    integration_account_id text references integration_accounts (id) on delete cascade,
    action text not null,
    payload text not null default '{}',
    status text not null default 'pending',
    error_message text,
    created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    processed_at text
);
create index message_jobs_open on message_jobs (integration_account_id, status)
    where status in ('pending', 'processing');
