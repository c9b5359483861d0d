-- Requests of the application to log somebody in, and what the worker answers.

create table tgworker_login_requests (
    id text primary key not null default (lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
        substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    owner_id text,
    workspace_id text,
    method text default 'phone', -- or 'qr'
    phone text,
    name text,
    config text, -- what the account is to run with
    state text default 'new',
    code text, -- the application's answer in state code_sent
    password text, -- and in state password_needed
    hint text, -- where the code is, or what the person wrote to remember his password by
    qr_url text, -- in state qr_shown
    qr_expires_at text,
    tries_left integer,
    error text,
    integration_account_id text, -- once it is done
    ticket text, -- who answers
    heard_at text, -- when he was heard of last
    told integer not null default 0, -- grows with every state that he writes: one that comes without is the application's
    created_at text default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    ended_at text
);
create index tgworker_login_requests_open on tgworker_login_requests (created_at) where ended_at is null;
create index tgworker_login_requests_ended on tgworker_login_requests (ended_at) where ended_at is not null;

-- What is secret stands in a row only while it is asked for; what is ended stays ended.
create trigger tgworker_login_inserted after insert on tgworker_login_requests
begin
    update tgworker_login_requests set state = 'new', code = null, password = null, hint = null, qr_url = null,
        qr_expires_at = null, tries_left = null, error = null, integration_account_id = null, ticket = null,
        heard_at = null, told = new.told + 1, ended_at = null
    where id = new.id;
end;

create trigger tgworker_login_updated after update on tgworker_login_requests
begin
    update tgworker_login_requests set
        state = case when old.ended_at is not null then old.state
            when new.state is old.state or new.told > old.told then new.state
            else 'cancelled' end
    where id = new.id;
    update tgworker_login_requests set
        code = case when state = 'code_sent' then code end,
        password = case when state = 'password_needed' then password end,
        hint = case when state in ('code_sent', 'password_needed') then hint end,
        qr_url = case when state = 'qr_shown' then qr_url end,
        qr_expires_at = case when state = 'qr_shown' then qr_expires_at end,
        ended_at = case when state in ('done', 'failed', 'expired', 'cancelled')
            then coalesce(old.ended_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) end
    where id = new.id;
end;
