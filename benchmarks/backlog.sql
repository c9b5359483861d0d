-- A queue that has been busy for long: %(sent)s sent messages, %(pending)s pending ones over all conversations, and
-- %(behind)s behind one whose head waits for tomorrow. As superuser, and without triggers: it is the state that
-- counts, not the way there.
set session_replication_role = replica;

create function pg_temp.id(p_kind text, p_n bigint) returns uuid language sql immutable as
$$ select ('00000000-0000-4000-' || p_kind || '-' || lpad(p_n::text, 12, '0'))::uuid $$;

insert into integration_accounts (id, owner_id)
select pg_temp.id('8001', n), pg_temp.id('8000', 1) from generate_series(1, 500) n;
insert into contact_identities (id, owner_id, value)
select pg_temp.id('8002', n), pg_temp.id('8000', 1), n from generate_series(1, %(chats)s) n;
insert into conversations (id, owner_id, primary_identity_id)
select pg_temp.id('8003', n), pg_temp.id('8000', 1), pg_temp.id('8002', n) from generate_series(1, %(chats)s) n;
insert into tgworker_peers (integration_account_id, chat_id, kind, access_hash, first_name)
select pg_temp.id('8001', a), n, 'user', n, 'Ada' from generate_series(1, 10) a, generate_series(1, %(chats)s) n;

insert into messages (id, owner_id, conversation_id, integration_account_id, direction, text, external_message_id)
select pg_temp.id('8004', n), pg_temp.id('8000', 1), pg_temp.id('8003', n %% %(chats)s + 1),
    pg_temp.id('8001', n %% %(chats)s %% 10 + 1), 'outbound', 'message ' || n, n
from generate_series(1, %(sent)s) n;
insert into tgworker_outbox (message_id, conversation_id, integration_account_id, local_id, state, attempts, chat_id,
    settled_at, claim, fence)
select m.id, m.conversation_id, m.integration_account_id, 'local-' || m.external_message_id, 'sent', 1, 1, now(), 1, 1
from messages m order by m.id;
insert into tgworker_outbox_parts select pg_temp.id('8004', n), 0, n, n from generate_series(1, %(sent)s) n;

insert into messages (id, owner_id, conversation_id, integration_account_id, direction, text, external_message_id)
select pg_temp.id('8005', n), pg_temp.id('8000', 1), pg_temp.id('8003', n %% %(chats)s + 1),
    pg_temp.id('8001', n %% %(chats)s %% 10 + 1), 'outbound', 'message ' || n, 'local-' || n
from generate_series(1, %(pending)s) n;
insert into messages (id, owner_id, conversation_id, integration_account_id, direction, text, external_message_id)
select pg_temp.id('8006', n), pg_temp.id('8000', 1), pg_temp.id('8003', 1), pg_temp.id('8001', 1), 'outbound',
    'message ' || n, 'local-' || n
from generate_series(1, %(behind)s) n;
insert into tgworker_outbox (message_id, conversation_id, integration_account_id, local_id)
select m.id, m.conversation_id, m.integration_account_id, m.external_message_id from messages m
where m.external_message_id like 'local-%%' order by m.id;
update tgworker_outbox set state = 'deferred', attempts = 1, not_before = now() + interval '1 day'
where seq = (select min(o.seq) from tgworker_outbox o where o.conversation_id = pg_temp.id('8003', 1) and o.in_lane);
select tgworker_relane(array(select id from conversations));
