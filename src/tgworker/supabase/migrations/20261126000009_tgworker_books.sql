-- Accounts and the outbox as the worker's account sync and the commands handle them.
begin;
set local lock_timeout = '3s';

-- What tells one stored session from another.
create or replace function public.tgworker_digest(p_text text) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select encode(sha256(convert_to(p_text, 'UTF8')), 'hex') $$;

-- The session of ours that stands for the application's; null if there is none, or the application has another one now.
create or replace function public.tgworker_own_session(p public.integration_accounts, t public.tgworker_accounts)
returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select t.session where t.session_of = public.tgworker_digest(p.secrets_encrypted)
$$;

-- A config as workers get it: empty where there is none, and with one key of ours where it is no object.
create or replace function public.tgworker_config(p_config jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select case when jsonb_typeof(p_config) = 'object' then p_config
        when p_config is null or p_config in ('null', '""') then '{}' else '{"tgworker.unreadable": true}' end
$$;

-- AccountStore.active_accounts
--
-- answer  [{"id", "owner_id", "workspace_id", "name", "kind", "secrets_encrypted", "config"}], in a stable order
create or replace function public.tgworker_active_accounts() returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'owner_id', a.owner_id,
        'workspace_id', a.workspace_id, 'name', t.name, 'kind', a.type,
        'secrets_encrypted', coalesce(public.tgworker_own_session(a, t), a.secrets_encrypted, ''),
        'config', public.tgworker_config(a.config)) order by a.id), '[]')
    from public.integration_accounts a
    left join public.tgworker_accounts t on t.integration_account_id = a.id
    where a.type in ('telegram_user', 'telegram_bot') and public.tgworker_is_wanted(a)
$$;

-- AccountStore.record_account
--
-- p_fence  the token of the account's lease; null: the account has no lease now (another one's word is not overwritten)
--
-- An account that was removed, or is not ours, is left alone. Raises 409 `lease_lost`.
create or replace function public.tgworker_record_account(
    p_account uuid, p_fence bigint, p_state text, p_last_error text default null, p_user_id bigint default null)
returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from public.integration_accounts a where a.id = p_account) then
        return;
    end if;
    if p_fence is not null then
        perform public.tgworker_check_fence(p_account, p_fence);
    elsif exists (select from public.tgworker_leases l
        where l.integration_account_id = p_account and l.holder is not null and l.expires_at > public.tgworker_now())
    then
        perform public.tgworker_fail(409, 'lease_lost', format('the account %s belongs to another worker', p_account));
    end if;
    if not public.tgworker_is_ours(p_account) then
        return; -- of the old worker's accounts nothing is said, and last_sync_at tells whether it is still at work
    end if;
    insert into public.tgworker_accounts as t
        (integration_account_id, state, user_id, last_error, changed_at)
    values (p_account, p_state, p_user_id, p_last_error, public.tgworker_now())
    on conflict (integration_account_id) do update set state = excluded.state,
        user_id = coalesce(excluded.user_id, t.user_id), last_error = excluded.last_error,
        changed_at = excluded.changed_at;
    update public.integration_accounts a set last_sync_at = public.tgworker_now(), last_error = p_last_error
    where a.id = p_account;
end $$;

-- AccountStore.record_synced
--
-- p_accounts  [{"account", "fence"}]: those that are online
-- answer      {"lost": [account]}: whose lease has another token now; nothing was written for them
create or replace function public.tgworker_record_synced(p_accounts jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_held uuid[];
begin
    select coalesce(array_agg(k.id), '{}') into v_held from (
        select l.integration_account_id as id
        from public.tgworker_leases l
        join jsonb_to_recordset(p_accounts) i (account uuid, fence bigint)
            on i.account = l.integration_account_id and i.fence = l.fence
        order by 1 for key share of l
    ) k;
    update public.integration_accounts a set last_sync_at = public.tgworker_now()
    where a.id in (select k.id from public.integration_accounts k where k.id = any (v_held) order by 1
        for no key update skip locked);
    return jsonb_build_object('lost', to_jsonb(array(
        select distinct (i ->> 'account')::uuid from jsonb_array_elements(p_accounts) i
        where (i ->> 'account')::uuid <> all (v_held))));
end $$;

-- The digits of a phone number as people write it; null if it is none.
create or replace function public.tgworker_phone_digits(p_text text) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select case when k.digits ~ '^[0-9]{5,15}$' then k.digits end
    from (select translate(ltrim(btrim(p_text), '+'), ' -().', '') as digits) k
$$;

create or replace function public.tgworker_account_record(p_account uuid) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('id', a.id, 'owner_id', a.owner_id, 'workspace_id', a.workspace_id, 'name', t.name,
        'kind', a.type,
        'secrets_encrypted', coalesce(public.tgworker_own_session(a, t), a.secrets_encrypted, ''),
        'config', public.tgworker_config(a.config),
        'is_active', coalesce(t.owner_switch, a.is_active, false), 'state', coalesce(t.state, 'waiting'),
        'user_id', t.user_id, 'phone', t.phone, 'last_error', a.last_error,
        -- (PostgreSQL also knows times that no calendar has.)
        'last_sync_at', case when a.last_sync_at between '0002-01-01' and '9999-01-01' then a.last_sync_at end,
        'stage', coalesce(t.stage, case when public.tgworker_is_adopted() then 'released' else 'ours' end))
    from public.integration_accounts a
    left join public.tgworker_accounts t on t.integration_account_id = a.id
    where a.id = p_account and a.type in ('telegram_user', 'telegram_bot')
$$;

-- AccountBook.list_accounts
--
-- answer  [{"id", "owner_id", "workspace_id", "name", "kind", "secrets_encrypted", "config", "is_active", "state",
--          "user_id", "phone", "last_sync_at", "last_error", "stage"}], in a stable order
create or replace function public.tgworker_list_accounts() returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(public.tgworker_account_record(a.id) order by a.id), '[]')
    from public.integration_accounts a where a.type in ('telegram_user', 'telegram_bot')
$$;

-- AccountBook.find_account
--
-- p_text  a uuid, else a name, else a phone number
-- answer  one of tgworker_list_accounts, or null
create or replace function public.tgworker_find_account(p_text text) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_text text := btrim(p_text);
    v_found uuid;
begin
    if v_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        select a.id into v_found from public.integration_accounts a
        where a.id = v_text::uuid and a.type in ('telegram_user', 'telegram_bot');
    end if;
    if v_found is null then
        select t.integration_account_id into v_found from public.tgworker_accounts t
        join public.integration_accounts a on a.id = t.integration_account_id and a.type in ('telegram_user', 'telegram_bot')
        where t.name = v_text;
    end if;
    if v_found is null then
        select t.integration_account_id into v_found from public.tgworker_accounts t
        join public.integration_accounts a on a.id = t.integration_account_id and a.type in ('telegram_user', 'telegram_bot')
        where t.phone = public.tgworker_phone_digits(v_text) order by t.integration_account_id limit 1;
    end if;
    return public.tgworker_account_record(v_found);
end $$;

-- AccountBook.add_account
--
-- p_id    the id of a new row, made by the caller: safe to repeat
-- p_kind  `telegram_user`, or `telegram_bot`: becomes the type of a row that is there already, too
-- p_config  what it runs with from now on; null: that stays as it is
-- answer  {"id"}: that one, or of the account that this owner and Telegram user have already; it gets the new session
--
-- Where the application encrypts sessions in a way of its own, the new one is kept beside the application's.
--
-- Raises 409 `name_taken`, 409 `released` (the old worker's: adopt it first), 409 `account_refused`.
create or replace function public.tgworker_add_account(
    p_id uuid, p_name text, p_owner uuid, p_secrets text, p_user_id bigint, p_phone text default null,
    p_kind text default 'telegram_user', p_config jsonb default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_account uuid;
    v_stage text;
    v_beside boolean;
    v_adopted boolean := public.tgworker_is_adopted();
begin
    perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('accounts'));
    select a.id, t.stage, t.session is not null into v_account, v_stage, v_beside
    from public.tgworker_accounts t join public.integration_accounts a on a.id = t.integration_account_id
    where t.user_id = p_user_id and a.owner_id = p_owner order by a.id limit 1;
    if v_stage <> 'ours' then
        perform public.tgworker_fail(409, 'released', 'that account belongs to the old worker: adopt it first');
    end if;
    if exists (select from public.tgworker_accounts t
        where t.name = p_name and t.integration_account_id <> coalesce(v_account, p_id))
    then
        perform public.tgworker_fail(
            409, 'name_taken', format('another account is called %L: choose another name', p_name));
    end if;
    begin
        if v_account is null then
            v_account := p_id;
            -- Beside an old worker a switched-on row would be its own.
            insert into public.integration_accounts (id, owner_id, type, is_active, secrets_encrypted)
            values (p_id, p_owner, p_kind, not v_adopted, p_secrets)
            on conflict (id) do nothing;
        else
            update public.integration_accounts a
            set secrets_encrypted = case when v_beside then a.secrets_encrypted else p_secrets end, last_error = null,
                type = p_kind,
                is_active = not exists (select from public.tgworker_accounts t
                    where t.integration_account_id = v_account and t.owner_switch is not null)
            where a.id = v_account;
            update public.tgworker_accounts t
            set session = p_secrets, session_of = public.tgworker_digest(a.secrets_encrypted),
                session_renewed = true
            from public.integration_accounts a
            where t.integration_account_id = v_account and a.id = v_account and v_beside;
        end if;
    exception when check_violation then
        perform public.tgworker_fail(409, 'account_refused', format(
            'the table integration_accounts takes no account of the type %L: let its check constraint allow it', p_kind));
    end;
    if p_config is not null then
        update public.integration_accounts a set config = p_config where a.id = v_account;
    end if;
    insert into public.tgworker_accounts as t
        (integration_account_id, name, phone, user_id, state, changed_at, owner_switch)
    values (v_account, p_name, public.tgworker_phone_digits(p_phone), p_user_id, 'waiting', public.tgworker_now(),
        case when v_adopted then true end)
    on conflict (integration_account_id) do update set name = coalesce(excluded.name, t.name),
        phone = coalesce(excluded.phone, t.phone), state = excluded.state, last_error = null,
        changed_at = excluded.changed_at, owner_switch = case when t.owner_switch is not null then true end;
    return jsonb_build_object('id', v_account);
end $$;

-- Raises 409 `released`: of an account that the old worker has, nothing is ours to change.
create or replace function public.tgworker_check_ours(p_account uuid) returns void
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    if not exists (select from public.integration_accounts a where a.id = p_account and a.type in ('telegram_user', 'telegram_bot')) then
        perform public.tgworker_fail(410, 'account_gone', format('there is no Telegram account %s', p_account));
    end if;
    if not public.tgworker_is_ours(p_account) then
        perform public.tgworker_fail(409, 'released',
            format('the account %s belongs to the old worker: adopt it first', p_account));
    end if;
end $$;

-- AccountBook.switch_account: the owner's switch, wherever it is kept just now.
--
-- answer  {"switched": bool}: false if it stood like that already
--
-- Raises 410 `account_gone`, 409 `released`.
create or replace function public.tgworker_switch_account(p_account uuid, p_active boolean) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_switched boolean;
begin
    perform public.tgworker_check_ours(p_account);
    if exists (select from public.tgworker_accounts t
        where t.integration_account_id = p_account and t.owner_switch is not null)
    then
        update public.tgworker_accounts t set owner_switch = p_active
        where t.integration_account_id = p_account and t.owner_switch <> p_active;
        v_switched := found;
    else
        update public.integration_accounts a set is_active = p_active
        where a.id = p_account and a.is_active is distinct from p_active;
        v_switched := found;
    end if;
    return jsonb_build_object('switched', v_switched);
end $$;

-- AccountBook.held_s: how long a worker may still be connected with an account.
--
-- answer  {"for_s"}: 0 if nobody has its lease
create or replace function public.tgworker_held(p_account uuid) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('for_s', coalesce((
        select greatest(extract(epoch from l.expires_at - public.tgworker_now()), 0)
        from public.tgworker_leases l where l.integration_account_id = p_account and l.holder is not null), 0))
$$;

-- AccountBook.replace_session: the same session under another key.
--
-- p_read    the token as it was read; if another one stands there now, nothing is done
-- p_sealed  the same session, encrypted anew
-- answer    {"answer"}: `replaced`, `changed`, or `not_ours` (the old worker's account)
--
-- On an adopted database the application's own token stays as it is: the application reads it with its own key.
create or replace function public.tgworker_replace_session(p_account uuid, p_read text, p_sealed text) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_row public.integration_accounts;
    v_ours public.tgworker_accounts;
begin
    select * into v_row from public.integration_accounts a
    where a.id = p_account and a.type in ('telegram_user', 'telegram_bot') for no key update;
    select * into v_ours from public.tgworker_accounts t where t.integration_account_id = p_account for update;
    if v_row.id is not null and not public.tgworker_is_ours(p_account) then
        return '{"answer": "not_ours"}';
    end if;
    if v_row.id is null
        or p_read is distinct from coalesce(public.tgworker_own_session(v_row, v_ours), v_row.secrets_encrypted, '')
    then
        return '{"answer": "changed"}';
    end if;
    if public.tgworker_own_session(v_row, v_ours) is not null or public.tgworker_is_adopted() then
        update public.tgworker_accounts t
        set session = p_sealed, session_of = public.tgworker_digest(v_row.secrets_encrypted)
        where t.integration_account_id = p_account;
    else
        update public.integration_accounts a set secrets_encrypted = p_sealed where a.id = p_account;
    end if;
    return '{"answer": "replaced"}';
end $$;

-- AccountBook.remove_account: the row goes; what is ours of it follows with the next sweeps. Messages and conversations
-- stay, and what was still to be sent is dead-lettered.
--
-- answer  {"removed": bool}: false if there is no such account (any more)
--
-- Raises 409 `released`.
create or replace function public.tgworker_remove_account(p_account uuid) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from public.integration_accounts a where a.id = p_account and a.type in ('telegram_user', 'telegram_bot')) then
        return '{"removed": false}';
    end if;
    perform public.tgworker_check_ours(p_account);
    delete from public.integration_accounts a where a.id = p_account;
    delete from public.tgworker_accounts t where t.integration_account_id = p_account; -- its name is free at once
    return '{"removed": true}';
end $$;

-- A recipient as a contact's value: a marked id, `@name` in lower case, or `+` and digits; null if it is none.
create or replace function public.tgworker_recipient(p_to text) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select case
        when public.tgworker_is_chat_id(p_to) and p_to::bigint <> 0 then p_to::bigint::text
        when p_to ~ '^@[A-Za-z0-9_]{1,32}$' then lower(p_to)
        when p_to like '+%' then '+' || public.tgworker_phone_digits(p_to)
    end
$$;

-- OutboxBook.enqueue: does what the application does when a person sends messages to one chat, in their order.
--
-- p_to        a Telegram id (marked), @username, + and a phone number, or a conversation's uuid
-- p_messages  [{"id", "text", "message_type", "files": [{"id", "bucket", "path", "file_name", "mime_type",
--             "byte_size"}]}], ids made by the caller: safe to repeat; files become rows of `attachments`, in their order.
--             Without a type it is `text`.
-- answer      {"conversation_id"}
--
-- Raises 410 `account_gone`, 422 `recipient_unknown`.
create or replace function public.tgworker_enqueue(p_account uuid, p_to text, p_messages jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_owned record := public.tgworker_owner(p_account);
    v_to text := btrim(p_to);
    v_chat bigint;
    v_identity uuid;
    v_conversation uuid;
begin
    if v_to ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        select c.id, c.primary_identity_id into v_conversation, v_identity from public.conversations c
        where c.id = v_to::uuid and c.owner_id = v_owned.owner;
        if v_conversation is null then
            perform public.tgworker_fail(422, 'recipient_unknown',
                format('the account''s owner has no conversation %s', v_to));
        end if;
    else
        v_to := public.tgworker_recipient(v_to);
        if v_to is null then
            perform public.tgworker_fail(422, 'recipient_unknown', format('%L is no recipient: give a Telegram id, '
                '@username, + and a phone number, or a conversation''s uuid', left(p_to, 64)));
        end if;
        perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('owner ' || v_owned.owner));
        v_chat := public.tgworker_chat_of(p_account, v_to);
        v_to := coalesce(v_chat::text, v_to);
        if not exists (select from public.contact_identities i
            where i.owner_id = v_owned.owner and i.type = 'telegram_user' and i.value = v_to)
        then
            insert into public.contact_identities (owner_id, type, value, metadata)
            values (v_owned.owner, 'telegram_user', v_to, coalesce((
                select public.tgworker_names(p) from public.tgworker_peers p
                where p.integration_account_id = p_account and p.chat_id = v_chat), '{}'))
            on conflict do nothing;
        end if;
        select i.id, v.id into v_identity, v_conversation
        from public.contact_identities i
        left join lateral (
            select c.id, c.last_message_at from public.conversations c
            where c.primary_identity_id = i.id and c.owner_id = v_owned.owner
            order by c.last_message_at desc nulls last, c.id limit 1
        ) v on true
        where i.owner_id = v_owned.owner and i.type = 'telegram_user' and i.value = v_to
        order by v.id is null, v.last_message_at desc nulls last, i.id limit 1;
        if v_conversation is null then
            insert into public.conversations (owner_id, workspace_id, contact_id, primary_identity_id, last_channel)
            select v_owned.owner, v_owned.workspace, i.contact_id, i.id, 'telegram'
            from public.contact_identities i where i.id = v_identity
            returning id into v_conversation;
        end if;
    end if;
    insert into public.messages (id, owner_id, conversation_id, integration_account_id, identity_id, channel, direction,
        text, message_type, sent_at, external_message_id, raw_payload)
    select m.id, v_owned.owner, v_conversation, p_account, v_identity, 'telegram', 'outbound', m.text,
        coalesce(m.message_type, 'text'), public.tgworker_now(), 'local-' || m.id,
        case when jsonb_typeof(m.files) = 'array' then jsonb_build_object(
            'telegram', jsonb_build_object('attachments', jsonb_array_length(m.files))) end
    from rows from (jsonb_to_recordset(p_messages) as (id uuid, text text, message_type text, files jsonb))
        with ordinality m (id, text, message_type, files, n)
    order by m.n
    on conflict (id) do nothing;
    insert into public.attachments (id, owner_id, message_id, storage_bucket, storage_path, file_name, mime_type,
        byte_size)
    select f.id, v_owned.owner, m.id, f.bucket, f.path, f.file_name, f.mime_type, f.byte_size
    from jsonb_to_recordset(p_messages) m (id uuid, files jsonb)
    cross join lateral rows from (jsonb_to_recordset(
        case when jsonb_typeof(m.files) = 'array' then m.files else '[]' end) as (id uuid, bucket text, path text,
            file_name text, mime_type text, byte_size bigint))
        with ordinality f (id, bucket, path, file_name, mime_type, byte_size, n)
    where exists (select from public.messages k
        where k.id = m.id and k.owner_id = v_owned.owner and k.conversation_id = v_conversation)
    order by m.id, f.n
    on conflict (id) do nothing;
    return jsonb_build_object('conversation_id', v_conversation);
end $$;

create or replace function public.tgworker_outbox_record(p public.tgworker_outbox) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('message_id', p.message_id, 'conversation_id', p.conversation_id,
        'account', p.integration_account_id, 'seq', p.seq, 'state', p.state, 'attempts', p.attempts,
        'created_at', p.created_at, 'not_before', p.not_before, 'expires_at', p.expires_at, 'error', p.error,
        'part', p.part, 'parts', p.parts, 'cancel_asked_at', p.cancel_asked_at,
        'bytes_done', p.bytes_done, 'bytes_total', p.bytes_total,
        'files', case when p.attempts > 0 then coalesce(jsonb_array_length(p.files), 0) else (
            select count(*) from public.messages m
            join public.tgworker_attachments t on t.message_id = m.id
            join public.attachments a on a.id = t.attachment_id and a.message_id = m.id and a.owner_id = m.owner_id
            where m.id = p.message_id) end,
        'telegram_id', (select k.telegram_id from public.tgworker_outbox_parts k
            where k.message_id = p.message_id and k.part = 0))
$$;

-- OutboxBook.outcomes
--
-- p_ids   message ids, as text: what is no uuid is not known
-- answer  [{"message_id", "conversation_id", "account", "seq", "state", "attempts", "created_at", "not_before",
--          "expires_at", "error", "part", "parts", "cancel_asked_at", "telegram_id", "files", "bytes_done", "bytes_total"}]; rows that the outbox does not know are missing
create or replace function public.tgworker_outcomes(p_ids text[]) returns jsonb
language plpgsql volatile set search_path = pg_catalog, public, pg_temp
as $$
begin
    perform public.tgworker_tidy(public.tgworker_now()); -- what the application has just taken back is no more waiting
    return (
        select coalesce(jsonb_agg(public.tgworker_outbox_record(o) order by o.seq), '[]')
        from public.tgworker_outbox o
        where o.message_id in (
            select k.id::uuid from unnest(p_ids) k (id)
            where k.id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'));
end $$;

-- OutboxBook.list_outbox
--
-- p_states  null: everything that is not sent, and what was sent before all of its attachments were linked
-- p_after   the last seq of the page before; null for the first
-- answer    as tgworker_outcomes, the oldest first
create or replace function public.tgworker_list_outbox(
    p_states text[] default null, p_limit integer default 100, p_after bigint default null) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(public.tgworker_outbox_record(k) order by k.seq), '[]')
    from (
        select o.* from public.tgworker_outbox o
        where o.seq in (
            -- One index for each state, where "state <> 'sent'" would walk everything that was ever sent.
            select s.seq
            from unnest(coalesce(p_states, array['waiting', 'resolving', 'sending', 'deferred', 'held', 'unsure',
                'dead', 'cancelled', 'expired'])) w (state)
            cross join lateral (
                (select a.seq from public.tgworker_outbox a
                    where w.state in ('deferred', 'held', 'unsure', 'dead', 'cancelled', 'expired')
                        and a.state in ('deferred', 'held', 'unsure', 'dead', 'cancelled', 'expired')
                        and a.state = w.state and (p_after is null or a.seq > p_after)
                    order by a.seq limit p_limit)
                union all
                (select b.seq from public.tgworker_outbox b
                    where w.state in ('waiting', 'resolving', 'sending') and b.settled_at is null
                        and b.state = w.state and (p_after is null or b.seq > p_after)
                    order by b.seq limit p_limit)
                union all
                (select c.seq from public.tgworker_outbox c
                    where w.state = 'sent' and c.state = 'sent' and (p_after is null or c.seq > p_after)
                    order by c.seq limit p_limit)
            ) s
            union
            select d.seq from public.tgworker_outbox d
            where p_states is null and d.late_file and d.state = 'sent' and (p_after is null or d.seq > p_after)
        )
        order by o.seq limit p_limit
    ) k
$$;

-- OutboxBook.cancel: takes messages back of which nothing has left. For the application's server, too.
--
-- answer  [{"message_id", "state", "answer"}], of those that the outbox knows. answer: `cancelled` (it is not sent, for
--         certain), `asked` (a worker has it in hand, and stops it unless it has begun to leave: tgworker_outcomes will
--         tell), or `late` (Telegram has it, or some of it, or nobody knows)
--
-- A dead-lettered message is closed. Where it was late, or asked, the row remembers when (cancel_asked_at).
create or replace function public.tgworker_cancel(p_ids uuid[], p_reason text default 'cancelled') returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_rows public.tgworker_verdict[];
begin
    select array_agg((k.seq, 0, 'cancelled', null, null, null, null,
            case when k.state = 'dead' then p_reason || '; before: ' || coalesce(k.error, '') else p_reason end,
            false, false)::public.tgworker_verdict order by k.seq)
    into v_rows from (
        select o.seq, o.state, o.error from public.tgworker_outbox o
        where o.message_id = any (p_ids) and o.state in ('waiting', 'resolving', 'deferred', 'held', 'dead')
            and o.part = 0 and o.doubt_since is null
            and not exists (select from public.tgworker_outbox_parts p
                where p.message_id = o.message_id and p.telegram_id is not null)
        order by o.seq for update
    ) k;
    perform public.tgworker_apply(v_rows, v_now);
    with asked as (
        update public.tgworker_outbox o set cancel_asked_at = v_now
        where o.message_id = any (p_ids) and o.cancel_asked_at is null and o.state not in ('cancelled', 'expired')
        returning o.conversation_id, o.integration_account_id, o.state
    )
    -- Whoever has it in hand is to look soon.
    insert into public.tgworker_touched (conversation_id, integration_account_id)
    select distinct a.conversation_id, a.integration_account_id from asked a where a.state = 'sending';
    return (
        select coalesce(jsonb_agg(jsonb_build_object('message_id', o.message_id, 'state', o.state, 'answer', case
            when o.state in ('cancelled', 'expired') then 'cancelled'
            when o.state = 'sending' and o.part = 0 and o.doubt_since is null then 'asked'
            else 'late' end) order by o.seq), '[]')
        from public.tgworker_outbox o where o.message_id = any (p_ids));
end $$;

create or replace function public.tgworker_states(p_ids uuid[]) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('message_id', o.message_id, 'state', o.state) order by o.seq), '[]')
    from public.tgworker_outbox o where o.message_id = any (p_ids)
$$;

-- OutboxBook.retry: sends messages again, or after all, that a person has looked at: held, unsure, dead, cancelled or expired ones. Safe
-- to repeat. (The same random_id: what Telegram has already, and still remembers, is not doubled.)
--
-- answer  [{"message_id", "state"}], of those that the outbox knows: `waiting`, or what they are instead; one whose
--         message was deleted stays what it is
create or replace function public.tgworker_retry(p_ids uuid[]) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversations uuid[];
    v_writing text := current_setting('tgworker.writing', true);
begin
    perform set_config('tgworker.writing', 'on', true);
    with again as (
        update public.tgworker_outbox o
        set state = 'waiting', error = null, not_before = null, expires_at = null, doubt_since = null, attempts = 0,
            settled_at = null, cancel_asked_at = null, filed_at = public.tgworker_now(), files_until = null,
            late_file = false
        from public.messages m
        where o.message_id = any (p_ids) and m.id = o.message_id
            and m.direction = 'outbound' and m.channel = 'telegram'
            and (m.external_message_id like 'error-%' or m.external_message_id like 'local-%')
            and o.state in ('held', 'unsure', 'dead', 'cancelled', 'expired')
        returning o.message_id, o.local_id, o.conversation_id
    ), told as (
        update public.messages m set external_message_id = a.local_id from again a where m.id = a.message_id
    )
    select array_agg(distinct a.conversation_id) into v_conversations from again a;
    perform set_config('tgworker.writing', coalesce(v_writing, ''), true);
    perform public.tgworker_relane(v_conversations);
    return public.tgworker_states(p_ids);
end $$;

-- HistoryBook.request_history: what the application does when somebody wants to see what a chat held before
--
-- p_job   the row's id: a call without an answer may be repeated
-- p_to    as in tgworker_enqueue, or 'all': the whole account
-- p_limit so many messages at most; of a whole account, in each chat
-- answer  {"job_id"}
create or replace function public.tgworker_request_history(p_account uuid, p_job uuid, p_to text, p_limit integer)
    returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_owned record := public.tgworker_owner(p_account);
    v_to text := btrim(p_to);
    v_conversation uuid;
begin
    if v_to ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        select c.id into v_conversation from public.conversations c
        where c.id = v_to::uuid and c.owner_id = v_owned.owner;
        if v_conversation is null then
            perform public.tgworker_fail(422, 'recipient_unknown',
                format('the account''s owner has no conversation %s', v_to));
        end if;
        v_to := null;
    elsif v_to = 'all' then
        select case when pg_typeof(r.telegram_id)::text in ('text', 'character varying') then 'all' else '0' end into v_to
        from (select null::public.sync_history_jobs as r) s, lateral (select (s.r).telegram_id) r;
    else
        v_to := public.tgworker_recipient(v_to);
        if v_to is null then
            perform public.tgworker_fail(422, 'recipient_unknown', format('%L is no recipient: give a Telegram id, '
                '@username, + and a phone number, or a conversation''s uuid', left(p_to, 64)));
        end if;
    end if;
    insert into public.sync_history_jobs (id, owner_id, workspace_id, conversation_id, integration_account_id,
        telegram_id, is_group, status, limit_messages, messages_synced)
    select p_job, v_owned.owner, v_owned.workspace, v_conversation, p_account, r.telegram_id, coalesce(v_to like '-%', false),
        'pending', p_limit, 0
    -- (Whatever type the application's column has.)
    from jsonb_populate_record(null::public.sync_history_jobs, jsonb_build_object('telegram_id', v_to)) r
    on conflict (id) do nothing;
    return jsonb_build_object('job_id', p_job);
end $$;

-- HistoryBook.histories
--
-- p_ids   which; null: those that have not ended
-- answer  [{"job_id", "account", "to", "status", "limit_messages", "synced", "seen", "total", "error", "part_of",
--         "chats", "chats_done", "chats_failed", "is_listed"}], the oldest first, behind them those that a job for a
--         whole account (part_of) has filed; seen and total are known until it ends. chats, of a job for a whole
--         account: so many chats it has found, else null; of these chats_done have ended, and chats_failed have failed
create or replace function public.tgworker_histories(p_ids uuid[] default null, p_limit integer default 100)
    returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('job_id', h.id, 'account', h.account, 'to', h.recipient,
        'status', coalesce(h.status, ''), 'limit_messages', coalesce(h.limit_messages, 0),
        'synced', coalesce(h.messages_synced, 0), 'seen', coalesce(h.seen, 0), 'total', h.total,
        'error', h.error_message, 'part_of', h.whole_id, 'chats', h.chats, 'chats_done', h.chats_done,
        'chats_failed', h.chats_failed, 'is_listed', h.is_listed)
        order by h.whole_id is not null, h.created_at, h.n, h.id), '[]')
    from (
        select j.id, j.integration_account_id as account, j.status, j.limit_messages, j.messages_synced, j.error_message,
            j.created_at, k.seen, k.total, case when public.tgworker_is_whole_account(j.telegram_id::text) then 'all'
                else coalesce(nullif(j.telegram_id::text, ''), i.value) end as recipient,
            t.whole_id, t.n, coalesce(w.is_listed, false) as is_listed,
            case when w.job_id is not null then coalesce(w.chats, s.chats) end as chats,
            coalesce(w.chats, s.ended) as chats_done, coalesce(w.failed, s.failed) as chats_failed
        from public.sync_history_jobs j
        left join public.tgworker_account_chats t on t.job_id = j.id
        left join public.tgworker_account_histories w on w.job_id = j.id
        cross join lateral (
            select count(*) as chats, count(*) filter (where b.status = 'failed') as failed,
                count(*) filter (where b.status not in ('pending', 'processing')) as ended
            from public.tgworker_account_chats u join public.sync_history_jobs b on b.id = u.job_id
            where w.job_id is not null and u.whole_id = j.id) s
        left join public.tgworker_job_claims k on k.job_id = j.id
        left join public.conversations v on v.id = j.conversation_id
        left join public.contact_identities i on i.id = v.primary_identity_id and i.type = 'telegram_user'
        where case when p_ids is null then j.status in ('pending', 'processing') else j.id = any (p_ids) end
        order by t.whole_id is not null, j.created_at, t.n, j.id limit p_limit
    ) h
$$;

-- OutgoingMediaStore.record_progress
--
-- p_claim  of the attempt; nothing is written if it is not the newest
create or replace function public.tgworker_record_progress(
    p_message uuid, p_claim bigint, p_done bigint, p_total bigint) returns void
language sql set search_path = pg_catalog, public, pg_temp
as $$
    update public.tgworker_outbox set bytes_done = p_done, bytes_total = p_total
    where message_id = p_message and claim = p_claim and state = 'sending'
$$;

-- What Telegram and the database agree on, in the order in which it was stored; for the demo and for tests.
--
-- answer  [[chat_id, text]]
create or replace function public.tgworker_transcript(p_account uuid, p_direction text) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_array(k.chat_id, coalesce(m.text, '')) order by k.telegram_id), '[]')
    from public.messages m
    -- (One in several parts is one.)
    cross join lateral (
        select k.chat_id, min(k.telegram_id) as telegram_id from public.tgworker_message_keys k
        where k.message_id = m.id and k.scope = p_account group by k.chat_id
    ) k
    where m.integration_account_id = p_account and m.direction = p_direction
$$;

commit;
