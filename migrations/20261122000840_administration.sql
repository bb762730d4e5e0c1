-- What an administrator may do, and what each person may do with their own sessions. Every function asks the database who
-- the caller is. Administrators see people, sizes and counts; other people's documents they see only where shared.

create function corpuscope.require_administrator() returns void
language plpgsql stable security definer set search_path = '' as $$
begin
    if not corpuscope.is_administrator() then
        raise exception 'Only administrators can do that.' using errcode = 'insufficient_privilege';
    end if;
end
$$;
revoke all on function corpuscope.require_administrator() from public;

create function public.list_people()
returns table (
    user_id uuid, email text, name text, is_administrator boolean, disabled_at timestamptz, created_at timestamptz,
    last_seen_at timestamptz, sign_in text, sessions int, collections int, files int, bytes bigint, questions_today int
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
    perform corpuscope.require_administrator();
    return query
    select p.user_id, p.email, p.name, p.is_administrator, p.disabled_at, p.created_at, p.last_seen_at,
           case when p.subject is not null then 'provider' when p.password_hash is not null then 'password' else 'none' end,
           (select count(*)::int from corpuscope.sessions s where s.user_id = p.user_id and s.ended_at is null and s.expires_at > now()),
           (select count(*)::int from public.collection_members m where m.user_id = p.user_id),
           held.files, held.bytes,
           coalesce((
               select q.questions from corpuscope.question_counts q
               where q.day = (now() at time zone 'UTC')::date and q.scope = 'person' and q.subject = p.user_id
           ), 0)
    from corpuscope.people p
    cross join lateral (
        select count(*)::int as files, coalesce(sum(d.size), 0)::bigint as bytes from public.documents d where d.created_by = p.user_id
    ) as held
    where not p.is_guest
    order by lower(p.email);
end
$$;

-- Somebody must be left who can open doors again.
create function corpuscope.keep_an_administrator() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Two who resign at the same moment would each count on the other: they take turns.
    perform pg_advisory_xact_lock(hashtext('corpuscope administrators'));
    -- Once people sign in, it has to be somebody who can: the local user alone, who is made again at every start, can't.
    if not exists (
        select from corpuscope.people p
        where p.is_administrator and p.disabled_at is null and (
            p.password_hash is not null or p.subject is not null
            or not exists (select from corpuscope.people o where o.password_hash is not null or o.subject is not null)
        )
    ) then
        raise exception 'Somebody has to be administrator.' using hint = 'Make somebody else administrator first.';
    end if;
    return null;
end
$$;
create trigger keep_an_administrator_on_update after update of is_administrator, disabled_at on corpuscope.people
    for each row when (old.is_administrator and (not new.is_administrator or new.disabled_at is not null))
    execute function corpuscope.keep_an_administrator();
create trigger keep_an_administrator_on_delete after delete on corpuscope.people
    for each row when (old.is_administrator) execute function corpuscope.keep_an_administrator();

create function public.set_administrator(person uuid, administrator boolean) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.require_administrator();
    update corpuscope.people p set is_administrator = administrator where p.user_id = person and not p.is_guest;
    if not found then
        raise exception 'That person has no account here.';
    end if;
end
$$;

-- Closes an account, which ends its sessions at once, or opens it again. Nothing of the person's is deleted.
create function public.set_account_open(person uuid, open boolean) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.require_administrator();
    if person = auth.uid() and not open then
        raise exception 'You can''t close your own account.' using hint = 'Ask another administrator.';
    end if;
    update corpuscope.people p set disabled_at = case when open then null else coalesce(p.disabled_at, now()) end
    where p.user_id = person and not p.is_guest;
    if not found then
        raise exception 'That person has no account here.';
    end if;
end
$$;

-- What goes when an account is deleted, and what passes to the administrator who does it.
create function public.describe_person_removal(person uuid)
returns table (inherited_collections text[], left_collections int, chats int, sessions int, files int, invitations int)
language plpgsql stable security definer set search_path = '' as $$
begin
    perform corpuscope.require_administrator();
    return query
    select (
               select coalesce(array_agg(c.name order by c.name), '{}') from public.collection_members m
               join public.collections c on c.id = m.collection_id
               where m.user_id = person and m.role = 'owner' and not exists (
                   select from public.collection_members o where o.collection_id = m.collection_id and o.role = 'owner' and o.user_id <> person
               )
           ),
           (
               select count(*)::int from public.collection_members m
               where m.user_id = person and (m.role <> 'owner' or exists (
                   select from public.collection_members o where o.collection_id = m.collection_id and o.role = 'owner' and o.user_id <> person
               ))
           ),
           (select count(*)::int from public.chats h where h.created_by = person),
           (select count(*)::int from corpuscope.sessions s where s.user_id = person and s.ended_at is null and s.expires_at > now()),
           (select count(*)::int from public.documents d where d.created_by = person),
           (
               select count(*)::int from corpuscope.invitations i
               where i.invited_by = person and i.used_at is null and i.revoked_at is null and i.expires_at > now()
           );
end
$$;

create function public.delete_person(person uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    inherited uuid[];
begin
    perform corpuscope.require_administrator();
    if person = auth.uid() then
        raise exception 'You can''t delete your own account.' using hint = 'Ask another administrator.';
    elsif not exists (select from corpuscope.people p where p.user_id = person) then
        raise exception 'That person has no account here.';
    end if;
    inherited := array(
        select o.collection_id from public.collection_members o
        where o.user_id = person and o.role = 'owner' and not exists (
            select from public.collection_members x where x.collection_id = o.collection_id and x.role = 'owner' and x.user_id <> person
        )
    );
    insert into public.collection_members as m (collection_id, user_id, role) select c, auth.uid(), 'owner' from unnest(inherited) c
    on conflict on constraint collection_members_pkey do update set role = 'owner';
    perform corpuscope.note('inherited', c, corpuscope.email_of(person)) from unnest(inherited) c;
    delete from auth.users u where u.id = person;
end
$$;

-- An invitation into the installation, with the hash of its link's token.
create function public.invite_person(email text, as_administrator boolean, token_hash bytea) returns uuid
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
    address constant text := nullif(lower(trim(email)), '');
    made uuid;
begin
    perform corpuscope.require_administrator();
    if address !~ '^[^@\s]+@[^@\s]+$' or length(address) > 320 then
        raise exception 'That is not an e-mail address.';
    elsif as_administrator and address is null then
        raise exception 'An invitation to be administrator needs an e-mail address.';
    elsif exists (select from corpuscope.people p where lower(p.email) = address) then
        raise exception 'That person has an account already.';
    end if;
    insert into corpuscope.invitations (token_hash, email, as_administrator, invited_by)
    values (token_hash, address, as_administrator, auth.uid()) returning id into made;
    return made;
end
$$;

-- A link to choose a new password, for somebody who forgot theirs; links made before stop working.
create function public.make_password_reset(person uuid, token_hash bytea) returns void
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
begin
    perform corpuscope.require_administrator();
    if not exists (select from corpuscope.people p where p.user_id = person and p.password_hash is not null) then
        raise exception 'That person doesn''t sign in with a password.';
    end if;
    update corpuscope.password_resets r set used_at = now() where r.user_id = person and r.used_at is null;
    insert into corpuscope.password_resets (token_hash, user_id, created_by) values (token_hash, person, auth.uid());
    perform corpuscope.note('password reset link made', null, corpuscope.email_of(person));
end
$$;

-- Sessions: everybody's own; an administrator names somebody else.
create function public.list_sessions(person uuid default null)
returns table (
    id uuid, user_id uuid, kind text, device text, address text, created_at timestamptz, last_seen_at timestamptz,
    expires_at timestamptz, is_this boolean
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
    whose constant uuid := coalesce(person, auth.uid());
begin
    if whose is distinct from auth.uid() then
        perform corpuscope.require_administrator();
    end if;
    return query
    select s.id, s.user_id, s.kind, s.device, s.address, s.created_at, s.last_seen_at, s.expires_at,
           s.id::text is not distinct from (auth.jwt() ->> 'session_id')
    from corpuscope.sessions s
    where s.user_id = whose and s.ended_at is null and s.expires_at > now()
    order by s.last_seen_at desc;
end
$$;

create function public.end_session(session uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    owner uuid;
begin
    update corpuscope.sessions s set ended_at = now(), end_reason = case when s.user_id = auth.uid() then 'signed out' else 'ended by an administrator' end
    where s.id = session and s.ended_at is null and (s.user_id = auth.uid() or corpuscope.is_administrator())
    returning s.user_id into owner;
    if owner is null then
        return false;
    end if;
    perform corpuscope.note(case when owner = auth.uid() then 'signed out' else 'session ended' end, null, corpuscope.email_of(owner));
    return true;
end
$$;

-- Signs somebody out everywhere; `keep` is a session to spare. How many ended.
create function public.end_sessions(person uuid default null, keep uuid default null) returns int
language plpgsql security definer set search_path = '' as $$
declare
    whose constant uuid := coalesce(person, auth.uid());
    n int;
begin
    if whose is distinct from auth.uid() then
        perform corpuscope.require_administrator();
    end if;
    if whose is null then
        return 0;
    end if;
    update corpuscope.sessions s set ended_at = now(), end_reason = 'signed out everywhere'
    where s.user_id = whose and s.ended_at is null and s.id is distinct from keep;
    get diagnostics n = row_count;
    perform corpuscope.note('signed out everywhere', null, corpuscope.email_of(whose), jsonb_build_object('sessions', n));
    return n;
end
$$;

create function public.list_limits()
returns table (scope text, subject uuid, name text, files int, bytes bigint, questions_per_day int)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
    perform corpuscope.require_administrator();
    return query
    select l.scope, l.subject,
           case when l.subject is null then '' when l.scope = 'collection' then (select c.name from public.collections c where c.id = l.subject)
           else corpuscope.email_of(l.subject) end,
           l.files, l.bytes, l.questions_per_day
    from corpuscope.limits l
    order by l.subject is not null, l.scope, 3;
end
$$;

-- The limits of one person or collection, or without a subject the default; all three null and a subject: back to the default.
create function public.set_limits(scope text, subject uuid, files int, bytes bigint, questions_per_day int) returns void
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
begin
    perform corpuscope.require_administrator();
    if scope not in ('person', 'guest', 'collection') or (scope = 'guest' and subject is not null) then
        raise exception 'Limits are a person''s, a collection''s, or those of all guests.';
    elsif least(files, bytes, questions_per_day) < 0 then
        raise exception 'A limit is not negative.';
    elsif subject is not null and not exists (
        select from corpuscope.people p where scope = 'person' and p.user_id = subject and not p.is_guest
        union all select from public.collections c where scope = 'collection' and c.id = subject
    ) then
        raise exception 'There is no such person or collection.';
    end if;
    delete from corpuscope.limits l where l.scope = set_limits.scope and l.subject is not distinct from set_limits.subject;
    if subject is null or coalesce(files, bytes, questions_per_day) is not null then
        insert into corpuscope.limits (scope, subject, files, bytes, questions_per_day) values (scope, subject, files, bytes, questions_per_day);
    end if;
    perform corpuscope.note(
        'limits changed', case when scope = 'collection' then subject end,
        case when subject is null then 'every ' || scope when scope = 'collection' then '' else corpuscope.email_of(subject) end,
        jsonb_build_object('files', files, 'bytes', bytes, 'questions a day', questions_per_day)
    );
end
$$;

-- What was granted to or counted for somebody or something that is gone means nothing any more.
create function corpuscope.forget_limits() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    gone constant uuid := (to_jsonb(old) ->> tg_argv[0])::uuid;
begin
    delete from corpuscope.limits l where l.subject = gone;
    delete from corpuscope.question_counts q where q.subject = gone;
    return null;
end
$$;
create trigger forget_limits after delete on corpuscope.people
    for each row execute function corpuscope.forget_limits('user_id');
create trigger forget_limits after delete on public.collections
    for each row execute function corpuscope.forget_limits('id');

-- Collections by name and size, so that limits can be set and public ones be seen; not what is in them.
create function public.list_all_collections()
returns table (id uuid, name text, owners text[], members int, is_public boolean, files int, bytes bigint, questions_today int)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
    perform corpuscope.require_administrator();
    return query
    select c.id, c.name,
           (select array_agg(corpuscope.email_of(m.user_id) order by 1) from public.collection_members m where m.collection_id = c.id and m.role = 'owner'),
           (select count(*)::int from public.collection_members m where m.collection_id = c.id), c.is_public,
           held.files, held.bytes,
           coalesce((
               select q.questions from corpuscope.question_counts q
               where q.day = (now() at time zone 'UTC')::date and q.scope = 'collection' and q.subject = c.id
           ), 0)
    from public.collections c
    cross join lateral (
        select count(*)::int as files, coalesce(sum(d.size), 0)::bigint as bytes from public.documents d where d.collection_id = c.id
    ) as held
    order by lower(c.name);
end
$$;

-- What others call the caller, beside the e-mail address, which stays.
create function public.set_my_name(name text) returns void
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
    tidy constant text := trim(regexp_replace(coalesce(name, ''), '[[:cntrl:][:space:]]+', ' ', 'g'));
    before text;
    address text;
begin
    if length(tidy) > 200 then
        raise exception 'A name has 200 characters at most.';
    end if;
    select p.name, p.email into before, address from corpuscope.people p
    where p.user_id = auth.uid() and not p.is_guest and p.disabled_at is null for update;
    if not found then
        raise exception 'You have no account here.' using errcode = 'insufficient_privilege';
    elsif before <> tidy then
        update corpuscope.people p set name = tidy where p.user_id = auth.uid();
        perform corpuscope.note('name changed', null, address, jsonb_build_object('name', tidy, 'before', before));
    end if;
end
$$;

-- An administrator takes the list of activity out: that is an export too.
create function public.note_list_export(what text, rows int default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.require_administrator();
    perform corpuscope.note('exported', null, left(what, 200), jsonb_strip_nulls(jsonb_build_object('rows', rows)));
end
$$;

revoke all on function public.list_people(), public.set_administrator(uuid, boolean), public.set_account_open(uuid, boolean),
    public.describe_person_removal(uuid), public.delete_person(uuid), public.invite_person(text, boolean, bytea),
    public.make_password_reset(uuid, bytea), public.list_sessions(uuid), public.end_session(uuid), public.end_sessions(uuid, uuid),
    public.list_limits(), public.set_limits(text, uuid, int, bigint, int), public.list_all_collections(), public.set_my_name(text),
    public.note_list_export(text, int) from public;
grant execute on function public.list_people(), public.set_administrator(uuid, boolean), public.set_account_open(uuid, boolean),
    public.describe_person_removal(uuid), public.delete_person(uuid), public.invite_person(text, boolean, bytea),
    public.make_password_reset(uuid, bytea), public.list_sessions(uuid), public.end_session(uuid), public.end_sessions(uuid, uuid),
    public.list_limits(), public.set_limits(text, uuid, int, bigint, int), public.list_all_collections(), public.set_my_name(text),
    public.note_list_export(text, int) to authenticated, service_role;

-- Functions are open to everybody unless that is taken back, those of triggers too; and whoever may make a temporary table
-- may hang a trigger on it that runs with the rights of its owner, on rows of their choice. So neither is left open.
revoke all on all functions in schema corpuscope from public;
do $$
begin
    execute format('revoke temporary on database %I from public', current_database());
end
$$;
