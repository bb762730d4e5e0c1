-- As before, and says how many conversations pass to somebody who takes part.
drop function public.describe_person_removal(uuid);
create function public.describe_person_removal(person uuid)
returns table (inherited_collections text[], left_collections int, chats int, sessions int, files int, invitations int, passed_chats int)
language plpgsql stable security definer set search_path = '' as $$
declare
    passing constant int := (select count(*) from public.chats h where h.created_by = person and corpuscope.heir_of(h.id) is not null);
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
           (select count(*)::int - passing from public.chats h where h.created_by = person),
           (select count(*)::int from corpuscope.sessions s where s.user_id = person and s.ended_at is null and s.expires_at > now()),
           (select count(*)::int from public.documents d where d.created_by = person),
           (
               select count(*)::int from corpuscope.invitations i
               where i.invited_by = person and i.used_at is null and i.revoked_at is null and i.expires_at > now()
           ),
           passing;
end
$$;
revoke all on function public.describe_person_removal(uuid) from public;
grant execute on function public.describe_person_removal(uuid) to authenticated, service_role;
