-- As on many a real database, and in the embedded store: a message, or a job, may name an account that does not exist.
alter table public.messages drop constraint messages_integration_account_id_fkey;
alter table public.sync_history_jobs drop constraint sync_history_jobs_integration_account_id_fkey;
