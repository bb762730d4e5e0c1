-- What becomes of shared conversations when an account or a collection goes.

-- Who owns a conversation once its owner's account is gone: who takes part for the longest time of those who see it.
create function corpuscope.heir_of(chat uuid) returns uuid
language sql stable security definer set search_path = '' as $$
    select m.user_id from public.chat_members m
    where m.chat_id = chat and corpuscope.sees_chat(m.user_id, chat) order by m.added_at, m.user_id limit 1
$$;
create function corpuscope.pass_on_chats(person uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.chats c set created_by = h.heir
    from (select o.id, corpuscope.heir_of(o.id) as heir from public.chats o where o.created_by = person) h
    where c.id = h.id and h.heir is not null;
    delete from public.chat_members m using public.chats c where c.id = m.chat_id and m.user_id = c.created_by;
end
$$;
revoke all on function corpuscope.heir_of(uuid), corpuscope.pass_on_chats(uuid) from public;

-- As before, but conversations that somebody goes on with are none of those that go.
create or replace function public.describe_person_removal(person uuid)
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
           (select count(*)::int from public.chats h where h.created_by = person and corpuscope.heir_of(h.id) is null),
           (select count(*)::int from corpuscope.sessions s where s.user_id = person and s.ended_at is null and s.expires_at > now()),
           (select count(*)::int from public.documents d where d.created_by = person),
           (
               select count(*)::int from corpuscope.invitations i
               where i.invited_by = person and i.used_at is null and i.revoked_at is null and i.expires_at > now()
           );
end
$$;

-- As before, and shared conversations pass to somebody who takes part.
create or replace function public.delete_person(person uuid) returns void
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
    perform corpuscope.pass_on_chats(person);
    delete from auth.users u where u.id = person;
end
$$;

-- With a collection goes the condition for seeing conversations that quote it: who does not meet it takes part no longer, nor
-- does an owner, in whose place others went on.
create function corpuscope.keep_quotes_from_strangers() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.chats c set created_by = corpuscope.heir_of(c.id)
    from public.chat_collections x
    where x.collection_id = old.id and c.id = x.chat_id and corpuscope.heir_of(c.id) is not null
      and not corpuscope.sees_chat(c.created_by, c.id);
    delete from public.chat_members m using public.chats c, public.chat_collections x
    where x.collection_id = old.id and c.id = x.chat_id and m.chat_id = c.id and m.user_id = c.created_by;
    delete from public.chat_members m using public.chat_collections x
    where x.collection_id = old.id and x.chat_id = m.chat_id and not corpuscope.sees_chat(m.user_id, m.chat_id);
    return old;
end
$$;
revoke all on function corpuscope.keep_quotes_from_strangers() from public;
create trigger keep_quotes_from_strangers before delete on public.collections
    for each row execute function corpuscope.keep_quotes_from_strangers();
