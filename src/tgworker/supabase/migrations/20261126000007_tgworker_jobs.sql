-- The application's tables of jobs: `sync_history_jobs` and `message_jobs`.
begin;
set local lock_timeout = '3s';

-- Whether a history job is for a whole account: its telegram_id is 'all', or 0 where that column is a number.
create or replace function public.tgworker_is_whole_account(p_to text) returns boolean
language sql immutable set search_path = pg_catalog, public, pg_temp
as $$ select coalesce(p_to in ('all', '0'), false) $$;

-- History jobs of accounts whose lease we hold, first those that somebody had who forgot them, or is no more: they
-- become `processing`, and ours. Behind what people asked for come the chats of whole accounts. Each account gets one,
-- then each a second.
create or replace function public.tgworker_take_histories(
    p_holder uuid, p_accounts jsonb, p_known uuid[], p_limit integer) returns uuid[]
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_jobs uuid[];
begin
    with held as materialized (
        select l.integration_account_id as account, l.fence
        from jsonb_to_recordset(p_accounts) s (account uuid, fence bigint)
        join public.tgworker_leases l on l.integration_account_id = s.account and l.fence = s.fence
        where l.holder = p_holder and l.expires_at > v_now
    ), open as materialized (
        select j.id, h.fence, row_number() over (partition by j.integration_account_id
            order by j.status = 'pending', t.job_id is not null, j.created_at, t.n, j.id) as nth,
            t.job_id is not null as filed, t.n
        from public.sync_history_jobs j
        join held h on h.account = j.integration_account_id
        left join public.tgworker_job_claims c on c.job_id = j.id
        left join public.tgworker_account_chats t on t.job_id = j.id
        left join public.tgworker_account_histories w on w.job_id = j.id
        where j.status in ('pending', 'processing')
            and (j.status = 'pending' or c.fence is null or c.fence <> h.fence
                or j.id not in (select unnest(p_known)))
            -- A whole account waits for its time, for its chats, and for another such job that has begun.
            and (w.not_before is null or w.not_before <= v_now)
            and not (coalesce(w.is_listed, false) and exists (
                select from public.tgworker_account_chats u
                join public.sync_history_jobs s on s.id = u.job_id
                where u.whole_id = j.id and s.status in ('pending', 'processing')))
            and not (public.tgworker_is_whole_account(j.telegram_id::text) and w.job_id is null and exists (
                select from public.tgworker_account_histories o
                join public.sync_history_jobs s on s.id = o.job_id
                where o.integration_account_id = j.integration_account_id
                    and s.status in ('pending', 'processing')))
    ), picked as materialized (
        select j.id, j.integration_account_id, j.telegram_id::text as recipient, o.fence,
            j.status = 'pending' as fresh, j.created_at, o.nth, o.filed, o.n
        from open o join public.sync_history_jobs j on j.id = o.id
        where j.status in ('pending', 'processing')
        order by o.nth, j.status = 'pending', o.filed, j.created_at, o.n, j.id limit p_limit
        for update of j skip locked
    ), claimed as (
        insert into public.tgworker_job_claims as c (job_id, integration_account_id, fence)
        select p.id, p.integration_account_id, p.fence from picked p order by p.id
        on conflict (job_id) do update
        set integration_account_id = excluded.integration_account_id, fence = excluded.fence, tries = c.tries + 1
    ), begun as (
        insert into public.tgworker_account_histories (job_id, integration_account_id)
        select p.id, p.integration_account_id from picked p where public.tgworker_is_whole_account(p.recipient)
        on conflict (job_id) do nothing
    ), taken as (
        update public.sync_history_jobs j set status = 'processing' from picked p where j.id = p.id and p.fresh
    )
    select array_agg(p.id order by p.nth, p.fresh, p.filed, p.created_at, p.n, p.id) into v_jobs from picked p;
    return coalesce(v_jobs, '{}');
end $$;

-- What is left of jobs for whole accounts that the application has ended, or removed: their takeout sessions, as
-- tgworker_claim_history answers with them.
create or replace function public.tgworker_abandoned_takeouts(p_holder uuid, p_accounts jsonb, p_known uuid[])
    returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('job_id', h.job_id, 'account', h.integration_account_id,
        'fence', l.fence, 'to', 'all', 'peer', null, 'part_of', null, 'takeout', h.takeout,
        'whole', '{"cursor": null, "is_listed": true, "failed": 0, "is_ended": true}'::jsonb, 'is_group', false,
        'limit_messages', 0, 'messages_synced', 0, 'fills_gap', false, 'known_top', null, 'below', 0, 'seen', 0,
        'tries', 0)), '[]')
    from public.tgworker_account_histories h
    join jsonb_to_recordset(p_accounts) s (account uuid, fence bigint) on s.account = h.integration_account_id
    join public.tgworker_leases l on l.integration_account_id = s.account and l.fence = s.fence
    where l.holder = p_holder and l.expires_at > public.tgworker_now() and h.takeout is not null
        and h.job_id <> all (p_known) and not exists (
            select from public.sync_history_jobs j where j.id = h.job_id and j.status in ('pending', 'processing'))
$$;

-- HistoryStore.claim_history
--
-- p_accounts  [{"account", "fence"}]: accounts whose lease p_holder has
-- p_known     ids of jobs that this worker has in hand; others that are claimed are handed over again
-- answer      {"jobs": [{"job_id", "account", "fence", "to", "peer", "is_group", "limit_messages",
--              "messages_synced", "fills_gap", "known_top", "below", "seen", "tries", "whole", "part_of", "takeout"}]}
--              whole: of a job for a whole account {"cursor", "is_listed", "failed", "is_ended"}, else null; part_of: the one that
--              has filed it; takeout: as tgworker_keep_takeout has it
--
-- The oldest first. limit_messages is the row's own, 100 where it has none: the worker knows how many it grants.
-- fills_gap: the worker filed it, see tgworker_file_gaps. below, seen: how far it has come, see tgworker_save_history.
-- tries: so often it was claimed again since its last page. A job that names no chat, or
-- what is another owner's, or no account or one that does not exist, fails on the way.
create or replace function public.tgworker_claim_history(
    p_holder uuid, p_accounts jsonb, p_known uuid[] default '{}', p_limit integer default 1) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_jobs uuid[];
    v_failed jsonb;
    v_answer jsonb;
begin
    -- Nobody will ever read these. (A reference takes away what names an account that was removed, where there is one. On
    -- an adopted database the old worker may know better whose a job without an account is.)
    update public.sync_history_jobs j
    set status = 'failed', processed_at = public.tgworker_now(), error_message = case
        when j.integration_account_id is null then 'the job names no account' else 'its account does not exist' end
    where j.id in (
        select k.id from public.sync_history_jobs k
        where k.status in ('pending', 'processing')
            and not exists (select from public.integration_accounts a where a.id = k.integration_account_id)
            and (k.integration_account_id is not null or not public.tgworker_is_adopted())
        for update skip locked);
    v_jobs := public.tgworker_take_histories(p_holder, p_accounts, p_known, p_limit);
    if cardinality(v_jobs) = 0 then
        return jsonb_build_object('jobs', public.tgworker_abandoned_takeouts(p_holder, p_accounts, p_known));
    end if;
    with found as materialized (
        select k.n, j.id, case
            when a.owner_id is distinct from j.owner_id then 'its account belongs to another owner'
            when v.id is not null and v.owner_id is distinct from j.owner_id
            then 'its conversation belongs to another owner'
            when t.job_id is not null and not exists (select from public.sync_history_jobs s
                where s.id = t.whole_id and s.status in ('pending', 'processing'))
            then 'the job for the whole account was ended'
            when coalesce(nullif(j.telegram_id::text, ''), i.value) is null then 'the job names no chat' end as refusal,
             j.integration_account_id as account, c.fence,
            case when h.job_id is null then coalesce(nullif(j.telegram_id::text, ''), i.value) else 'all' end
            as recipient, j.is_group, j.limit_messages,
            j.messages_synced, g.job_id is not null as fills_gap, g.known_top, c.below, c.seen, c.tries,
            t.whole_id, coalesce(h.takeout, w.takeout) as takeout,
            case when h.job_id is not null then jsonb_build_object('cursor', h.cursor, 'is_listed', h.is_listed,
                'failed', (select count(*) from public.tgworker_account_chats u
                    join public.sync_history_jobs s on s.id = u.job_id
                    where u.whole_id = h.job_id and s.status = 'failed')) end as whole
        from unnest(v_jobs) with ordinality k (id, n)
        join public.sync_history_jobs j on j.id = k.id
        join public.tgworker_job_claims c on c.job_id = j.id
        left join public.integration_accounts a on a.id = j.integration_account_id
        left join public.tgworker_gap_jobs g on g.job_id = k.id
        left join public.tgworker_account_histories h on h.job_id = k.id
        left join public.tgworker_account_chats t on t.job_id = k.id
        left join public.tgworker_account_histories w on w.job_id = t.whole_id
        left join public.conversations v on v.id = j.conversation_id
        left join public.contact_identities i on i.id = v.primary_identity_id and i.type = 'telegram_user'
    )
    select jsonb_object_agg(f.id, f.refusal) filter (where f.refusal is not null),
        coalesce(jsonb_agg(jsonb_build_object('job_id', f.id, 'account', f.account, 'fence', f.fence,
            'to', f.recipient,
            'peer', case when f.whole is null
                then public.tgworker_peer(f.account, public.tgworker_chat_of(f.account, f.recipient)) end,
            'whole', f.whole, 'part_of', f.whole_id, 'takeout', f.takeout,
            'is_group', coalesce(f.is_group, false),
            'limit_messages', greatest(0, coalesce(f.limit_messages, 100)),
            'messages_synced', coalesce(f.messages_synced, 0), 'fills_gap', f.fills_gap,
            'known_top', f.known_top, 'below', f.below, 'seen', f.seen, 'tries', f.tries) order by f.n)
            filter (where f.refusal is null), '[]')
    into v_failed, v_answer from found f;
    if v_failed is not null then
        update public.sync_history_jobs j
        set status = 'failed', error_message = e.value, processed_at = public.tgworker_now()
        from jsonb_each_text(v_failed) e where j.id = e.key::uuid;
        delete from public.tgworker_job_claims c using jsonb_each_text(v_failed) e where c.job_id = e.key::uuid;
    end if;
    return jsonb_build_object('jobs',
        v_answer || public.tgworker_abandoned_takeouts(p_holder, p_accounts, p_known));
end $$;

-- JobStore: every job of these accounts, and of none, that has not ended, and what it hangs on.
--
-- account    the job's, else its message's, else its conversation's last, else its owner's only active one
-- never      why nobody will ever do it; no account needs to be online for that
-- waits      its message is not sent yet, or its id is not known yet
-- lane       what it keeps its order in: its conversation. Typing has one of its own: nothing depends on it
--
-- Those of another channel's accounts, and on an adopted database those of the old worker's, are not among them. It reads
-- every job that is open: they are few, or the application does not look at what becomes of them.
create or replace function public.tgworker_open_jobs(p_accounts uuid[], p_now timestamptz)
returns table (id uuid, seq bigint, action text, message_id uuid, conversation_id uuid, account uuid, fence bigint,
    not_before timestamptz, pending boolean, never text, waits boolean, cancellable boolean, lane text)
language sql volatile set search_path = pg_catalog, public, pg_temp
as $$
    select j.id, k.seq, coalesce(j.action::text, ''), j.message_id, c.id, w.account, k.fence, k.not_before, j.status = 'pending',
        case
            when w.account is null then 'no account: its message and chat had none, and its owner has not just one'
            when a.id is null then 'its account does not exist'
            when a.owner_id is distinct from j.owner_id then 'its account belongs to another owner'
            when j.message_id is not null and m.id is null then 'its message does not exist'
            when m.owner_id is distinct from j.owner_id and m.id is not null then 'its message belongs to another owner'
            when m.channel::text <> 'telegram' then 'its message is not on Telegram'
            when m.id is null and c.id is null and s.chat is not null then 'its conversation does not exist'
            when m.id is null and c.id is null then 'it names no message and no conversation'
            when c.id is not null and c.owner_id is distinct from j.owner_id
            then 'its conversation belongs to another owner'
            when j.action = 'typing' and j.created_at < p_now - interval '10 s'
            then 'it came too late: typing is worth nothing after 10 s'
            when k.attempts >= 10
            then format('given up: the worker ended %s times while it had it in hand', k.attempts)
            when exists (select from public.tgworker_accounts t
                where t.integration_account_id = w.account and j.created_at < t.adopted_at - interval '1 day')
            then 'given up: it had waited for more than a day when its account was adopted'
            -- Somebody else, the old worker perhaps, has left it like this. Nobody counts on it any more.
            when j.status = 'processing' and k.attempts = 0 and j.created_at < p_now - interval '1 day'
            then 'given up: somebody has left it in processing for more than a day'
        end,
        coalesce(j.action in ('edit', 'delete', 'react', 'pin', 'unpin', 'forward'), false)
            and coalesce(o.state in ('waiting', 'resolving', 'deferred', 'held', 'sending')
                -- So long after it was sent an id may still become known.
                or o.state = 'sent' and o.settled_at > p_now - interval '15 min' and coalesce(o.parts, 1) > (
                    select count(*) from public.tgworker_outbox_parts p
                    where p.message_id = o.message_id and p.telegram_id is not null), false),
        j.action = 'delete' and o.cancel_asked_at is null
            and coalesce(o.state in ('waiting', 'resolving', 'deferred', 'held', 'sending'), false),
        c.id::text || case when j.action = 'typing' then ' typing' else '' end
    from public.message_jobs j
    join public.tgworker_job_claims k on k.job_id = j.id
    left join public.messages m on m.id = j.message_id
    left join public.tgworker_outbox o on o.message_id = j.message_id
    cross join lateral (select case when jsonb_typeof(j.payload) = 'object'
        then j.payload ->> 'conversation_id' end as chat) s
    left join public.conversations c on c.id = coalesce(m.conversation_id, case
        when s.chat ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then s.chat::uuid end)
    cross join lateral (select coalesce(j.integration_account_id, m.integration_account_id, o.integration_account_id,
        (select l.integration_account_id from public.messages l
            join public.integration_accounts b on b.id = l.integration_account_id and b.type in ('telegram_user', 'telegram_bot')
            where l.conversation_id = c.id order by l.sent_at desc nulls last limit 1),
        (select (array_agg(b.id))[1] from public.integration_accounts b
            where b.owner_id = j.owner_id and b.type = 'telegram_user' and (b.is_active or exists (
                select from public.tgworker_accounts t where t.integration_account_id = b.id and t.owner_switch))
            having count(*) = 1)) as account) w
    left join public.integration_accounts a on a.id = w.account
    where j.status in ('pending', 'processing')
        and (j.integration_account_id = any (p_accounts) or j.integration_account_id is null)
        and (a.id is null or a.type in ('telegram_user', 'telegram_bot'))
        and (m.id is null or m.channel::text = 'telegram' or j.integration_account_id is not null)
        and (not public.tgworker_is_adopted() or coalesce(public.tgworker_is_ours(w.account), false))
$$;

-- Ends jobs.
create or replace function public.tgworker_end_jobs(p_ids uuid[], p_errors text[], p_now timestamptz) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    if coalesce(cardinality(p_ids), 0) = 0 then
        return;
    end if;
    update public.message_jobs j
    set status = case when e.error is null then 'completed' else 'failed' end, error_message = e.error,
        processed_at = p_now
    from unnest(p_ids, p_errors) e (id, error)
    where j.id = e.id and j.status in ('pending', 'processing');
    delete from public.tgworker_job_claims where job_id = any (p_ids);
end $$;

-- JobStore.claim_jobs
--
-- p_accounts  [{"account", "fence"}]: accounts whose lease p_holder has, and that take more jobs
-- p_known     ids of jobs that this worker has in hand; others that are claimed are handed over again
-- answer      {"jobs": [{"job_id", "account", "fence", "attempt", "action", "payload", "to", "peer", "telegram_ids",
--              "message", "target"}], "waiting": count}
--              payload: null for one that is no object, or larger than 256 KiB; to and peer: null where its chat is none
--              of Telegram's; message: null, or {"type", "state", "error", "parts", "files"}; target: with whom the
--              conversation is that the payload names beside a message; waiting: how many others are pending
--
-- One of each conversation at a time, in the order in which they were seen first: that of created_at, and of their
-- insertion. A delete of a message of which nothing has left cancels it, and ends; what nobody can do fails.
create or replace function public.tgworker_claim_jobs(
    p_holder uuid, p_accounts jsonb, p_known uuid[] default '{}', p_limit integer default 20) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_held uuid[];
    v_fences bigint[];
    v_own uuid[];
    v_ids uuid[];
    v_errors text[];
    v_messages uuid[];
    v_jobs uuid[];
begin
    select coalesce(array_agg(l.integration_account_id), '{}'), coalesce(array_agg(l.fence), '{}') into v_held, v_fences
    from jsonb_to_recordset(p_accounts) s (account uuid, fence bigint)
    join public.tgworker_leases l on l.integration_account_id = s.account and l.fence = s.fence
    where l.holder = p_holder and l.expires_at > v_now;
    -- Those of accounts that nobody holds, too: what is to be refused or taken back needs no line.
    v_own := array(select a.id from public.integration_accounts a
        where a.type in ('telegram_user', 'telegram_bot') and not exists (
            select from public.tgworker_leases l where l.integration_account_id = a.id
                and l.expires_at > v_now and l.holder <> p_holder));
    -- Seen: from now on they have their place in the order, and wake nobody who waits for work.
    insert into public.tgworker_job_claims (job_id, integration_account_id)
    select j.id, j.integration_account_id from public.message_jobs j
    where j.status in ('pending', 'processing')
        and (j.integration_account_id = any (v_own) or j.integration_account_id is null)
        and not exists (select from public.tgworker_job_claims k where k.job_id = j.id)
    order by j.created_at, j.ctid
    on conflict (job_id) do nothing;
    if not exists (select from public.message_jobs j where j.status in ('pending', 'processing')
        and (j.integration_account_id = any (v_own) or j.integration_account_id is null))
    then
        return '{"jobs": [], "waiting": 0}';
    end if;

    select array_agg(o.message_id order by o.seq) into v_messages
    from public.tgworker_open_jobs(v_own, v_now) o where o.cancellable and o.never is null;
    if v_messages is not null then
        perform public.tgworker_cancel(v_messages, 'cancelled');
    end if;
    select array_agg(o.id), array_agg(o.never) into v_ids, v_errors
    from public.tgworker_open_jobs(v_own, v_now) o
    where (o.never is not null and not exists (
            -- (What this very worker has in hand it brings to its end.)
            select from public.tgworker_leases l
            where l.integration_account_id = o.account and l.fence = o.fence and l.expires_at > v_now))
        or (o.action = 'delete' and o.message_id = any (v_messages) and exists (
            select from public.tgworker_outbox b where b.message_id = o.message_id and b.state = 'cancelled'));
    perform public.tgworker_end_jobs(v_ids, v_errors, v_now);

    with heads as materialized (
        select distinct on (o.lane) o.id, o.seq, o.account, o.fence, o.not_before, o.pending
        from public.tgworker_open_jobs(v_own, v_now) o
        where not o.waits
        order by o.lane, o.seq
    ), picked as materialized (
        select h.id, h.seq, h.pending, h.account, f.fence
        from heads h
        join unnest(v_held, v_fences) f (account, fence) on f.account = h.account
        join public.message_jobs j on j.id = h.id
        where (h.not_before is null or h.not_before <= v_now)
            and (h.fence is distinct from f.fence or h.id <> all (p_known))
        order by h.pending, h.seq limit p_limit
        for update of j skip locked
    ), claimed as (
        update public.tgworker_job_claims k
        -- (The same claim again, because its answer was lost or its holder forgot it, is no new attempt.)
        set attempts = k.attempts + case when k.fence is distinct from p.fence then 1 else 0 end,
            fence = p.fence, integration_account_id = p.account, not_before = null
        from picked p where k.job_id = p.id
    ), taken as (
        update public.message_jobs j set status = 'processing' from picked p where j.id = p.id and p.pending
    )
    select array_agg(p.id order by p.pending, p.seq) into v_jobs from picked p;

    return jsonb_build_object('jobs', coalesce((
        select jsonb_agg(jsonb_build_object('job_id', j.id, 'account', k.integration_account_id, 'fence', k.fence,
            'attempt', k.attempts, 'action', coalesce(j.action::text, ''),
            'payload', case when j.payload is null then '{}'::jsonb
                when jsonb_typeof(j.payload) = 'object' and length(j.payload::text) <= 262144 then j.payload end,
            'to', w.recipient,
            'peer', public.tgworker_peer(k.integration_account_id,
                public.tgworker_chat_of(k.integration_account_id, w.recipient)),
            'telegram_ids', coalesce(
                (select jsonb_agg(p.telegram_id order by p.part) from public.tgworker_outbox_parts p
                    where p.message_id = j.message_id and p.telegram_id is not null),
                (select jsonb_agg(t.telegram_id order by t.telegram_id) from public.tgworker_message_keys t
                    where t.message_id = j.message_id and t.scope = k.integration_account_id),
                -- What the old worker sent has no keys until Telegram tells of it again.
                case when m.external_message_id ~ '^[0-9]{1,18}$'
                then jsonb_build_array(m.external_message_id::bigint) else '[]' end),
            'message', case when m.id is not null then jsonb_build_object('type', coalesce(m.message_type::text, 'text'),
                'state', o.state, 'error', o.error, 'parts', coalesce(o.parts, 1),
                'files', case when o.state is null then case when m.message_type::text = 'text' then 0 else 1 end
                    when jsonb_typeof(o.files) = 'array' then jsonb_array_length(o.files) else 0 end) end,
            'target', (select x.value from public.conversations d
                join public.contact_identities x on x.id = d.primary_identity_id and x.type = 'telegram_user'
                where m.id is not null and d.owner_id = j.owner_id and d.id = s.chat)
            ) order by q.n)
        from unnest(v_jobs) with ordinality q (id, n)
        join public.message_jobs j on j.id = q.id
        join public.tgworker_job_claims k on k.job_id = j.id
        left join public.messages m on m.id = j.message_id
        left join public.tgworker_outbox o on o.message_id = j.message_id
        cross join lateral (select case when jsonb_typeof(j.payload) = 'object' and j.payload ->> 'conversation_id'
            ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
            then (j.payload ->> 'conversation_id')::uuid end as chat) s
        left join public.conversations v on v.id = coalesce(m.conversation_id, s.chat)
        left join public.contact_identities i on i.id = v.primary_identity_id and i.type = 'telegram_user'
        -- Where the message stands, if that is known: a conversation may have moved since.
        cross join lateral (select coalesce((
            select t.chat_id from public.tgworker_message_keys t
            where t.message_id = j.message_id and t.scope = k.integration_account_id limit 1),
            o.chat_id)::text as chat) z
        cross join lateral (select coalesce(z.chat, i.value::text) as recipient) w
    ), '[]'), 'waiting', (select count(*) from public.message_jobs j where j.status = 'pending'
        and (j.integration_account_id = any (v_held) or j.integration_account_id is null)));
end $$;

-- JobStore.settle_jobs
--
-- p_items  [{"job_id", "fence", "ended", "error", "retry_after_s", "was_tried"}]: completed, or with an error failed; if
--          it has not ended it is pending again, and not claimed before so many seconds
-- answer   {"settled": [job_id], "stale": [job_id]}
--
-- stale: ended already, or claimed by another since then. Nothing was written for them.
create or replace function public.tgworker_settle_jobs(p_items jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_ours uuid[];
    v_ended uuid[];
    v_errors text[];
begin
    perform 1 from public.tgworker_leases l
    where l.integration_account_id in (
        select k.integration_account_id from public.tgworker_job_claims k
        join jsonb_to_recordset(p_items) i (job_id uuid) on i.job_id = k.job_id)
    order by l.integration_account_id for key share;
    select coalesce(array_agg(k.job_id), '{}'), array_agg(k.job_id) filter (where i.ended),
        array_agg(i.error) filter (where i.ended)
    into v_ours, v_ended, v_errors
    from jsonb_to_recordset(p_items) i (job_id uuid, fence bigint, ended boolean, error text)
    join public.tgworker_job_claims k on k.job_id = i.job_id and k.fence = i.fence
    join public.tgworker_leases l on l.integration_account_id = k.integration_account_id and l.fence = k.fence;
    perform public.tgworker_end_jobs(v_ended, v_errors, v_now);
    update public.tgworker_job_claims k
    set fence = null, attempts = greatest(0, k.attempts - case when i.was_tried then 0 else 1 end),
        not_before = case when i.retry_after_s > 0 then v_now + make_interval(secs => i.retry_after_s) end
    from jsonb_to_recordset(p_items) i (job_id uuid, ended boolean, retry_after_s double precision, was_tried boolean)
    where k.job_id = i.job_id and not i.ended and k.job_id = any (v_ours);
    update public.message_jobs j set status = 'pending'
    from jsonb_to_recordset(p_items) i (job_id uuid, ended boolean)
    where j.id = i.job_id and not i.ended and j.status = 'processing' and j.id = any (v_ours);
    return jsonb_build_object('settled', to_jsonb(v_ours), 'stale', to_jsonb(array(
        select i.job_id from jsonb_to_recordset(p_items) i (job_id uuid) where i.job_id <> all (v_ours))));
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
-- No position moves; the new ones are added to messages_synced, of the job for the whole account, too. Nothing is unread but what fills a gap: messages above
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
    perform public.tgworker_name_strangers(v_owned.owner, p_peers);
    update public.tgworker_job_claims
    set below = p_below, seen = p_seen, total = coalesce(p_total, total), tries = 0 where job_id = p_job;
    if v_new <> '[]' then
        update public.sync_history_jobs
        set messages_synced = least(coalesce(messages_synced, 0)::bigint + jsonb_array_length(v_new), 2147483647)
        where id = p_job or id = (select t.whole_id from public.tgworker_account_chats t where t.job_id = p_job);
    end if;
    return jsonb_build_object('new', jsonb_array_length(v_new), 'messages', v_new);
end $$;

-- HistoryStore.file_chats
--
-- p_chats   [chat_id]: a page of the list of an account's chats
-- p_cursor  where the list goes on; null: this was its end, and the job is let go until those of its chats have ended
-- answer    {"filed": count}
--
-- A chat that has a job by this one gets no other. Raises 409 `lease_lost`, 410 `account_gone`.
create or replace function public.tgworker_file_chats(
    p_account uuid, p_fence bigint, p_job uuid, p_chats bigint[], p_peers jsonb default '[]',
    p_cursor text default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_owned record;
    v_filed bigint;
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    v_owned := public.tgworker_owner(p_account);
    perform public.tgworker_keep_peers(p_account, v_owned.owner, p_peers);
    with noted as (
        insert into public.tgworker_account_chats (job_id, integration_account_id, whole_id, chat_id, n)
        select gen_random_uuid(), p_account, p_job, c.chat_id, min(c.n) + (
            select coalesce(max(t.n), 0) from public.tgworker_account_chats t where t.whole_id = p_job)
        from unnest(p_chats) with ordinality c (chat_id, n)
        where exists (select from public.sync_history_jobs w where w.id = p_job)
        group by c.chat_id
        on conflict (whole_id, chat_id) do nothing
        returning job_id, chat_id
    ), filed as (
        insert into public.sync_history_jobs (id, owner_id, workspace_id, integration_account_id, telegram_id,
            telegram_name, is_group, status, limit_messages, messages_synced)
        select n.job_id, v_owned.owner, v_owned.workspace, p_account, r.telegram_id,
            coalesce(p.title, nullif(concat_ws(' ', p.first_name, p.last_name), '')), n.chat_id < 0, 'pending',
            w.limit_messages, 0
        from noted n
        join public.sync_history_jobs w on w.id = p_job
        -- (Whatever type the application's column has.)
        cross join lateral jsonb_populate_record(null::public.sync_history_jobs,
            jsonb_build_object('telegram_id', n.chat_id::text)) r
        left join public.tgworker_peers p on p.integration_account_id = p_account and p.chat_id = n.chat_id
        order by n.job_id
        returning id
    )
    select count(*) into v_filed from filed;
    update public.tgworker_account_histories set cursor = p_cursor, is_listed = p_cursor is null where job_id = p_job;
    update public.sync_history_jobs set error_message = null
    where id = p_job and status = 'processing' and error_message is not null;
    update public.tgworker_job_claims set tries = 0, fence = case when p_cursor is null then null else fence end
    where job_id = p_job;
    return jsonb_build_object('filed', v_filed);
end $$;

-- HistoryStore.keep_takeout
--
-- p_job      a job for a whole account, or one that such a one has filed
-- p_takeout  the id of its takeout session, encrypted; null: there is none (any more)
--
-- Raises 409 `lease_lost`.
create or replace function public.tgworker_keep_takeout(
    p_account uuid, p_fence bigint, p_job uuid, p_takeout text default null) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    update public.tgworker_account_histories set takeout = p_takeout
    where job_id = p_job or job_id = (
        select t.whole_id from public.tgworker_account_chats t where t.job_id = p_job);
end $$;

-- HistoryStore.put_history_off
--
-- p_seconds  the job is pending again, and not claimed before so many seconds
-- p_note     what it waits for: its error_message until it goes on
--
-- Raises 409 `lease_lost`.
create or replace function public.tgworker_put_history_off(
    p_account uuid, p_fence bigint, p_job uuid, p_seconds double precision, p_note text) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    perform public.tgworker_check_fence(p_account, p_fence);
    update public.sync_history_jobs set status = 'pending', error_message = p_note
    where id = p_job and status = 'processing';
    update public.tgworker_account_histories
    set not_before = public.tgworker_now() + make_interval(secs => p_seconds) where job_id = p_job;
    update public.tgworker_job_claims set fence = null, tries = 0 where job_id = p_job;
end $$;

-- What is kept of jobs for whole accounts that have ended: how many chats they had, and how many could not be read.
create or replace function public.tgworker_end_account_histories(p_jobs uuid[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    with ended as (
        update public.tgworker_account_histories h set takeout = null, chats = c.chats, failed = c.failed
        from unnest(p_jobs) k (id)
        join public.sync_history_jobs w on w.id = k.id and w.status not in ('pending', 'processing')
        cross join lateral (
            select count(*) as chats, count(*) filter (where s.status = 'failed') as failed
            from public.tgworker_account_chats t join public.sync_history_jobs s on s.id = t.job_id
            where t.whole_id = k.id) c
        where h.job_id = k.id
        returning h.job_id, h.chats, h.failed
    ), forgotten as (
        delete from public.tgworker_account_chats t using ended e where t.whole_id = e.job_id
    )
    update public.sync_history_jobs j
    set error_message = format('%s of %s chats could not be read: their own jobs say why', e.failed, e.chats)
    from ended e where j.id = e.job_id and e.failed > 0 and j.error_message is null;
end $$;

-- HistoryStore.finish_history, in bulk
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
    ), gaps as (
        delete from public.tgworker_gap_jobs g using ours o where g.job_id = o.job_id
    )
    select coalesce(array_agg(o.job_id), '{}') into v_finished from ours o;
    perform public.tgworker_end_account_histories(v_finished);
    return jsonb_build_object('finished', to_jsonb(v_finished), 'stale', to_jsonb(array(
        select k.id from unnest(v_asked) k (id) where k.id <> all (v_finished))));
end $$;

-- PendingStore
--
-- answer  {"history": count (with takeout sessions that were left behind), "jobs": count, "unsure": count, "logins": count}: jobs that are pending or being processed,
--         messages that are left to a person, and login requests to answer or to remove
create or replace function public.tgworker_count_pending() returns jsonb
language sql stable set search_path = pg_catalog, public, pg_temp
as $$
    select jsonb_build_object(
        'history', (select count(*) from public.sync_history_jobs where status in ('pending', 'processing'))
            + (select count(*) from public.tgworker_account_histories h where h.takeout is not null and not exists (
                select from public.sync_history_jobs j
                where j.id = h.job_id and j.status in ('pending', 'processing'))),
        'jobs', (select count(*) from public.message_jobs where status in ('pending', 'processing')),
        'unsure', (select count(*) from public.tgworker_outbox where state = 'unsure'),
        'logins', (select count(*) from public.tgworker_login_requests where ended_at is null)
            + (select count(*) from public.tgworker_login_requests
                where ended_at < public.tgworker_now() - interval '7 days'))
$$;

commit;
