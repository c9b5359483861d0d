-- What became of attempts, written to the outbox, the messages, their keys and their conversations.
--
-- What `messages.external_message_id` says of an outbound row, where x is the application's:
--
--   local-x    it waits, or is in flight
--   a number   Telegram has it, under this id
--   sent-x     Telegram has it, under an id that we have not seen yet; an update may bring it
--   error-x    it ended unsent, or nobody knows; tgworker_outbox has state and reason
begin;
set local lock_timeout = '3s';

-- How much of a text `conversations.last_message_preview` shows.
create or replace function public.tgworker_preview(p_text text, p_type text) returns text
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select coalesce(nullif(left(p_text, 100), ''), '[' || p_type || ']') $$;

-- Writes to `messages` and `conversations` what the outbox says of these messages. Waits for nobody: a row that the
-- application holds just then is a chore for later.
create or replace function public.tgworker_write_messages(p_messages uuid[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversations uuid[];
    v_messages uuid[];
    v_writing text := current_setting('tgworker.writing', true);
begin
    -- Both or neither: the preview is made of what the message says.
    select coalesce(array_agg(k.id), '{}') into v_messages from (
        select m.id from public.messages m where m.id = any (p_messages) order by 1 for no key update skip locked
    ) k;
    select coalesce(array_agg(k.id), '{}') into v_conversations from (
        select c.id from public.conversations c
        where c.id in (select m.conversation_id from public.messages m
            join public.tgworker_outbox o on o.message_id = m.id and o.state = 'sent'
            where m.id = any (v_messages))
        order by 1 for no key update skip locked
    ) k;
    insert into public.tgworker_chores (message_id)
    select m.id from public.messages m
    join public.tgworker_outbox o on o.message_id = m.id
    where m.id = any (p_messages)
        and (m.id <> all (v_messages) or (o.state = 'sent' and m.conversation_id <> all (v_conversations)
            and exists (select from public.conversations c where c.id = m.conversation_id)));
    perform set_config('tgworker.writing', 'on', true);
    update public.messages m
    set external_message_id = case o.state
            when 'sent' then coalesce(p.telegram_id::text, 'sent-' || substr(o.local_id, 7))
            else 'error-' || substr(o.local_id, 7) end,
        sent_at = case o.state when 'sent' then coalesce(o.sent_at, o.settled_at) else m.sent_at end
    from public.tgworker_outbox o
    left join public.tgworker_outbox_parts p on p.message_id = o.message_id and p.part = 0
    where m.id = any (v_messages) and o.message_id = m.id
        and o.state in ('sent', 'unsure', 'dead', 'cancelled', 'expired')
        and (o.state = 'sent' or m.external_message_id like 'local-%');
    perform set_config('tgworker.writing', coalesce(v_writing, ''), true);
    update public.conversations c
    set last_message_at = latest.sent_at, last_channel = latest.channel,
        last_message_preview = public.tgworker_preview(latest.text, latest.message_type::text)
    from (
        select distinct on (m.conversation_id) m.conversation_id, m.sent_at, m.channel, m.text, m.message_type
        from public.messages m join public.tgworker_outbox o on o.message_id = m.id and o.state = 'sent'
        where m.id = any (v_messages)
        order by m.conversation_id, m.sent_at desc, o.seq desc
    ) latest
    where c.id = latest.conversation_id and c.id = any (v_conversations)
        and (c.last_message_at is null or latest.sent_at >= c.last_message_at);
end $$;

-- Makes one message of two, where the update came before the answer and was stored as one from another device: what
-- hangs on the second one moves to the row that the application wrote.
create or replace function public.tgworker_merge(
    p_first uuid, p_second uuid, p_scope uuid, p_telegram_id bigint, p_chat_id bigint) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_writing text := coalesce(current_setting('tgworker.writing', true), '');
begin
    update public.tgworker_message_keys set message_id = p_first
    where scope = p_scope and telegram_id = p_telegram_id and chat_id = p_chat_id;
    perform set_config('tgworker.writing', 'on', true); -- (undone with the rest, should it fail)
    -- Its files are those that were sent. What was fetched of them meanwhile goes.
    update public.attachments set message_id = p_first
    where message_id = p_second and not exists (select from public.attachments a where a.message_id = p_first);
    perform set_config('tgworker.writing', v_writing, true);
    update public.message_events set message_id = p_first where message_id = p_second;
    delete from public.tgworker_files where message_id = p_second;
    delete from public.messages where id = p_second;
exception when integrity_constraint_violation then
    -- A table of the application that we do not know refers to the second one. It is shown twice, and sent once.
    update public.tgworker_message_keys set message_id = p_first
    where scope = p_scope and telegram_id = p_telegram_id and chat_id = p_chat_id;
end $$;

-- Says of those of these messages that were sent whether an attachment was linked that their claim did not know of.
create or replace function public.tgworker_tell_late(p_messages uuid[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    -- (Asked first, for all of them: hardly any has attachments.)
    if not exists (select from unnest(p_messages) k (id) cross join lateral (
        select from public.tgworker_attachments t where t.message_id = k.id limit 1) t)
    then
        return;
    end if;
    with told as (
        update public.tgworker_outbox o
        set late_file = true, error = 'an attachment was linked after it was sent'
        where o.message_id = any (p_messages) and o.state = 'sent' and not o.late_file and exists (
            select from public.messages m
            join public.tgworker_attachments t on t.message_id = m.id
            join public.attachments a on a.id = t.attachment_id and a.message_id = m.id and a.owner_id = m.owner_id
            where m.id = o.message_id
                and not coalesce(o.files, '[]') @> jsonb_build_array(jsonb_build_object('id', a.id)))
        returning o.message_id, o.integration_account_id, o.worker_id
    )
    insert into public.tgworker_events (id, worker_id, integration_account_id, kind, detail)
    select gen_random_uuid(), coalesce(t.worker_id, ''), t.integration_account_id, 'attachment_late',
        jsonb_build_object('message_id', t.message_id)
    from told t;
end $$;

-- Writes what became of rows of the outbox. Whoever learns something (a settle, an update that carries a random_id, a
-- claim that finds a row that cannot be sent) calls this.
create or replace function public.tgworker_apply(p_rows public.tgworker_verdict[], p_now timestamptz) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_conversations uuid[];
    v_settled uuid[];
    v_twin record;
begin
    if coalesce(cardinality(p_rows), 0) = 0 then
        return;
    end if;
    with written as (
        update public.tgworker_outbox o
        -- After a part that was sent, and is not the last one, the next part waits.
        set state = case when o.state = 'sending' and s.state = 'sent' and s.part + 1 < coalesce(o.parts, 1)
                then 'waiting' else s.state end,
            part = case when o.state = 'sending' and s.state = 'sent' and s.part + 1 < coalesce(o.parts, 1)
                then s.part + 1 else o.part end,
            -- (Those with more than one were counted before.)
            parts = case when o.state = 'sending' and s.state = 'sent' then coalesce(o.parts, s.part + 1)
                else o.parts end,
            not_before = s.not_before,
            error = case when o.part > 0 and s.state in ('unsure', 'dead', 'cancelled', 'expired')
                then format('%s (%s of its %s parts were sent)', s.error, o.part, o.parts) else s.error end,
            attempts = o.attempts - case when s.unclaimed then 1 else 0 end,
            doubt_since = case when s.state = 'sent' then null
                -- Nobody it could have gone to was ever known.
                when s.state = 'resolving' and o.chat_id is null then null
                when s.doubtful then coalesce(o.doubt_since, o.claimed_at) else o.doubt_since end,
            chat_id = coalesce(s.chat_id, o.chat_id),
            -- It is the first part's id that the application sees.
            awaiting_id = s.state = 'sent' and case when s.part = 0 then s.telegram_id is null
                else exists (select from public.tgworker_outbox_parts p
                    where p.message_id = o.message_id and p.part = 0 and p.telegram_id is null) end,
            sent_at = coalesce(s.sent_at, o.sent_at),
            settled_at = case when o.state = 'sending' and s.state = 'sent' and s.part + 1 < coalesce(o.parts, 1)
                then null when s.state in ('sent', 'unsure', 'dead', 'cancelled', 'expired') then p_now end
        from unnest(p_rows) s
        where o.seq = s.seq
        returning o.conversation_id, o.message_id, o.settled_at
    )
    select array_agg(distinct w.conversation_id), array_agg(w.message_id) filter (where w.settled_at is not null)
    into v_conversations, v_settled from written w;

    if exists (select from unnest(p_rows) s where s.telegram_id is not null) then
        update public.tgworker_outbox_parts p set telegram_id = s.telegram_id
        from unnest(p_rows) s join public.tgworker_outbox o on o.seq = s.seq
        where s.telegram_id is not null and p.message_id = o.message_id and p.part = s.part;
        for v_twin in
            select o.message_id as first, k.message_id as second, o.integration_account_id as scope, s.telegram_id,
                k.chat_id
            from unnest(p_rows) s join public.tgworker_outbox o on o.seq = s.seq
            -- (Its limit keeps the whole key in the probe, also where the plan was made while there were no keys.)
            cross join lateral (
                select t.message_id, t.chat_id from public.tgworker_message_keys t
                where t.scope = o.integration_account_id and t.telegram_id = s.telegram_id and t.chat_id = o.chat_id
                limit 1
            ) k
            where k.message_id <> o.message_id
                and not exists (select from public.tgworker_outbox other where other.message_id = k.message_id)
        loop
            perform public.tgworker_merge(
                v_twin.first, v_twin.second, v_twin.scope, v_twin.telegram_id, v_twin.chat_id);
        end loop;
        insert into public.tgworker_message_keys (scope, telegram_id, chat_id, message_id)
        select o.integration_account_id, s.telegram_id, o.chat_id, o.message_id
        from unnest(p_rows) s join public.tgworker_outbox o on o.seq = s.seq
        where s.telegram_id is not null and o.chat_id is not null and o.integration_account_id is not null
        order by 1, 2, 3
        on conflict do nothing;
        perform public.tgworker_read_already(p_rows, p_now);
    end if;
    perform public.tgworker_tell_late(v_settled);
    perform public.tgworker_write_messages(v_settled);
    perform public.tgworker_relane(v_conversations);
end $$;

create or replace function public.tgworker_is_chat_id(p_to text) returns boolean
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select p_to ~ '^-?[0-9]{1,18}$' $$;

-- The chat that a recipient means for an account, if that is known: a marked id, `@username`, `+` and a phone number.
create or replace function public.tgworker_chat_of(p_account uuid, p_to text) returns bigint
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    if public.tgworker_is_chat_id(p_to) then
        return p_to::bigint;
    elsif p_to like '@%' then
        return coalesce((select p.chat_id from public.tgworker_peers p
            where p.integration_account_id = p_account and p.username is not null
                and lower(p.username) = lower(substr(p_to, 2)) order by p.chat_id limit 1),
            (select n.chat_id from public.tgworker_names n
            where n.integration_account_id = p_account and n.name = lower(p_to)));
    elsif p_to like '+%' then
        return coalesce((select p.chat_id from public.tgworker_peers p
            where p.integration_account_id = p_account and p.phone is not null and p.phone = substr(p_to, 2)
            order by p.chat_id limit 1),
            (select n.chat_id from public.tgworker_names n
            where n.integration_account_id = p_account and n.name = p_to));
    end if;
    return null;
end $$;

-- A peer as JSON:
-- {"chat_id", "kind", "access_hash", "first_name", "last_name", "title", "username", "phone", "is_self",
--  "is_contact", "photo_id"}
create or replace function public.tgworker_peer_json(p public.tgworker_peers) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select to_jsonb(p) - '{integration_account_id,avatar_id,avatar_tries,avatar_not_before}'::text[]
$$;

create or replace function public.tgworker_peer(p_account uuid, p_chat bigint) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select public.tgworker_peer_json(p) from public.tgworker_peers p where p.integration_account_id = p_account and p.chat_id = p_chat
$$;

-- The first half of OutboxStore.turn
--
-- p_items  [{"message_id", "claim", "part", "parts", "outcome", "to", "chat_id", "telegram_id", "sent_at",
--            "more", "retry_after_s", "reason"}]
--          claim and part as tgworker_claim gave them; parts: how many there are, null where nobody has counted them
--          (after a part that was sent the next one is claimed, and the row is settled with its last); outcome one of
--          sent, deferred, refused, unknown, unsure, released, unresolved; to and chat_id: whom the attempt was addressed to, chat_id
--          if it was known; more: [[random_id, telegram_id]] of the parts that were sent together with it
-- answer   {"settled": [message_id], "stale": [message_id]}
--
-- stale: claimed again since then, settled already, or its account's lease has another token: nothing was written.
create or replace function public.tgworker_settle(p_items jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_messages uuid[];
    v_rows public.tgworker_verdict[];
    v_settled uuid[];
    v_learned record;
begin
    v_messages := array(select distinct (i ->> 'message_id')::uuid from jsonb_array_elements(p_items) i);
    -- While we write, nobody else becomes the holder; in this order everywhere, so that nobody waits in a circle.
    perform 1 from public.tgworker_leases l
    where l.integration_account_id in (
        select o.integration_account_id from public.tgworker_outbox o where o.message_id = any (v_messages))
    order by l.integration_account_id for key share;
    perform 1 from public.tgworker_lanes l
    where l.conversation_id in (
        select o.conversation_id from public.tgworker_outbox o where o.message_id = any (v_messages))
    order by l.conversation_id for update;
    if exists (select from jsonb_array_elements(p_items) i where (i ->> 'parts')::integer > 1) then
        update public.tgworker_outbox o set parts = i.parts
        from jsonb_to_recordset(p_items) i (message_id uuid, claim bigint, parts integer)
        where o.message_id = i.message_id and o.claim = i.claim and o.state = 'sending' and i.parts > 1
            and o.parts is distinct from i.parts;
    end if;
    if exists (select from jsonb_array_elements(p_items) i where i ->> 'outcome' = 'unresolved') then
        update public.tgworker_outbox o set recipient = lower(i."to")
        from jsonb_to_recordset(p_items) i (message_id uuid, claim bigint, outcome text, "to" text)
        where o.message_id = i.message_id and o.claim = i.claim and o.state = 'sending'
            and i.outcome = 'unresolved';
    end if;
    with counted as (
        select distinct on (o.seq) o.seq, o.integration_account_id, o.attempts, i.*,
            -- Nothing of it has left, and somebody has cancelled it meanwhile.
            i.outcome in ('deferred', 'released', 'unresolved') and o.cancel_asked_at is not null and o.part = 0
                and o.doubt_since is null as is_cancelled
        from jsonb_to_recordset(p_items) i (message_id uuid, claim bigint, part integer, outcome text, "to" text,
            parts integer, chat_id bigint, telegram_id bigint, sent_at timestamptz,
            retry_after_s double precision, reason text)
        join public.tgworker_outbox o on o.message_id = i.message_id
        join public.tgworker_leases l on l.integration_account_id = o.integration_account_id and l.fence = o.fence
        where o.state = 'sending' and o.claim = i.claim
            and i.outcome in ('sent', 'deferred', 'refused', 'unknown', 'unsure', 'released', 'unresolved')
    )
    select array_agg(c.message_id), array_agg((
            c.seq, coalesce(c.part, 0),
            case when c.is_cancelled then 'cancelled' else case c.outcome
                when 'sent' then 'sent' when 'refused' then 'dead' when 'unsure' then 'unsure'
                when 'released' then 'waiting' when 'unresolved' then 'resolving' else 'deferred' end end,
            case c.outcome when 'sent' then c.telegram_id end,
            -- Addressed by name: the peer that was resolved for it may be known by now.
            coalesce(c.chat_id, case c.outcome when 'sent' then
                public.tgworker_chat_of(c.integration_account_id, c."to") end),
            case c.outcome when 'sent' then c.sent_at end,
            case when c.is_cancelled then null else case c.outcome
                when 'deferred' then v_now + make_interval(secs => greatest(0, coalesce(c.retry_after_s, 0)))
                -- (Each part that was sent before took an attempt of its own.)
                when 'unknown' then v_now + make_interval(secs => public.tgworker_retry_delay_s(c.attempts - coalesce(c.part, 0))) end end,
            case when c.is_cancelled then 'cancelled' when c.outcome not in ('sent', 'released') then c.reason end,
            c.outcome in ('unknown', 'unsure'), c.outcome in ('released', 'unresolved')
        )::public.tgworker_verdict order by c.seq)
    into v_settled, v_rows from counted c;
    perform public.tgworker_apply(v_rows, v_now);
    if p_items @? '$[*].more[*]' then
        -- What else the request made: the same as Telegram's word of their random ids.
        for v_learned in
            select o.integration_account_id as account, jsonb_agg(p.pair) as pairs
            from jsonb_to_recordset(p_items) i (message_id uuid, outcome text, more jsonb)
            join public.tgworker_outbox o on o.message_id = i.message_id
            cross join lateral jsonb_array_elements(i.more) p (pair)
            where i.outcome = 'sent' and jsonb_typeof(i.more) = 'array' and o.message_id = any (v_settled)
            group by 1
        loop
            perform public.tgworker_store_messages(v_learned.account, null, null, '[]', v_learned.pairs, false);
        end loop;
    end if;
    return jsonb_build_object(
        'settled', to_jsonb(coalesce(v_settled, '{}')),
        'stale', (select coalesce(jsonb_agg(k.id), '[]') from unnest(v_messages) k (id)
            where k.id <> all (coalesce(v_settled, '{}'))));
end $$;

-- Seconds to wait after an attempt of whose fate nobody knows: 1, 2, 4, … and at most 60.
create or replace function public.tgworker_retry_delay_s(p_attempts integer) returns double precision
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select least(60.0, 2.0 ^ least(p_attempts - 1, 6)) $$;

-- Whether a row may have sent more texts than its own. (Telegram counts two of some characters.)
create or replace function public.tgworker_has_texts(p_long_text text, p_files jsonb, p_caption_limit integer)
returns boolean
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select p_long_text is not null and (p_files is null or 2 * char_length(p_long_text) > coalesce(p_caption_limit, 0))
$$;

-- DoubtStore.owned
--
-- p_message       the row of an attempt of which nobody knows whether Telegram has it
-- p_telegram_ids  messages of that chat that it could be
-- answer          {"ids": [telegram_id], "rivals": bool}
--
-- ids: those that are known to be another row (what only a history job has brought may be this one: the update log, which
-- names our messages, did not tell of it). rivals: whether another row with the same text, of the same chat, was
-- sent under an id that nobody knows, is in doubt, or is on its way just now.
create or replace function public.tgworker_owned(
    p_account uuid, p_message uuid, p_chat bigint, p_telegram_ids bigint[]) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
begin
    return jsonb_build_object(
        'ids', (select coalesce(jsonb_agg(k.telegram_id order by k.telegram_id), '[]')
            from unnest(p_telegram_ids) i (id)
            cross join lateral (
                select t.telegram_id, t.message_id, t.from_log from public.tgworker_message_keys t
                where t.scope = p_account and t.telegram_id = i.id and t.chat_id = p_chat limit 1
            ) k
            where k.message_id <> p_message and (k.from_log
                or exists (select from public.tgworker_outbox o where o.message_id = k.message_id))),
        'rivals', exists (
            select from (
                select o.message_id, o.long_text, o.files, o.caption_limit from public.tgworker_outbox o
                where o.integration_account_id = p_account and o.awaiting_id and o.chat_id = p_chat
                union all
                select o.message_id, o.long_text, o.files, o.caption_limit from public.tgworker_outbox o
                where o.integration_account_id = p_account and o.chat_id = p_chat and o.doubt_since is not null
                union all
                select o.message_id, o.long_text, o.files, o.caption_limit
                from public.tgworker_lanes l join public.tgworker_outbox o on o.seq = l.head_seq
                where l.integration_account_id = p_account and l.fence is not null and o.chat_id = p_chat
            ) r
            join public.messages other on other.id = r.message_id
            join public.messages own on own.id = p_message
            join public.tgworker_outbox mine on mine.message_id = p_message
            where r.message_id <> p_message
                -- (What takes several messages has more texts than one, unless it is files with a caption. Of two that
                -- carry files nobody knows which is which.)
                and (own.text = other.text or (mine.files is not null and r.files is not null)
                    or public.tgworker_has_texts(mine.long_text, mine.files, mine.caption_limit)
                    or public.tgworker_has_texts(r.long_text, r.files, r.caption_limit))));
end $$;

commit;
