-- "Now" is what a test says on its connection, else the server's clock.
create or replace function public.tgworker_now() returns timestamptz
language sql volatile set search_path = pg_catalog, public, pg_temp
as $$ select coalesce(nullif(current_setting('test.now', true), '')::timestamptz, clock_timestamp()) $$;
