-- What becomes of messages that are stored: edits, deletes, reads, reactions, pins.
--
-- What the application sees of it: rows of `message_events`, and keys in `messages.raw_payload`. A row that Telegram has
-- as several messages (a long text, files) has them for each part under raw_payload.parts; the first part's reactions and
-- pin are the row's own.
begin;
set local lock_timeout = '3s';

-- A time as `raw_payload` and `payload` hold it: ISO 8601, UTC, milliseconds.
create or replace function public.tgworker_stamp(p_time timestamptz) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- The id of an event that can happen once: a UUID of version 8 (RFC 9562).
create or replace function public.tgworker_event_id(p_message uuid, p_what text) returns uuid
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select overlay(overlay(left(encode(sha256(convert_to('tgworker:event:' || p_message || ':' || p_what, 'UTF8')), 'hex'), 32)
        placing '8' from 13) placing '8' from 17)::uuid
$$;

-- Adds events; those that are there already stay as they are. p_events: [{"id", "message_id", "type", "occurred_at", "payload"}].
-- Should the application's table refuse them, that is noted, and nothing else fails for it.
create or replace function public.tgworker_add_events(p_events jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    if coalesce(p_events, '[]') = '[]' then
        return;
    end if;
    insert into public.message_events (id, owner_id, message_id, type, occurred_at, payload)
    select e.id, m.owner_id, m.id, e.type, e.occurred_at, e.payload
    from jsonb_to_recordset(p_events) e (id uuid, message_id uuid, type text, occurred_at timestamptz, payload jsonb)
    cross join lateral (select k.id, k.owner_id from public.messages k where k.id = e.message_id offset 0) m
    on conflict do nothing;
exception
    when deadlock_detected or serialization_failure or lock_not_available then
        raise;
    when others then
        insert into public.tgworker_events (id, worker_id, kind, detail)
        values (md5('tgworker:event_refused:' || sqlerrm)::uuid, '', 'message_event_refused',
            jsonb_build_object('error', sqlerrm))
        on conflict do nothing;
end $$;

-- Which rows Telegram means by ids of messages, as tgworker_find_messages; part: which of its parts, from 1, where there
-- are several.
create or replace function public.tgworker_meant(p_account uuid, p_chat bigint, p_ids bigint[])
returns table (message_id uuid, telegram_id bigint, part integer, parts integer, from_log boolean)
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    return query select k.message_id, k.telegram_id, case when n.parts > 1 then n.part end, n.parts, k.from_log
    from unnest(p_ids) with ordinality i (id, n)
    cross join lateral (
        select t.message_id, t.telegram_id, t.from_log from public.tgworker_message_keys t
        where t.scope = p_account and t.telegram_id = i.id
            and case when p_chat is null then t.chat_id > -1000000000000 else t.chat_id = p_chat end
        offset 0
    ) k
    cross join lateral (
        select (count(*) filter (where t.telegram_id <= k.telegram_id))::integer as part, count(*)::integer as parts
        from public.tgworker_message_keys t where t.message_id = k.message_id and t.scope = p_account
    ) n
    order by i.n;
end $$;

-- raw_payload with more keys: its own, or those of a part. What is null is taken away.
create or replace function public.tgworker_noted(p_raw jsonb, p_part integer, p_more jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select case when p_part is null then (r.raw || p_more) - r.gone
        else r.raw || jsonb_build_object('parts', r.parts || jsonb_build_object(p_part::text, (
            case when jsonb_typeof(r.parts -> p_part::text) = 'object' then r.parts -> p_part::text else '{}' end
                || p_more) - r.gone)) end
    from (
        select coalesce(nullif(p_raw, 'null'), '{}') as raw,
            case when jsonb_typeof(p_raw -> 'parts') = 'object' then p_raw -> 'parts' else '{}' end as parts,
            array(select e.key from jsonb_each(p_more) e where e.value = 'null') as gone
    ) r
$$;

-- What stands under a key of raw_payload, or of a part in it; null where nothing does.
create or replace function public.tgworker_note(p_raw jsonb, p_part integer, p_key text) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select case when p_part is null then p_raw -> p_key else p_raw #> array['parts', p_part::text, p_key] end $$;

-- Whether raw_payload is something that can be added to: the application may have written anything.
create or replace function public.tgworker_can_note(p_raw jsonb) returns boolean
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select p_raw is null or jsonb_typeof(p_raw) in ('object', 'null') $$;

-- Writes raw_payload. (`tgworker.writing`: no trigger of ours is to look at it.)
create or replace function public.tgworker_write_raw(p_message uuid, p_raw jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_writing text := coalesce(current_setting('tgworker.writing', true), '');
begin
    perform set_config('tgworker.writing', 'on', true);
    update public.messages m set raw_payload = p_raw where m.id = p_message and m.raw_payload is distinct from p_raw;
    perform set_config('tgworker.writing', v_writing, true);
end $$;

-- What an event of one of several parts says of it.
create or replace function public.tgworker_which_part(p_part integer, p_parts integer) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select case when p_part is null then '{}' else jsonb_build_object('part', p_part, 'parts', p_parts) end $$;

-- A text without its markup, nearly: enough to see whether two say the same.
create or replace function public.tgworker_bare(p_text text, p_mode text) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select btrim(case p_mode
        when 'html' then replace(replace(replace(replace(regexp_replace(p_text, '<[^>]*>', '', 'g'),
            '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&amp;', '&')
        when 'markdown' then regexp_replace(regexp_replace(p_text, '\[([^]]*)\]\([^)]*\)', '\1', 'g'),
            '\*\*|__|~~|`', '', 'g')
        else p_text end, E' \n\r\t')
$$;

-- Waits, for half a second at most, until the application has let go of the rows that changes are about. First of all:
-- who waits here holds nothing that the application could want.
create or replace function public.tgworker_lock_changed(p_account uuid, p_owner uuid, p_changes jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    v_messages uuid[];
begin
    if public.tgworker_is_adopted() then
        -- What the old worker stored gets its keys.
        perform public.tgworker_know_old(p_account, p_owner, (
            select array_agg((1, m.chat_id, m.telegram_id, null, false, '', 'text', m.sent_at, null, null, null
                )::public.tgworker_incoming)
            from jsonb_array_elements(p_changes) c
            cross join lateral jsonb_to_record(c -> 'message')
                m (chat_id bigint, telegram_id bigint, sent_at timestamptz)
            where c ->> 'change' = 'edited'));
    end if;
    select array_agg(distinct k.message_id) into v_messages
    from jsonb_array_elements(p_changes) c
    cross join lateral public.tgworker_meant(p_account,
        coalesce(c -> 'message' ->> 'chat_id', c ->> 'chat_id')::bigint,
        case when c ? 'telegram_ids' then array(select i::bigint from jsonb_array_elements_text(c -> 'telegram_ids') i)
            else array[coalesce(c -> 'message' ->> 'telegram_id', c ->> 'telegram_id')::bigint] end) k
    where c ->> 'change' not in ('read_by_them', 'read_by_us');
    perform 1 from public.messages m where m.id = any (v_messages) order by m.id for no key update;
end $$;

-- A message was edited. Returns its events.
create or replace function public.tgworker_edit(p_account uuid, p_now timestamptz, p_change jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_new jsonb := p_change -> 'message';
    v_edited_at timestamptz := (p_change ->> 'edited_at')::timestamptz;
    v_stamp text := public.tgworker_stamp(v_edited_at);
    v_writing text := coalesce(current_setting('tgworker.writing', true), '');
    v record;
    v_is_told boolean;
    v_text text;
    v_type text;
    v_raw jsonb;
    v_mode text;
begin
    -- (It only looks different.)
    if v_edited_at is null then
        return '[]';
    end if;
    select t.*, m.text, m.message_type::text as message_type, m.raw_payload, m.sent_at, m.direction, m.conversation_id,
        o.message_id is not null as is_queued,
        -- All that Telegram shows of its text stands under its first file.
        coalesce(t.part = 1 and o.parts = jsonb_array_length(o.files), t.part is null) as is_whole
    into v
    from public.tgworker_meant(p_account, (v_new ->> 'chat_id')::bigint,
        array[(v_new ->> 'telegram_id')::bigint]) t
    cross join lateral (select k.* from public.messages k where k.id = t.message_id offset 0) m
    left join lateral (
        select k.message_id, k.parts, k.files from public.tgworker_outbox k where k.message_id = t.message_id offset 0
    ) o on true;
    if not found
        or public.tgworker_time(public.tgworker_note(v.raw_payload, v.part, 'edited_at')) > v_edited_at -- a late repeat
    then
        return '[]';
    end if;
    -- (Of what the application wrote it knows better what it is.)
    v_is_told := v.direction = 'inbound' or (v.from_log and not v.is_queued);
    v_text := v.text;
    v_type := v.message_type;
    v_raw := v.raw_payload;
    if v.is_whole then
        v_mode := case when v.direction = 'outbound' then v.raw_payload #>> '{telegram,parse_mode}' end;
        if coalesce(v.text, '') <> (v_new ->> 'text')
            and (v_mode is null or public.tgworker_bare(v.text, v_mode) <> public.tgworker_bare(v_new ->> 'text', v_mode))
        then
            v_text := v_new ->> 'text';
        end if;
        if v_is_told then
            v_type := coalesce(v_new ->> 'message_type', v_type);
            if public.tgworker_can_note(v_raw) and jsonb_typeof(v_new -> 'raw_payload') = 'object' then
                v_raw := (coalesce(nullif(v_raw, 'null'), '{}') - 'media') || (v_new -> 'raw_payload');
            end if;
            if jsonb_typeof(v_new -> 'file') = 'object' and (v_type, v_raw -> 'media')
                is distinct from (v.message_type, v.raw_payload -> 'media')
            then
                -- It carries another file now.
                insert into public.tgworker_files as f (message_id, integration_account_id, chat_id, telegram_id, facts,
                    sent_at, is_history)
                values (v.message_id, p_account, (v_new ->> 'chat_id')::bigint, v.telegram_id, v_new -> 'file',
                    coalesce(v.sent_at, p_now), false)
                on conflict (message_id) do update set facts = excluded.facts, state = 'pending', tries = 0,
                    not_before = null, error = null, settled_at = null;
            end if;
        end if;
    end if;
    if public.tgworker_can_note(v_raw) then
        v_raw := public.tgworker_noted(v_raw, null, jsonb_build_object('edited_at', v_stamp));
        if v.part is not null then
            v_raw := public.tgworker_noted(v_raw, v.part, jsonb_build_object('edited_at', v_stamp) || case
                when v.is_whole then '{}' else jsonb_build_object('text', v_new ->> 'text') end);
        end if;
    end if;
    perform set_config('tgworker.writing', 'on', true);
    update public.messages m set text = v_text, message_type = v_type, raw_payload = v_raw where m.id = v.message_id;
    perform set_config('tgworker.writing', v_writing, true);
    perform public.tgworker_show(v.conversation_id, v.sent_at, public.tgworker_preview(v.text, v.message_type),
        public.tgworker_preview(v_text, v_type));
    return jsonb_build_array(jsonb_build_object(
        'id', public.tgworker_event_id(v.message_id, format('edit:%s:%s', v.telegram_id, v_stamp)),
        'message_id', v.message_id, 'type', 'edit', 'occurred_at', v_edited_at,
        'payload', jsonb_build_object('edited_at', v_stamp) || public.tgworker_which_part(v.part, v.parts)));
end $$;

-- Shows another preview of a message, if it is what the conversation shows. A conversation that the application holds
-- is a chore for later.
create or replace function public.tgworker_show(
    p_conversation uuid, p_sent_at timestamptz, p_before text, p_after text) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    if p_before is not distinct from p_after or not exists (
        select from public.conversations c
        where c.id = p_conversation and c.last_message_at = p_sent_at and c.last_message_preview = p_before)
    then
        return;
    end if;
    perform 1 from public.conversations c where c.id = p_conversation for no key update skip locked;
    if not found then
        insert into public.tgworker_chores (conversation_id, unread, latest_at, preview)
        values (p_conversation, 0, p_sent_at, p_after);
        return;
    end if;
    update public.conversations c set last_message_preview = p_after
    where c.id = p_conversation and c.last_message_at = p_sent_at and c.last_message_preview = p_before;
end $$;

-- Messages are gone at Telegram: their rows stay, and say so. Returns their events.
create or replace function public.tgworker_gone(p_account uuid, p_now timestamptz, p_change jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_events jsonb := '[]';
    v record;
    v_raw jsonb;
begin
    for v in
        select t.* from public.tgworker_meant(p_account, (p_change ->> 'chat_id')::bigint,
            array(select i::bigint from jsonb_array_elements_text(p_change -> 'telegram_ids') i)) t
    loop
        select m.raw_payload into v_raw from public.messages m where m.id = v.message_id;
        continue when not found;
        if public.tgworker_can_note(v_raw) and public.tgworker_note(v_raw, v.part, 'deleted_at') is null then
            v_raw := public.tgworker_noted(v_raw, v.part,
                jsonb_build_object('deleted_at', public.tgworker_stamp(p_now)));
            if v.part is not null and v.parts <= (
                select count(*) from jsonb_each(v_raw -> 'parts') p
                where case when jsonb_typeof(p.value) = 'object' then p.value ? 'deleted_at' end)
            then
                v_raw := public.tgworker_noted(v_raw, null,
                    jsonb_build_object('deleted_at', public.tgworker_stamp(p_now)));
            end if;
            perform public.tgworker_write_raw(v.message_id, v_raw);
        end if;
        v_events := v_events || jsonb_build_object(
            'id', public.tgworker_event_id(v.message_id, 'delete:' || v.telegram_id),
            'message_id', v.message_id, 'type', 'delete', 'occurred_at', p_now,
            'payload', public.tgworker_which_part(v.part, v.parts));
    end loop;
    return v_events;
end $$;

-- A message's reactions. Returns the event, unless they are those that are known.
create or replace function public.tgworker_react(p_account uuid, p_now timestamptz, p_change jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v record;
    v_before jsonb;
    v_state jsonb;
    v_kept jsonb;
begin
    select t.*, nullif(t.part, 1) as place, m.raw_payload into v
    from public.tgworker_meant(p_account, (p_change ->> 'chat_id')::bigint,
        array[(p_change ->> 'telegram_id')::bigint]) t
    cross join lateral (select k.raw_payload from public.messages k where k.id = t.message_id offset 0) m;
    if not found or not public.tgworker_can_note(v.raw_payload) then
        return '[]';
    end if;
    v_before := public.tgworker_note(v.raw_payload, v.place, 'reactions');
    v_state := jsonb_build_object('counts', p_change -> 'counts', 'by', p_change -> 'by', 'own', case
        when jsonb_typeof(p_change -> 'own') = 'array' then p_change -> 'own'
        -- Telegram did not say: those that are known, and still there.
        when jsonb_typeof(v_before -> 'own') = 'array' then (
            select coalesce(jsonb_agg(o.reaction order by o.n), '[]')
            from jsonb_array_elements(v_before -> 'own') with ordinality o (reaction, n)
            where p_change -> 'counts' ? (o.reaction #>> '{}'))
        else '[]' end);
    v_kept := case when p_change -> 'counts' <> '{}' then v_state end; -- none is nothing
    if v_before is not distinct from v_kept then
        return '[]';
    end if;
    perform public.tgworker_write_raw(v.message_id,
        public.tgworker_noted(v.raw_payload, v.place, jsonb_build_object('reactions', v_kept)));
    return jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), 'message_id', v.message_id,
        'type', 'reaction', 'occurred_at', p_now,
        'payload', v_state || public.tgworker_which_part(v.part, v.parts)));
end $$;

-- Messages were pinned, or are no more. Returns the events of those that were not so before.
create or replace function public.tgworker_pin(p_account uuid, p_now timestamptz, p_change jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_is_pinned boolean := (p_change ->> 'is_pinned')::boolean;
    v_events jsonb := '[]';
    v record;
    v_raw jsonb;
begin
    for v in
        select t.*, nullif(t.part, 1) as place from public.tgworker_meant(p_account, (p_change ->> 'chat_id')::bigint,
            array(select i::bigint from jsonb_array_elements_text(p_change -> 'telegram_ids') i)) t
    loop
        select m.raw_payload into v_raw from public.messages m where m.id = v.message_id;
        continue when not found or not public.tgworker_can_note(v_raw)
            or coalesce(public.tgworker_note(v_raw, v.place, 'pinned') = 'true', false) = v_is_pinned;
        perform public.tgworker_write_raw(v.message_id,
            public.tgworker_noted(v_raw, v.place, jsonb_build_object('pinned', v_is_pinned)));
        v_events := v_events || jsonb_build_object('id', gen_random_uuid(), 'message_id', v.message_id,
            'type', case when v_is_pinned then 'pin' else 'unpin' end, 'occurred_at', p_now,
            'payload', public.tgworker_which_part(v.part, v.parts));
    end loop;
    return v_events;
end $$;

-- A chat was read up to a message: by the other side (what this account sent), or by this account (what it got). Returns
-- the events of the newest hundred among the five hundred that were not read before.
create or replace function public.tgworker_read(
    p_account uuid, p_now timestamptz, p_chat bigint, p_max bigint, p_by_them boolean) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_before bigint;
begin
    select case when p_by_them then r.by_them else r.by_us end into v_before from public.tgworker_read_marks r
    where r.integration_account_id = p_account and r.chat_id = p_chat for update;
    if v_before >= p_max then
        return '[]';
    end if;
    insert into public.tgworker_read_marks as r (integration_account_id, chat_id, by_them, by_us)
    values (p_account, p_chat, case when p_by_them then p_max else 0 end, case when p_by_them then 0 else p_max end)
    on conflict (integration_account_id, chat_id) do update
    set by_them = greatest(r.by_them, excluded.by_them), by_us = greatest(r.by_us, excluded.by_us);
    return (
        select coalesce(jsonb_agg(public.tgworker_read_event(n.message_id, p_now, p_by_them) order by n.telegram_id), '[]')
        from (
            select k.message_id, k.telegram_id
            from (
                select t.message_id, t.telegram_id from public.tgworker_message_keys t
                where t.scope = p_account and t.chat_id = p_chat and t.telegram_id <= p_max
                    and t.telegram_id > coalesce(v_before, 0)
                order by t.telegram_id desc limit 500
            ) k
            cross join lateral (
                select m.direction from public.messages m where m.id = k.message_id offset 0
            ) m
            where m.direction = case when p_by_them then 'outbound' else 'inbound' end
            order by k.telegram_id desc limit 100
        ) n);
end $$;

create or replace function public.tgworker_read_event(p_message uuid, p_now timestamptz, p_by_them boolean) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('id', public.tgworker_event_id(p_message, 'read'), 'message_id', p_message,
        'type', 'read', 'occurred_at', p_now,
        'payload', jsonb_build_object('by', case when p_by_them then 'them' else 'us' end))
$$;

-- The other side may have read a message before this worker knew that it is its own: then it is read as soon as it is known.
create or replace function public.tgworker_read_already(p_rows public.tgworker_verdict[], p_now timestamptz) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform public.tgworker_add_events((
        select jsonb_agg(public.tgworker_read_event(o.message_id, p_now, true))
        from unnest(p_rows) s
        cross join lateral (
            select t.message_id, t.integration_account_id, t.chat_id from public.tgworker_outbox t
            where t.seq = s.seq offset 0
        ) o
        cross join lateral (
            select t.by_them from public.tgworker_read_marks t
            where t.integration_account_id = o.integration_account_id and t.chat_id = o.chat_id offset 0
        ) r
        where s.telegram_id <= r.by_them));
end $$;

-- A conversation's unread count falls to what is unread for its owner's accounts: by Telegram's word for this one, else
-- what came after their last read. It never rises here.
create or replace function public.tgworker_lower_unread(p_account uuid, p_owner uuid, p_chat bigint, p_still bigint)
returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversation uuid;
    v_before bigint;
    v_after bigint;
    v_is_free boolean;
begin
    select m.conversation_id into v_conversation
    from (
        select t.message_id, t.telegram_id from public.tgworker_message_keys t
        where t.scope = p_account and t.chat_id = p_chat order by t.telegram_id desc limit 20
    ) k
    cross join lateral (
        select t.conversation_id from public.messages t where t.id = k.message_id offset 0
    ) m
    order by k.telegram_id desc limit 1;
    select c.unread_count into v_before from public.conversations c
    where c.id = v_conversation for no key update skip locked;
    v_is_free := found;
    if not v_is_free then
        select c.unread_count into v_before from public.conversations c where c.id = v_conversation;
    end if;
    if coalesce(v_before, 0) <= 0 then
        return;
    end if;
    select sum(case when b.id = p_account then greatest(p_still, n.known) else n.known end) into v_after
    from public.integration_accounts b
    left join lateral (
        select t.by_us from public.tgworker_read_marks t
        where t.integration_account_id = b.id and t.chat_id = p_chat offset 0
    ) r on true
    cross join lateral (
        select count(*) as known
        from (
            select t.message_id from public.tgworker_message_keys t
            where t.scope = b.id and t.chat_id = p_chat and t.telegram_id > coalesce(r.by_us, 0)
            order by t.telegram_id desc limit 1000
        ) k
        cross join lateral (
            select t.direction from public.messages t where t.id = k.message_id offset 0
        ) m
        where m.direction = 'inbound'
    ) n
    where b.owner_id = p_owner;
    if v_after >= v_before then
        return;
    elsif v_is_free then
        update public.conversations c set unread_count = v_after where c.id = v_conversation;
    else
        insert into public.tgworker_chores (conversation_id, unread) values (v_conversation, v_after - v_before);
    end if;
end $$;

-- A marked id that stands in JSON; null for anything else.
create or replace function public.tgworker_marked_id(p_value jsonb) returns bigint
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select case when p_value::text ~ '^-?[0-9]{1,18}$' then p_value::text::bigint end $$;

-- Basic groups that became supergroups, as service messages among these say: each goes on in its conversation, under the new
-- identity. Rows that wait in it go to the supergroup; of those of which nobody knows whether the group got them a person
-- decides: nobody can look there any more. Waits for the application for half a second at most.
create or replace function public.tgworker_migrate_groups(
    p_account uuid, p_owner uuid, p_in public.tgworker_incoming[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v record;
    v_identity uuid;
    v_conversations uuid[];
    v_rows public.tgworker_verdict[];
begin
    for v in
        select distinct k.old_id, k.new_id
        from unnest(p_in) i
        cross join lateral (
            select i.chat_id as old_id, public.tgworker_marked_id(i.raw_payload -> 'migrated_to') as new_id
            union all
            select public.tgworker_marked_id(i.raw_payload -> 'migrated_from'), i.chat_id
        ) k
        where i.message_type = 'service_migrate' and k.old_id < 0 and k.old_id > -1000000000000
            and k.new_id < -1000000000000
        order by k.old_id
    loop
        continue when exists (select from public.tgworker_migrated g
            where g.owner_id = p_owner and g.chat_id = v.old_id);
        perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('owner ' || p_owner));
        insert into public.tgworker_migrated (owner_id, chat_id, new_chat_id) values (p_owner, v.old_id, v.new_id)
        on conflict do nothing;
        continue when not found;
        perform public.tgworker_make_contacts(p_account, p_owner, (
            select array_agg((1, k.id, null, null, true, '', 'text', null, null, null, null)::public.tgworker_incoming)
            from unnest(array[v.old_id, v.new_id]) k (id)));
        select i.id into v_identity from public.contact_identities i
        where i.owner_id = p_owner and i.type = 'telegram_user' and i.value = v.new_id::text order by i.id limit 1;
        -- What it is called, until its peer is known.
        update public.contact_identities i
        set metadata = coalesce(nullif(i.metadata, 'null'), '{}') || jsonb_build_object('title', o.metadata -> 'title')
        from public.contact_identities o
        where i.id = v_identity and o.owner_id = p_owner and o.type = 'telegram_user' and o.value = v.old_id::text
            and jsonb_typeof(coalesce(nullif(i.metadata, 'null'), '{}')) = 'object'
            and not coalesce(i.metadata ? 'title', false) and o.metadata ? 'title';
        select array_agg(k.id) into v_conversations from (
            select c.id from public.contact_identities i
            join public.conversations c on c.primary_identity_id = i.id and c.owner_id = p_owner
            where i.owner_id = p_owner and i.type = 'telegram_user' and i.value = v.old_id::text
            order by c.id for no key update of c
        ) k;
        begin
            update public.conversations c set primary_identity_id = v_identity where c.id = any (v_conversations);
        exception when unique_violation then
            continue; -- a rule of the application's: there is one for the supergroup already, and it goes on there
        end;
        select array_agg((o.seq, 0, 'unsure', null, null, null, null,
            'nobody knows whether Telegram has it, and its group has become a supergroup', false, false
            )::public.tgworker_verdict order by o.seq)
        into v_rows
        from unnest(v_conversations) k (id)
        cross join lateral (
            select t.seq, t.state, t.doubt_since from public.tgworker_outbox t
            where t.conversation_id = k.id and t.in_lane offset 0
        ) o
        where o.state <> 'sending' and o.doubt_since is not null;
        perform public.tgworker_apply(v_rows, v_now);
        update public.tgworker_outbox o set state = 'waiting', not_before = null, recipient = null, error = null
        where o.seq = any (array(
            select t.seq from unnest(v_conversations) k (id)
            cross join lateral (
                select w.seq, w.state from public.tgworker_outbox w
                where w.conversation_id = k.id and w.in_lane offset 0
            ) t
            where t.state = 'resolving'));
        perform public.tgworker_relane(v_conversations);
    end loop;
end $$;

-- Commits what became of messages, in order. p_changes as in tgworker_ingest.
create or replace function public.tgworker_apply_changes(p_account uuid, p_owner uuid, p_changes jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_change jsonb;
    v_chat bigint;
    v_events jsonb;
begin
    for v_change in select e.change from jsonb_array_elements(p_changes) with ordinality e (change, n) order by e.n loop
        v_chat := (v_change ->> 'chat_id')::bigint;
        v_events := case v_change ->> 'change'
            when 'edited' then public.tgworker_edit(p_account, v_now, v_change)
            when 'deleted' then public.tgworker_gone(p_account, v_now, v_change)
            when 'reacted' then public.tgworker_react(p_account, v_now, v_change)
            when 'pinned' then public.tgworker_pin(p_account, v_now, v_change)
            when 'read_by_them' then public.tgworker_read(p_account, v_now, v_chat, (v_change ->> 'max_id')::bigint, true)
            when 'read_by_us' then public.tgworker_read(p_account, v_now, v_chat, (v_change ->> 'max_id')::bigint, false)
        end;
        if v_change ->> 'change' = 'read_by_us' then
            perform public.tgworker_lower_unread(p_account, p_owner, v_chat, (v_change ->> 'still_unread')::bigint);
        end if;
        perform public.tgworker_add_events(v_events);
    end loop;
end $$;

commit;
