-- The application's tables of jobs: `sync_history_jobs` and `message_jobs`.
begin;
set local lock_timeout = '3s';

-- Jobs of accounts whose lease we hold, first those that somebody had who forgot them, or is no more: they become
-- `processing`, and ours.
create or replace function public.tgworker_take_jobs(
    p_table text, p_holder uuid, p_accounts jsonb, p_known uuid[], p_limit integer) returns uuid[]
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_jobs uuid[];
begin
    -- (p_table is one of two names of our own.)
    execute format($query$
        with held as materialized (
            select l.integration_account_id as account, l.fence
            from jsonb_to_recordset($2) s (account uuid, fence bigint)
            join public.tgworker_leases l on l.integration_account_id = s.account and l.fence = s.fence
            where l.holder = $1 and l.expires_at > public.tgworker_now()
        ), picked as materialized (
            select j.id, j.integration_account_id, h.fence, j.status = 'pending' as fresh, j.created_at
            from public.%1$I j
            join held h on h.account = j.integration_account_id
            left join public.tgworker_job_claims c on c.job_id = j.id
            where j.status in ('pending', 'processing')
                and (j.status = 'pending' or c.fence is null or c.fence <> h.fence
                    or j.id not in (select unnest($3)))
            order by j.status = 'pending', j.created_at, j.id limit $4
            for update of j skip locked
        ), claimed as (
            insert into public.tgworker_job_claims as c (job_id, integration_account_id, fence)
            select p.id, p.integration_account_id, p.fence from picked p order by p.id
            on conflict (job_id) do update
            set integration_account_id = excluded.integration_account_id, fence = excluded.fence,
                tries = c.tries + 1
        ), taken as (
            update public.%1$I j set status = 'processing' from picked p where j.id = p.id and p.fresh
        )
        select array_agg(p.id order by p.fresh, p.created_at, p.id) from picked p
        $query$, p_table)
    into v_jobs using p_holder, p_accounts, p_known, p_limit;
    return coalesce(v_jobs, '{}');
end $$;

-- HistoryStore.claim_history
--
-- p_accounts  [{"account", "fence"}]: accounts whose lease p_holder has
-- p_known     ids of jobs that this worker has in hand; others that are claimed are handed over again
-- answer      {"jobs": [{"job_id", "account", "fence", "to", "peer", "is_group", "limit_messages",
--              "messages_synced", "fills_gap", "known_top", "below", "seen", "tries"}]}
--
-- The oldest first. limit_messages is the row's own, 100 where it has none: the worker knows how many it grants.
-- fills_gap: the worker filed it, see tgworker_file_gaps. below, seen: how far it has come, see tgworker_save_history.
-- tries: so often it was claimed again since its last page. A job that names no chat fails on the way.
create or replace function public.tgworker_claim_history(
    p_holder uuid, p_accounts jsonb, p_known uuid[] default '{}', p_limit integer default 1) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_jobs uuid[] := public.tgworker_take_jobs('sync_history_jobs', p_holder, p_accounts, p_known, p_limit);
    v_nowhere uuid[];
    v_answer jsonb;
begin
    if cardinality(v_jobs) = 0 then
        return '{"jobs": []}';
    end if;
    with found as materialized (
        select k.n, j.id, j.integration_account_id as account, c.fence,
            coalesce(nullif(j.telegram_id::text, ''), i.value) as recipient, j.is_group, j.limit_messages,
            j.messages_synced, g.job_id is not null as fills_gap, g.known_top, c.below, c.seen, c.tries
        from unnest(v_jobs) with ordinality k (id, n)
        join public.sync_history_jobs j on j.id = k.id
        join public.tgworker_job_claims c on c.job_id = j.id
        left join public.tgworker_gap_jobs g on g.job_id = k.id
        left join public.conversations v on v.id = j.conversation_id
        left join public.contact_identities i on i.id = v.primary_identity_id and i.type = 'telegram_user'
    )
    select array_agg(f.id) filter (where f.recipient is null),
        coalesce(jsonb_agg(jsonb_build_object('job_id', f.id, 'account', f.account, 'fence', f.fence,
            'to', f.recipient,
            'peer', public.tgworker_peer(f.account, public.tgworker_chat_of(f.account, f.recipient)),
            'is_group', coalesce(f.is_group, false),
            'limit_messages', greatest(0, coalesce(f.limit_messages, 100)),
            'messages_synced', coalesce(f.messages_synced, 0), 'fills_gap', f.fills_gap,
            'known_top', f.known_top, 'below', f.below, 'seen', f.seen, 'tries', f.tries) order by f.n)
            filter (where f.recipient is not null), '[]')
    into v_nowhere, v_answer from found f;
    if v_nowhere is not null then
        update public.sync_history_jobs
        set status = 'failed', error_message = 'the job names no chat', processed_at = public.tgworker_now()
        where id = any (v_nowhere);
        delete from public.tgworker_job_claims where job_id = any (v_nowhere);
    end if;
    return jsonb_build_object('jobs', v_answer);
end $$;

-- JobStore.claim_jobs
--
-- As tgworker_claim_history.
-- answer  {"jobs": [{"job_id", "account", "fence", "action", "payload", "to", "peer", "telegram_ids"}]}
--         to and peer are null for a job that names neither a message nor a conversation
create or replace function public.tgworker_claim_jobs(
    p_holder uuid, p_accounts jsonb, p_known uuid[] default '{}', p_limit integer default 20) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_jobs uuid[] := public.tgworker_take_jobs('message_jobs', p_holder, p_accounts, p_known, p_limit);
begin
    return jsonb_build_object('jobs', coalesce((
        select jsonb_agg(jsonb_build_object('job_id', j.id, 'account', j.integration_account_id, 'fence', c.fence,
            'action', j.action, 'payload', case when jsonb_typeof(j.payload) = 'object' then j.payload else '{}' end,
            'to', i.value,
            'peer', public.tgworker_peer(j.integration_account_id,
                public.tgworker_chat_of(j.integration_account_id, i.value)),
            'telegram_ids', coalesce((select jsonb_agg(t.telegram_id order by t.telegram_id)
                from public.tgworker_message_keys t
                where t.message_id = j.message_id and t.scope = j.integration_account_id), case
                -- The old worker's messages have no keys until Telegram tells of them again.
                when m.external_message_id ~ '^[0-9]{1,18}$'
                then jsonb_build_array(m.external_message_id::bigint) else '[]' end)
            ) order by k.n)
        from unnest(v_jobs) with ordinality k (id, n)
        join public.message_jobs j on j.id = k.id
        join public.tgworker_job_claims c on c.job_id = j.id
        left join public.messages m on m.id = j.message_id
        left join public.conversations v on v.id = coalesce(m.conversation_id, case
            when j.payload ->> 'conversation_id' ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
            then (j.payload ->> 'conversation_id')::uuid end)
        left join public.contact_identities i on i.id = v.primary_identity_id and i.type = 'telegram_user'
    ), '[]'));
end $$;

-- HistoryStore.save_history
--
-- p_messages, p_peers  as in tgworker_ingest
-- p_fence              of the account's lease, as the job was claimed
-- p_below, p_seen      how far the job has come: the lowest id that was read, and how many messages; handed over with
--                      it if somebody else goes on
-- p_total              how many messages the chat has, as Telegram says; for who watches
-- answer               {"new": count, "messages": [{"message_id", "chat_id", "telegram_id"}]}, the new ones
--
-- No position moves; the new ones are added to messages_synced. Nothing is unread but what fills a gap: messages above
-- its known_top. Raises 409 `lease_lost`, 410
-- `account_gone`.
create or replace function public.tgworker_save_history(
    p_account uuid, p_fence bigint, p_job uuid, p_messages jsonb, p_peers jsonb default '[]',
    p_below bigint default 0, p_seen integer default 0, p_total bigint default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
set plan_cache_mode = force_generic_plan set jit = off -- as in tgworker_claim
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_owned record;
    v_top bigint := (select g.known_top from public.tgworker_gap_jobs g where g.job_id = p_job);
    v_missed jsonb := '[]';
    v_new jsonb;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    v_owned := public.tgworker_owner(p_account);
    perform public.tgworker_keep_peers(p_account, v_owned.owner, p_peers);
    if v_top is not null then
        select coalesce(jsonb_agg(m.message order by m.n) filter (where m.telegram_id > v_top), '[]'),
            coalesce(jsonb_agg(m.message order by m.n) filter (where m.telegram_id <= v_top), '[]')
        into v_missed, p_messages
        from (
            select e.message, e.n, (e.message ->> 'telegram_id')::bigint as telegram_id
            from jsonb_array_elements(p_messages) with ordinality e (message, n)
        ) m;
    end if;
    v_new := public.tgworker_store_messages(
        p_account, v_owned.owner, v_owned.workspace, p_messages, '[]', false);
    if v_missed <> '[]' then
        v_new := v_new || public.tgworker_store_messages(
            p_account, v_owned.owner, v_owned.workspace, v_missed, '[]', true);
    end if;
    update public.tgworker_job_claims
    set below = p_below, seen = p_seen, total = coalesce(p_total, total), tries = 0 where job_id = p_job;
    if v_new <> '[]' then
        update public.sync_history_jobs
        set messages_synced = coalesce(messages_synced, 0) + jsonb_array_length(v_new) where id = p_job;
    end if;
    return jsonb_build_object('new', jsonb_array_length(v_new), 'messages', v_new);
end $$;

-- HistoryStore.finish_history and JobStore.finish_job, in bulk
--
-- p_items  [{"job_id", "fence", "error"}]: completed, or with an error failed
-- answer   {"finished": [job_id], "stale": [job_id]}
--
-- stale: ended already, or claimed by another since then. Nothing was written for them.
create or replace function public.tgworker_finish_jobs(p_items jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_asked uuid[] := array(select (i ->> 'job_id')::uuid from jsonb_array_elements(p_items) i);
    v_finished uuid[];
begin
    perform 1 from public.tgworker_leases l
    where l.integration_account_id in (
        select c.integration_account_id from public.tgworker_job_claims c where c.job_id = any (v_asked))
    order by l.integration_account_id for key share;
    with ours as materialized (
        delete from public.tgworker_job_claims c
        using jsonb_to_recordset(p_items) i (job_id uuid, fence bigint, error text), public.tgworker_leases l
        where c.job_id = i.job_id and c.fence = i.fence and l.integration_account_id = c.integration_account_id
            and l.fence = c.fence
        returning c.job_id, i.error
    ), histories as (
        update public.sync_history_jobs j
        set status = case when o.error is null then 'completed' else 'failed' end, error_message = o.error,
            processed_at = v_now
        from ours o where j.id = o.job_id and j.status = 'processing'
    ), jobs as (
        update public.message_jobs j
        set status = case when o.error is null then 'completed' else 'failed' end, error_message = o.error,
            processed_at = v_now
        from ours o where j.id = o.job_id and j.status = 'processing'
    ), gaps as (
        delete from public.tgworker_gap_jobs g using ours o where g.job_id = o.job_id
    )
    select coalesce(array_agg(o.job_id), '{}') into v_finished from ours o;
    return jsonb_build_object('finished', to_jsonb(v_finished), 'stale', to_jsonb(array(
        select k.id from unnest(v_asked) k (id) where k.id <> all (v_finished))));
end $$;

-- PendingStore
--
-- answer  {"history": count, "jobs": count, "unsure": count}: jobs that are pending or being processed, and messages that
--         are left to a person
create or replace function public.tgworker_count_pending() returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object(
        'history', (select count(*) from public.sync_history_jobs where status in ('pending', 'processing')),
        'jobs', (select count(*) from public.message_jobs where status in ('pending', 'processing')),
        'unsure', (select count(*) from public.tgworker_outbox where state = 'unsure'))
$$;

commit;
