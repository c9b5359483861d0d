-- The worker itself: leases, heartbeats, one round trip for all of it, and the call that waits for work.
begin;
set local lock_timeout = '3s';

-- Whether an account should be held online by a worker of this kind.
--
-- On an empty database: the owner's switch. On an adopted one: the account was given to us, and is_active, by which
-- the old worker is kept away from it, is still false.
create or replace function public.tgworker_is_wanted(p public.integration_accounts) returns boolean
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select p.type in ('telegram_user', 'telegram_bot') and coalesce((
        select t.stage = 'ours'
            and case when t.owner_switch is null then p.is_active else t.owner_switch and not p.is_active end
        from public.tgworker_accounts t where t.integration_account_id = p.id
    ), not public.tgworker_is_adopted() and p.is_active, false)
$$;

-- Acquires leases.
--
-- p_holder       a random id of whoever restarts the worker: a process that follows another one of the same holder
--                gets the lease at once, with a higher token; others wait until it has run out
-- p_incarnation  grows with every process of one holder. The same one again keeps its token: safe to repeat; a late
--                call of a process that was replaced gets nothing.
-- p_worker       the worker's id, for people
-- p_ttl_s        how long the lease lasts, 5 to 300
-- answer         {"leases": [{"account", "fence"}], "elsewhere": [{"account", "worker", "for_s"}],
--                 "not_ours": [account]}
create or replace function public.tgworker_acquire_leases(
    p_holder uuid, p_incarnation bigint, p_worker text, p_accounts uuid[], p_ttl_s integer default 30) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_wanted uuid[];
    v_got jsonb;
begin
    perform public.tgworker_check_ttl(p_ttl_s);
    v_wanted := array(select a.id from public.integration_accounts a
        where a.id = any (p_accounts) and public.tgworker_is_wanted(a) order by 1);
    insert into public.tgworker_leases (integration_account_id)
    select k.id from unnest(v_wanted) k (id)
    where not exists (select from public.tgworker_leases l where l.integration_account_id = k.id) order by 1
    on conflict do nothing;
    -- Waits for whoever writes with the old token (key share) to be done.
    perform 1 from public.tgworker_leases l where l.integration_account_id = any (v_wanted)
    order by l.integration_account_id for update;
    v_now := public.tgworker_now();
    with got as (
        update public.tgworker_leases l
        set fence = l.fence + case when l.holder = p_holder and l.incarnation = p_incarnation then 0 else 1 end,
            holder = p_holder, incarnation = p_incarnation, worker_id = p_worker,
            expires_at = v_now + make_interval(secs => p_ttl_s)
        where l.integration_account_id = any (v_wanted)
            and (l.holder is null or case when l.holder = p_holder
                then l.incarnation <= p_incarnation else l.expires_at <= v_now end)
        returning l.integration_account_id, l.fence
    )
    select coalesce(jsonb_agg(jsonb_build_object('account', g.integration_account_id, 'fence', g.fence)
        order by g.integration_account_id), '[]') into v_got from got g;
    return jsonb_build_object('leases', v_got,
        'elsewhere', (
            select coalesce(jsonb_agg(jsonb_build_object('account', l.integration_account_id, 'worker', l.worker_id,
                'for_s', extract(epoch from l.expires_at - v_now)) order by l.integration_account_id), '[]')
            from public.tgworker_leases l
            where l.integration_account_id = any (v_wanted)
                and (l.holder is distinct from p_holder or l.incarnation <> p_incarnation)),
        'not_ours', to_jsonb(array(select k.id from unnest(p_accounts) k (id) where k.id <> all (v_wanted))));
end $$;

create or replace function public.tgworker_check_ttl(p_ttl_s integer) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
begin
    if p_ttl_s is null or p_ttl_s not between 5 and 300 then
        perform public.tgworker_fail(400, 'bad_request', 'p_ttl_s is 5 to 300 seconds');
    end if;
end $$;

-- Renews leases.
--
-- p_leases  [{"account", "fence"}]
-- answer    {"leases": [{"account", "fence"}], "lost": [account]}
--
-- lost: the lease has another token or nobody's now, or the account is no more to be ours: stop it, then release it.
-- One that has run out and that nobody took is renewed.
create or replace function public.tgworker_renew_leases(p_holder uuid, p_leases jsonb, p_ttl_s integer default 30)
returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_kept jsonb;
begin
    perform public.tgworker_check_ttl(p_ttl_s);
    perform 1 from public.tgworker_leases l
    where l.integration_account_id in (select i.account from jsonb_to_recordset(p_leases) i (account uuid))
    order by l.integration_account_id for no key update;
    v_now := public.tgworker_now();
    with asked as (
        select distinct i.account, i.fence from jsonb_to_recordset(p_leases) i (account uuid, fence bigint)
    ), kept as (
        update public.tgworker_leases l set expires_at = v_now + make_interval(secs => p_ttl_s)
        from asked i join public.integration_accounts a on a.id = i.account
        left join public.tgworker_accounts t on t.integration_account_id = i.account
        where l.integration_account_id = i.account and l.fence = i.fence and l.holder = p_holder
            -- (The owner's switch stops an account in order, not by its lease. But where the old worker may come
            -- back to it, there is no time for that.)
            and coalesce(t.stage = 'ours' and not (t.owner_switch is not null and a.is_active), true)
        returning l.integration_account_id, l.fence
    )
    select coalesce(jsonb_agg(jsonb_build_object('account', k.integration_account_id, 'fence', k.fence)
        order by k.integration_account_id), '[]') into v_kept from kept k;
    return jsonb_build_object('leases', v_kept, 'lost', coalesce((
        select jsonb_agg(distinct i.account) from jsonb_to_recordset(p_leases) i (account uuid, fence bigint)
        where not v_kept @> jsonb_build_array(jsonb_build_object('account', i.account, 'fence', i.fence))), '[]'));
end $$;

-- Releases leases: whoever asks next gets them at once.
--
-- p_leases  [{"account", "fence"}]
-- answer    {"released": [account]}
create or replace function public.tgworker_release_leases(p_holder uuid, p_leases jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_released uuid[];
begin
    perform 1 from public.tgworker_leases l
    where l.integration_account_id in (select i.account from jsonb_to_recordset(p_leases) i (account uuid))
    order by l.integration_account_id for update;
    with released as (
        update public.tgworker_leases l set holder = null, expires_at = '-infinity'
        from jsonb_to_recordset(p_leases) i (account uuid, fence bigint)
        where l.integration_account_id = i.account and l.fence = i.fence and l.holder = p_holder
        returning l.integration_account_id
    )
    select coalesce(array_agg(r.integration_account_id), '{}') into v_released from released r;
    return jsonb_build_object('released', to_jsonb(v_released));
end $$;

-- HeartbeatWriter.write
--
-- answer  {"written": bool}: false for one that is older than what stands there, by (incarnation, seq)
create or replace function public.tgworker_heartbeat(
    p_worker text, p_incarnation bigint, p_seq bigint, p_status text, p_loops jsonb default '{}') returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    insert into public.worker_heartbeats as h
        (worker_id, status, last_heartbeat_at, loops_status, incarnation, seq)
    values (p_worker, p_status, public.tgworker_now(), p_loops, p_incarnation, p_seq)
    on conflict (worker_id) do update set status = excluded.status, last_heartbeat_at = excluded.last_heartbeat_at,
        loops_status = excluded.loops_status, incarnation = excluded.incarnation, seq = excluded.seq
    where (excluded.incarnation, excluded.seq) > (h.incarnation, h.seq);
    return jsonb_build_object('written', found);
end $$;

-- HeartbeatReader.read, and for all workers
--
-- p_worker  null: all
-- answer    [{"worker_id", "status", "last_heartbeat_at", "age_s", "loops_status", "incarnation", "seq"}]
create or replace function public.tgworker_heartbeats(p_worker text default null) returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('worker_id', h.worker_id, 'status', h.status,
        'last_heartbeat_at', h.last_heartbeat_at,
        'age_s', extract(epoch from public.tgworker_now() - h.last_heartbeat_at),
        'loops_status', h.loops_status, 'incarnation', h.incarnation, 'seq', h.seq) order by h.worker_id), '[]')
    from public.worker_heartbeats h where p_worker is null or h.worker_id = p_worker
$$;

-- OutboxStore.turn, and whatever else a worker has to say, in one round trip; each part may be left out.
--
-- p_heartbeat  {"worker", "incarnation", "seq", "status", "loops"}, see tgworker_heartbeat; null: none
-- p_leases     see tgworker_renew_leases; null: none
-- p_settled    p_items of tgworker_settle; null: none
-- p_slots, p_known, p_text_limit, p_caption_limit, p_attachments_wait_s  see tgworker_claim, which comes last; null: no claim
-- answer       {"now", "heartbeat": {"written"} or null, "leases": {…} or null, "settled": {…} or null,
--               "claim": {…} or null, "error": {"code", "message"} or null}
--
-- A claim that fails takes back nothing of the rest: its error is in the answer. But a deadlock or the statement timeout
-- ends all of it, to be repeated as a whole.
--
-- Nobody waits in a circle: what waits for locks comes first (leases in their order, then lanes in theirs), and a claim,
-- which has them all by then, passes over whatever others hold.
create or replace function public.tgworker_tick(
    p_holder uuid, p_heartbeat jsonb default null, p_leases jsonb default null, p_ttl_s integer default 30,
    p_settled jsonb default null, p_slots jsonb default null, p_known uuid[] default '{}',
    p_text_limit integer default 4096, p_caption_limit integer default 1024,
    p_attachments_wait_s double precision default 3) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_heartbeat jsonb;
    v_leases jsonb;
    v_settled jsonb;
    v_claim jsonb;
    v_error jsonb;
begin
    if jsonb_typeof(p_leases) = 'array' then
        if jsonb_typeof(p_settled) = 'array' then
            perform 1 from public.tgworker_leases l
            where l.integration_account_id in (
                select i.account from jsonb_to_recordset(p_leases) i (account uuid)
                union all
                select o.integration_account_id from jsonb_to_recordset(p_settled) i (message_id uuid)
                join public.tgworker_outbox o on o.message_id = i.message_id)
            order by l.integration_account_id for no key update;
        end if;
        v_leases := public.tgworker_renew_leases(p_holder, p_leases, p_ttl_s);
    end if;
    if jsonb_typeof(p_heartbeat) = 'object' then
        v_heartbeat := public.tgworker_heartbeat(p_heartbeat ->> 'worker', (p_heartbeat ->> 'incarnation')::bigint,
            (p_heartbeat ->> 'seq')::bigint, p_heartbeat ->> 'status', coalesce(p_heartbeat -> 'loops', '{}'));
    end if;
    if jsonb_typeof(p_settled) = 'array' then
        v_settled := public.tgworker_settle(p_settled);
    end if;
    if jsonb_typeof(p_slots) = 'array' then
        begin
            v_claim := public.tgworker_claim(p_holder, p_slots, p_known, p_text_limit, p_caption_limit,
                p_attachments_wait_s);
        exception
            when transaction_rollback then
                raise;
            when others then
                v_error := jsonb_build_object('code', sqlstate, 'message', sqlerrm);
        end;
    end if;
    return jsonb_build_object('now', public.tgworker_now(), 'heartbeat', v_heartbeat, 'leases', v_leases,
        'settled', v_settled, 'claim', v_claim, 'error', v_error);
end $$;

-- Whether there is anything to send for these accounts: something that the application has just written, or that a
-- trigger failed to do, or a lane head that is due.
create or replace function public.tgworker_has_work(p_accounts uuid[]) returns boolean
language plpgsql volatile set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_now timestamptz := public.tgworker_now();
    v_accounts uuid[] := p_accounts;
begin
    if exists (select from public.tgworker_touched t
        where t.integration_account_id is null or t.integration_account_id = any (p_accounts))
    then
        return true;
    end if;
    if cardinality(v_accounts) > 8 then
        v_accounts := array(select k.id from public.tgworker_accounts_with_lanes() k (id) where k.id = any (p_accounts));
    end if;
    return exists (select from public.tgworker_trigger_errors where repaired_at is null)
        or exists (
            select from unnest(v_accounts) a (id)
            cross join lateral (select from public.tgworker_lanes l
                where l.integration_account_id = a.id and l.fence is null and l.ready_at <= v_now limit 1) due)
        or exists (select from public.tgworker_outbox
            where state = 'deferred' and attempts = 0 and not_before <= v_now);
end $$;

-- Whether there is a job for these accounts, or for whatever account, or a login request that nobody has taken. (A
-- message job that was looked at is known to whoever looked.)
create or replace function public.tgworker_has_jobs(p_accounts uuid[]) returns boolean
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return exists (select from public.message_jobs j
            where (j.integration_account_id = any (p_accounts) or j.integration_account_id is null)
                and j.status = 'pending'
                and not exists (select from public.tgworker_job_claims k where k.job_id = j.id))
        or exists (select from public.sync_history_jobs j
            where j.integration_account_id = any (p_accounts) and j.status = 'pending'
                -- (Behind another it waits for that one's end.)
                and not exists (select from public.sync_history_jobs b
                    where b.integration_account_id = j.integration_account_id and b.status = 'processing'))
        or exists (select from public.tgworker_login_requests r where r.ended_at is null and r.ticket is null);
end $$;

-- Waits until there is work for these accounts: the worker's early wake-up, a long poll. Polling stays the truth: an
-- answer that is lost costs nothing but latency.
--
-- p_accounts   those with a free slot; none: nothing to send is waited for
-- p_jobs_of    those that take jobs; null: the same
-- p_timeout_s  no longer than this, and always less than the statement timeout
-- p_step_s     how often it looks, 0.01 to 1
-- answer       {"work": bool, "jobs": bool}: something to send, a job or a login request
create or replace function public.tgworker_wait(
    p_accounts uuid[], p_timeout_s double precision default 5, p_step_s double precision default 0.025,
    p_jobs_of uuid[] default null)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_limit_ms bigint := (select setting::bigint from pg_settings where name = 'statement_timeout');
    -- (What "now" means for rows is not what time means for waiting.)
    v_until timestamptz := clock_timestamp() + make_interval(secs => least(greatest(p_timeout_s, 0), 60,
        case when v_limit_ms > 0 then greatest(v_limit_ms / 1000.0 - 1.5, 0) else 60 end));
    v_step_s double precision := least(greatest(p_step_s, 0.01), 1);
    v_looks bigint := 0;
    v_work boolean;
    v_jobs boolean;
begin
    loop
        v_work := cardinality(p_accounts) > 0 and public.tgworker_has_work(p_accounts);
        v_jobs := v_looks % greatest(1, (0.25 / v_step_s)::bigint) = 0
            and public.tgworker_has_jobs(coalesce(p_jobs_of, p_accounts));
        if v_work or v_jobs then
            return jsonb_build_object('work', v_work, 'jobs', v_jobs);
        end if;
        exit when clock_timestamp() + make_interval(secs => v_step_s) > v_until;
        v_looks := v_looks + 1;
        perform pg_sleep(v_step_s);
    end loop;
    return '{"work": false, "jobs": false}';
end $$;

-- Records what workers say about themselves.
--
-- p_events  [{"id", "account", "kind", "detail"}], id: a uuid, by which a repeat is recognised
-- answer    {"new": count}
create or replace function public.tgworker_record_events(p_worker text, p_events jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_new bigint;
begin
    insert into public.tgworker_events (id, worker_id, integration_account_id, kind, detail)
    select e.id, p_worker, e.account, e.kind, coalesce(e.detail, '{}')
    from jsonb_to_recordset(p_events) e (id uuid, account uuid, kind text, detail jsonb) order by e.id
    on conflict (id) do nothing;
    get diagnostics v_new = row_count;
    return jsonb_build_object('new', v_new);
end $$;

commit;
