-- The last step: rights, what was pending before us, and the version. The worker starts on nothing less.
begin;
set local lock_timeout = '3s';

-- Indexes that calls of ours look things up with, on tables of the application that have none.
create or replace function public.tgworker_missing_indexes(out table_name text, out statement text, out is_small boolean)
returns setof record
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select w.table_name,
        format('create index concurrently if not exists tgworker_%s on public.%I %s', w.name, w.table_name, w.definition),
        pg_relation_size(c.oid) < 16 * 1024 * 1024
    from (values
        ('conversations', 'primary_identity_id', 'conversations_identity', '(primary_identity_id)'),
        ('contact_identities', 'value', 'identities_value', '(owner_id, type, value)'),
        ('messages', 'conversation_id', 'messages_conversation', '(conversation_id, sent_at)'),
        ('attachments', 'message_id', 'attachments_message', '(message_id)'),
        ('sync_history_jobs', 'integration_account_id', 'history_jobs_open',
            '(integration_account_id) where status in (''pending'', ''processing'')'),
        ('message_jobs', 'integration_account_id', 'message_jobs_open',
            '(integration_account_id) where status in (''pending'', ''processing'')')
    ) w (table_name, column_name, name, definition)
    join pg_class c on c.oid = to_regclass('public.' || w.table_name)
    join pg_attribute a on a.attrelid = c.oid and a.attname = w.column_name
    where not exists (
        select from pg_index i where i.indrelid = c.oid and i.indisvalid and a.attnum = any (i.indkey::smallint[]))
$$;

-- On a small table an index is made in milliseconds; on a large one that is for a person to do, concurrently:
-- tgworker_schema lists what is missing.
do $$
declare
    v_index record;
begin
    for v_index in select * from public.tgworker_missing_indexes() where is_small loop
        execute replace(v_index.statement, ' concurrently', '');
    end loop;
    for v_index in select * from public.tgworker_missing_indexes() loop
        raise notice 'recommended, by hand: %', v_index.statement;
    end loop;
end $$;

-- SchemaVersion: what the worker asks first. A key of another role gets no answer at all.
--
-- answer  {"version", "adopted", "now", "advice": [sql]}
create or replace function public.tgworker_schema() returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object('version', 1, 'adopted', public.tgworker_is_adopted(), 'now', public.tgworker_now(),
        'advice', to_jsonb(array(select i.statement from public.tgworker_missing_indexes() i)))
$$;

-- By name, and only what is ours.
do $$
declare
    v_function record;
    v_role text;
begin
    for v_function in
        select p.oid::regprocedure::text as signature, p.prorettype = 'trigger'::regtype as is_trigger from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname like 'tgworker\_%'
    loop
        for v_role in
            select 'public' union all select quote_ident(rolname) from pg_roles
            where rolname in ('anon', 'authenticated', 'service_role')
        loop
            execute format('revoke all on function %s from %s', v_function.signature, v_role);
        end loop;
        if not v_function.is_trigger then
            execute format('grant execute on function %s to service_role', v_function.signature);
        end if;
    end loop;
end $$;

commit;

-- What was pending before the triggers stood, oldest first and before everything that came since. By now they stand,
-- and every statement that ran before them is done: nothing is missed, and nothing is locked meanwhile.
begin;

with pending as (
    select m.id, m.conversation_id, m.external_message_id, m.sent_at, m.raw_payload,
        (select a.id from public.integration_accounts a
            where a.id = m.integration_account_id and a.type in ('telegram_user', 'telegram_bot')) as account,
        row_number() over (order by m.sent_at desc nulls first, m.id desc) as n
    from public.messages m
    where m.direction = 'outbound' and m.channel = 'telegram' and m.external_message_id like 'local-%'
        and m.conversation_id is not null
        and not exists (select from public.tgworker_outbox o where o.message_id = m.id)
), queued as (
    insert into public.tgworker_outbox (seq, message_id, conversation_id, integration_account_id, local_id, state,
        not_before, expires_at, created_at, error)
    select least(coalesce((select min(o.seq) from public.tgworker_outbox o), 0), 0) - p.n, p.id, p.conversation_id,
        p.account, p.external_message_id,
        case when o.is_old then 'held' when t.not_before is null then 'waiting' else 'deferred' end,
        t.not_before, t.expires_at, least(coalesce(p.sent_at, k.now), k.now),
        case when o.is_old then 'it was pending for more than a day when the database was adopted' end
    from pending p
    cross join (select public.tgworker_now() as now) k
    cross join lateral (select coalesce(p.sent_at < k.now - interval '1 day', true) as is_old) o
    cross join lateral (select public.tgworker_time(p.raw_payload #> '{telegram,not_before}') as not_before,
        public.tgworker_time(p.raw_payload #> '{telegram,expires_at}') as expires_at) t
    on conflict (message_id) do nothing
    returning conversation_id, integration_account_id
)
insert into public.tgworker_touched (conversation_id, integration_account_id)
select distinct conversation_id, integration_account_id from queued;

-- And their attachments.
insert into public.tgworker_attachments (attachment_id, message_id)
select a.id, a.message_id
from public.attachments a join public.tgworker_outbox o on o.message_id = a.message_id
where o.settled_at is null
order by a.id
on conflict do nothing;

notify pgrst, 'reload schema';

commit;
