-- "Now" is what a test says in a header of its request, or on its connection, else the server's clock.
create or replace function public.tgworker_now() returns timestamptz
language sql volatile set search_path = pg_catalog, public, pg_temp
as $$
    select coalesce(
        (nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-test-now')::timestamptz,
        nullif(current_setting('test.now', true), '')::timestamptz,
        clock_timestamp())
$$;
