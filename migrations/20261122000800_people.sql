-- People: who has an account, their sessions, and the links that let somebody in. All of it is private to the product;
-- the app reads it as corpuscope_accounts, a role that sees nothing of anybody's documents.

do $$
begin
    if not exists (select from pg_roles where rolname = 'corpuscope_accounts') then
        create role corpuscope_accounts nologin noinherit;
    end if;
    if not pg_has_role(current_user, 'corpuscope_accounts', 'member') or current_setting('server_version_num')::int >= 160000 then
        execute format('grant corpuscope_accounts to %I', current_user);
    end if;
end
$$;
grant usage on schema corpuscope, public to corpuscope_accounts;

-- Who may sign in. A guest has no e-mail address; the person who works without sign-in has no password.
create table corpuscope.people (
    user_id uuid primary key references auth.users (id) on delete cascade,
    email text check (length(email) between 3 and 320),
    name text not null default '' check (length(name) <= 200),
    password_hash text,
    password_changed_at timestamptz,
    issuer text,
    subject text,
    is_administrator boolean not null default false,
    is_guest boolean not null default false,
    disabled_at timestamptz,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz,
    check (is_guest = (email is null)),
    check (not (is_guest and is_administrator)),
    check ((issuer is null) = (subject is null))
);
comment on column corpuscope.people.subject is 'With issuer: who this is at the OpenID provider.';
create unique index people_email on corpuscope.people (lower(email));
create unique index people_subject on corpuscope.people (issuer, subject) where subject is not null;

-- A browser that is signed in. Only hashes of its token are kept: who reads this table can't sign in with it.
create table corpuscope.sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references corpuscope.people (user_id) on delete cascade,
    kind text not null check (kind in ('password', 'oidc', 'guest')),
    token_hash bytea not null unique check (length(token_hash) = 32),
    former_hash bytea unique,
    rotated_at timestamptz not null default now(),
    seen_at timestamptz,
    device text not null default '' check (length(device) <= 300),
    address text not null default '' check (length(address) <= 64),
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text
);
comment on column corpuscope.sessions.former_hash is
    'The token before the last rotation: good until the new one was seen and a moment longer; seen later, it was stolen.';
comment on column corpuscope.sessions.seen_at is 'When the present token first came back; an answer that carries one can get lost.';
create index sessions_open on corpuscope.sessions (user_id) where ended_at is null;

-- One-time links: into the installation, into a collection, or both. The token is known by its hash only.
create table corpuscope.invitations (
    id uuid primary key default gen_random_uuid(),
    token_hash bytea not null unique check (length(token_hash) = 32),
    email text check (length(email) between 3 and 320),
    collection_id uuid references public.collections (id) on delete cascade,
    role text check (role in ('viewer', 'editor', 'owner')),
    as_administrator boolean not null default false,
    invited_by uuid references corpuscope.people (user_id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '7 days',
    used_at timestamptz,
    used_by uuid,
    revoked_at timestamptz,
    check ((collection_id is null) = (role is null))
);
create index invitations_collection on corpuscope.invitations (collection_id);

create table corpuscope.password_resets (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references corpuscope.people (user_id) on delete cascade,
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day',
    used_at timestamptz
);
create index password_resets_user on corpuscope.password_resets (user_id);

-- Failures by what is being guessed (an e-mail address, known or not) and by who guesses (a network address).
create table corpuscope.throttles (
    key bytea primary key,
    failures int not null default 0,
    first_at timestamptz not null default now(),
    blocked_until timestamptz
);

grant select, insert, update, delete on corpuscope.sessions, corpuscope.invitations, corpuscope.password_resets,
    corpuscope.throttles to corpuscope_accounts;
grant select, update on corpuscope.people to corpuscope_accounts;

-- A person and the row in auth.users that everything else refers to; the id. Names somebody without sign-in by `id`.
create function corpuscope.add_person(
    email text, name text default '', password_hash text default null, issuer text default null, subject text default null,
    as_administrator boolean default false, as_guest boolean default false, id uuid default gen_random_uuid()
) returns uuid
language plpgsql security definer set search_path = '' as $$
begin
    insert into auth.users (id, aud, role, email) values (add_person.id, 'authenticated', 'authenticated', lower(trim(add_person.email)))
    on conflict on constraint users_pkey do nothing;
    insert into corpuscope.people (user_id, email, name, password_hash, password_changed_at, issuer, subject, is_administrator, is_guest)
    values (
        add_person.id, lower(trim(add_person.email)), trim(add_person.name), add_person.password_hash,
        case when add_person.password_hash is not null then now() end, add_person.issuer, add_person.subject, as_administrator, as_guest
    );
    return add_person.id;
end
$$;
revoke all on function corpuscope.add_person(text, text, text, text, text, boolean, boolean, uuid) from public;
grant execute on function corpuscope.add_person(text, text, text, text, text, boolean, boolean, uuid) to corpuscope_accounts;

-- An address change reaches auth.users too; other columns are the accounts' own.
create function corpuscope.follow_email() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update auth.users u set email = new.email where u.id = new.user_id;
    return null;
end
$$;
create trigger follow_email after update of email on corpuscope.people
    for each row when (old.email is distinct from new.email) execute function corpuscope.follow_email();

-- Who is asking; null for somebody whose account was closed, whatever claims still name them. Policies call this and the
-- next ones wrapped in a sub-select: once a query.
create function corpuscope.caller() returns uuid
language sql stable security definer set search_path = '' as $$
    select auth.uid()
    where not exists (select from corpuscope.people p where p.user_id = auth.uid() and p.disabled_at is not null)
$$;

create function corpuscope.is_administrator() returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from corpuscope.people p where p.user_id = auth.uid() and p.is_administrator and p.disabled_at is null
    )
$$;

create function corpuscope.is_guest() returns boolean
language sql stable security definer set search_path = '' as $$
    select coalesce((auth.jwt() ->> 'is_anonymous')::boolean, false)
        or exists (select from corpuscope.people p where p.user_id = auth.uid() and p.is_guest)
$$;
revoke all on function corpuscope.caller(), corpuscope.is_administrator(), corpuscope.is_guest() from public;
grant execute on function corpuscope.caller(), corpuscope.is_administrator(), corpuscope.is_guest() to authenticated, service_role;

-- Somebody who was shut out has no session any more, whoever did it and however.
create function corpuscope.end_sessions_of_disabled() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update corpuscope.sessions s set ended_at = now(), end_reason = 'the account was closed'
    where s.user_id = new.user_id and s.ended_at is null;
    return null;
end
$$;
create trigger end_sessions_of_disabled after update of disabled_at on corpuscope.people
    for each row when (old.disabled_at is null and new.disabled_at is not null) execute function corpuscope.end_sessions_of_disabled();

-- Nor does an invitation outlive the right of whoever made it: it would be a way back in. Those into a collection also go
-- with its ownership, see the next migrations.
create function corpuscope.withdraw_invitations() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update corpuscope.invitations i set revoked_at = now()
    where i.invited_by = new.user_id and i.used_at is null and i.revoked_at is null
      and (new.disabled_at is not null or i.collection_id is null);
    return null;
end
$$;
create trigger withdraw_invitations after update of is_administrator, disabled_at on corpuscope.people
    for each row when ((old.is_administrator and not new.is_administrator) or (old.disabled_at is null and new.disabled_at is not null))
    execute function corpuscope.withdraw_invitations();

-- What nobody needs any more: old sessions, links and counts of failures, and guests who did not come back.
create function corpuscope.forget_old_accounts() returns void
language sql security definer set search_path = '' as $$
    delete from corpuscope.sessions where coalesce(ended_at, expires_at) < now() - interval '30 days';
    delete from corpuscope.invitations where coalesce(used_at, revoked_at, expires_at) < now() - interval '90 days';
    delete from corpuscope.password_resets where expires_at < now() - interval '7 days';
    delete from corpuscope.throttles where first_at < now() - interval '1 day' and coalesce(blocked_until, now()) <= now();
    delete from auth.users u using corpuscope.people p
    where p.user_id = u.id and p.is_guest and coalesce(p.last_seen_at, p.created_at) < now() - interval '7 days';
$$;
revoke all on function corpuscope.forget_old_accounts() from public;
grant execute on function corpuscope.forget_old_accounts() to corpuscope_worker;
