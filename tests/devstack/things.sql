create table notes (id bigint generated always as identity primary key, owner_id uuid, text text not null);
alter table notes enable row level security;
create policy own_notes on notes for all to authenticated using (owner_id = auth.uid()) with check (owner_id = auth.uid());
insert into notes (owner_id, text) values
  ('00000000-0000-0000-0000-00000000000a', 'hers'), ('00000000-0000-0000-0000-00000000000b', 'his');

create function whoami() returns text language sql stable as 'select current_user::text';

create function only_service() returns text language sql stable as 'select current_user::text';
revoke execute on function only_service() from public, anon, authenticated;

create function write_note(p_text text) returns bigint language sql as
  'insert into notes (text) values (p_text) returning id';

create function nap(p_seconds double precision) returns void language sql as 'select pg_sleep(p_seconds)';
