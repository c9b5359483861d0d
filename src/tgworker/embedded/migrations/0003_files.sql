-- Files that are to be fetched from Telegram: filed with their messages, in the same transaction.

create table tgworker_files (
    message_id text primary key not null,
    integration_account_id text not null,
    chat_id integer not null, -- marked
    telegram_id integer not null,
    facts text not null, -- what was said of the file when the message came, as JSON
    sent_at real not null,
    is_history integer not null, -- a history had it: it comes after what is new
    state text not null default 'pending' check (state in ('pending', 'done', 'unwanted', 'failed')),
    tries integer not null default 0, -- so many failed
    not_before real,
    error text,
    settled_at real
) without rowid;
create index tgworker_files_wanted on tgworker_files (integration_account_id, is_history, sent_at desc, telegram_id desc)
    where state = 'pending';
create index tgworker_files_settled on tgworker_files (settled_at) where settled_at is not null;

-- (No references: the application's connection may not enforce them.)
create trigger tgworker_file_without_message after delete on messages
begin
    delete from tgworker_files where message_id = old.id;
end;

create trigger tgworker_file_without_account after delete on integration_accounts
begin
    delete from tgworker_files where integration_account_id = old.id;
end;
