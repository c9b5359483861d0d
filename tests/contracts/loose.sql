-- As on many a real database, and in the embedded store: a message may name an account that does not exist.
alter table public.messages drop constraint messages_integration_account_id_fkey;
