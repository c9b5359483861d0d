-- Logins that the application asks for in `tgworker_login_requests`, and whoever answers them: LoginStore.
--
-- A request belongs to the ticket that has claimed it: a uuid that a worker makes when it begins. What is secret stands
-- in a row only while it is asked for.
begin;
set local lock_timeout = '3s';

create or replace function public.tgworker_keep_login() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        new.state := 'new';
        new.tries_left := null;
        new.error := null;
        new.integration_account_id := null;
        new.ticket := null;
        new.heard_at := null;
        new.told := 0;
        new.ended_at := null;
        new.created_at := coalesce(new.created_at, public.tgworker_now());
    elsif old.ended_at is not null then
        new.state := old.state;
        new.ended_at := old.ended_at;
    else
        -- (Whatever the application writes there: it takes its request back.)
        if new.state is distinct from old.state and new.told <= old.told then
            new.state := 'cancelled';
        end if;
        new.ended_at := case when new.state in ('done', 'failed', 'expired', 'cancelled') then public.tgworker_now() end;
    end if;
    if new.state <> 'code_sent' then
        new.code := null;
    end if;
    if new.state <> 'password_needed' then
        new.password := null;
    end if;
    if new.state not in ('code_sent', 'password_needed') then
        new.hint := null;
    end if;
    if new.state <> 'qr_shown' then
        new.qr_url := null;
        new.qr_expires_at := null;
    end if;
    return new;
end $$;

create or replace trigger tgworker_login_kept before insert or update on public.tgworker_login_requests
    for each row execute function public.tgworker_keep_login();

-- LoginStore.claim_logins: ends what nobody answers any more, removes what ended a week ago, takes what is new.
--
-- p_known  what the ticket holds: another one that is its own was claimed by a call whose answer was lost
-- p_limit  so many are taken; 0: none
-- answer   {"logins": [{"id", "method", "phone", "name", "config"}]}, the oldest first
create or replace function public.tgworker_claim_logins(p_ticket uuid, p_known uuid[], p_limit integer) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_found jsonb;
begin
    with quiet as (
        select r.id, case
            when r.owner_id is null then 'owner_id: it names nobody: write the id of the person whose account it is to be'
            when r.ticket is null
                then 'no worker answered within 5 minutes: see whether one runs, and ask again'
            else 'the worker was restarted: ask again' end as error,
            r.owner_id is not null and r.ticket is null as is_old
        from public.tgworker_login_requests r
        where r.ended_at is null and (r.owner_id is null
            or r.ticket is null and r.created_at < v_now - interval '5 minutes'
            -- Whoever answers looks every second, and is heard of every 20 s. (A ticket that was never heard of, or will be
            -- one day, is no worker's.)
            or r.ticket <> p_ticket and coalesce(r.heard_at not between v_now - interval '90 seconds'
                and v_now + interval '90 seconds', true))
        order by r.id for update skip locked
    )
    update public.tgworker_login_requests r
    set state = case when q.is_old then 'expired' else 'failed' end, told = r.told + 1, error = q.error
    from quiet q where r.id = q.id;
    delete from public.tgworker_login_requests r where r.ended_at < v_now - interval '7 days';
    with fresh as (
        select r.id from public.tgworker_login_requests r
        where r.ended_at is null and (r.ticket is null or r.ticket = p_ticket and r.id <> all (p_known))
        order by r.created_at, r.id limit greatest(p_limit, 0) for update skip locked
    ), taken as (
        update public.tgworker_login_requests r set ticket = p_ticket, heard_at = v_now
        from fresh f where r.id = f.id
        returning r.id, r.method, r.phone, r.name, r.config, r.created_at
    )
    select jsonb_agg(jsonb_build_object('id', t.id, 'method', t.method, 'phone', t.phone, 'name', t.name,
        'config', public.tgworker_config(t.config)) order by t.created_at, t.id)
    into v_found from taken t;
    return jsonb_build_object('logins', coalesce(v_found, '[]'));
end $$;

-- LoginStore.tell_login: what is asked for now. An answer to what was asked before is emptied.
--
-- p_news  {"state", "error", "left", "hint", "qr_url", "qr_lives_s"}
-- answer  {"ours": bool}: false if the request is taken back, removed, or another's
create or replace function public.tgworker_tell_login(p_ticket uuid, p_login uuid, p_news jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
begin
    update public.tgworker_login_requests r
    set state = p_news ->> 'state', told = r.told + 1, error = p_news ->> 'error', tries_left = (p_news ->> 'left')::integer,
        hint = p_news ->> 'hint', qr_url = p_news ->> 'qr_url',
        qr_expires_at = v_now + make_interval(secs => (p_news ->> 'qr_lives_s')::double precision),
        code = null, password = null, heard_at = v_now
    where r.id = p_login and r.ticket = p_ticket and r.ended_at is null;
    return jsonb_build_object('ours', found);
end $$;

-- LoginStore.take_answer, the first half: the answer, if it is there. It stays until tgworker_empty_answer is told that
-- it has arrived, because this one's answer may be lost.
--
-- answer  {"ours": bool, "answer": text or null}
create or replace function public.tgworker_login_answer(p_ticket uuid, p_login uuid) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := public.tgworker_now();
    v_answer text;
    v_heard_at timestamptz;
begin
    select coalesce(r.code, r.password), r.heard_at into v_answer, v_heard_at
    from public.tgworker_login_requests r
    where r.id = p_login and r.ticket = p_ticket and r.ended_at is null;
    if not found then
        return '{"ours": false, "answer": null}';
    end if;
    if v_heard_at < v_now - interval '20 seconds' then
        -- (The application may hold the row: then the next look says it.)
        update public.tgworker_login_requests r set heard_at = v_now
        from (select k.id from public.tgworker_login_requests k where k.id = p_login for no key update skip locked) k
        where r.id = k.id;
    end if;
    return jsonb_build_object('ours', true, 'answer', v_answer);
end $$;

-- LoginStore.take_answer, the second half: the answer has arrived, and stands in the row no more.
--
-- answer  {"ours": bool}
create or replace function public.tgworker_empty_answer(p_ticket uuid, p_login uuid, p_answer text) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    update public.tgworker_login_requests r
    set code = case when r.code is distinct from p_answer then r.code end,
        password = case when r.password is distinct from p_answer then r.password end,
        heard_at = public.tgworker_now()
    where r.id = p_login and r.ticket = p_ticket and r.ended_at is null;
    return jsonb_build_object('ours', found);
end $$;

-- LoginStore.end_login: it came to nothing. One that has ended, or is another's, stays as it is.
create or replace function public.tgworker_end_login(p_ticket uuid, p_login uuid, p_state text, p_error text)
returns void
language sql set search_path = pg_catalog, public, pg_temp
as $$
    update public.tgworker_login_requests r set state = p_state, told = r.told + 1, error = p_error
    where r.id = p_login and r.ticket = p_ticket and r.ended_at is null
$$;

-- LoginStore.store_login: adds the account, or gives it its new session, and ends the request.
--
-- p_id    the id of a new row, made by the caller
-- answer  {"id"}: the account, or null if the request is not ours any more. A repeat is answered with the same one.
--
-- Raises as tgworker_add_account, and 409 `account_refused`.
create or replace function public.tgworker_store_login(
    p_ticket uuid, p_login uuid, p_id uuid, p_secrets text, p_user_id bigint, p_phone text default null) returns jsonb
language plpgsql set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    v_request public.tgworker_login_requests;
    v_account uuid;
begin
    select * into v_request from public.tgworker_login_requests r
    where r.id = p_login and r.ticket = p_ticket for no key update;
    if v_request.integration_account_id is not null or v_request.ended_at is not null or v_request.id is null then
        return jsonb_build_object('id', v_request.integration_account_id);
    end if;
    begin
        v_account := public.tgworker_add_account(
            p_id, v_request.name, v_request.owner_id, p_secrets, p_user_id, p_phone, p_config =>
                case when jsonb_typeof(v_request.config) = 'object' and v_request.config <> '{}' then v_request.config end
            ) ->> 'id';
        if v_request.workspace_id is not null then
            update public.integration_accounts a set workspace_id = v_request.workspace_id where a.id = v_account;
        end if;
    exception
        when integrity_constraint_violation then
            -- (An owner or a workspace that does not exist, where the application's table refers to one.)
            perform public.tgworker_fail(409, 'account_refused', 'the database refuses the account: ' || sqlerrm);
    end;
    update public.tgworker_login_requests r set state = 'done', told = r.told + 1, error = null, integration_account_id = v_account
    where r.id = p_login;
    return jsonb_build_object('id', v_account);
end $$;

commit;
