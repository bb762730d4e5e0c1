-- AUTH=supabase: people who sign in at the project's Auth. Their account here has the id that the project gave them; what the
-- project gave the server for them is kept sealed with a key that the database doesn't have.

alter table corpuscope.sessions drop constraint sessions_kind_check;
alter table corpuscope.sessions add constraint sessions_kind_check check (kind in ('password', 'oidc', 'supabase', 'guest'));

-- The project's tokens of a session. Refresh tokens are good for one use: whoever renews holds `renewing_until`.
create table corpuscope.project_sessions (
    session_id uuid primary key references corpuscope.sessions (id) on delete cascade,
    tokens bytea not null check (length(tokens) between 29 and 65536),
    renew_at timestamptz not null,
    expires_at timestamptz not null,
    renewing_until timestamptz
);
comment on column corpuscope.project_sessions.tokens is 'AES-GCM with a key of the installation, bound to the session''s id.';

-- A sign-in under way: what has to be remembered until somebody comes back from the project or from their mailbox. The browser has
-- a random id, known here by its hash and good once.
create table corpuscope.sign_in_flows (
    id_hash bytea primary key check (length(id_hash) = 32),
    state bytea not null check (length(state) between 29 and 65536),
    expires_at timestamptz not null
);
create index sign_in_flows_expiry on corpuscope.sign_in_flows (expires_at);

grant select, insert, update, delete on corpuscope.project_sessions, corpuscope.sign_in_flows to corpuscope_accounts;

-- Nobody needs the tokens of a session that has ended, however it ended.
create function corpuscope.forget_project_tokens() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    delete from corpuscope.project_sessions t where t.session_id = new.id;
    return null;
end
$$;
revoke all on function corpuscope.forget_project_tokens() from public;
create trigger forget_project_tokens after update of ended_at on corpuscope.sessions
    for each row when (old.ended_at is null and new.ended_at is not null) execute function corpuscope.forget_project_tokens();

-- Whether auth.users is our stand-in, which only we write to, rather than a Supabase project's own.
create function corpuscope.invents_users() returns boolean
language sql stable set search_path = '' as $$
    select coalesce(obj_description('auth'::regnamespace, 'pg_namespace'), '') like 'Corpuscope stand-in%'
$$;
revoke all on function corpuscope.invents_users() from public;

-- The same as before, but a project's users are made by its Auth: people of another sign-in would be rows there that it can't handle.
create or replace function corpuscope.add_person(
    email text, name text default '', password_hash text default null, issuer text default null, subject text default null,
    as_administrator boolean default false, as_guest boolean default false, id uuid default gen_random_uuid()
) returns uuid
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (select from auth.users u where u.id = add_person.id) then
        if not corpuscope.invents_users() then
            raise exception 'The people of a Supabase project sign in with its own accounts.' using hint = 'Set AUTH=supabase.';
        end if;
        insert into auth.users (id, aud, role, email)
        values (add_person.id, 'authenticated', 'authenticated', lower(trim(add_person.email)))
        on conflict on constraint users_pkey do nothing;
    end if;
    insert into corpuscope.people (user_id, email, name, password_hash, password_changed_at, issuer, subject, is_administrator, is_guest)
    values (
        add_person.id, lower(trim(add_person.email)), trim(add_person.name), add_person.password_hash,
        case when add_person.password_hash is not null then now() end, add_person.issuer, add_person.subject, as_administrator, as_guest
    );
    return add_person.id;
end
$$;

-- An address that changed at the project is its business; only the stand-in follows ours.
create or replace function corpuscope.follow_email() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if corpuscope.invents_users() then
        update auth.users u set email = new.email where u.id = new.user_id;
    end if;
    return null;
end
$$;

-- An account for a user of the project, by the project's id. `former` is an account from before AUTH=supabase, of the same person:
-- whatever refers to it refers to the new one then, and it is gone.
create function corpuscope.admit_person(
    id uuid, email text, name text, issuer text, as_administrator boolean, as_guest boolean, former uuid
) returns void
language plpgsql security definer set search_path = '' as $$
declare
    place record;
    inherits_rights boolean := false;
begin
    if not exists (select from auth.users u where u.id = admit_person.id) and not corpuscope.invents_users() then
        raise exception 'The accounts of SUPABASE_URL are not those of DATABASE_URL''s project.'
            using hint = 'Let both settings name the same project.';
    end if;
    if former is not null then
        select p.is_administrator into inherits_rights from corpuscope.people p where p.user_id = former;
        update corpuscope.people p set email = former || '@former.invalid' where p.user_id = former;
        update corpuscope.sessions s set ended_at = now(), end_reason = 'the account is the Supabase project''s now'
        where s.user_id = former and s.ended_at is null;
    end if;
    perform corpuscope.add_person(
        admit_person.email, admit_person.name, issuer => admit_person.issuer, subject => admit_person.id::text,
        as_administrator => admit_person.as_administrator or coalesce(inherits_rights, false),
        as_guest => admit_person.as_guest, id => admit_person.id
    );
    if former is null then
        return;
    end if;
    for place in
        select c.conrelid::regclass as relation, a.attname as name
        from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
        join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
        where c.contype = 'f' and cardinality(c.conkey) = 1 and n.nspname in ('public', 'corpuscope')
          and c.confrelid in ('auth.users'::regclass, 'corpuscope.people'::regclass)
          and c.conrelid not in ('corpuscope.people'::regclass, 'corpuscope.sessions'::regclass)
          and c.conparentid = 0
    loop
        execute format('update %s set %I = $1 where %I = $2', place.relation, place.name, place.name) using admit_person.id, former;
    end loop;
    update corpuscope.limits l set subject = admit_person.id where l.subject = former;
    update corpuscope.question_counts q set subject = admit_person.id where q.subject = former;
    delete from auth.users u where u.id = former;
end
$$;
revoke all on function corpuscope.admit_person(uuid, text, text, text, boolean, boolean, uuid) from public;
grant execute on function corpuscope.admit_person(uuid, text, text, text, boolean, boolean, uuid) to corpuscope_accounts;

create or replace function corpuscope.forget_old_accounts() returns void
language sql security definer set search_path = '' as $$
    delete from corpuscope.sessions where coalesce(ended_at, expires_at) < now() - interval '30 days';
    delete from corpuscope.project_sessions t using corpuscope.sessions s where s.id = t.session_id and s.expires_at <= now();
    delete from corpuscope.sign_in_flows where expires_at <= now();
    delete from corpuscope.invitations where coalesce(used_at, revoked_at, expires_at) < now() - interval '90 days';
    delete from corpuscope.password_resets where expires_at < now() - interval '7 days';
    delete from corpuscope.throttles where first_at < now() - interval '1 day' and coalesce(blocked_until, now()) <= now();
    delete from auth.users u using corpuscope.people p
    where p.user_id = u.id and p.is_guest and coalesce(p.last_seen_at, p.created_at) < now() - interval '7 days';
$$;
