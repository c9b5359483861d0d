-- Moving accounts between the old worker and this one; and what keeps our tables small and right.
begin;
set local lock_timeout = '3s';

-- The session of an account that is about to be adopted.
--
-- answer  {"application", "ours"}: as the application encrypted it, empty if there is none; and ours that stands for just
--         that one, or null
--
-- Raises 410 `account_gone`.
create or replace function public.tgworker_stored_session(p_account uuid) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_found jsonb;
begin
    select jsonb_build_object('application', coalesce(a.secrets_encrypted, ''), 'ours', public.tgworker_own_session(a, t))
    into v_found
    from public.integration_accounts a
    left join public.tgworker_accounts t on t.integration_account_id = a.id
    where a.id = p_account and a.type in ('telegram_user', 'telegram_bot');
    if v_found is null then
        perform public.tgworker_fail(410, 'account_gone', format('there is no Telegram account %s', p_account));
    end if;
    return v_found;
end $$;

drop function if exists public.tgworker_adopt_account(uuid); -- as it was before it minded sessions

-- Takes an account over from the old worker, step by step: call it until it says `ours`.
--
-- p_read     the application's session as it was read: if it has another one now, nothing is done, and the answer is to
--            wait no second. Null: whatever it is.
-- p_session  the same session, encrypted by us; it is kept beside the application's, which stays as it is. Null: the
--            application's serves.
-- answer  {"state": "waiting", "for_s": seconds} or {"state": "ours", "held": count}
--
-- It sets is_active to false, so that the old worker disconnects at its next sync, and waits until last_sync_at has
-- stood still for 150 s: one authorised key in two places is dead for ever. Until tgworker_finish_adoption the owner's
-- switch is kept beside (owner_switch): whoever sets is_active to true meanwhile gives the account back. Messages that
-- were pending for more than a day are `held`. Raises 410 `account_gone`, 409 `not_adopted` where nothing is to be
-- adopted.
create or replace function public.tgworker_adopt_account(
    p_account uuid, p_read text default null, p_session text default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_still constant interval := '150 s';
    v_now timestamptz := public.tgworker_now();
    v_row public.integration_accounts;
    v_ours public.tgworker_accounts;
    v_conversations uuid[];
    v_held bigint := 0;
begin
    if not public.tgworker_is_adopted() then
        perform public.tgworker_fail(409, 'not_adopted', 'this database had no worker before: all accounts are ours');
    end if;
    select * into v_row from public.integration_accounts a
    where a.id = p_account and a.type in ('telegram_user', 'telegram_bot') for no key update;
    if v_row.id is null then
        perform public.tgworker_fail(410, 'account_gone', format('there is no Telegram account %s', p_account));
    end if;
    if p_read <> coalesce(v_row.secrets_encrypted, '') then
        return '{"state": "waiting", "for_s": 0}';
    end if;
    select * into v_ours from public.tgworker_accounts t where t.integration_account_id = p_account for update;
    if p_session is not null then
        -- (A row of ours that is not there yet would say that the account is ours: the first step makes it.)
        update public.tgworker_accounts t
        set session = p_session, session_of = public.tgworker_digest(v_row.secrets_encrypted), session_renewed = false
        where t.integration_account_id = p_account;
    end if;
    if v_ours.integration_account_id is null or v_ours.stage in ('released', 'releasing') then
        insert into public.tgworker_accounts as t
            (integration_account_id, stage, owner_switch, seen_sync_at, still_since, session, session_of)
        values (p_account, 'adopting', coalesce(v_row.is_active, false), v_row.last_sync_at, v_now, p_session,
            case when p_session is not null then public.tgworker_digest(v_row.secrets_encrypted) end)
        on conflict (integration_account_id) do update set stage = 'adopting',
            owner_switch = coalesce(t.owner_switch, excluded.owner_switch), seen_sync_at = excluded.seen_sync_at,
            still_since = excluded.still_since;
        update public.integration_accounts a set is_active = false where a.id = p_account;
        return jsonb_build_object('state', 'waiting', 'for_s', extract(epoch from v_still));
    elsif v_ours.stage = 'adopting' then
        if v_row.is_active or v_row.last_sync_at is distinct from v_ours.seen_sync_at then
            update public.integration_accounts a set is_active = false where a.id = p_account and a.is_active;
            update public.tgworker_accounts t set seen_sync_at = v_row.last_sync_at, still_since = v_now
            where t.integration_account_id = p_account;
            return jsonb_build_object('state', 'waiting', 'for_s', extract(epoch from v_still));
        elsif v_now - v_ours.still_since < v_still then
            return jsonb_build_object('state', 'waiting',
                'for_s', extract(epoch from v_still - (v_now - v_ours.still_since)));
        end if;
        update public.tgworker_accounts t set stage = 'ours', state = 'waiting', adopted_at = v_now, changed_at = v_now
        where t.integration_account_id = p_account;
        with held as (
            update public.tgworker_outbox o
            set state = 'held', error = 'it was pending for more than a day when the account was adopted'
            where o.integration_account_id = p_account and o.settled_at is null
                and o.state in ('waiting', 'deferred') and o.attempts = 0 and o.created_at < v_now - interval '1 day'
            returning o.conversation_id
        )
        select array_agg(distinct h.conversation_id), count(*) into v_conversations, v_held from held h;
        perform public.tgworker_relane(v_conversations);
    end if;
    return jsonb_build_object('state', 'ours', 'held', v_held);
end $$;

-- Gives an account back to the old worker, step by step: call it until it says `released`.
--
-- answer  {"state": "waiting", "for_s": seconds} or {"state": "released", "unsure": count, "renewed": bool}
--
-- The old worker finds the session that it left. Where that is not ours, and a login here has made a newer one
-- (`renewed`), the newer one stays beside it. It waits until no worker of ours has the lease. Messages of whose fate nobody knows are then `unsure`, so that the
-- old worker does not send them once more.
create or replace function public.tgworker_release_account(p_account uuid) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_ours public.tgworker_accounts;
    v_lease public.tgworker_leases;
    v_rows public.tgworker_verdict[];
begin
    select * into v_ours from public.tgworker_accounts t where t.integration_account_id = p_account for update;
    if not public.tgworker_is_adopted() or v_ours.integration_account_id is null then
        perform public.tgworker_fail(409, 'not_adopted', format('the account %s was not adopted', p_account));
    end if;
    if v_ours.stage = 'released' then
        return jsonb_build_object('state', 'released', 'unsure', 0, 'renewed', v_ours.session_renewed);
    end if;
    update public.tgworker_accounts t set stage = 'releasing' where t.integration_account_id = p_account;
    select * into v_lease from public.tgworker_leases l where l.integration_account_id = p_account for update;
    if v_lease.holder is not null and v_lease.expires_at > v_now then
        return jsonb_build_object('state', 'waiting', 'for_s', extract(epoch from v_lease.expires_at - v_now));
    end if;
    -- Whatever the last holder may still say of them is old news.
    update public.tgworker_leases l set fence = l.fence + 1, holder = null, expires_at = '-infinity'
    where l.integration_account_id = p_account;
    select array_agg((o.seq, 0, 'unsure', null, null, null, null,
        'the account was released while nobody knew whether Telegram has it', o.state = 'sending', false
        )::public.tgworker_verdict)
    into v_rows from public.tgworker_outbox o
    where o.integration_account_id = p_account and o.settled_at is null
        and (o.state = 'sending' or o.doubt_since is not null);
    perform public.tgworker_apply(v_rows, v_now);
    update public.integration_accounts a set is_active = v_ours.owner_switch
    where a.id = p_account and v_ours.owner_switch is not null;
    update public.tgworker_accounts t set stage = 'released', owner_switch = null, changed_at = v_now
    where t.integration_account_id = p_account;
    return jsonb_build_object('state', 'released', 'unsure', coalesce(cardinality(v_rows), 0),
        'renewed', v_ours.session_renewed);
end $$;

-- Once the old worker is gone for good: is_active is the owner's switch again.
--
-- answer  {"finished": [account]}
create or replace function public.tgworker_finish_adoption() returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_finished uuid[];
begin
    with finished as (
        select t.integration_account_id as id, t.owner_switch from public.tgworker_accounts t
        where t.stage = 'ours' and t.owner_switch is not null order by 1 for update
    ), switched as (
        update public.integration_accounts a set is_active = f.owner_switch from finished f where a.id = f.id
    ), forgotten as (
        update public.tgworker_accounts t set owner_switch = null from finished f
        where t.integration_account_id = f.id
    )
    select coalesce(array_agg(f.id), '{}') into v_finished from finished f;
    return jsonb_build_object('finished', to_jsonb(v_finished));
end $$;

drop function if exists public.tgworker_sweep(integer, boolean); -- as they were before the worker said how many days
drop function if exists public.tgworker_retention(text);

-- Retention, repairs, and what accounts that were removed left behind. For every minute or so; bounded in each call.
--
-- p_limit        rows of each kind
-- p_full         compare all of `messages` with the outbox now; else it is done every six hours
-- p_days         how long rows of the outbox that went well or were taken back are kept, events, and heartbeats of
--                workers that are gone
-- p_failed_days  rows of the outbox that a person may still want to look at
-- answer         {"deleted": count, "repaired": count, "compared": bool, "more": bool}, more: call again soon
create or replace function public.tgworker_sweep(p_limit integer default 2000, p_full boolean default false,
    p_days integer default 30, p_failed_days integer default 180)
returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_deleted bigint := 0;
    v_repaired bigint := 0;
    v_more boolean;
    v_rows bigint;
    v_account uuid;
    v_ids uuid[];
    v_compared boolean;
begin
    v_more := public.tgworker_tidy(v_now);
    if not pg_try_advisory_xact_lock(hashtext('tgworker'), hashtext('sweep')) then
        return '{"deleted": 0, "repaired": 0, "compared": false, "more": false}';
    end if;

    v_rows := public.tgworker_forget_old(v_now, p_limit, p_days, p_failed_days);
    v_deleted := v_deleted + v_rows;
    v_more := v_more or v_rows >= p_limit;

    -- Accounts that are gone; the trigger may have missed one.
    insert into public.tgworker_removed_accounts (integration_account_id)
    select k.integration_account_id from (
        select integration_account_id from public.tgworker_accounts
        union select integration_account_id from public.tgworker_leases
    ) k
    where not exists (select from public.integration_accounts a where a.id = k.integration_account_id)
    on conflict do nothing;
    select r.integration_account_id into v_account from public.tgworker_removed_accounts r
    where r.outbox_done order by 1 limit 1 for update skip locked;
    if v_account is not null then
        v_rows := 0;
        -- (An account that came back under the same id keeps what it had.)
        if not exists (select from public.integration_accounts a where a.id = v_account) then
            v_rows := public.tgworker_forget_account(v_account, p_limit);
            v_deleted := v_deleted + v_rows;
        end if;
        if v_rows = 0 then
            delete from public.tgworker_removed_accounts where integration_account_id = v_account;
        end if;
        v_more := true;
    end if;

    -- Rows in order that no lane covers: there should be none.
    with uncovered as (
        select distinct o.conversation_id, o.integration_account_id from public.tgworker_outbox o
        where o.in_lane
            and not exists (select from public.tgworker_lanes l where l.conversation_id = o.conversation_id)
            and not exists (select from public.tgworker_touched t where t.conversation_id = o.conversation_id)
        limit p_limit
    )
    insert into public.tgworker_touched (conversation_id, integration_account_id) select * from uncovered;
    get diagnostics v_rows = row_count;
    v_repaired := v_repaired + v_rows;

    -- What no trigger told (it was disabled, or could not even note its error): pending messages that are not in the
    -- queue. One walk through `messages`, without a lock.
    v_compared := p_full or coalesce((select (value #>> '{}')::timestamptz < v_now - interval '6 hours'
        from public.tgworker_meta where key = 'compared_at'), true);
    if v_compared then
        begin
            v_ids := array(
                select m.id from public.messages m
                where m.direction = 'outbound' and m.channel = 'telegram' and m.external_message_id like 'local-%'
                    and not exists (select from public.tgworker_outbox o where o.message_id = m.id)
                order by m.sent_at, m.id limit p_limit);
            perform public.tgworker_follow(v_ids, false, v_now - interval '1 day');
            v_repaired := v_repaired + cardinality(v_ids);
            v_more := v_more or cardinality(v_ids) = p_limit;
            -- Outcomes that were not written.
            v_ids := array(
                select o.message_id from public.messages m join public.tgworker_outbox o on o.message_id = m.id
                where m.direction = 'outbound' and m.channel = 'telegram' and m.external_message_id like 'local-%'
                    and o.settled_at is not null
                limit p_limit);
            perform public.tgworker_write_messages(v_ids);
            v_repaired := v_repaired + cardinality(v_ids);
            -- Attachments of pending messages.
            v_ids := array(
                select distinct o.message_id
                from public.tgworker_outbox o join public.attachments a on a.message_id = o.message_id
                where o.settled_at is null and not exists (select from public.tgworker_attachments t
                    where t.attachment_id = a.id and t.message_id = a.message_id)
                limit p_limit);
            perform public.tgworker_record_attachments(v_ids);
            update public.tgworker_outbox o set files_until = null
            where o.message_id = any (v_ids) and o.files_until is not null;
            insert into public.tgworker_touched (conversation_id, integration_account_id)
            select distinct o.conversation_id, o.integration_account_id
            from public.tgworker_outbox o where o.message_id = any (v_ids);
            v_repaired := v_repaired + cardinality(v_ids);
            -- Those that came too late, at the very moment when their message was claimed.
            perform public.tgworker_tell_late(array(
                select distinct o.message_id
                from public.tgworker_attachments t join public.tgworker_outbox o on o.message_id = t.message_id
                where o.state = 'sent' and not o.late_file and not coalesce(o.files, '[]')
                    @> jsonb_build_array(jsonb_build_object('id', t.attachment_id))
                limit p_limit));
            delete from public.tgworker_files f where f.message_id = any (array(
                select k.message_id from public.tgworker_files k
                where not exists (select from public.messages m where m.id = k.message_id) limit p_limit));
            delete from public.tgworker_attachments t where t.attachment_id = any (array(
                select k.attachment_id from public.tgworker_attachments k
                where not exists (select from public.attachments a where a.id = k.attachment_id) limit p_limit));
        exception when query_canceled then
            -- The statement timeout: too long a table for this walk. It is not begun again every minute.
            v_compared := false;
        end;
        if not v_compared then
            raise warning 'tgworker: comparing messages with the outbox took longer than the statement timeout';
        end if;
        insert into public.tgworker_meta as k (key, value) values ('compared_at', to_jsonb(v_now))
        on conflict (key) do update set value = excluded.value;
    end if;
    return jsonb_build_object(
        'deleted', v_deleted, 'repaired', v_repaired, 'compared', v_compared, 'more', v_more);
end $$;

-- Deletes what is old, up to p_limit rows of each kind, all of them ours; returns how many.
create or replace function public.tgworker_forget_old(
    p_now timestamptz, p_limit integer, p_days integer, p_failed_days integer) returns bigint
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_old constant timestamptz := p_now - make_interval(days => p_days);
    v_old_failed constant timestamptz := p_now - make_interval(days => p_failed_days);
    v_due bigint[];
    v_rows bigint;
    v_all bigint := 0;
begin
    v_due := array(
        select k.seq from public.tgworker_outbox k
        where k.state in ('sent', 'cancelled', 'expired') and k.settled_at < v_old
        order by k.settled_at limit p_limit for update skip locked
    ) || array(
        select k.seq from public.tgworker_outbox k
        where k.state in ('dead', 'unsure') and k.settled_at < v_old_failed
        order by k.settled_at limit p_limit for update skip locked
    );
    if cardinality(v_due) > 0 then
        -- (An outcome that is not written to its message yet stays: without its row, the message would be sent again.)
        with old as (
            delete from public.tgworker_outbox o
            where o.seq = any (v_due) and not exists (
                select from public.messages m where m.id = o.message_id and m.external_message_id like 'local-%')
            returning o.message_id
        ), parts as (
            delete from public.tgworker_outbox_parts p using old where p.message_id = old.message_id
        )
        select count(*) into v_all from old;
    end if;
    delete from public.tgworker_files f where f.message_id in (
        select k.message_id from public.tgworker_files k
        where k.settled_at < greatest(v_old, v_old_failed)
            and k.settled_at < case k.state when 'failed' then v_old_failed else v_old end
        order by k.settled_at limit p_limit for update skip locked);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    delete from public.tgworker_events e where e.id in (
        select k.id from public.tgworker_events k where k.at < v_old order by k.at limit p_limit);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    delete from public.tgworker_trigger_errors e where e.n in (
        select k.n from public.tgworker_trigger_errors k
        where k.repaired_at < clock_timestamp() - interval '7 days' limit p_limit);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    -- Of jobs that the application removed, or set to something else. (One that is just being claimed is locked.)
    delete from public.tgworker_job_claims c where c.job_id in (
        select k.job_id from public.tgworker_job_claims k
        where not exists (
                select from public.sync_history_jobs j where j.id = k.job_id and j.status = 'processing')
            and not exists (
                select from public.message_jobs j where j.id = k.job_id and j.status in ('pending', 'processing'))
        limit p_limit for update skip locked);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    -- Of whole accounts that the application has ended, or removed.
    delete from public.tgworker_account_chats c where c.job_id in (
        select t.job_id from public.tgworker_account_chats t
        where not exists (select from public.sync_history_jobs w
                where w.id = t.whole_id and w.status in ('pending', 'processing'))
            and not exists (select from public.sync_history_jobs j
                where j.id = t.job_id and j.status in ('pending', 'processing'))
        limit p_limit for update skip locked);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    delete from public.tgworker_account_histories h where h.job_id in (
        select k.job_id from public.tgworker_account_histories k
        where k.takeout is null and not exists (select from public.sync_history_jobs j where j.id = k.job_id)
        limit p_limit for update skip locked);
    get diagnostics v_rows = row_count;
    v_all := v_all + v_rows;
    -- (What another program wrote has no incarnation.)
    delete from public.worker_heartbeats h where h.worker_id in (
        select k.worker_id from public.worker_heartbeats k
        where k.incarnation > 0 and k.last_heartbeat_at < v_old limit p_limit for update skip locked);
    get diagnostics v_rows = row_count;
    return v_all + v_rows;
end $$;

-- Deletes what is ours of an account that was removed, a bounded number of rows; returns how many.
create or replace function public.tgworker_forget_account(p_account uuid, p_limit integer) returns bigint
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_table text;
    v_rows bigint;
    v_all bigint := 0;
begin
    foreach v_table in array array['tgworker_peers', 'tgworker_names', 'tgworker_channel_positions',
        'tgworker_positions', 'tgworker_read_marks', 'tgworker_waits', 'tgworker_files', 'tgworker_job_claims', 'tgworker_gap_jobs', 'tgworker_leases',
        'tgworker_account_histories', 'tgworker_account_chats',
        'tgworker_accounts']
    loop
        execute format('delete from public.%1$I where ctid = any (array(
            select ctid from public.%1$I where integration_account_id = $1 limit $2))', v_table)
        using p_account, p_limit;
        get diagnostics v_rows = row_count;
        v_all := v_all + v_rows;
    end loop;
    delete from public.tgworker_message_keys where ctid = any (array(
        select ctid from public.tgworker_message_keys where scope = p_account limit p_limit));
    get diagnostics v_rows = row_count;
    return v_all + v_rows;
end $$;

commit;
