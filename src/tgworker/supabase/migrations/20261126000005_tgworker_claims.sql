-- Claiming: which messages are sent next.
begin;
set local lock_timeout = '3s';

-- Gives rows without an account one: their conversation's last, else their owner's only active one. One that gets none
-- is dead-lettered, and so is one that names an account which does not exist (it was not meant for another), or whose
-- account or conversation is another owner's. On an adopted database rows that are not ours to decide about are looked at again in a minute.
create or replace function public.tgworker_assign(p_now timestamptz, p_limit integer) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_lane record;
    v_account uuid;
    v_foreign text;
    v_error text;
    v_rows public.tgworker_verdict[] := '{}';
    v_adopted boolean := public.tgworker_is_adopted();
    v_conversations uuid[] := '{}';
    v_writing text := current_setting('tgworker.writing', true);
begin
    perform set_config('tgworker.writing', 'on', true);
    for v_lane in
        select l.conversation_id, l.head_seq, o.message_id, o.created_at, m.owner_id,
            m.integration_account_id as named
        from (
            select * from public.tgworker_lanes k
            where k.integration_account_id is null and k.fence is null and k.ready_at <= p_now
            order by k.ready_at, k.head_seq limit p_limit for update skip locked
        ) l
        join public.tgworker_outbox o on o.seq = l.head_seq
        left join public.messages m on m.id = o.message_id
    loop
        v_error := null;
        v_account := null;
        v_foreign := case
            when exists (select from public.integration_accounts a
                where a.id = v_lane.named and a.owner_id is distinct from v_lane.owner_id) then 'account'
            when exists (select from public.conversations c
                where c.id = v_lane.conversation_id and c.owner_id is distinct from v_lane.owner_id)
            then 'conversation' end;
        if v_lane.owner_id is not null then
            perform 1 from public.messages m where m.id = v_lane.message_id for no key update skip locked;
            if not found then -- the application holds it just now
                update public.tgworker_lanes set ready_at = p_now + interval '1 s'
                where conversation_id = v_lane.conversation_id;
                continue;
            end if;
        end if;
        if v_lane.owner_id is null then
            v_error := 'deleted by the application';
        elsif v_foreign is not null then
            v_error := 'its ' || v_foreign || ' belongs to another owner';
            v_account := coalesce(v_lane.named, (
                select m.integration_account_id from public.messages m
                where m.conversation_id = v_lane.conversation_id and m.integration_account_id is not null
                order by m.sent_at desc nulls last limit 1));
        elsif v_lane.named is not null then
            select a.id into v_account from public.integration_accounts a
            where a.id = v_lane.named and a.type in ('telegram_user', 'telegram_bot');
            v_error := case when v_account is null then 'there is no Telegram account ' || v_lane.named end;
        else
            select m.integration_account_id into v_account
            from public.messages m
            join public.integration_accounts a on a.id = m.integration_account_id and a.type in ('telegram_user', 'telegram_bot')
                and a.owner_id = v_lane.owner_id
            where m.conversation_id = v_lane.conversation_id order by m.sent_at desc nulls last limit 1;
            if v_account is null then
                select (array_agg(a.id))[1] into v_account from public.integration_accounts a
                where a.owner_id = v_lane.owner_id and a.type = 'telegram_user' and (a.is_active or exists (
                    select from public.tgworker_accounts t where t.integration_account_id = a.id and t.owner_switch))
                having count(*) = 1;
            end if;
            v_error := case when v_account is null
                then 'no account: the conversation had none, and its owner has not just one' end;
        end if;
        if v_account is not null then
            -- A reference to it, if the application has that, would wait for who deletes it.
            perform 1 from public.integration_accounts a where a.id = v_account for key share skip locked;
            if not found then
                update public.tgworker_lanes set ready_at = p_now + interval '1 s'
                where conversation_id = v_lane.conversation_id;
                continue;
            end if;
        end if;
        if v_adopted and not coalesce(public.tgworker_is_ours(v_account), false) then
            update public.tgworker_lanes set ready_at = p_now + interval '60 s'
            where conversation_id = v_lane.conversation_id;
        elsif v_error is not null then
            v_rows := v_rows || (v_lane.head_seq, 0,
                case when v_lane.owner_id is null then 'cancelled' else 'dead' end,
                null, null, null, null, v_error, false, false)::public.tgworker_verdict;
        else
            update public.tgworker_outbox o
            set integration_account_id = v_account,
                -- It had been pending for more than a day when its account was adopted.
                state = case when exists (select from public.tgworker_accounts t
                        where t.integration_account_id = v_account
                            and v_lane.created_at < t.adopted_at - interval '1 day')
                    then 'held' else o.state end
            where o.seq = v_lane.head_seq;
            update public.messages m set integration_account_id = v_account
            where m.id = v_lane.message_id and m.integration_account_id is null;
            v_conversations := v_conversations || v_lane.conversation_id;
        end if;
    end loop;
    perform set_config('tgworker.writing', coalesce(v_writing, ''), true);
    perform public.tgworker_apply(v_rows, p_now);
    perform public.tgworker_relane(v_conversations);
end $$;

-- Ends the rows of accounts that were deleted. (On an adopted database those of the old worker's accounts only leave
-- the queue.)
create or replace function public.tgworker_bury(p_now timestamptz, p_limit integer) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_account uuid;
    v_rows public.tgworker_verdict[];
begin
    select r.integration_account_id into v_account from public.tgworker_removed_accounts r
    where not r.outbox_done order by 1 limit 1 for update skip locked;
    if v_account is null then
        return;
    end if;
    select array_agg((k.seq, 0,
            case when k.certain then 'dead' else 'unsure' end, null, null, null, null,
            case when k.certain then 'its account was removed'
                else 'its account was removed while nobody knew whether Telegram has it' end,
            k.state = 'sending', false)::public.tgworker_verdict)
    into v_rows from (
        select o.seq, o.state, o.state <> 'sending' and o.doubt_since is null as certain
        from public.tgworker_outbox o
        where o.integration_account_id = v_account and o.settled_at is null
        order by o.seq limit p_limit for update skip locked
    ) k;
    perform public.tgworker_apply(v_rows, p_now);
    if v_rows is null then
        update public.tgworker_removed_accounts set outbox_done = true where integration_account_id = v_account;
    end if;
end $$;

-- Does what could not be done when it came up: outcomes and unread counts that could not be written to a row that the
-- application held, and whatever a trigger failed to do. Waits for nobody.
create or replace function public.tgworker_do_chores(p_limit integer) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '250ms'
as $$
#variable_conflict use_column
declare
    v_messages uuid[];
    v_chore record;
begin
    with done as (
        delete from public.tgworker_chores c where c.n in (
            select k.n from public.tgworker_chores k where k.message_id is not null order by k.n limit p_limit
            for update skip locked)
        returning c.message_id
    )
    select array_agg(distinct d.message_id) into v_messages from done d;
    if v_messages is not null then
        perform public.tgworker_write_messages(v_messages);
    end if;
    for v_chore in
        select k.* from public.tgworker_chores k where k.conversation_id is not null order by k.n limit p_limit
        for update skip locked
    loop
        perform 1 from public.conversations c where c.id = v_chore.conversation_id for no key update skip locked;
        if found then
            perform public.tgworker_count(
                v_chore.conversation_id, v_chore.unread, v_chore.latest_at, v_chore.preview);
            delete from public.tgworker_chores where n = v_chore.n;
        elsif not exists (select from public.conversations c where c.id = v_chore.conversation_id) then
            delete from public.tgworker_chores where n = v_chore.n;
        end if;
    end loop;
    if not exists (select from public.tgworker_trigger_errors where repaired_at is null) then
        return;
    end if;
    begin
        perform public.tgworker_repair(p_limit, null);
        return;
    exception when others then
        null; -- the application is changing one of these rows, or something is wrong with it: the others, then
    end;
    perform set_config('lock_timeout', '10ms', true);
    for v_chore in
        select k.conversation_id from (
            select e.conversation_id, e.n from public.tgworker_trigger_errors e
            where e.repaired_at is null order by e.n limit p_limit
        ) k
        where k.conversation_id is not null group by 1 order by min(k.n)
    loop
        begin
            perform public.tgworker_repair(p_limit, v_chore.conversation_id);
        exception when others then
            null; -- with a later claim
        end;
    end loop;
end $$;

-- Does what triggers failed to do, for all conversations or for one: the outbox becomes what `messages` says, and what
-- is new there gets the place that was kept.
create or replace function public.tgworker_repair(p_limit integer, p_conversation uuid) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_messages uuid[];
    v_seqs bigint[];
begin
    with open as (
        select e.n, e.message_id, e.conversation_id, e.seq from public.tgworker_trigger_errors e
        where e.repaired_at is null and (p_conversation is null or e.conversation_id = p_conversation)
        order by e.n limit p_limit for update skip locked
    ), repaired as (
        update public.tgworker_trigger_errors e set repaired_at = clock_timestamp()
        from open where e.n = open.n
    ), touched as (
        insert into public.tgworker_touched (conversation_id, message_id)
        select distinct open.conversation_id, open.message_id from open where open.conversation_id is not null
    )
    select array_agg(open.message_id order by open.n), array_agg(open.seq order by open.n)
    into v_messages, v_seqs from open;
    perform public.tgworker_follow(v_messages, false, null, v_seqs);
    perform public.tgworker_record_attachments(v_messages);
end $$;

-- Adds to what a conversation, whose row is locked, shows as unread, and shows its latest message.
create or replace function public.tgworker_count(
    p_conversation uuid, p_unread integer, p_latest_at timestamptz, p_preview text) returns void
language sql set search_path = pg_catalog, public, pg_temp
as $$
    update public.conversations c
    set unread_count = least(greatest(0, coalesce(c.unread_count, 0)::bigint + p_unread), 2147483647),
        last_channel = 'telegram',
        last_message_at = case when c.last_message_at is null or p_latest_at >= c.last_message_at
            then p_latest_at else c.last_message_at end,
        last_message_preview = case when c.last_message_at is null or p_latest_at >= c.last_message_at
            then p_preview else c.last_message_preview end
    where c.id = p_conversation
$$;

-- Brings the lanes up to date: what the application touched, what was put off until now, what expired, what has no
-- account. By one worker at a time, a bounded number of rows in each call; returns whether some are left.
create or replace function public.tgworker_tidy(p_now timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_limit constant integer := 80; -- 3 ms of a claim
    v_work record;
    v_conversations uuid[];
    v_woken uuid[];
    v_rows public.tgworker_verdict[];
    v_taken bigint := 0;
    v_carrying uuid[]; -- messages whose attachments changed
    v_unrecorded uuid[];
begin
    select
        exists (select from public.tgworker_touched) as touched,
        exists (select from public.tgworker_outbox
            where state = 'deferred' and attempts = 0 and not_before <= p_now) as due,
        exists (select from public.tgworker_outbox
            where expires_at is not null and state in ('waiting', 'resolving', 'deferred')
                and part = 0 and doubt_since is null and expires_at <= p_now) as expired,
        exists (select from public.tgworker_chores)
            or exists (select from public.tgworker_trigger_errors where repaired_at is null) as chores,
        exists (select from public.tgworker_removed_accounts where not outbox_done) as removed,
        exists (select from public.tgworker_lanes
            where integration_account_id is null and fence is null and ready_at <= p_now) as unassigned
    into v_work;
    if not (v_work.touched or v_work.due or v_work.expired or v_work.chores or v_work.removed or v_work.unassigned)
        or not pg_try_advisory_xact_lock(hashtext('tgworker'), hashtext('tidy'))
    then
        return false;
    end if;
    if v_work.chores then
        perform public.tgworker_do_chores(v_limit);
    end if;
    if v_work.due then
        with woken as (
            update public.tgworker_outbox o set state = 'waiting', not_before = null
            where o.seq in (
                select k.seq from public.tgworker_outbox k
                where k.state = 'deferred' and k.attempts = 0 and k.not_before <= p_now
                order by k.not_before limit v_limit for update skip locked)
            returning o.conversation_id
        )
        select array_agg(distinct w.conversation_id) into v_woken from woken w;
    end if;
    if v_work.touched or v_work.chores then
        with taken as (
            delete from public.tgworker_touched t where t.n in (
                select k.n from public.tgworker_touched k order by k.n limit v_limit for update skip locked)
            returning t.conversation_id, t.message_id, t.is_unrecorded
        )
        select array_agg(distinct t.conversation_id), count(*),
            array_agg(distinct t.message_id) filter (where t.message_id is not null),
            array_agg(distinct t.message_id) filter (where t.is_unrecorded)
        into v_conversations, v_taken, v_carrying, v_unrecorded from taken t;
        perform public.tgworker_record_attachments(v_unrecorded);
    end if;
    if v_carrying is not null then
        -- The next claim counts them again.
        update public.tgworker_outbox o set files_until = null
        where o.seq in (
            select k.seq from public.tgworker_outbox k
            where k.message_id = any (v_carrying) and k.files_until is not null and k.state = 'waiting'
            for update skip locked);
        perform public.tgworker_tell_late(v_carrying);
    end if;
    perform public.tgworker_relane(v_woken || v_conversations);
    if v_work.expired then
        -- (One that is in doubt is looked for before anything is said about it.)
        select array_agg((k.seq, 0, 'expired', null, null, null, null, 'it was not sent in time',
                false, false)::public.tgworker_verdict)
        into v_rows from (
            select o.seq from public.tgworker_outbox o
            where o.expires_at is not null and o.state in ('waiting', 'resolving', 'deferred')
                and o.part = 0 and o.doubt_since is null and o.expires_at <= p_now
            order by o.expires_at limit v_limit for update skip locked
        ) k;
        perform public.tgworker_apply(v_rows, p_now);
    end if;
    if v_work.removed then
        perform public.tgworker_bury(p_now, v_limit);
    end if;
    if exists (select from public.tgworker_lanes
        where integration_account_id is null and fence is null and ready_at <= p_now)
    then
        perform public.tgworker_assign(p_now, v_limit);
    end if;
    return v_taken = v_limit;
end $$;

-- The accounts that have a lane, one after the other through the indexes, however many lanes each has.
create or replace function public.tgworker_accounts_with_lanes() returns setof uuid
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return query with recursive ready (id) as (
        (select l.integration_account_id from public.tgworker_lanes l
            where l.fence is null and l.integration_account_id is not null
            order by l.integration_account_id limit 1)
        union all
        select (select l.integration_account_id from public.tgworker_lanes l
            where l.fence is null and l.integration_account_id > ready.id
            order by l.integration_account_id limit 1)
        from ready where ready.id is not null
    ), claimed (id) as (
        (select l.integration_account_id from public.tgworker_lanes l
            where l.fence is not null order by l.integration_account_id limit 1)
        union all
        select (select l.integration_account_id from public.tgworker_lanes l
            where l.fence is not null and l.integration_account_id > claimed.id
            order by l.integration_account_id limit 1)
        from claimed where claimed.id is not null
    )
    select r.id from ready r where r.id is not null union select c.id from claimed c where c.id is not null;
end $$;

-- Whether a text may take several messages: it has more UTF-16 code units than one may have (characters beyond the first
-- plane take two), or may have more formatting than one may have, which is a hundred pieces of three characters at least.
create or replace function public.tgworker_is_long(p_text text, p_mode text, p_limit integer) returns boolean
language plpgsql immutable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return case
        when p_mode is not null and char_length(p_text) > 300 then true
        when p_text is null or 2 * char_length(p_text) <= p_limit then false
        when char_length(p_text) > p_limit then true
        else char_length(p_text) + char_length(regexp_replace(p_text, '[\u0001-\uffff]', '', 'g')) > p_limit
    end;
end $$;

-- Telegram's idempotency key: a function of message and part, the same in every attempt.
create or replace function public.tgworker_random_id(p_message uuid, p_part integer) returns bigint
language plpgsql immutable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return ('x' || left(encode(sha256(convert_to('tgworker:' || p_message || ':' || p_part, 'UTF8')), 'hex'), 16))
        ::bit(64)::bigint;
end $$;

-- The attachments of a message that are its owner's, in the order in which they were linked, as tgworker_claim answers;
-- null if there are none.
create or replace function public.tgworker_linked_files(p_message uuid, p_owner uuid) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return (
        select jsonb_agg(jsonb_build_object('id', a.id, 'bucket', coalesce(a.storage_bucket, ''),
            'path', coalesce(a.storage_path, ''), 'file_name', a.file_name, 'mime_type', a.mime_type,
            'byte_size', a.byte_size) order by t.n)
        from public.tgworker_attachments t
        join public.attachments a on a.id = t.attachment_id and a.message_id = p_message and a.owner_id = p_owner
        where t.message_id = p_message);
end $$;

-- Those of the files that follow one that is a part of a message.
create or replace function public.tgworker_more_random_ids(p_message uuid, p_part integer, p_files integer) returns jsonb
language plpgsql immutable set search_path = pg_catalog, public, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_agg(public.tgworker_random_id(p_message, k.part) order by k.part), '[]')
        from generate_series(p_part + 1, p_files - 1) k (part));
end $$;

-- Whether a row that may carry files waits for them, {"until", "error"}, ends without them, {"error"}, or goes with what is
-- there, null.
--
-- p_asked   raw_payload.telegram.attachments, as the application wrote it; what is no number from 1 to 100 says nothing
-- p_linked  how many there are
-- p_since   when it was filed
create or replace function public.tgworker_judge_files(p_asked jsonb, p_linked integer, p_since timestamptz,
    p_now timestamptz, p_wait_s double precision) returns jsonb
language plpgsql stable set search_path = pg_catalog, public, pg_temp
as $$
declare
    v_most constant integer := 100;
    v_asked_wait_s constant integer := 600;
    -- So often they are counted again, should nobody have told that one came.
    v_again constant interval := '15 s';
    v_since timestamptz := least(p_since, p_now); -- (a clock that was put back)
    v_asked integer;
    v_until timestamptz;
begin
    if p_linked > v_most then
        return jsonb_build_object('error', format('it has %s attachments: %s is the most', p_linked, v_most));
    end if;
    if jsonb_typeof(p_asked) = 'number' and p_asked::text ~ '^([1-9]\d?|100)$' then
        v_asked := p_asked;
        v_until := v_since + make_interval(secs => v_asked_wait_s);
        if p_linked >= v_asked then
            return null;
        elsif p_now < v_until then
            return jsonb_build_object('until', least(v_until, p_now + v_again),
                'error', format('waits for its attachments: %s of %s', p_linked, v_asked));
        end if;
        return jsonb_build_object('error',
            format('%s of %s attachments came within %s s', p_linked, v_asked, v_asked_wait_s));
    end if;
    v_until := v_since + make_interval(secs => p_wait_s);
    if p_now < v_until then
        return jsonb_build_object('until', v_until, 'error', 'waits for its attachments');
    elsif p_linked = 0 then
        return jsonb_build_object('error', format('no attachment came within %s s', p_wait_s));
    end if;
    return null;
end $$;

-- The second half of OutboxStore.turn
--
-- p_holder  who holds the accounts' leases
-- p_slots   [{"account", "fence", "free"}]: at most so many for each account
-- p_known   message ids that this worker has in hand. What is claimed under its leases and not known (the answer was
--           lost, or the worker crashed) and what is claimed under an older token is handed over again.
-- p_text_limit  UTF-16 code units in one message: what is longer is sent in parts
-- p_caption_limit  the same under a file
-- p_attachments_wait_s  so long after it was filed a row waits for attachments of which it does not say how many come
-- answer    {"attempts": [{"message_id", "account", "conversation_id", "to", "peer", "text", "parse_mode",
--            "text_limit", "part", "parts", "known_id", "expires_in_s", "random_id", "number", "claim", "doubt",
--            "message_type", "files": [{"id", "bucket", "path", "file_name", "mime_type", "byte_size"}],
--            "caption_limit", "more_random_ids"}],
--            "withdrawn": [message_id], "lost": [account], "more": bool}
--
-- text_limit, and of a longer text also text and parse_mode, are what the first claim committed: a repeat has the same
-- parts. part: which of them is next; parts: how many there are, null while nobody has counted them; known_id: Telegram's
-- id of that part, if an update has told it already.
--
-- files: what it carries, in the order in which it was linked, as the first claim committed it; each is a part, from part
-- 0 on. more_random_ids: of the files that follow this part's. A row waits for its files at the head of its conversation;
-- one that gets none is dead-lettered. Only attachments of the message's owner count.
--
-- expires_in_s: so long after the claim it may begin to be sent, null: for ever. withdrawn: those of p_known that somebody
-- has cancelled while nothing of them had left: settle them as released, and they end.
--
-- Lane heads that are due, the oldest first, at most one for a conversation. peer: see tgworker_peer, null if it is
-- not known. claim: the token of this claim; it grows with every claim, and is never given twice. doubt: what earlier
-- attempts have left open, {"age_s", "top_id", "expired"}: for how long, the newest message of the chat that was known
-- when it began (0: none), and whether the row's time has run out since; null if nothing is open. lost: accounts whose
-- lease has run out or has another token now: stop them. more: the application has written more than one call takes
-- in; claim again at once. Safe to repeat: what the lost answer held is handed over again, since it is not known.
create or replace function public.tgworker_claim(
    p_holder uuid, p_slots jsonb, p_known uuid[] default '{}', p_text_limit integer default 4096,
    p_caption_limit integer default 1024, p_attachments_wait_s double precision default 3) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
-- Every step is a handful of probes of an index, whatever the statistics say, or said when the plan was made; and
-- planning again for each claim would cost more than the claim.
set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
#variable_conflict use_column
declare
    v_rounds constant integer := 20; -- so often one claim looks again when rows ended that stood before others
    v_now timestamptz := public.tgworker_now();
    v_accounts uuid[];
    v_fences bigint[];
    v_free integer[];
    v_lost uuid[];
    v_busy uuid[];
    v_seqs bigint[]; -- the heads that were picked
    v_lanes uuid[]; -- and from which lane each
    v_taken uuid[]; -- an account for each row that was picked or claimed
    v_some jsonb;
    v_attempts jsonb := '[]';
    v_verdicts public.tgworker_verdict[];
    v_judged bigint[];
    v_stray uuid[];
    v_waits jsonb; -- rows that wait for their attachments
    v_withdrawn uuid[] := '{}';
    v_more boolean;
begin
    with asked as (
        select * from jsonb_to_recordset(p_slots) s (account uuid, fence bigint, free integer)
    ), judged as (
        select a.*, coalesce(l.held, false) as held
        from asked a left join lateral (
            select k.holder = p_holder and k.fence = a.fence and k.expires_at > v_now as held
            from public.tgworker_leases k where k.integration_account_id = a.account limit 1
        ) l on true
    )
    select array_agg(j.account order by j.account) filter (where j.held and j.free > 0),
        array_agg(j.fence order by j.account) filter (where j.held and j.free > 0),
        array_agg(j.free order by j.account) filter (where j.held and j.free > 0),
        array_agg(j.account order by j.account) filter (where not j.held)
    into v_accounts, v_fences, v_free, v_lost from judged j;

    v_more := public.tgworker_tidy(v_now);
    v_now := public.tgworker_now(); -- what was repaired just now is due

    if cardinality(v_accounts) > 8 then
        -- Which of them have anything to send.
        v_busy := array(select public.tgworker_accounts_with_lanes());
        select array_agg(a.account), array_agg(a.fence), array_agg(a.free)
        into v_accounts, v_fences, v_free
        from unnest(v_accounts, v_fences, v_free) a (account, fence, free) where a.account = any (v_busy);
    end if;

    for v_round in 1 .. v_rounds loop
        exit when v_accounts is null;
        v_seqs := '{}';
        v_lanes := '{}';
        v_taken := '{}';
        if v_round = 1 then
            -- First what somebody had who forgot it, or is no more.
            select coalesce(array_agg(k.head_seq), '{}'), coalesce(array_agg(k.conversation_id), '{}'),
                coalesce(array_agg(a.account), '{}')
            into v_seqs, v_lanes, v_taken
            from unnest(v_accounts, v_fences, v_free) a (account, fence, free)
            cross join lateral (
                select l.head_seq, l.conversation_id
                from public.tgworker_lanes l join public.tgworker_outbox o on o.seq = l.head_seq
                where l.integration_account_id = a.account and l.fence is not null
                    and (l.fence <> a.fence or o.message_id not in (select unnest(p_known)))
                order by l.head_seq limit a.free for update of l skip locked
            ) k;
        end if;
        -- Then what is due, the oldest first.
        select v_seqs || coalesce(array_agg(k.head_seq), '{}'),
            v_lanes || coalesce(array_agg(k.conversation_id), '{}')
        into v_seqs, v_lanes
        from unnest(v_accounts, v_free) a (account, free)
        cross join lateral (
            select l.head_seq, l.conversation_id from public.tgworker_lanes l
            where l.integration_account_id = a.account and l.fence is null and l.ready_at <= v_now
            order by l.ready_at, l.head_seq
            limit a.free - cardinality(array_positions(v_taken, a.account)) for update skip locked
        ) k;
        exit when cardinality(v_seqs) = 0;

        with held as materialized (
            -- Whoever is just now becoming the holder of an account gets its rows, not we.
            select l.integration_account_id as account, l.fence, l.worker_id from public.tgworker_leases l
            where l.integration_account_id = any (v_accounts) and l.holder = p_holder and l.expires_at > v_now
                and l.integration_account_id in (
                    select o.integration_account_id from public.tgworker_outbox o where o.seq = any (v_seqs))
            for key share skip locked
        ), picked as materialized (
            select o.* from public.tgworker_outbox o where o.seq = any (v_seqs) for update of o skip locked
        ), rows as materialized (
            select o.seq, o.message_id, o.conversation_id, o.attempts, o.state, o.expires_at, o.part, o.parts,
                o.text_limit, o.parse_mode, o.long_text, o.files, k.telegram_id as known_id,
                coalesce(o.filed_at, o.created_at) as filed_at,
                m.message_type, m.raw_payload #> '{telegram,attachments}' as asked_files,
                -- (A probe of an index of ours that finds nothing, where there are no files.)
                case when exists (select from public.tgworker_attachments t where t.message_id = m.id)
                    then public.tgworker_linked_files(m.id, m.owner_id) end as linked,
                o.part > 0 or k.telegram_id is not null as has_begun,
                -- (Telegram has a part whose id is known; whether it is the last one the worker will say.)
                case when k.telegram_id is null then
                    case when o.state = 'sending' then coalesce(o.doubt_since, o.claimed_at)
                        else o.doubt_since end end as doubt,
                m.raw_payload #>> '{telegram,parse_mode}' as asked_mode,
                a.account, a.fence, p.lane, m.text, m.external_message_id as external_id,
                coalesce(own.value, named.value, (
                    select i.value from public.contact_identities i
                    where i.contact_id = c.contact_id and i.owner_id = c.owner_id and i.type = 'telegram_user'
                        and i.value is not null
                    order by i.id limit 1
                )) as recipient,
                case when exists (select from public.integration_accounts b
                        where b.id = o.integration_account_id and b.owner_id is distinct from m.owner_id) then 'account'
                    when c.id is not null and c.owner_id is distinct from m.owner_id then 'conversation'
                    end as foreign_to,
                -- (Not so: it ended, or moved to another conversation, and the note about it was not read yet.)
                o.in_lane and o.conversation_id = p.lane and a.account is not null as wanted
            from picked o
            join unnest(v_seqs, v_lanes) p (seq, lane) on p.seq = o.seq
            left join unnest(v_accounts, v_fences) a (account, fence) on a.account = o.integration_account_id
                and exists (select from held h where h.account = a.account and h.fence = a.fence)
            left join lateral (
                select t.telegram_id from public.tgworker_outbox_parts t
                where t.message_id = o.message_id and t.part = o.part limit 1
            ) k on true
            left join public.messages m on m.id = o.message_id
            left join public.conversations c on c.id = o.conversation_id
            left join public.contact_identities own
                on own.id = c.primary_identity_id and own.type = 'telegram_user'
            left join public.contact_identities named on named.id = m.identity_id and named.type = 'telegram_user'
        ), judged as materialized (
            select r.*,
                case when r.recipient ~ '^-?[0-9]{1,18}$' then r.recipient::bigint
                    when r.recipient ~ '^[@+]' then public.tgworker_chat_of(r.account, r.recipient) end as chat_id,
                -- (As in tgworker_random_id, which costs more.)
                ('x' || left(encode(sha256(convert_to(
                    'tgworker:' || r.message_id || ':' || r.part, 'UTF8')), 'hex'), 16))
                    ::bit(64)::bigint as random_id,
                case
                    when not r.wanted then null
                    -- The message went away, or is somebody else's now, while it was in flight.
                    when r.external_id is null or r.external_id not like 'local-%' then 'cancelled'
                    when r.expires_at <= v_now and not r.has_begun and r.doubt is null then 'expired'
                    when r.foreign_to is not null or r.recipient is null then case when r.doubt is null then 'dead' else 'unsure' end
                    when f.missing is not null then case when f.missing ? 'until' then 'wait' else 'dead' end
                    else 'sending'
                end as verdict,
                f.missing,
                case when r.doubt is null and not r.has_begun then r.linked else r.files end as carried,
                -- Nothing of it can have left: its parts are made of what the application says now.
                r.doubt is null and not r.has_begun as is_new,
                r.linked is not null or public.tgworker_is_long(r.text, r.asked_mode, p_text_limit) as is_long
            from rows r
            cross join lateral (select case when r.wanted and r.doubt is null and not r.has_begun
                    -- (A message of a type that is neither of these is nothing without a file.)
                    and (r.linked is not null or r.message_type not in ('text', '') and r.message_type not like 'service\_%'
                        or jsonb_typeof(r.asked_files) = 'number' and r.asked_files::text ~ '^([1-9]\d?|100)$')
                then public.tgworker_judge_files(r.asked_files, coalesce(jsonb_array_length(r.linked), 0), r.filed_at,
                    v_now, p_attachments_wait_s) end as missing offset 0) f
        ), claimed as (
            update public.tgworker_outbox o
            set state = 'sending', attempts = o.attempts + 1, fence = j.fence,
                claim = nextval('public.tgworker_claim_tokens'), claimed_at = v_now, not_before = null,
                doubt_since = j.doubt, chat_id = coalesce(p.chat_id, o.chat_id),
                parts = case when not j.is_new then o.parts when not j.is_long then 1 end,
                text_limit = case when j.is_new then p_text_limit else coalesce(o.text_limit, p_text_limit) end,
                parse_mode = case when j.is_new then j.asked_mode else o.parse_mode end,
                long_text = case when not j.is_new then o.long_text when j.is_long then j.text end,
                files = j.carried,
                caption_limit = case when j.carried is null then null when j.is_new then p_caption_limit
                    else coalesce(o.caption_limit, p_caption_limit) end,
                files_until = null,
                error = case when o.error like 'waits for its attachments%' then null else o.error end,
                worker_id = (select h.worker_id from held h where h.account = j.account),
                chat_top_id = case when j.doubt is not null then o.chat_top_id else coalesce((
                    select k.telegram_id from public.tgworker_message_keys k
                    where k.scope = j.account and k.chat_id = coalesce(p.chat_id, o.chat_id)
                    order by k.telegram_id desc limit 1), 0) end
            from judged j left join public.tgworker_peers p
                on p.integration_account_id = j.account and p.chat_id = j.chat_id
            where o.seq = j.seq and j.verdict = 'sending'
            returning o.seq, o.message_id, o.integration_account_id as account, o.conversation_id, j.recipient,
                to_jsonb(p) - '{integration_account_id,avatar_id,avatar_tries,avatar_not_before}'::text[] as peer, coalesce(o.long_text, j.text) as text, o.parse_mode,
                o.text_limit, o.part, o.parts, j.known_id, j.message_type, o.files,
                coalesce(o.caption_limit, p_caption_limit) as caption_limit,
                case when not j.has_begun then extract(epoch from o.expires_at - v_now)::double precision end
                    as expires_in_s, o.attempts, o.claim, o.fence, j.random_id,
                case when j.doubt is not null then jsonb_build_object(
                    'age_s', extract(epoch from v_now - j.doubt), 'top_id', coalesce(o.chat_top_id, 0),
                    'expired', j.expires_at is not null and j.expires_at <= v_now and not j.has_begun) end as doubt
        ), parts as (
            insert into public.tgworker_outbox_parts (message_id, part, random_id)
            select c.message_id, c.part, c.random_id from claimed c
            on conflict do nothing
        ), lanes as (
            update public.tgworker_lanes l
            set integration_account_id = c.account, head_seq = c.seq, fence = c.fence
            from claimed c where l.conversation_id = c.conversation_id
        )
        select
            (select jsonb_agg(jsonb_build_object('message_id', c.message_id, 'account', c.account,
                    'conversation_id', c.conversation_id, 'to', c.recipient, 'peer', c.peer,
                    'text', coalesce(c.text, ''), 'parse_mode', c.parse_mode, 'text_limit', c.text_limit,
                    'part', c.part, 'parts', c.parts, 'known_id', c.known_id,
                    'expires_in_s', c.expires_in_s, 'random_id', c.random_id,
                    'number', c.attempts, 'claim', c.claim, 'doubt', c.doubt, 'message_type', c.message_type,
                    'files', coalesce(c.files, '[]'), 'caption_limit', c.caption_limit,
                    'more_random_ids', case when c.files is null then '[]'::jsonb
                        else public.tgworker_more_random_ids(c.message_id, c.part, jsonb_array_length(c.files)) end
                    ) order by c.seq)
                from claimed c),
            (select array_agg(c.account) from claimed c),
            (select array_agg((j.seq, 0, j.verdict, null, null, null, null,
                    case j.verdict when 'cancelled' then 'withdrawn by the application'
                        when 'expired' then 'it was not sent in time'
                        when 'dead' then coalesce('its ' || j.foreign_to || ' belongs to another owner',
                            j.missing ->> 'error', 'its conversation has no Telegram identity')
                        else format('nobody knows whether Telegram has it, and %s now', coalesce(
                            'its ' || j.foreign_to || ' belongs to another owner',
                            'its conversation has no Telegram identity'))
                    end,
                    j.state = 'sending', false)::public.tgworker_verdict)
                from judged j where j.verdict not in ('sending', 'wait')),
            (select array_agg(j.lane) from judged j where not j.wanted),
            (select jsonb_agg(jsonb_build_object('seq', j.seq, 'lane', j.lane, 'missing', j.missing))
                from judged j where j.verdict = 'wait'),
            (select array_agg(j.seq) from judged j)
        into v_some, v_taken, v_verdicts, v_stray, v_waits, v_judged;
        if v_waits is not null then
            update public.tgworker_outbox o
            set state = 'waiting', not_before = null, files_until = (w.missing ->> 'until')::timestamptz,
                error = w.missing ->> 'error'
            from jsonb_to_recordset(v_waits) w (seq bigint, missing jsonb) where o.seq = w.seq;
            select v_stray || array_agg(w.lane) into v_stray from jsonb_to_recordset(v_waits) w (lane uuid);
        end if;
        if v_some @? '$[*].more_random_ids[*]' then
            insert into public.tgworker_outbox_parts (message_id, part, random_id)
            select a.message_id, a.part + k.n, k.id::bigint
            from jsonb_to_recordset(v_some) a (message_id uuid, part integer, more_random_ids jsonb)
            cross join lateral jsonb_array_elements_text(a.more_random_ids) with ordinality k (id, n)
            on conflict do nothing;
        end if;

        v_attempts := v_attempts || coalesce(v_some, '[]');
        if cardinality(v_seqs) > coalesce(cardinality(v_judged), 0) then
            -- The application holds these rows just now; others are not to wait for it.
            update public.tgworker_lanes l set ready_at = v_now + interval '1 s'
            where l.head_seq = any (v_seqs) and l.head_seq <> all (coalesce(v_judged, '{}')) and l.fence is null
                and l.integration_account_id = any (v_accounts);
        end if;
        perform public.tgworker_relane(v_stray);
        exit when v_verdicts is null and v_waits is null and (v_stray is null or v_round > 1);
        -- What ended has made room for the next of its conversation; what waits has taken no slot.
        perform public.tgworker_apply(v_verdicts, v_now);
        select array_agg(a.account), array_agg(a.fence), array_agg(a.free)
        into v_accounts, v_fences, v_free
        from (
            select a.account, a.fence,
                a.free - coalesce(cardinality(array_positions(v_taken, a.account)), 0) as free
            from unnest(v_accounts, v_fences, v_free) a (account, fence, free)
        ) a where a.free > 0;
    end loop;

    if exists (select from public.tgworker_outbox where cancel_asked_at is not null and state = 'sending') then
        v_withdrawn := array(select o.message_id from public.tgworker_outbox o
            where o.cancel_asked_at is not null and o.state = 'sending' and o.part = 0 and o.doubt_since is null
                and o.message_id = any (p_known));
    end if;
    return jsonb_build_object(
        'attempts', v_attempts, 'withdrawn', to_jsonb(v_withdrawn), 'lost', to_jsonb(coalesce(v_lost, '{}')), 'more', v_more);
end $$;

commit;
