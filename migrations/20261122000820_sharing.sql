-- Sharing a collection: members, invitations, and public ones that anybody may read.

alter table public.collections add column is_public boolean not null default false;
comment on column public.collections.is_public is 'Whether everybody, guests included, may read, search and ask it.';
create index collections_public on public.collections (id) where is_public;
grant update (is_public) on public.collections to authenticated;

-- Where the caller is a member, whatever the role. Public collections tell nobody who their members are.
create function corpuscope.member_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select array(select m.collection_id from public.collection_members m where m.user_id = (select corpuscope.caller()))
$$;
revoke all on function corpuscope.member_collections() from public;
grant execute on function corpuscope.member_collections() to authenticated, service_role;

-- Those and the public ones, some twice: taking these out would cost more than all the rest. Somebody whose account was
-- closed sees nothing, also where work goes on for them.
create or replace function corpuscope.viewable_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select case
        when auth.uid() is null or exists (select from corpuscope.people p where p.user_id = auth.uid() and p.disabled_at is not null) then '{}'
        else array(select m.collection_id from public.collection_members m where m.user_id = auth.uid())
            || array(select c.id from public.collections c where c.is_public)
    end
$$;

create or replace function corpuscope.may_view(collection uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select auth.uid() is not null
        and not exists (select from corpuscope.people p where p.user_id = auth.uid() and p.disabled_at is not null)
        and (
            exists (select from public.collection_members m where m.collection_id = may_view.collection and m.user_id = auth.uid())
            or exists (select from public.collections c where c.id = may_view.collection and c.is_public)
        )
$$;

-- How many chunks an index has, from the lexical counters if it has any; null for those who may not see it.
create or replace function corpuscope.index_size(index_id bigint) returns bigint
language sql stable security definer set search_path = '' as $$
    select coalesce(
        nullif((select sum(t.chunks) from corpuscope.lexical_totals t where t.index_id = i.id::int), 0),
        (select sum(d.embedded_count) from public.index_documents d where d.index_id = i.id), 0
    )::bigint
    from public.indexes i
    where i.id = $1 and corpuscope.may_view(i.collection_id)
$$;

create or replace function corpuscope.editable_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(m.collection_id), '{}') from public.collection_members m
    where m.user_id = auth.uid() and m.role in ('editor', 'owner')
      and not exists (select from corpuscope.people p where p.user_id = m.user_id and p.disabled_at is not null)
$$;

create or replace function corpuscope.owned_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(m.collection_id), '{}') from public.collection_members m
    where m.user_id = auth.uid() and m.role = 'owner'
      and not exists (select from corpuscope.people p where p.user_id = m.user_id and p.disabled_at is not null)
$$;

drop policy "members see who else is in" on public.collection_members;
create policy "members see who else is in" on public.collection_members for select to authenticated
    using (collection_id = any ((select corpuscope.member_collections())::uuid[]));

drop policy "owners remove members, and anyone leaves" on public.collection_members;
create policy "owners remove members, and anyone leaves" on public.collection_members for delete to authenticated
    using (collection_id = any ((select corpuscope.owned_collections())::uuid[]) or user_id = (select corpuscope.caller()));

-- A chat is changed by whoever sees it; the policies so far asked only whose it is.
drop policy "people rename their chats" on public.chats;
create policy "people rename their chats" on public.chats for update to authenticated
    using (id = any ((select corpuscope.visible_chats())::uuid[])) with check (created_by = (select corpuscope.caller()));
drop policy "people delete their chats" on public.chats;
create policy "people delete their chats" on public.chats for delete to authenticated
    using (id = any ((select corpuscope.visible_chats())::uuid[]));

drop policy "members see what failed" on public.failed_jobs;
create policy "members see what failed" on public.failed_jobs for select to authenticated
    using (collection_id = any ((select corpuscope.member_collections())::uuid[]));

-- Who is in a thousand collections: `= any (array)` compares each row with all of them, and sorts them again for each of a
-- thousand look-ups (their list took 120 ms); a sub-select is hashed once a query (6 ms). So from here on policies say
-- `in (select unnest((select f())))`.
do $$
declare
    p record;
    pattern constant text := '= ANY \(\( SELECT (corpuscope\.\w+\(\)) AS \w+\)::uuid\[\]\)';
    hashed constant text := 'in (select unnest((select \1)))';
begin
    for p in
        select y.schemaname, y.tablename, y.policyname, y.cmd, regexp_replace(y.qual, pattern, hashed, 'g') as qual,
               regexp_replace(y.with_check, pattern, hashed, 'g') as with_check
        from pg_policies y where y.schemaname = 'public' and coalesce(y.qual, '') || coalesce(y.with_check, '') ~ pattern
    loop
        execute format('alter policy %I on %I.%I', p.policyname, p.schemaname, p.tablename)
            || coalesce(' using (' || p.qual || ')', '') || coalesce(' with check (' || p.with_check || ')', '');
    end loop;
end
$$;
create or replace function corpuscope.visible_chats() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(h.id), '{}') from public.chats h
    where h.created_by = (select auth.uid()) and h.collection_id in (select unnest((select corpuscope.viewable_collections())))
$$;

-- Guests read and ask, nothing else: whatever way they try. Somebody whose account was closed does nothing.
create function corpuscope.refuse_guests() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if corpuscope.is_guest() then
        raise exception 'Guests can read and ask, but not make collections.' using errcode = 'insufficient_privilege';
    elsif auth.uid() is not null and corpuscope.caller() is null then
        raise exception 'This account was closed.' using errcode = 'insufficient_privilege', hint = 'Ask an administrator.';
    end if;
    return new;
end
$$;
create trigger refuse_guests before insert on public.collections for each row execute function corpuscope.refuse_guests();

-- Members are people with an account that is open; a guest is nobody to share with.
create function corpuscope.refuse_odd_members() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from corpuscope.people p where p.user_id = new.user_id and (p.is_guest or p.disabled_at is not null)) then
        raise exception 'That person can''t be given access: the account is closed, or a guest''s.';
    end if;
    return new;
end
$$;
create trigger refuse_odd_members before insert on public.collection_members
    for each row execute function corpuscope.refuse_odd_members();

create function corpuscope.note_publication() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.note(case when new.is_public then 'made public' else 'made private' end, new.id, new.name);
    return null;
end
$$;
create trigger note_publication after update of is_public on public.collections
    for each row when (old.is_public <> new.is_public) execute function corpuscope.note_publication();

-- With the right to invite goes what was invited: else it would be a way back in. New invitations are an owner's to make.
create function corpuscope.withdraw_owners_invitations() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update corpuscope.invitations i set revoked_at = now()
    where i.collection_id = old.collection_id and i.invited_by = old.user_id and i.used_at is null and i.revoked_at is null
      and exists (select from public.collections c where c.id = old.collection_id);
    return null;
end
$$;
create trigger withdraw_invitations_on_update after update of role on public.collection_members
    for each row when (old.role = 'owner' and new.role <> 'owner') execute function corpuscope.withdraw_owners_invitations();
create trigger withdraw_invitations_on_delete after delete on public.collection_members
    for each row when (old.role = 'owner') execute function corpuscope.withdraw_owners_invitations();

-- Two owners who leave at the same moment would each count on the other: they take turns.
create or replace function corpuscope.keep_an_owner() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.collections c where c.id in (select g.collection_id from gone g) order by c.id for no key update;
    if exists (
        select from (select distinct collection_id from gone) g
        join public.collections c on c.id = g.collection_id
        where not exists (
            select from public.collection_members m where m.collection_id = g.collection_id and m.role = 'owner'
        )
    ) then
        raise exception 'A collection needs at least one owner.' using errcode = 'check_violation';
    end if;
    return null;
end
$$;

-- Who has access to a collection, for its members.
create function public.collection_people(collection uuid)
returns table (user_id uuid, email text, name text, role text, since timestamptz)
language sql stable security definer set search_path = '' as $$
    select m.user_id, coalesce(p.email, u.email, ''), coalesce(p.name, ''), m.role, m.created_at
    from public.collection_members m
    join auth.users u on u.id = m.user_id
    left join corpuscope.people p on p.user_id = m.user_id
    where m.collection_id = collection and collection = any ((select corpuscope.member_collections())::uuid[])
    order by array_position(array ['owner', 'editor', 'viewer'], m.role), 2
$$;

-- Gives somebody access by e-mail address: 'added' or 'changed' where there is an account, else 'invited': then the link
-- whose token has this hash lets them in. Owners only.
create function public.share_collection(collection uuid, email text, role text, token_hash bytea) returns text
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
    address constant text := lower(trim(email));
    person uuid;
    before text;
begin
    if collection is null or collection <> all (corpuscope.owned_collections()) then
        raise exception 'Only owners share a collection.' using errcode = 'insufficient_privilege';
    elsif role is null or role not in ('viewer', 'editor', 'owner') then
        raise exception 'A role is viewer, editor or owner.';
    elsif address is null or address !~ '^[^@\s]+@[^@\s]+$' or length(address) > 320 then
        raise exception 'That is not an e-mail address.';
    end if;
    select p.user_id into person from corpuscope.people p where lower(p.email) = address and p.disabled_at is null;
    if person is not null then
        select m.role into before from public.collection_members m where m.collection_id = collection and m.user_id = person;
        if before is not null then
            update public.collection_members m set role = share_collection.role where m.collection_id = collection and m.user_id = person;
            return 'changed';
        end if;
        insert into public.collection_members (collection_id, user_id, role) values (collection, person, role);
        return 'added';
    end if;
    update corpuscope.invitations i set revoked_at = now()
    where i.collection_id = collection and lower(i.email) = address and i.used_at is null and i.revoked_at is null;
    insert into corpuscope.invitations (token_hash, email, collection_id, role, invited_by)
    values (token_hash, address, collection, role, auth.uid());
    return 'invited';
end
$$;

-- A one-time link into a collection for whoever has it. Owners only, and it never makes an owner.
create function public.share_by_link(collection uuid, role text, token_hash bytea) returns uuid
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
    made uuid;
begin
    if collection is null or collection <> all (corpuscope.owned_collections()) then
        raise exception 'Only owners share a collection.' using errcode = 'insufficient_privilege';
    elsif role is null or role not in ('viewer', 'editor') then
        raise exception 'A link makes viewers or editors.';
    end if;
    insert into corpuscope.invitations (token_hash, collection_id, role, invited_by) values (token_hash, collection, role, auth.uid())
    returning id into made;
    return made;
end
$$;

-- Invitations that may still be used: of the collections that the caller owns; an administrator sees all.
create function public.open_invitations(collection uuid default null)
returns table (
    id uuid, email text, collection_id uuid, collection_name text, role text, as_administrator boolean, invited_by text,
    created_at timestamptz, expires_at timestamptz
)
language sql stable security definer set search_path = '' as $$
    select i.id, i.email, i.collection_id, c.name, i.role, i.as_administrator, corpuscope.email_of(i.invited_by), i.created_at, i.expires_at
    from corpuscope.invitations i left join public.collections c on c.id = i.collection_id
    where i.used_at is null and i.revoked_at is null and i.expires_at > now()
      and (open_invitations.collection is null or i.collection_id = open_invitations.collection)
      and (i.collection_id = any ((select corpuscope.owned_collections())::uuid[]) or (select corpuscope.is_administrator()))
    order by i.created_at desc
$$;

create function public.revoke_invitation(invitation uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update corpuscope.invitations i set revoked_at = now()
    where i.id = invitation and i.used_at is null and i.revoked_at is null
      and (i.collection_id = any (corpuscope.owned_collections()) or corpuscope.is_administrator());
    return found;
end
$$;

-- Another member becomes owner in the caller's place, who stays as editor.
create function public.transfer_collection(collection uuid, new_owner uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if collection is null or collection <> all (corpuscope.owned_collections()) then
        raise exception 'Only owners pass a collection on.' using errcode = 'insufficient_privilege';
    elsif new_owner = auth.uid() then
        raise exception 'You own it already.';
    end if;
    update public.collection_members m set role = 'owner' where m.collection_id = collection and m.user_id = new_owner;
    if not found then
        raise exception 'Share the collection with that person first.';
    end if;
    update public.collection_members m set role = 'editor' where m.collection_id = collection and m.user_id = auth.uid();
end
$$;

revoke all on function public.collection_people(uuid), public.share_collection(uuid, text, text, bytea),
    public.share_by_link(uuid, text, bytea), public.open_invitations(uuid), public.revoke_invitation(uuid),
    public.transfer_collection(uuid, uuid) from public;
grant execute on function public.collection_people(uuid), public.share_collection(uuid, text, text, bytea),
    public.share_by_link(uuid, text, bytea), public.open_invitations(uuid), public.revoke_invitation(uuid),
    public.transfer_collection(uuid, uuid) to authenticated, service_role;

-- Uses an invitation up for a person, at sign-up or when somebody who has an account opens the link; the collection, or
-- null where it is into the installation only. One use, whoever is first; an address on it must be the person's.
create function corpuscope.accept_invitation(token_hash bytea, person uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_variable
declare
    found_one corpuscope.invitations;
    address constant text := (select lower(p.email) from corpuscope.people p where p.user_id = person and p.disabled_at is null and not p.is_guest);
begin
    update corpuscope.invitations i set used_at = now(), used_by = person
    where i.token_hash = accept_invitation.token_hash and i.used_at is null and i.revoked_at is null and i.expires_at > now()
      and address is not null and (i.email is null or lower(i.email) = address)
    returning * into found_one;
    if not found then
        raise exception 'This invitation was used already, has expired, or is for somebody else.'
            using hint = 'Ask whoever invited you for a new one.';
    end if;
    if found_one.as_administrator then
        update corpuscope.people p set is_administrator = true where p.user_id = person;
    end if;
    if found_one.collection_id is not null then
        insert into public.collection_members as m (collection_id, user_id, role) values (found_one.collection_id, person, found_one.role)
        on conflict on constraint collection_members_pkey do update set role = excluded.role
        where array_position(array ['viewer', 'editor', 'owner'], excluded.role) > array_position(array ['viewer', 'editor', 'owner'], m.role);
    end if;
    return found_one.collection_id;
end
$$;
revoke all on function corpuscope.accept_invitation(bytea, uuid) from public;
grant execute on function corpuscope.accept_invitation(bytea, uuid) to corpuscope_accounts;

-- What an invitation says to whoever has its link.
create function corpuscope.describe_invitation(token_hash bytea)
returns table (
    email text, collection_id uuid, collection_name text, role text, as_administrator boolean, inviter text, expires_at timestamptz,
    is_open boolean
)
language sql stable security definer set search_path = '' as $$
    select i.email, i.collection_id, c.name, i.role, i.as_administrator, coalesce(nullif(p.name, ''), p.email), i.expires_at,
           i.used_at is null and i.revoked_at is null and i.expires_at > now()
    from corpuscope.invitations i
    left join public.collections c on c.id = i.collection_id
    left join corpuscope.people p on p.user_id = i.invited_by
    where i.token_hash = describe_invitation.token_hash
$$;

-- Whether there is anything for a guest to see.
create function corpuscope.has_public_collections() returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from public.collections c where c.is_public)
$$;
revoke all on function corpuscope.describe_invitation(bytea), corpuscope.has_public_collections() from public;
grant execute on function corpuscope.describe_invitation(bytea), corpuscope.has_public_collections() to corpuscope_accounts;
