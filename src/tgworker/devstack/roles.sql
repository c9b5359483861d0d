-- What Supabase prepares in every project before an application's first migration: roles, default privileges,
-- the auth functions that policies call, and PostgREST's watch on the schema. Run as supabase_admin, who is the
-- superuser there; `postgres`, who owns the database and runs migrations, is none.
-- Source: https://github.com/supabase/postgres, migrations/db.

create role anon nologin;
create role authenticated nologin;
create role service_role nologin bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role postgres nosuperuser createdb createrole login replication bypassrls;
-- As the superuser's child there, `postgres` may act for the API roles (grants, `set role` in tests).
grant anon, authenticated, service_role to postgres;
alter role postgres set search_path to "$user", public, extensions;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
-- What counts is the role that logs in: these two bind service_role as well.
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
