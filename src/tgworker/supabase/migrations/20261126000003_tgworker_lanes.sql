-- How the application's rows get into the queue, and how the queue keeps its order.
--
-- Two sides meet here and never wait for each other. The application's statements (through the triggers below) only
-- add or change rows of the outbox and note in tgworker_touched which conversation to look at. The worker's calls take
-- those notes and move the lanes. A row in a lane's order is therefore always covered: by a lane whose head is at or
-- before it, or by a note.
begin;
set local lock_timeout = '3s';

-- Raises an error that PostgREST answers with an HTTP status: SQLSTATE `PT` and the status, `details` names the case
-- for programs, `message` says it to people.
create or replace function public.tgworker_fail(p_status integer, p_case text, p_message text) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    raise exception using errcode = 'PT' || p_status, message = p_message, detail = p_case;
end $$;

-- Whether this database had an application before us.
-- (In PL/pgSQL, which keeps its plans; functions in SQL are planned with every call.)
create or replace function public.tgworker_is_adopted() returns boolean
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return coalesce((select value = 'true'::jsonb from public.tgworker_meta where key = 'adopted'), false);
end $$;

-- Whether the rows of an account are ours to act upon. On an adopted database only those of accounts that were given
-- to us, all others are the old worker's.
create or replace function public.tgworker_is_ours(p_account uuid) returns boolean
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select case when public.tgworker_is_adopted()
        then exists (select from public.tgworker_accounts
            where integration_account_id = p_account and stage in ('ours', 'releasing'))
        else true end
$$;

-- A time in JSON as the application writes it; null for what is none. Without an offset it is UTC.
create or replace function public.tgworker_time(p_value jsonb) returns timestamptz
language plpgsql stable set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set datestyle = 'ISO'
as $$
begin
    -- (PostgreSQL also knows 'tomorrow' and 'infinity'.)
    if jsonb_typeof(p_value) is distinct from 'string' or p_value #>> '{}' !~ '^\d{4}-\d\d-\d\d' then
        return null;
    end if;
    return (p_value #>> '{}')::timestamptz;
exception when data_exception then
    return null;
end $$;

-- The lane of each of these conversations becomes what the outbox says: its head is the row in flight, whatever its
-- number (an older one may come back while it flies), else the first in order, which is not ready while a trigger's
-- error stands open: something may belong before it. Waits for nobody: a lane that somebody else is changing just now
-- is noted, for the next claim.
create or replace function public.tgworker_relane(p_conversations uuid[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_locked uuid[];
begin
    if coalesce(cardinality(p_conversations), 0) = 0 then
        return;
    end if;
    select coalesce(array_agg(k.conversation_id), '{}') into v_locked
    from (
        select l.conversation_id from public.tgworker_lanes l
        where l.conversation_id = any (p_conversations) order by 1 for update skip locked
    ) k;
    -- A statement of its own: it sees what was committed before the locks were ours.
    with heads as materialized (
        select c.id, coalesce(flying.seq, waiting.seq) as seq
        from (select distinct k.id from unnest(p_conversations) as k (id)) c
        left join lateral (
            select o.seq from public.tgworker_outbox o where o.conversation_id = c.id and o.state = 'sending'
        ) flying on true
        left join lateral (
            select o.seq from public.tgworker_outbox o where o.conversation_id = c.id and o.in_lane
            order by o.seq limit 1
        ) waiting on flying.seq is null
    ), lanes as materialized (
        select h.id, h.seq, o.integration_account_id,
            case when o.state = 'resolving'
                    -- (Asked once for all of them, first: there is hardly ever one.)
                    or (select exists (select from public.tgworker_trigger_errors where repaired_at is null))
                    and exists (select from public.tgworker_trigger_errors e
                        where e.conversation_id = h.id and e.repaired_at is null) then 'infinity'
                else coalesce(o.not_before, case o.state when 'waiting' then o.files_until end, o.created_at) end
                as ready_at,
            case o.state when 'sending' then o.fence end as fence
        from heads h left join public.tgworker_outbox o on o.seq = h.seq
    ), emptied as (
        delete from public.tgworker_lanes l using lanes n
        where l.conversation_id = n.id and n.seq is null and l.conversation_id = any (v_locked)
    ), moved as (
        update public.tgworker_lanes l
        set integration_account_id = n.integration_account_id, head_seq = n.seq, ready_at = n.ready_at,
            fence = n.fence
        from lanes n
        where l.conversation_id = n.id and n.seq is not null and l.conversation_id = any (v_locked)
    ), made as (
        insert into public.tgworker_lanes (conversation_id, integration_account_id, head_seq, ready_at, fence)
        select n.id, n.integration_account_id, n.seq, n.ready_at, n.fence from lanes n
        where n.seq is not null and n.id <> all (v_locked)
        order by n.id
        on conflict (conversation_id) do nothing
        returning conversation_id
    )
    -- Somebody else has it, or made it at the same moment, and may have seen less.
    insert into public.tgworker_touched (conversation_id, integration_account_id)
    select n.id, n.integration_account_id from lanes n
    where n.id <> all (v_locked) and not exists (select from made m where m.conversation_id = n.id)
        and (n.seq is not null or exists (select from public.tgworker_lanes l where l.conversation_id = n.id));
end $$;

-- The outbox becomes what these rows of `messages` say.
--
-- p_ids            in the order in which new ones are to be sent
-- p_asked_again    whether a row that ended is to be sent again (the application wrote a `local-…` into it)
-- p_held_before    new rows that are older than this are not sent by surprise, but `held`
-- p_seqs           the places of new rows, where they were kept
create or replace function public.tgworker_follow(
    p_ids uuid[], p_asked_again boolean default false, p_held_before timestamptz default null,
    p_seqs bigint[] default null) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    -- Withdrawn, deleted, or sent by somebody else.
    with gone as (
        update public.tgworker_outbox o
        set state = 'cancelled', not_before = null, settled_at = public.tgworker_now(),
            error = case when m.id is null then 'deleted by the application' else 'withdrawn by the application' end
        from unnest(p_ids) as k (id) left join public.messages m on m.id = k.id
        where o.message_id = k.id and o.state in ('waiting', 'resolving', 'deferred', 'held')
            and not coalesce(m.direction = 'outbound' and m.channel = 'telegram'
                and m.external_message_id like 'local-%', false)
        returning o.conversation_id, o.integration_account_id
    )
    insert into public.tgworker_touched (conversation_id, integration_account_id) select distinct * from gone;
    -- What a worker has in hand it gives back, if nothing of it has left.
    with asked as (
        update public.tgworker_outbox o set cancel_asked_at = public.tgworker_now()
        from unnest(p_ids) as k (id) left join public.messages m on m.id = k.id
        where o.message_id = k.id and o.state = 'sending' and o.cancel_asked_at is null
            and not coalesce(m.direction = 'outbound' and m.channel = 'telegram'
                and m.external_message_id like 'local-%', false)
        returning o.conversation_id, o.integration_account_id
    )
    insert into public.tgworker_touched (conversation_id, integration_account_id) select distinct * from asked;

    -- Edited while it waits: moved to another conversation or account, or put off.
    with waiting as materialized (
        select o.seq, o.conversation_id as conversation_before, m.conversation_id, m.external_message_id,
            (select a.id from public.integration_accounts a
                where a.id = m.integration_account_id and a.type in ('telegram_user', 'telegram_bot') and a.owner_id = m.owner_id
                    and not exists (select from public.conversations c
                        where c.id = m.conversation_id and c.owner_id is distinct from m.owner_id)) as account,
            case when m.raw_payload -> 'telegram' is not null
                then public.tgworker_time(m.raw_payload #> '{telegram,not_before}') end as not_before,
            case when m.raw_payload -> 'telegram' is not null
                then public.tgworker_time(m.raw_payload #> '{telegram,expires_at}') end as expires_at,
            o.state in ('unsure', 'dead', 'cancelled', 'expired') as ended
        from unnest(p_ids) as k (id)
        join public.tgworker_outbox o on o.message_id = k.id
            and (o.state in ('waiting', 'resolving', 'deferred', 'held')
                or (p_asked_again and o.state in ('unsure', 'dead', 'cancelled', 'expired')))
        join public.messages m on m.id = k.id
        where m.direction = 'outbound' and m.channel = 'telegram' and m.external_message_id like 'local-%'
    ), changed as (
        update public.tgworker_outbox o
        set conversation_id = w.conversation_id,
            -- The queue has found an account for a row that names none.
            integration_account_id = case when w.ended then w.account
                else coalesce(w.account, o.integration_account_id) end,
            local_id = w.external_message_id,
            state = case when w.ended or o.state <> 'held' and o.attempts = 0
                then case when w.not_before is null then 'waiting' else 'deferred' end else o.state end,
            not_before = case when w.ended or o.attempts = 0 then w.not_before else o.not_before end,
            expires_at = w.expires_at,
            error = case when w.ended then null else o.error end,
            -- What Telegram refused once may be asked once more.
            attempts = case when w.ended then 0 else o.attempts end,
            doubt_since = case when w.ended then null else o.doubt_since end,
            cancel_asked_at = case when w.ended then null else o.cancel_asked_at end,
            filed_at = case when w.ended then public.tgworker_now() else o.filed_at end,
            files_until = null,
            late_file = false,
            settled_at = null
        from waiting w
        where o.seq = w.seq
            and (w.ended or o.conversation_id <> w.conversation_id or o.local_id <> w.external_message_id
                or o.expires_at is distinct from w.expires_at
                or (o.attempts = 0 and o.not_before is distinct from w.not_before)
                or (w.account is not null and o.integration_account_id is distinct from w.account))
        returning o.conversation_id, w.conversation_before, o.integration_account_id
    )
    insert into public.tgworker_touched (conversation_id, integration_account_id)
    select distinct c.id, t.integration_account_id
    from changed t cross join lateral (values (t.conversation_id), (t.conversation_before)) c (id);

    -- New.
    with added as (
        insert into public.tgworker_outbox (seq, message_id, conversation_id, integration_account_id, local_id, state,
            not_before, expires_at, created_at)
        select coalesce(k.seq, nextval('public.tgworker_outbox_seq_seq')), m.id, m.conversation_id,
            -- (One that names what is another owner's gets none: the next claim, whoever makes it, says so, and it holds
            -- up nobody's order.)
            (select a.id from public.integration_accounts a
                where a.id = m.integration_account_id and a.type in ('telegram_user', 'telegram_bot') and a.owner_id = m.owner_id
                    and not exists (select from public.conversations c
                        where c.id = m.conversation_id and c.owner_id is distinct from m.owner_id)),
            m.external_message_id,
            case when p_held_before is not null and coalesce(m.sent_at < p_held_before, true) then 'held'
                when t.not_before is null then 'waiting' else 'deferred' end,
            t.not_before, t.expires_at,
            case when p_held_before is null then public.tgworker_now()
                else least(coalesce(m.sent_at, 'infinity'), public.tgworker_now()) end
        from unnest(p_ids, p_seqs) with ordinality as k (id, seq, n)
        join public.messages m on m.id = k.id
        cross join lateral (select
            case when m.raw_payload -> 'telegram' is not null
                then public.tgworker_time(m.raw_payload #> '{telegram,not_before}') end as not_before,
            case when m.raw_payload -> 'telegram' is not null
                then public.tgworker_time(m.raw_payload #> '{telegram,expires_at}') end as expires_at) t
        where m.direction = 'outbound' and m.channel = 'telegram' and m.external_message_id like 'local-%'
            and m.conversation_id is not null
        order by k.n
        on conflict (message_id) do nothing
        returning conversation_id, integration_account_id
    )
    insert into public.tgworker_touched (conversation_id, integration_account_id) select distinct * from added;
end $$;

-- The triggers on `messages`. An error of ours is noted and repaired later, and a lock of ours is waited for a quarter
-- of a second at most: no statement of the application fails or hangs for it.
create or replace function public.tgworker_message_trigger() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '250ms'
as $$
declare
    v_ids uuid[];
    v_conversations uuid[];
    v_error text;
begin
    if current_setting('tgworker.writing', true) = 'on' then
        return null; -- the worker itself, which keeps the outbox right
    end if;
    if tg_op = 'UPDATE' then
        v_ids := array[new.id];
    else
        v_ids := array(select id from changed
            where direction = 'outbound' and channel = 'telegram' and external_message_id like 'local-%');
    end if;
    if cardinality(v_ids) = 0 then
        return null;
    end if;
    begin
        perform public.tgworker_follow(v_ids,
            -- A row of an id that we have had was written anew.
            case tg_op when 'INSERT' then true when 'UPDATE'
                then new.external_message_id is distinct from old.external_message_id else false end);
        if tg_op = 'UPDATE' and new.external_message_id like 'local-%' then
            -- (Its attachments may be older than our triggers.)
            insert into public.tgworker_touched (conversation_id, integration_account_id, message_id, is_unrecorded)
            select o.conversation_id, o.integration_account_id, o.message_id,
                (new.external_message_id, new.direction, new.channel)
                    is distinct from (old.external_message_id, old.direction, old.channel)
            from public.tgworker_outbox o where o.message_id = new.id;
        end if;
        return null;
    exception when others then
        v_error := sqlstate || ' ' || sqlerrm;
    end;
    begin
        if tg_op <> 'UPDATE' then
            v_conversations := array(select c.conversation_id
                from unnest(v_ids) with ordinality as k (id, n) join changed c on c.id = k.id order by k.n);
        elsif new.conversation_id is distinct from old.conversation_id then
            v_ids := v_ids || new.id;
            v_conversations := array[new.conversation_id, old.conversation_id];
        else
            v_conversations := array[new.conversation_id];
        end if;
        insert into public.tgworker_trigger_errors (message_id, conversation_id, seq, trigger_name, error)
        select k.id, k.conversation_id, nextval('public.tgworker_outbox_seq_seq'), tg_name, v_error
        from unnest(v_ids, v_conversations) as k (id, conversation_id);
    exception when others then
        null; -- the sweep compares everything now and then
    end;
    return null;
end $$;

-- Statements, not rows: thousands of rows in one statement cost one subtransaction.
create or replace trigger tgworker_message_inserted after insert on public.messages
referencing new table as changed for each statement execute function public.tgworker_message_trigger();

create or replace trigger tgworker_message_deleted after delete on public.messages
referencing old table as changed for each statement execute function public.tgworker_message_trigger();

-- Rows, not statements: the condition is looked at before anything of ours is called, and an update of a million
-- other rows is not copied for us.
create or replace trigger tgworker_message_updated
after update of external_message_id, direction, channel, conversation_id, integration_account_id, raw_payload
on public.messages for each row
when ((old.external_message_id like 'local-%' or new.external_message_id like 'local-%')
    and (old.direction = 'outbound' or new.direction = 'outbound')
    and (old.channel = 'telegram' or new.channel = 'telegram')
    and (old.external_message_id, old.direction, old.channel, old.conversation_id, old.integration_account_id)
        is distinct from
        (new.external_message_id, new.direction, new.channel, new.conversation_id, new.integration_account_id)
    or old.raw_payload is distinct from new.raw_payload and new.external_message_id like 'local-%'
    and new.direction = 'outbound' and new.channel = 'telegram')
execute function public.tgworker_message_trigger();

-- Makes tgworker_attachments say what the application's table says of these messages.
create or replace function public.tgworker_record_attachments(p_messages uuid[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    if coalesce(cardinality(p_messages), 0) = 0 then
        return;
    end if;
    delete from public.tgworker_attachments t
    where t.message_id = any (p_messages) and not exists (
        select from public.attachments a where a.id = t.attachment_id and a.message_id = t.message_id);
    -- (Those that nobody has seen coming: by their ids.)
    insert into public.tgworker_attachments as t (attachment_id, message_id)
    select a.id, a.message_id from public.attachments a where a.message_id = any (p_messages) order by a.id
    on conflict (attachment_id) do update set message_id = excluded.message_id, n = excluded.n
    where t.message_id <> excluded.message_id;
end $$;

-- The triggers on `attachments`, which keep to the same rules as those on `messages`: they note, and wait for nobody.
create or replace function public.tgworker_attachment_trigger() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '250ms'
as $$
#variable_conflict use_column
declare
    v_messages uuid[];
    v_error text;
begin
    if current_setting('tgworker.writing', true) = 'on' then
        return null; -- what the worker fetched is not to be sent
    end if;
    begin
        if tg_op = 'INSERT' then
            with added as (
                insert into public.tgworker_attachments (attachment_id, message_id)
                select c.id, c.message_id
                from (select k.id, k.message_id, row_number() over () as n from changed k) c
                where c.message_id is not null and not exists (
                    select from public.messages m where m.id = c.message_id and m.direction = 'inbound')
                order by c.n
                on conflict (attachment_id) do update set message_id = excluded.message_id, n = excluded.n
                returning message_id
            )
            select array_agg(distinct a.message_id) into v_messages from added a;
        elsif tg_op = 'DELETE' then
            with gone as (
                delete from public.tgworker_attachments t using changed c where t.attachment_id = c.id
                returning t.message_id
            )
            select array_agg(distinct g.message_id) into v_messages from gone g;
        else
            v_messages := array[old.message_id, new.message_id];
            if (new.id, new.message_id) is distinct from (old.id, old.message_id) then
                delete from public.tgworker_attachments t where t.attachment_id = old.id;
                insert into public.tgworker_attachments (attachment_id, message_id)
                select new.id, new.message_id where new.message_id is not null and not exists (
                    select from public.messages m where m.id = new.message_id and m.direction = 'inbound')
                on conflict (attachment_id) do update set message_id = excluded.message_id, n = excluded.n;
            end if;
        end if;
        insert into public.tgworker_touched (conversation_id, integration_account_id, message_id)
        select o.conversation_id, o.integration_account_id, o.message_id
        from public.tgworker_outbox o
        where o.message_id = any (v_messages) and (o.settled_at is null or o.state = 'sent');
        return null;
    exception when others then
        v_error := sqlstate || ' ' || sqlerrm;
    end;
    begin
        if tg_op <> 'UPDATE' then
            v_messages := array(select distinct c.message_id from changed c where c.message_id is not null);
        end if;
        insert into public.tgworker_trigger_errors (message_id, conversation_id, trigger_name, error)
        select m.id, m.conversation_id, tg_name, v_error
        from public.messages m where m.id = any (v_messages) and m.direction = 'outbound';
    exception when others then
        null; -- the sweep compares everything now and then
    end;
    return null;
end $$;

create or replace trigger tgworker_attachment_linked after insert on public.attachments
referencing new table as changed for each statement execute function public.tgworker_attachment_trigger();

create or replace trigger tgworker_attachment_removed after delete on public.attachments
referencing old table as changed for each statement execute function public.tgworker_attachment_trigger();

create or replace trigger tgworker_attachment_moved after update of id, message_id, owner_id on public.attachments
for each row
when ((old.id, old.message_id, old.owner_id) is distinct from (new.id, new.message_id, new.owner_id))
execute function public.tgworker_attachment_trigger();

-- An account that goes away: noted; its rows end with the next claim, the rest of what is ours with the next sweeps.
create or replace function public.tgworker_account_trigger() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp set lock_timeout = '250ms'
as $$
begin
    begin
        insert into public.tgworker_removed_accounts (integration_account_id)
        select id from changed where type in ('telegram_user', 'telegram_bot')
        on conflict (integration_account_id) do update set outbox_done = false;
    exception when others then
        null; -- the sweep compares everything now and then
    end;
    return null;
end $$;

create or replace trigger tgworker_account_removed after delete on public.integration_accounts
referencing old table as changed for each statement execute function public.tgworker_account_trigger();

commit;
