-- What arrives: updates and history into contacts, conversations, messages; and the position after them.
begin;
set local lock_timeout = '3s';

-- Goes on only if an account's lease still has this token, and keeps it so until the transaction ends: a process that
-- was superseded writes nothing. Raises 409 `lease_lost`.
create or replace function public.tgworker_check_fence(p_account uuid, p_fence bigint) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    perform 1 from public.tgworker_leases l
    where l.integration_account_id = p_account and l.fence = p_fence for key share;
    if not found then
        perform public.tgworker_fail(409, 'lease_lost', format('the account %s belongs to a newer worker', p_account));
    end if;
end $$;

-- What the application shows of a contact, from a peer. Keys without a value are left out.
create or replace function public.tgworker_names(p public.tgworker_peers) returns jsonb
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_strip_nulls(jsonb_build_object('first_name', p.first_name, 'last_name', p.last_name,
        'username', p.username, 'title', p.title, 'is_group', p.kind <> 'user'))
$$;

-- Remembers peers; contacts whose names changed, or whose id became known, are updated. p_peers as in tgworker_ingest.
create or replace function public.tgworker_keep_peers(p_account uuid, p_owner uuid, p_peers jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_changed bigint[];
    v_taken bigint[];
    v_contacts uuid[];
begin
    if jsonb_typeof(p_peers) is distinct from 'array' or p_peers = '[]' then
        return;
    end if;
    with given as (
        select distinct on (p.chat_id) p.chat_id, p.kind, p.access_hash, p.first_name, p.last_name, p.title,
            p.username, ltrim(p.phone, '+') as phone, coalesce(p.is_self, false) as is_self,
            coalesce(p.is_contact, false) as is_contact, p.photo_id
        from rows from (jsonb_to_recordset(p_peers) as (chat_id bigint, kind text, access_hash bigint,
            first_name text, last_name text, title text, username text, phone text, is_self boolean,
            is_contact boolean, photo_id bigint, is_min boolean))
            with ordinality p (chat_id, kind, access_hash, first_name, last_name, title, username, phone, is_self,
                is_contact, photo_id, is_min, n)
        where p.is_min is not true -- (see tgworker_name_strangers)
        order by p.chat_id, p.n desc
    ), kept as (
        insert into public.tgworker_peers as k (integration_account_id, chat_id, kind, access_hash, first_name,
            last_name, title, username, phone, is_self, is_contact, photo_id)
        select p_account, g.* from given g
        on conflict (integration_account_id, chat_id) do update set
            kind = excluded.kind,
            access_hash = coalesce(excluded.access_hash, k.access_hash),
            -- A peer that comes without any name does not take away the names that we know.
            (first_name, last_name, title, username) = (
                select case when n.named then excluded.first_name else k.first_name end,
                    case when n.named then excluded.last_name else k.last_name end,
                    case when n.named then excluded.title else k.title end,
                    case when n.named then excluded.username else k.username end
                from (select coalesce(excluded.first_name, excluded.last_name, excluded.title, excluded.username)
                    is not null as named) n),
            phone = coalesce(excluded.phone, k.phone),
            is_self = excluded.is_self,
            is_contact = excluded.is_contact,
            photo_id = coalesce(excluded.photo_id, k.photo_id),
            -- Another photo is tried anew, at once.
            avatar_tries = case when excluded.photo_id <> k.photo_id then 0 else k.avatar_tries end,
            avatar_not_before = case when excluded.photo_id <> k.photo_id then null else k.avatar_not_before end
        where (excluded.access_hash is not null and excluded.access_hash is distinct from k.access_hash)
            or excluded.kind <> k.kind or excluded.is_self <> k.is_self
            or excluded.is_contact <> k.is_contact
            or (excluded.photo_id is not null and excluded.photo_id is distinct from k.photo_id)
            or (excluded.phone is not null and excluded.phone is distinct from k.phone)
            or (coalesce(excluded.first_name, excluded.last_name, excluded.title, excluded.username) is not null
                and (excluded.first_name, excluded.last_name, excluded.title, excluded.username)
                    is distinct from (k.first_name, k.last_name, k.title, k.username))
        returning k.chat_id
    )
    select array_agg(kept.chat_id) into v_changed from kept;
    if v_changed is null then
        return;
    end if;
    -- A username is one peer's: who had it before has it no more.
    with taken as (
        update public.tgworker_peers k set username = null
        from unnest(v_changed) g (id)
        cross join lateral (
            select t.username from public.tgworker_peers t
            where t.integration_account_id = p_account and t.chat_id = g.id and t.username is not null offset 0
        ) p
        where k.integration_account_id = p_account and k.username is not null
            and lower(k.username) = lower(p.username) and k.chat_id <> all (v_changed)
        returning k.chat_id
    )
    select array_agg(t.chat_id) into v_taken from taken t;
    delete from public.tgworker_names n
    using unnest(v_changed) g (id)
    cross join lateral (
        select lower(t.username) as name from public.tgworker_peers t
        where t.integration_account_id = p_account and t.chat_id = g.id and t.username is not null offset 0
    ) p
    where n.integration_account_id = p_account and n.name = '@' || p.name and n.chat_id <> g.id;
    -- Somebody wrote to "@name" or "+phone" before the id was known: it is the same person.
    update public.contact_identities i set value = r.chat_id::text
    from (
        select distinct on (p.chat_id) p.chat_id, k.id
        -- (`offset 0`: a probe for each, whatever the plan's statistics say.)
        from unnest(v_changed) g (id)
        cross join lateral (
            select t.chat_id, t.username, t.phone from public.tgworker_peers t
            where t.integration_account_id = p_account and t.chat_id = g.id offset 0
        ) p
        cross join lateral (
            values ('@' || p.username), ('@' || lower(p.username)), ('+' || p.phone)
        ) n (name)
        cross join lateral (
            select c.id from public.contact_identities c
            where c.owner_id = p_owner and c.type = 'telegram_user' and c.value = n.name offset 0
        ) k
        left join lateral (
            select true as is_known from public.contact_identities c
            where c.owner_id = p_owner and c.type = 'telegram_user' and c.value = p.chat_id::text limit 1
        ) known on true
        where known.is_known is null
        order by p.chat_id, k.id
    ) r
    where i.id = r.id;
    -- Names that changed; what else stands in the metadata stays.
    v_contacts := array(
        select k.id from unnest(v_changed || v_taken) g (id)
        cross join lateral (
            select c.id from public.contact_identities c
            where c.owner_id = p_owner and c.type = 'telegram_user' and c.value = g.id::text offset 0
        ) k);
    perform 1 from public.contact_identities i where i.id = any (v_contacts) order by i.id for no key update;
    update public.contact_identities i set metadata = n.metadata
    from (
        select c.id, (coalesce(nullif(c.metadata, 'null'), '{}') - array['first_name', 'last_name', 'username',
            'title']) || public.tgworker_names(k.p) as metadata
        from public.contact_identities c
        cross join lateral (
            select t from public.tgworker_peers t
            where t.integration_account_id = p_account and t.chat_id = c.value::bigint offset 0
        ) k (p)
        where c.id = any (v_contacts)
            -- (One without any name takes no name away.)
            and (coalesce((k.p).first_name, (k.p).last_name, (k.p).title, (k.p).username) is not null
                or (k.p).chat_id = any (v_taken))
            and jsonb_typeof(coalesce(nullif(c.metadata, 'null'), '{}')) = 'object'
    ) n
    where i.id = n.id and i.metadata is distinct from n.metadata;
    -- What waited for them may be claimed.
    perform public.tgworker_wake(p_account, v_changed, '{}');
end $$;

-- Names contacts that have no name yet, by peers of whom Telegram told only how they are called ("min" ones): nobody is
-- addressed by that, and it counts for less than whatever is known otherwise.
create or replace function public.tgworker_name_strangers(p_owner uuid, p_peers jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    if jsonb_typeof(p_peers) is distinct from 'array' or not p_peers @? '$[*] ? (@.is_min == true)' then
        return;
    end if;
    update public.contact_identities i
    set metadata = coalesce(nullif(i.metadata, 'null'), '{}') || n.names
    from (
        select distinct on (k.id) k.id, jsonb_strip_nulls(jsonb_build_object('first_name', p.first_name,
            'last_name', p.last_name, 'username', p.username, 'title', p.title)) as names
        from jsonb_to_recordset(p_peers) p (chat_id bigint, first_name text, last_name text, username text, title text,
            is_min boolean)
        cross join lateral (
            select c.id, c.metadata from public.contact_identities c
            where c.owner_id = p_owner and c.type = 'telegram_user' and c.value = p.chat_id::text offset 0
        ) k
        where p.is_min and jsonb_typeof(coalesce(nullif(k.metadata, 'null'), '{}')) = 'object'
            and not coalesce(k.metadata ?| array['first_name', 'last_name', 'username', 'title'], false)
        order by k.id
    ) n
    where i.id = n.id and n.names <> '{}';
end $$;

-- Lets rows be claimed that waited until somebody knows these peers, or whom these names mean. Waits for nobody: a row that the
-- application holds is left, for tgworker_record_recipients.
create or replace function public.tgworker_wake(p_account uuid, p_chats bigint[], p_names text[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_conversations uuid[];
begin
    if not exists (select from public.tgworker_outbox o
        where o.integration_account_id = p_account and o.state = 'resolving')
    then
        return;
    end if;
    with woken as (
        update public.tgworker_outbox o set state = 'waiting', not_before = null, error = null
        where o.seq = any (array(
            select k.seq
            from (
                select unnest(p_names) as name
                union
                select n.name from unnest(p_chats) g (id)
                cross join lateral (
                    select t.username, t.phone from public.tgworker_peers t
                    where t.integration_account_id = p_account and t.chat_id = g.id offset 0
                ) p
                cross join lateral (values (g.id::text), ('@' || lower(p.username)), ('+' || p.phone)) n (name)
                where n.name is not null
            ) named
            cross join lateral (
                select w.seq from public.tgworker_outbox w
                where w.integration_account_id = p_account and w.state = 'resolving' and w.recipient = named.name
                offset 0 for update skip locked
            ) k))
        returning o.conversation_id
    )
    select array_agg(distinct w.conversation_id) into v_conversations from woken w;
    perform public.tgworker_relane(v_conversations);
end $$;

-- Stores messages that are not known yet, and recognises those that this worker sent. p_messages and p_sent_ids as in
-- tgworker_ingest; p_unread: whether they count as unread; p_from_log: whether the update log told of them. Returns those that were new, as tgworker_ingest answers.
create or replace function public.tgworker_store_messages(
    p_account uuid, p_owner uuid, p_workspace uuid, p_messages jsonb, p_sent_ids jsonb, p_unread boolean,
    p_from_log boolean default false)
returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_in public.tgworker_incoming[];
    v_rows public.tgworker_verdict[];
    v_parts jsonb;
    v_part record;
    v_chats bigint[];
    v_identities uuid[];
    v_conversations uuid[];
    v_free uuid[];
    v_new uuid[];
    v_stored uuid[];
    v_ms text := lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0');
    v_moment text := substr(v_ms, 1, 8) || '-' || substr(v_ms, 9, 4) || '-7';
begin
    p_messages := case when jsonb_typeof(p_messages) = 'array' then p_messages else '[]' end;
    p_sent_ids := case when jsonb_typeof(p_sent_ids) = 'array' then p_sent_ids else '[]' end;
    if p_messages = '[]' and p_sent_ids = '[]' then
        return '[]';
    end if;
    -- Each gets an id that grows with time: a UUID of version 7 (RFC 9562), with its number in the batch.
    select array_agg((m.n, m.chat_id, m.telegram_id, m.sender_id, coalesce(m.outgoing, false), m.text,
        coalesce(m.message_type, 'text'), m.sent_at, m.raw_payload,
        v_moment || lpad(to_hex(m.n % 4096), 3, '0') || substr(gen_random_uuid()::text, 19), m.file
        )::public.tgworker_incoming order by m.n)
    into v_in
    from rows from (jsonb_to_recordset(p_messages) as (chat_id bigint, telegram_id bigint, sender_id bigint,
        outgoing boolean, text text, message_type text, sent_at timestamptz, raw_payload jsonb, file jsonb))
        with ordinality m (chat_id, telegram_id, sender_id, outgoing, text, message_type, sent_at, raw_payload, file, n);

    if p_sent_ids <> '[]' or exists (select from unnest(v_in) i where i.outgoing) then
        -- Telegram tells under which id it has a message that we sent: the same as an answer to the send. Or it said
        -- "already sent" without an id, and here is the one message with that text in that chat.
        with by_any_id as (
            select o.seq, p.message_id, p.part, (s.pair ->> 1)::bigint as telegram_id,
                coalesce(i.chat_id, o.chat_id) as chat_id, i.sent_at,
                o.part + 1 = o.parts and p.part = o.part or o.state = 'sent' and p.part = 0 as is_last
            from jsonb_array_elements(p_sent_ids) s (pair)
            -- (`offset 0`: a probe for each, whatever the plan's statistics say.)
            cross join lateral (
                select k.message_id, k.part from public.tgworker_outbox_parts k
                where k.random_id = (s.pair ->> 0)::bigint and k.telegram_id is null offset 0
            ) p
            cross join lateral (
                select k.seq, k.chat_id, k.integration_account_id, k.part, k.parts, k.state
                from public.tgworker_outbox k where k.message_id = p.message_id offset 0
            ) o
            left join unnest(v_in) i on i.telegram_id = (s.pair ->> 1)::bigint and i.outgoing
            where o.integration_account_id = p_account
        ), by_random_id as (
            select distinct on (a.seq) a.seq, a.part, a.telegram_id, a.chat_id, a.sent_at from by_any_id a
            where a.is_last order by a.seq, a.part
        ), awaited as (
            select min(o.seq) as seq, i.telegram_id, i.chat_id, min(i.sent_at) as sent_at
            from public.tgworker_outbox o
            cross join lateral (
                select k.text from public.messages k where k.id = o.message_id offset 0
            ) m
            -- (A file without a caption may be any.)
            join unnest(v_in) i on i.outgoing and i.chat_id = o.chat_id and i.text = m.text
                and i.telegram_id > coalesce(o.chat_top_id, 0)
                and case when o.files is null then i.message_type = 'text'
                    else i.message_type <> 'text' and i.text <> '' end
            left join lateral (
                select true as is_known from public.tgworker_message_keys k
                where k.scope = p_account and k.telegram_id = i.telegram_id and k.chat_id = i.chat_id offset 0
            ) k on true
            where o.integration_account_id = p_account and o.awaiting_id and k.is_known is null
                and not exists (select from by_random_id b
                    where b.telegram_id = i.telegram_id and b.chat_id = i.chat_id)
            group by i.telegram_id, i.chat_id
            having count(*) = 1
        ), recognised as (
            select * from by_random_id
            union all
            -- (One update for one row.)
            (select distinct on (a.seq) a.seq, 0, a.telegram_id, a.chat_id, a.sent_at from awaited a
            where not exists (select from by_random_id b where b.seq = a.seq) order by a.seq, a.telegram_id)
        )
        select
            (select array_agg((r.seq, r.part, 'sent', r.telegram_id, r.chat_id, r.sent_at, null, null, false, false
                )::public.tgworker_verdict order by r.seq) from recognised r),
            (select jsonb_agg(to_jsonb(a) order by a.seq, a.part) from by_any_id a where a.is_last is not true)
        into v_rows, v_parts;
        perform public.tgworker_apply(v_rows, v_now);
        -- Of a part after which others are to be sent, or may be, only the id is learned. The next attempt at it, if
        -- there is one, has nothing to send. What has begun to be sent does not expire.
        for v_part in select * from jsonb_to_recordset(v_parts) p (seq bigint, message_id uuid, part integer,
            telegram_id bigint, chat_id bigint)
        loop
            update public.tgworker_outbox_parts p set telegram_id = v_part.telegram_id
            where p.message_id = v_part.message_id and p.part = v_part.part and p.telegram_id is null;
            update public.tgworker_outbox o set doubt_since = null, expires_at = null
            where o.seq = v_part.seq and o.part = v_part.part and o.state in ('deferred', 'sending');
            if v_part.chat_id is not null then
                insert into public.tgworker_message_keys (scope, telegram_id, chat_id, message_id)
                values (p_account, v_part.telegram_id, v_part.chat_id, v_part.message_id)
                on conflict do nothing;
            end if;
        end loop;
        -- Sent to a name whose chat nobody could tell at the time: the update tells it, once.
        with told as materialized (
            select o.seq, o.message_id, i.telegram_id, i.chat_id
            from public.tgworker_outbox o
            cross join lateral (
                select k.telegram_id from public.tgworker_outbox_parts k
                where k.message_id = o.message_id offset 0
            ) p
            join unnest(v_in) i on i.outgoing and i.telegram_id = p.telegram_id
            where o.integration_account_id = p_account and o.chat_id is null and o.state = 'sent'
        ), kept as (
            update public.tgworker_outbox o set chat_id = t.chat_id from told t where o.seq = t.seq
        )
        insert into public.tgworker_message_keys (scope, telegram_id, chat_id, message_id)
        select distinct on (t.telegram_id, t.chat_id) p_account, t.telegram_id, t.chat_id, t.message_id
        from told t order by t.telegram_id, t.chat_id, t.seq
        on conflict do nothing;
    end if;

    if public.tgworker_is_adopted() then
        perform public.tgworker_know_old(p_account, p_owner, v_in);
    end if;

    with keyed as (
        insert into public.tgworker_message_keys as k (scope, telegram_id, chat_id, message_id, from_log)
        select distinct on (i.telegram_id, i.chat_id) p_account, i.telegram_id, i.chat_id, i.message_id, p_from_log
        from unnest(v_in) i order by i.telegram_id, i.chat_id, i.n
        on conflict do nothing
        returning k.message_id
    )
    select array_agg(k.message_id) into v_new from keyed k;
    if v_new is null then
        return '[]';
    elsif cardinality(v_new) < cardinality(v_in) then
        select array_agg(i order by i.n) into v_in from unnest(v_in) i where i.message_id = any (v_new);
    end if;

    if exists (select from unnest(v_in) i where i.message_type = 'service_migrate') then
        perform public.tgworker_migrate_groups(p_account, p_owner, v_in);
    end if;
    perform public.tgworker_make_contacts(p_account, p_owner, v_in);

    perform public.tgworker_make_conversations(p_owner, p_workspace, v_in);
    select array_agg(c.chat_id), array_agg(c.identity_id), array_agg(c.conversation_id)
    into v_chats, v_identities, v_conversations
    from public.tgworker_find_chats(p_owner, v_in) c;

    perform set_config('tgworker.writing', 'on', true);
    with stored as (
        insert into public.messages as m (id, owner_id, conversation_id, integration_account_id, identity_id, channel,
            direction, text, message_type, sent_at, external_message_id, raw_payload)
        select i.message_id, p_owner, c.conversation_id, p_account,
            case when i.outgoing or i.sender_id is null or i.sender_id = i.chat_id then c.identity_id else (
                select s.id from public.contact_identities s
                where s.owner_id = p_owner and s.type = 'telegram_user' and s.value = i.sender_id::text
                order by s.id limit 1) end,
            'telegram', case when i.outgoing then 'outbound' else 'inbound' end, i.text, i.message_type, i.sent_at,
            i.telegram_id::text, i.raw_payload
        from unnest(v_in) i
        join unnest(v_chats, v_identities, v_conversations) c (chat_id, identity_id, conversation_id)
            on c.chat_id = i.chat_id
        order by i.n
        on conflict do nothing -- a unique key of the application's own
        returning m.id
    )
    select array_agg(s.id) into v_stored from stored s;
    perform set_config('tgworker.writing', '', true);
    if coalesce(cardinality(v_stored), 0) < cardinality(v_in) then
        -- The application's key knew them, ours did not: they are not new.
        update public.tgworker_message_keys k set message_id = old.id
        from unnest(v_in) i
        join unnest(v_chats, v_conversations) c (chat_id, conversation_id) on c.chat_id = i.chat_id
        cross join lateral (
            select m.id from public.messages m
            where m.conversation_id = c.conversation_id and m.external_message_id = i.telegram_id::text
            order by m.sent_at, m.id limit 1
        ) old
        where k.scope = p_account and k.telegram_id = i.telegram_id and k.chat_id = i.chat_id
            and k.message_id = i.message_id and i.message_id <> all (coalesce(v_stored, '{}'));
        select array_agg(i order by i.n) into v_in from unnest(v_in) i where i.message_id = any (v_stored);
        if v_in is null then
            return '[]';
        end if;
    end if;

    -- What they carry is to be fetched.
    insert into public.tgworker_files (message_id, integration_account_id, chat_id, telegram_id, facts, sent_at,
        is_history)
    select i.message_id, p_account, i.chat_id, i.telegram_id, i.file, coalesce(i.sent_at, v_now), not p_unread
    from unnest(v_in) i where jsonb_typeof(i.file) = 'object' order by i.n
    on conflict do nothing;

    v_free := array(select c.id from public.conversations c where c.id = any (v_conversations) order by 1
        for no key update skip locked);
    with counts as materialized (
        select distinct on (c.conversation_id) c.conversation_id,
            case when p_unread then count(*) filter (where not i.outgoing) over (partition by c.conversation_id)
                else 0 end::integer as unread,
            i.sent_at, coalesce(nullif(left(i.text, 100), ''), '[' || i.message_type || ']') as preview
        from unnest(v_in) i join unnest(v_chats, v_conversations) c (chat_id, conversation_id)
            on c.chat_id = i.chat_id
        order by c.conversation_id, i.sent_at desc nulls last, i.telegram_id desc
    ), counted as (
        update public.conversations c
        set unread_count = least(coalesce(c.unread_count, 0)::bigint + n.unread, 2147483647), last_channel = 'telegram',
            last_message_at = case when c.last_message_at is null or n.sent_at >= c.last_message_at
                then n.sent_at else c.last_message_at end,
            last_message_preview = case when c.last_message_at is null or n.sent_at >= c.last_message_at
                then n.preview else c.last_message_preview end
        from counts n where c.id = n.conversation_id and c.id = any (v_free)
    )
    insert into public.tgworker_chores (conversation_id, unread, latest_at, preview)
    select n.* from counts n where n.conversation_id <> all (v_free);

    return (select jsonb_agg(jsonb_build_object('message_id', i.message_id, 'chat_id', i.chat_id,
        'telegram_id', i.telegram_id) order by i.n) from unnest(v_in) i);
end $$;

-- Makes contacts for the chats and the senders of these messages, where there are none.
create or replace function public.tgworker_make_contacts(
    p_account uuid, p_owner uuid, p_in public.tgworker_incoming[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_new bigint[];
begin
    for v_round in 1 .. 2 loop
        v_new := array(
            select c.id from (
                select i.chat_id as id from unnest(p_in) i
                union
                select i.sender_id from unnest(p_in) i where not i.outgoing and i.sender_id is not null
            ) c
            left join lateral (
                select true as is_known from public.contact_identities k
                where k.owner_id = p_owner and k.type = 'telegram_user' and k.value = c.id::text limit 1
            ) k on true
            where k.is_known is null
            order by 1);
        exit when cardinality(v_new) = 0;
        if v_round = 1 then
            -- Whether the application's table has its unique key or not: one at a time, then look again.
            perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('owner ' || p_owner));
            continue;
        end if;
        insert into public.contact_identities (owner_id, type, value, metadata)
        select p_owner, 'telegram_user', c.id::text,
            case when k.peer is null then jsonb_build_object('is_group', c.id < 0)
                else public.tgworker_names(k.peer) end
        from unnest(v_new) c (id)
        left join lateral (
            select t from public.tgworker_peers t
            where t.integration_account_id = p_account and t.chat_id = c.id offset 0
        ) k (peer) on true
        order by c.id
        on conflict do nothing;
    end loop;
end $$;

-- Each chat of these messages with its contact and its conversation; conversation_id is null where there is none.
create or replace function public.tgworker_find_chats(p_owner uuid, p_in public.tgworker_incoming[])
returns table (chat_id bigint, identity_id uuid, conversation_id uuid)
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    return query select c.chat_id, k.identity_id, coalesce(k.conversation_id, moved.conversation_id)
    from (select distinct i.chat_id from unnest(p_in) i) c
    cross join lateral (
        select i.id as identity_id, v.id as conversation_id
        from public.contact_identities i
        left join lateral (
            select o.id, o.last_message_at from public.conversations o
            where o.primary_identity_id = i.id and o.owner_id = p_owner
            order by o.last_message_at desc nulls last, o.id limit 1
        ) v on true
        where i.owner_id = p_owner and i.type = 'telegram_user' and i.value = c.chat_id::text
        order by v.id is null, v.last_message_at desc nulls last, i.id limit 1
    ) k
    -- A group that became a supergroup is told of in that one's conversation.
    left join lateral (
        select o.id as conversation_id
        from public.tgworker_migrated g
        join public.contact_identities i
            on i.owner_id = p_owner and i.type = 'telegram_user' and i.value = g.new_chat_id::text
        join public.conversations o on o.primary_identity_id = i.id and o.owner_id = p_owner
        where k.conversation_id is null and g.owner_id = p_owner and g.chat_id = c.chat_id
        order by o.last_message_at desc nulls last, o.id limit 1
    ) moved on true;
end $$;

-- Makes a conversation for each chat of these messages that has a contact, but none.
create or replace function public.tgworker_make_conversations(
    p_owner uuid, p_workspace uuid, p_in public.tgworker_incoming[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    if exists (select from public.tgworker_find_chats(p_owner, p_in) c where c.conversation_id is null) then
        -- One at a time for each owner, so that two accounts do not both make the conversation of one group.
        perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('owner ' || p_owner));
        insert into public.conversations
            (owner_id, workspace_id, contact_id, primary_identity_id, last_channel)
        select distinct on (n.id) p_owner, p_workspace, n.contact_id, n.id, 'telegram'
        from public.tgworker_find_chats(p_owner, p_in) c
        left join public.tgworker_migrated g on g.owner_id = p_owner and g.chat_id = c.chat_id
        cross join lateral (
            select i.id, i.contact_id from public.contact_identities i
            where g.chat_id is not null and i.owner_id = p_owner and i.type = 'telegram_user'
                and i.value = g.new_chat_id::text
            union all
            select i.id, i.contact_id from public.contact_identities i where i.id = c.identity_id
            limit 1
        ) n
        where c.conversation_id is null order by n.id;
    end if;
end $$;

-- Files a history job for each chat that the update log did not tell everything of, unless one waits there already, or
-- the log has told of its newest message before (one that comes with the same batch may have come after the gap).
-- One that is being processed may have read past this gap. p_gaps as in tgworker_ingest.
create or replace function public.tgworker_file_gaps(p_account uuid, p_owner uuid, p_workspace uuid, p_gaps jsonb)
returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_in public.tgworker_incoming[];
begin
    if jsonb_typeof(p_gaps) is distinct from 'array' or p_gaps = '[]' then
        return;
    end if;
    -- A batch whose answer was lost may be committed together with its repeat: one after the other.
    perform pg_advisory_xact_lock(hashtext('tgworker'), hashtext('gaps ' || p_account));
    -- As if a message of the owner's had come from there: what makes contacts and conversations.
    select array_agg((1, g.chat_id, null, null, true, '', 'text', null, null, gen_random_uuid(), null
        )::public.tgworker_incoming)
    into v_in
    from (
        select distinct (g.pair ->> 0)::bigint as chat_id from jsonb_array_elements(p_gaps) g (pair)
        left join lateral (
            select true as is_known from public.tgworker_message_keys k
            where k.scope = p_account and k.telegram_id = (g.pair ->> 1)::bigint
                and k.chat_id = (g.pair ->> 0)::bigint and k.from_log offset 0
        ) k on true
        left join lateral (
            select true as is_filed from public.tgworker_gap_jobs f
            cross join lateral (
                select j.status from public.sync_history_jobs j where j.id = f.job_id offset 0
            ) j
            where f.integration_account_id = p_account and f.chat_id = (g.pair ->> 0)::bigint
                and j.status = 'pending' limit 1
        ) f on true
        where k.is_known is null and f.is_filed is null
    ) g;
    if v_in is null then
        return;
    end if;
    perform public.tgworker_make_contacts(p_account, p_owner, v_in);
    perform public.tgworker_make_conversations(p_owner, p_workspace, v_in);
    with filed as (
        insert into public.sync_history_jobs (id, owner_id, workspace_id, conversation_id, integration_account_id,
            telegram_id, telegram_name, is_group, status, limit_messages, messages_synced)
        select i.message_id, p_owner, p_workspace, c.conversation_id, p_account, r.telegram_id,
            coalesce(p.title, nullif(concat_ws(' ', p.first_name, p.last_name), '')), i.chat_id < 0, 'pending', 500, 0
        from unnest(v_in) i
        join public.tgworker_find_chats(p_owner, v_in) c on c.chat_id = i.chat_id
        -- (Whatever type the application's column has.)
        cross join lateral jsonb_populate_record(null::public.sync_history_jobs,
            jsonb_build_object('telegram_id', i.chat_id::text)) r
        left join public.tgworker_peers p on p.integration_account_id = p_account and p.chat_id = i.chat_id
        order by i.message_id
        returning id
    )
    insert into public.tgworker_gap_jobs (job_id, integration_account_id, chat_id, known_top)
    select f.id, p_account, i.chat_id, k.telegram_id
    from filed f join unnest(v_in) i on i.message_id = f.id
    left join lateral (
        select k.telegram_id from public.tgworker_message_keys k
        where k.scope = p_account and k.chat_id = i.chat_id and k.from_log
        order by k.telegram_id desc limit 1
    ) k on true;
end $$;

-- On an adopted database: which of these messages did the old worker store? They get their keys now. Nothing that is
-- younger than the adoption of the account by a day is looked for.
create or replace function public.tgworker_know_old(
    p_account uuid, p_owner uuid, p_in public.tgworker_incoming[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    insert into public.tgworker_message_keys (scope, telegram_id, chat_id, message_id)
    select p_account, i.telegram_id, i.chat_id, old.id
    from unnest(p_in) i
    join public.tgworker_accounts a on a.integration_account_id = p_account
        and i.sent_at < a.adopted_at + interval '1 day'
    cross join lateral (
        select m.id
        from public.contact_identities c
        join public.conversations v on v.primary_identity_id = c.id
        join public.messages m on m.conversation_id = v.id and m.external_message_id = i.telegram_id::text
            and m.channel = 'telegram' and coalesce(m.integration_account_id, p_account) = p_account
        where c.owner_id = p_owner and c.type = 'telegram_user' and c.value = i.chat_id::text
        order by m.sent_at, m.id limit 1 -- old duplicates stay: the first one is it
    ) old
    where not exists (select from public.tgworker_message_keys k
        where k.scope = p_account and k.telegram_id = i.telegram_id and k.chat_id = i.chat_id)
    on conflict do nothing;
end $$;

-- The owner and the workspace of an account. Raises 410 `account_gone`.
create or replace function public.tgworker_owner(p_account uuid, out owner uuid, out workspace uuid)
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    select a.owner_id, a.workspace_id into owner, workspace from public.integration_accounts a where a.id = p_account;
    if owner is null then
        perform public.tgworker_fail(410, 'account_gone', format('the account %s was removed', p_account));
    end if;
end $$;

-- InboundStore.ingest
--
-- p_fence   the token of the account's lease
-- p_batch   {"messages": [{"chat_id", "telegram_id", "sender_id", "outgoing", "text", "message_type", "sent_at",
--            "raw_payload", "file": {"kind", "size", "mime_type", "file_name", "duration_s", "width", "height"} or null}],
--            "peers": [{"chat_id", "kind", "access_hash", "first_name", "last_name", "title", "username", "phone",
--            "is_self", "is_contact", "photo_id", "is_min"}],
--            "sent_ids": [[random_id, telegram_id]],
--            "position": {"pts", "qts", "date", "seq", "channels": {channel_id: pts}} or null,
--            "gaps": [[chat_id, top_id or null]]}: chats that the log did not tell everything of: a history job is
--           filed for each, unless the log told of the message top_id before, or a job waits
--            "changes": what became of stored messages, in order, or missing: {"change": "edited", "message": as above,
--            "edited_at"}, {"change": "deleted", "chat_id" (null: a private chat's or a basic group's), "telegram_ids"},
--            {"change": "read_by_them", "chat_id", "max_id"}, {"change": "read_by_us", "chat_id", "max_id",
--            "still_unread"}, {"change": "reacted", "chat_id", "telegram_id", "counts", "own" (null: as before), "by": [{"from", "reaction"}]},
--            {"change": "pinned", "chat_id", "telegram_ids", "is_pinned"}
--           channels: all of them, or null for "as before". Texts without U+0000, which PostgreSQL does not keep.
-- p_number  grows with every batch under one token, so that a late repeat of an older one does not move the position
--           back; null: no such guard
-- answer    {"new": count, "messages": [{"message_id", "chat_id", "telegram_id"}]}, the new ones
--
-- Idempotent on (account, chat, message id). Waits for half a second at most until the application has let go of rows that
-- have changed. Raises 409 `lease_lost`, 410 `account_gone`.
create or replace function public.tgworker_ingest(
    p_account uuid, p_fence bigint, p_batch jsonb, p_number bigint default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_owned record;
    v_new jsonb;
    v_position jsonb := p_batch -> 'position';
    v_changes jsonb := nullif(p_batch -> 'changes', '[]');
    v_moved boolean;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    v_owned := public.tgworker_owner(p_account);
    if v_changes is not null then
        if exists (select from public.tgworker_positions k
            where k.integration_account_id = p_account and (k.fence, k.number) > (p_fence, p_number))
        then
            v_changes := null; -- a late repeat: what it tells is older than what stands there
        else
            perform public.tgworker_lock_changed(p_account, v_owned.owner, v_changes);
        end if;
    end if;
    perform public.tgworker_keep_peers(p_account, v_owned.owner, p_batch -> 'peers');
    if jsonb_typeof(p_batch -> 'gaps') = 'array' and p_batch -> 'gaps' <> '[]'
        and jsonb_typeof(p_batch -> 'messages') = 'array'
    then
        -- What is read of a group's new history goes where the group goes on.
        perform public.tgworker_migrate_groups(p_account, v_owned.owner, (
            select array_agg((1, m.chat_id, null, null, false, '', m.message_type, null, m.raw_payload, null, null
                )::public.tgworker_incoming)
            from jsonb_to_recordset(p_batch -> 'messages') m (chat_id bigint, message_type text, raw_payload jsonb)
            where m.message_type = 'service_migrate'));
    end if;
    -- First: what fills a gap has to know what was stored before.
    perform public.tgworker_file_gaps(p_account, v_owned.owner, v_owned.workspace, p_batch -> 'gaps');
    v_new := public.tgworker_store_messages(p_account, v_owned.owner, v_owned.workspace, p_batch -> 'messages',
        p_batch -> 'sent_ids', true, true);
    perform public.tgworker_name_strangers(v_owned.owner, p_batch -> 'peers');
    if v_changes is not null then
        perform public.tgworker_apply_changes(p_account, v_owned.owner, v_changes);
    end if;
    if jsonb_typeof(v_position) = 'object' then
        insert into public.tgworker_positions as k (integration_account_id, pts, qts, date, seq, fence, number)
        values (p_account, (v_position ->> 'pts')::bigint, (v_position ->> 'qts')::bigint,
            (v_position ->> 'date')::bigint, (v_position ->> 'seq')::bigint, p_fence, coalesce(p_number, 0))
        on conflict (integration_account_id) do update set pts = excluded.pts, qts = excluded.qts,
            date = excluded.date, seq = excluded.seq, fence = excluded.fence, number = excluded.number
        where p_number is null or (excluded.fence, excluded.number) > (k.fence, k.number);
        v_moved := found;
        if v_moved and jsonb_typeof(v_position -> 'channels') = 'object' then
            insert into public.tgworker_channel_positions as k (integration_account_id, channel_id, pts)
            select p_account, c.key::bigint, c.value::bigint from jsonb_each_text(v_position -> 'channels') c
            order by 2
            on conflict (integration_account_id, channel_id) do update set pts = excluded.pts
            where k.pts <> excluded.pts;
            delete from public.tgworker_channel_positions k
            where k.integration_account_id = p_account and not (v_position -> 'channels') ? k.channel_id::text;
        end if;
    end if;
    return jsonb_build_object('new', jsonb_array_length(v_new), 'messages', v_new);
end $$;

-- InboundStore.find_messages
--
-- p_ids   Telegram's ids of messages
-- p_chat  their chat; null where Telegram does not say it (a delete in a private chat or a basic group): a channel's
--         messages, which are numbered apart, are never meant then
-- answer  [{"chat_id", "telegram_id", "message_id"}], those that are known
create or replace function public.tgworker_find_messages(p_account uuid, p_ids bigint[], p_chat bigint default null)
returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
    select coalesce(jsonb_agg(jsonb_build_object('chat_id', k.chat_id, 'telegram_id', k.telegram_id,
        'message_id', k.message_id) order by k.telegram_id, k.chat_id), '[]')
    from unnest(p_ids) i (id)
    cross join lateral (
        select t.chat_id, t.telegram_id, t.message_id from public.tgworker_message_keys t
        where t.scope = p_account and t.telegram_id = i.id offset 0
    ) k
    where case when p_chat is null then k.chat_id > -1000000000000 else k.chat_id = p_chat end
$$;

-- InboundStore.position
--
-- answer  {"pts", "qts", "date", "seq", "channels": {channel_id: pts}, "user_id"}, or null for an account never seen;
--         user_id: the Telegram user that the account was when it was online last
create or replace function public.tgworker_position(p_account uuid) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('pts', p.pts, 'qts', p.qts, 'date', p.date, 'seq', p.seq, 'channels', coalesce((
        select jsonb_object_agg(c.channel_id, c.pts) from public.tgworker_channel_positions c
        where c.integration_account_id = p_account), '{}'), 'user_id', a.user_id)
    from public.tgworker_positions p
    left join public.tgworker_accounts a on a.integration_account_id = p.integration_account_id
    where p.integration_account_id = p_account
$$;

-- InboundStore.forget_user
--
-- p_user_id  whose session the account's is now
-- answer     {"more"}: whether there is more to forget; to be called until there is not
--
-- Ids of messages, access hashes and positions are a Telegram user's: those of the one before go, the position last.
-- Raises 409 `lease_lost`.
create or replace function public.tgworker_forget_user(p_account uuid, p_fence bigint, p_user_id bigint) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_limit integer := 20000;
    v_rows bigint;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    delete from public.tgworker_message_keys where ctid = any (array(
        select ctid from public.tgworker_message_keys where scope = p_account limit v_limit));
    get diagnostics v_rows = row_count;
    if v_rows < v_limit then
        delete from public.tgworker_peers where ctid = any (array(
            select ctid from public.tgworker_peers where integration_account_id = p_account limit v_limit));
        get diagnostics v_rows = row_count;
    end if;
    if v_rows = v_limit then
        return '{"more": true}';
    end if;
    -- What its messages carry is another user's to fetch.
    update public.tgworker_files set state = 'failed', error = 'its account is another Telegram user''s now',
        not_before = null, settled_at = public.tgworker_now()
    where message_id = any (array(select message_id from public.tgworker_files
        where integration_account_id = p_account and state = 'pending' limit v_limit));
    get diagnostics v_rows = row_count;
    if v_rows = v_limit then
        return '{"more": true}';
    end if;
    delete from public.tgworker_names where integration_account_id = p_account;
    delete from public.tgworker_read_marks where integration_account_id = p_account;
    delete from public.tgworker_waits where integration_account_id = p_account;
    delete from public.tgworker_channel_positions where integration_account_id = p_account;
    delete from public.tgworker_positions where integration_account_id = p_account;
    update public.tgworker_accounts set user_id = p_user_id, introduced_at = null
    where integration_account_id = p_account;
    return '{"more": false}';
end $$;

-- InboundStore.peers
--
-- p_after  the last chat_id of the page before; null for the first
-- answer   [peer], as in tgworker_ingest: those that the account may address, by chat_id
create or replace function public.tgworker_peers_of(
    p_account uuid, p_after bigint default null, p_limit integer default 10000) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(public.tgworker_peer_json(k.p) order by (k.p).chat_id), '[]') from (
        select p from public.tgworker_peers p
        where p.integration_account_id = p_account and (p.access_hash is not null or p.kind = 'chat')
            and (p_after is null or p.chat_id > p_after)
        order by p.chat_id limit p_limit
    ) k
$$;

-- InboundStore.save_peers
--
-- p_peers  as in tgworker_ingest
-- Raises 409 `lease_lost`, 410 `account_gone`.
create or replace function public.tgworker_save_peers(p_account uuid, p_fence bigint, p_peers jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_owned record;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    v_owned := public.tgworker_owner(p_account);
    perform public.tgworker_keep_peers(p_account, v_owned.owner, p_peers);
end $$;

-- DoubtStore.unnamed
--
-- answer  [{"message_id", "conversation_id", "peer", "text", "parse_mode", "text_limit", "random_id", "number", "claim",
--          "top_id", "message_type", "files", "caption_limit"}]
--
-- What Telegram has under an id that nobody knows, the oldest first; each is handed out three times at most. top_id: the
-- newest message of the chat that was known when it was sent. Raises 409 `lease_lost`.
create or replace function public.tgworker_unnamed(
    p_account uuid, p_fence bigint, p_limit integer default 20) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
    v_answer jsonb;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    with looked as (
        update public.tgworker_outbox o set looks = o.looks + 1
        where o.seq in (
            select k.seq from public.tgworker_outbox k
            where k.integration_account_id = p_account and k.awaiting_id and k.looks < 3 and k.parts = 1
                and k.chat_id is not null
            order by k.seq limit p_limit for update skip locked)
        returning o.*
    )
    select coalesce(jsonb_agg(jsonb_build_object('message_id', o.message_id, 'conversation_id', o.conversation_id,
        'peer', public.tgworker_peer_json(p), 'text', coalesce(o.long_text, m.text, ''),
        'parse_mode', o.parse_mode, 'text_limit', coalesce(o.text_limit, 4096), 'random_id', k.random_id,
        'number', o.attempts, 'claim', coalesce(o.claim, 0), 'top_id', coalesce(o.chat_top_id, 0),
        'message_type', m.message_type, 'files', coalesce(o.files, '[]'),
        'caption_limit', coalesce(o.caption_limit, 1024))
        order by o.seq), '[]')
    into v_answer
    from looked o
    join public.messages m on m.id = o.message_id
    join public.tgworker_outbox_parts k on k.message_id = o.message_id and k.part = 0
    join public.tgworker_peers p on p.integration_account_id = p_account and p.chat_id = o.chat_id;
    return v_answer;
end $$;

-- DoubtStore.name
--
-- Which message it is that Telegram has for a row; nothing, if that is known meanwhile. Raises 409 `lease_lost`.
create or replace function public.tgworker_name(
    p_account uuid, p_fence bigint, p_message uuid, p_chat bigint, p_telegram_id bigint, p_sent_at timestamptz)
returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_seq bigint;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    select o.seq into v_seq from public.tgworker_outbox o
    where o.message_id = p_message and o.integration_account_id = p_account and o.awaiting_id for update;
    if v_seq is not null then
        perform public.tgworker_apply(array[(v_seq, 0, 'sent', p_telegram_id, p_chat, p_sent_at, null, null, false,
            false)::public.tgworker_verdict], public.tgworker_now());
    end if;
end $$;

-- RecipientStore.recipients
--
-- answer  {"introduced": bool, "sought": [{"to", "left_s"}]}: whether the account's contacts and chats were read, and whom
--         rows in `resolving` wait for, those of the oldest rows first
create or replace function public.tgworker_recipients(p_account uuid, p_limit integer default 1000) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
    select jsonb_build_object(
        'introduced', exists (select from public.tgworker_accounts t
            where t.integration_account_id = p_account and t.introduced_at is not null),
        'sought', (
            select coalesce(jsonb_agg(jsonb_build_object('to', k.recipient, 'left_s',
                coalesce(greatest(0, extract(epoch from k.until_at - public.tgworker_now())), 0)) order by k.seq), '[]')
            from (
                select o.recipient, max(o.not_before) as until_at, min(o.seq) as seq from public.tgworker_outbox o
                where o.integration_account_id = p_account and o.state = 'resolving' and o.recipient is not null
                group by o.recipient order by min(o.seq) limit p_limit
            ) k))
$$;

-- RecipientStore.record_introduced
--
-- Raises 409 `lease_lost`.
create or replace function public.tgworker_record_introduced(p_account uuid, p_fence bigint) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    update public.tgworker_accounts set introduced_at = public.tgworker_now()
    where integration_account_id = p_account;
end $$;

-- RecipientStore.record_recipients
--
-- p_found  [{"to", "outcome", "peer", "retry_after_s", "reason"}]: outcome one of found (peer as in tgworker_ingest),
--          refused, deferred
-- answer   {"left": [to]}: names of which a row is held by the application; call again for them
-- Raises 409 `lease_lost`, 410 `account_gone`.
create or replace function public.tgworker_record_recipients(p_account uuid, p_fence bigint, p_found jsonb)
returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_owned record;
    v_rows public.tgworker_verdict[];
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    v_owned := public.tgworker_owner(p_account);
    perform public.tgworker_keep_peers(p_account, v_owned.owner, (
        select coalesce(jsonb_agg(i -> 'peer'), '[]') from jsonb_array_elements(p_found) i
        where i ->> 'outcome' = 'found'));
    insert into public.tgworker_names as n (integration_account_id, name, chat_id)
    select p_account, i."to", (i.peer ->> 'chat_id')::bigint
    from jsonb_to_recordset(p_found) i ("to" text, outcome text, peer jsonb)
    where i.outcome = 'found'
        and public.tgworker_chat_of(p_account, i."to") is distinct from (i.peer ->> 'chat_id')::bigint
    on conflict (integration_account_id, name) do update set chat_id = excluded.chat_id;
    perform public.tgworker_wake(p_account, '{}', array(
        select i ->> 'to' from jsonb_array_elements(p_found) i where i ->> 'outcome' = 'found'));
    select array_agg((k.seq, 0,
            case when k.outcome = 'deferred' then 'resolving' when k.doubt_since is null then 'dead' else 'unsure' end,
            null, null, null,
            case k.outcome when 'deferred' then v_now + make_interval(secs => greatest(0, k.retry_after_s)) end,
            case when k.outcome = 'deferred' or k.doubt_since is null then k.reason
                else format('nobody knows whether Telegram has it, and its recipient is found no more (%s)', k.reason)
            end,
            false, false)::public.tgworker_verdict order by k.seq)
    into v_rows
    from (
        select o.seq, o.doubt_since, i.outcome, i.retry_after_s, i.reason
        from jsonb_to_recordset(p_found) i ("to" text, outcome text, retry_after_s double precision, reason text)
        cross join lateral (
            select w.seq, w.doubt_since from public.tgworker_outbox w
            where w.integration_account_id = p_account and w.state = 'resolving' and w.recipient = i."to"
            offset 0 for update skip locked
        ) o
        where i.outcome in ('refused', 'deferred')
    ) k;
    perform public.tgworker_apply(v_rows, v_now);
    return jsonb_build_object('left', (
        select coalesce(jsonb_agg(i ->> 'to'), '[]') from jsonb_array_elements(p_found) i
        cross join lateral (
            select from public.tgworker_outbox o
            where o.integration_account_id = p_account and o.state = 'resolving' and o.recipient = i ->> 'to' limit 1
        ) held
        where i ->> 'outcome' in ('found', 'refused')));
end $$;

-- WaitStore.waits
--
-- answer  [{"kind", "key", "left_s", "reason"}]: those that are not over, the next to end first
create or replace function public.tgworker_waits_of(p_account uuid) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('kind', w.kind, 'key', w.key,
        'left_s', extract(epoch from w.until_at - n.now), 'reason', w.reason) order by w.until_at, w.kind, w.key), '[]')
    from (select public.tgworker_now() as now) n
    join public.tgworker_waits w on w.integration_account_id = p_account and w.until_at > n.now
$$;

-- WaitStore.save_waits
--
-- p_waits  [{"kind", "key", "left_s", "reason"}]; of two waits for the same thing the one that ends later counts
-- Raises 409 `lease_lost`.
create or replace function public.tgworker_save_waits(p_account uuid, p_fence bigint, p_waits jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    delete from public.tgworker_waits w where w.integration_account_id = p_account and w.until_at <= v_now;
    insert into public.tgworker_waits as w (integration_account_id, kind, key, until_at, reason)
    select distinct on (i.kind, i.key) p_account, i.kind, i.key, v_now + make_interval(secs => i.left_s), i.reason
    from jsonb_to_recordset(p_waits) i (kind text, key text, left_s double precision, reason text)
    order by i.kind, i.key, i.left_s desc
    on conflict (integration_account_id, kind, key) do update
    set until_at = excluded.until_at, reason = excluded.reason
    where excluded.until_at > w.until_at;
end $$;

-- WaitStore.is_acquainted
--
-- answer  true or false: whether the account ever got a message in the conversation, or Telegram has one of it there
create or replace function public.tgworker_is_acquainted(p_account uuid, p_conversation uuid) returns boolean
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select exists (
        select from public.messages m
        where m.conversation_id = p_conversation and m.integration_account_id = p_account and m.channel = 'telegram'
            and (m.direction = 'inbound' or m.external_message_id ~ '^([0-9]+$|sent-)'))
$$;

-- PresenceStore.record_presence: who is online and who types, for all accounts of a worker at once
--
-- p_accounts  [{"account", "fence", "items": [{"chat_id", "is_online", "last_seen_at", "is_typing", "typing_for_s",
--             "typing_in"}]}]: items of users, in their order; a key that is missing or null leaves what is known, and of
--             each contact of an owner the last word counts, whichever account was told. typing_for_s: how long the
--             typing counts, 5 s if nothing is said; typing_in: the group that it is in, if it is in one
-- answer      {"written": count, "lost": [account]}; people who are no contacts of the owner are left out. lost: whose lease
--             has another token now; nothing was written for them
--
-- Waits for nobody: a row that the application holds just then stays as it is.
create or replace function public.tgworker_presence(p_accounts jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_held uuid[];
    v_written bigint;
begin
    select coalesce(array_agg(k.id), '{}') into v_held from (
        select l.integration_account_id as id
        from public.tgworker_leases l
        join jsonb_to_recordset(p_accounts) i (account uuid, fence bigint)
            on i.account = l.integration_account_id and i.fence = l.fence
        order by 1 for key share of l
    ) k;
    -- Whether the application's table has its unique key or not: one at a time for each owner.
    perform pg_advisory_xact_lock(hashtext('tgworker'), o.key)
    from (
        select distinct hashtext('presence ' || a.owner_id) as key from public.integration_accounts a
        where a.id = any (v_held) order by 1
    ) o;
    with told as (
        select a.owner_id, k.id as identity_id, p.*, e.m
        from rows from (jsonb_to_recordset(p_accounts) as (account uuid, items jsonb))
            with ordinality e (account, items, m)
        join public.integration_accounts a on a.id = e.account and a.id = any (v_held)
        cross join lateral rows from (jsonb_to_recordset(e.items) as (chat_id bigint, is_online boolean,
            last_seen_at timestamptz, is_typing boolean, typing_for_s double precision, typing_in bigint))
            with ordinality p (chat_id, is_online, last_seen_at, is_typing, typing_for_s, typing_in, n)
        cross join lateral (
            select i.id from public.contact_identities i
            where i.owner_id = a.owner_id and i.type = 'telegram_user' and i.value = p.chat_id::text
            order by i.id limit 1
        ) k
    ), last_words as (
        select t.owner_id, t.identity_id,
            (array_agg(t.is_online order by t.m desc, t.n desc) filter (where t.is_online is not null))[1] as is_online,
            (array_agg(t.last_seen_at order by t.m desc, t.n desc)
                filter (where t.last_seen_at is not null))[1] as last_seen_at,
            (array_agg(t.is_typing order by t.m desc, t.n desc) filter (where t.is_typing is not null))[1] as is_typing,
            (array_agg(coalesce(t.typing_for_s, 5) order by t.m desc, t.n desc)
                filter (where t.is_typing is not null))[1] as typing_for_s,
            (array_agg(coalesce(t.typing_in, 0) order by t.m desc, t.n desc)
                filter (where t.is_typing is not null))[1] as typing_in
        from told t group by 1, 2
    ), fresh as materialized (
        select w.*, own.id as conversation_id,
            case when w.is_typing then v_now + make_interval(secs => w.typing_for_s) end as typing_until,
            -- Where he types now; who types no more is where one writes to him.
            case when w.typing_in <> 0 and w.is_typing then coalesce(common.id, own.id)
                when w.is_typing is not null then own.id end as typing_conversation_id
        from last_words w
        left join lateral (
            select c.id from public.conversations c where c.primary_identity_id = w.identity_id and c.owner_id = w.owner_id
            order by c.last_message_at desc nulls last, c.id limit 1
        ) own on true
        left join lateral (
            select c.id from public.contact_identities i
            join public.conversations c on c.primary_identity_id = i.id and c.owner_id = w.owner_id
            where w.typing_in <> 0 and w.is_typing and i.owner_id = w.owner_id and i.type = 'telegram_user'
                and i.value = w.typing_in::text
            order by c.last_message_at desc nulls last, c.id limit 1
        ) common on true
    ), free as materialized (
        select f.* from fresh f
        join public.presence_status s on s.owner_id = f.owner_id and s.contact_identity_id = f.identity_id
        for no key update of s skip locked
    ), changed as (
        update public.presence_status s
        set is_online = coalesce(f.is_online, s.is_online),
            last_seen_at = coalesce(f.last_seen_at, s.last_seen_at),
            is_typing = coalesce(f.is_typing, s.is_typing),
            typing_expires_at = case when f.is_typing is null then s.typing_expires_at else f.typing_until end,
            conversation_id = coalesce(f.typing_conversation_id, s.conversation_id, f.conversation_id),
            updated_at = v_now
        from free f where s.owner_id = f.owner_id and s.contact_identity_id = f.identity_id
        returning s.contact_identity_id as id
    ), added as (
        insert into public.presence_status (owner_id, contact_identity_id, conversation_id, is_typing, is_online,
            last_seen_at, typing_expires_at, updated_at)
        select f.owner_id, f.identity_id, coalesce(f.typing_conversation_id, f.conversation_id),
            coalesce(f.is_typing, false), coalesce(f.is_online, false), f.last_seen_at, f.typing_until, v_now
        from fresh f
        where not exists (select from public.presence_status s
            where s.owner_id = f.owner_id and s.contact_identity_id = f.identity_id)
        on conflict do nothing
        returning contact_identity_id as id
    )
    select count(distinct k.id) into v_written from (select id from changed union all select id from added) k;
    return jsonb_build_object('written', v_written, 'lost', to_jsonb(array(
        select distinct (i ->> 'account')::uuid from jsonb_array_elements(p_accounts) i
        where (i ->> 'account')::uuid <> all (v_held))));
end $$;

-- PresenceStore.shown: whom the rows show online or typing, of those whom each account knows
--
-- answer  [{"account", "chat_id", "is_online", "is_typing", "last_seen_at"}]; last_seen_at: when the row was written for who
--         is online, else as it stands there
create or replace function public.tgworker_shown_presence(p_accounts uuid[]) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('account', a.id, 'chat_id', p.chat_id,
            'is_online', coalesce(s.is_online, false), 'is_typing', coalesce(s.is_typing, false),
            'last_seen_at', case when s.is_online then s.updated_at else s.last_seen_at end)), '[]')
        from public.integration_accounts a
        join public.presence_status s on s.owner_id = a.owner_id and (s.is_online or s.is_typing)
        join public.contact_identities i on i.id = s.contact_identity_id and i.type = 'telegram_user'
        join public.tgworker_peers p on p.integration_account_id = a.id
            and p.chat_id = case when i.value ~ '^[0-9]{1,18}$' then i.value::bigint end
        where a.id = any (p_accounts));
end $$;

-- MediaStore.wanted_files
--
-- answer  [{"message_id", "owner_id", "chat_id", "telegram_id", "facts", "tries"}]: files that may be fetched now, those of
--         the newest messages first, and history after them; facts: as they came with the message
create or replace function public.tgworker_wanted_files(p_account uuid, p_limit integer default 100) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
    v_now timestamptz := public.tgworker_now();
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('message_id', k.message_id, 'owner_id', k.owner_id,
            'chat_id', k.chat_id, 'telegram_id', k.telegram_id, 'facts', k.facts, 'tries', k.tries)
            order by k.is_history, k.sent_at desc, k.telegram_id desc), '[]')
        from (
            select f.*, m.owner_id
            from public.tgworker_files f join public.messages m on m.id = f.message_id
            where f.integration_account_id = p_account and f.state = 'pending'
                and (f.not_before is null or f.not_before <= v_now)
            order by f.is_history, f.sent_at desc, f.telegram_id desc limit p_limit
        ) k);
end $$;

-- The id of the attachment that is made for a message that was received: a UUID of version 8 (RFC 9562).
create or replace function public.tgworker_attachment_id(p_message uuid) returns uuid
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$
    select overlay(overlay(left(encode(sha256(convert_to('tgworker:attachment:' || p_message, 'UTF8')), 'hex'), 32)
        placing '8' from 13) placing '8' from 17)::uuid
$$;

-- MediaStore.finish_file
--
-- p_outcome  {"outcome": "fetched", "bucket", "path", "file_name", "mime_type", "byte_size"}: it has its attachment;
--            {"outcome": "unwanted" or "failed", "reason"}; or {"outcome": "later", "retry_after_s", "tries", "reason"}
--            with the number of attempts that have failed by then
--
-- Nothing is written for a file that is not pending any more. Waits for the application for a second at most. Raises 409
-- `lease_lost`.
create or replace function public.tgworker_finish_file(
    p_account uuid, p_fence bigint, p_message uuid, p_outcome jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '1s'
as $$
declare
    v_now timestamptz := public.tgworker_now();
    v_outcome text := p_outcome ->> 'outcome';
    v_writing text := current_setting('tgworker.writing', true);
begin
    if v_outcome is null or v_outcome not in ('fetched', 'unwanted', 'failed', 'later') then
        perform public.tgworker_fail(400, 'bad_request', format('%s is no outcome of a file', p_outcome -> 'outcome'));
    end if;
    perform public.tgworker_check_fence(p_account, p_fence);
    update public.tgworker_files f
    set state = case v_outcome when 'fetched' then 'done' when 'later' then 'pending' else v_outcome end,
        error = p_outcome ->> 'reason',
        tries = case v_outcome when 'later' then (p_outcome ->> 'tries')::integer else f.tries end,
        not_before = case v_outcome when 'later'
            then v_now + make_interval(secs => (p_outcome ->> 'retry_after_s')::double precision) end,
        settled_at = case when v_outcome <> 'later' then v_now end
    where f.message_id = p_message and f.integration_account_id = p_account and f.state = 'pending';
    if not found or v_outcome <> 'fetched' then
        return;
    end if;
    perform set_config('tgworker.writing', 'on', true);
    insert into public.attachments as a (id, owner_id, message_id, storage_bucket, storage_path, file_name, mime_type,
        byte_size)
    select public.tgworker_attachment_id(m.id), m.owner_id, m.id, p_outcome ->> 'bucket', p_outcome ->> 'path',
        p_outcome ->> 'file_name', p_outcome ->> 'mime_type', (p_outcome ->> 'byte_size')::bigint
    from public.messages m where m.id = p_message
    on conflict (id) do update set storage_bucket = excluded.storage_bucket, storage_path = excluded.storage_path,
        file_name = excluded.file_name, mime_type = excluded.mime_type, byte_size = excluded.byte_size
    where a.message_id = excluded.message_id and a.owner_id = excluded.owner_id;
    perform set_config('tgworker.writing', coalesce(v_writing, ''), true);
end $$;

-- MediaStore.wanted_avatars
--
-- answer  [{"chat_id", "photo_id", "owner_id", "tries"}]: photos of contacts and groups that may be fetched now
create or replace function public.tgworker_wanted_avatars(p_account uuid, p_limit integer default 100) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
    v_now timestamptz := public.tgworker_now();
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object('chat_id', k.chat_id, 'photo_id', k.photo_id,
            'owner_id', k.owner_id, 'tries', k.avatar_tries) order by k.avatar_tries, k.chat_id), '[]')
        from (
            select p.chat_id, p.photo_id, p.avatar_tries, a.owner_id
            from public.integration_accounts a
            join public.tgworker_peers p on p.integration_account_id = a.id
            where a.id = p_account and p.integration_account_id = p_account
                and p.photo_id is not null and p.photo_id is distinct from p.avatar_id and p.avatar_tries < 5
                and (p.avatar_not_before is null or p.avatar_not_before <= v_now)
                and exists (select from public.contact_identities i
                    where i.owner_id = a.owner_id and i.type = 'telegram_user' and i.value = p.chat_id::text)
            order by p.avatar_tries, p.chat_id limit p_limit
        ) k);
end $$;

-- MediaStore.finish_avatar
--
-- p_outcome  {"outcome": "fetched", "url": where it can be seen, or null}, which becomes `avatar_url` in the contact's
--            metadata; {"outcome": "failed"}: until there is another photo; or {"outcome": "later", "retry_after_s", "tries"}
--
-- Nothing is written where there is another photo meanwhile. What was fetched is there for all accounts of its owner. Waits
-- for the application for a second at most. Raises 409 `lease_lost`, 410 `account_gone`.
create or replace function public.tgworker_finish_avatar(
    p_account uuid, p_fence bigint, p_chat bigint, p_photo bigint, p_outcome jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '1s'
as $$
declare
    v_outcome text := p_outcome ->> 'outcome';
    v_owner uuid;
begin
    if v_outcome is null or v_outcome not in ('fetched', 'failed', 'later') then
        perform public.tgworker_fail(400, 'bad_request', format('%s is no outcome of a photo', p_outcome -> 'outcome'));
    end if;
    perform public.tgworker_check_fence(p_account, p_fence);
    select o.owner into v_owner from public.tgworker_owner(p_account) o;
    if v_outcome <> 'fetched' then
        update public.tgworker_peers p
        set avatar_tries = case v_outcome when 'failed' then 5 else (p_outcome ->> 'tries')::integer end,
            avatar_not_before = case v_outcome when 'later' then public.tgworker_now()
                + make_interval(secs => (p_outcome ->> 'retry_after_s')::double precision) end
        where p.integration_account_id = p_account and p.chat_id = p_chat and p.photo_id = p_photo
            and p.avatar_id is distinct from p_photo;
        return;
    end if;
    perform 1 from public.tgworker_peers p
    where p.integration_account_id in (select a.id from public.integration_accounts a where a.owner_id = v_owner)
        and p.chat_id = p_chat
    order by p.integration_account_id for update;
    update public.tgworker_peers p set avatar_id = p_photo, avatar_tries = 0, avatar_not_before = null
    where p.integration_account_id in (select a.id from public.integration_accounts a where a.owner_id = v_owner)
        and p.chat_id = p_chat and p.photo_id = p_photo and p.avatar_id is distinct from p_photo;
    if found and p_outcome ->> 'url' is not null then
        update public.contact_identities i
        set metadata = coalesce(nullif(i.metadata, 'null'), '{}')
            || jsonb_build_object('avatar_url', p_outcome -> 'url')
        where i.owner_id = v_owner and i.type = 'telegram_user' and i.value = p_chat::text
            and jsonb_typeof(coalesce(nullif(i.metadata, 'null'), '{}')) = 'object';
    end if;
end $$;

commit;
