-- Who did what: written by triggers and by the sign-in, never changed, and kept when what it speaks of is gone.

create table public.audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor uuid,
    actor_email text,
    action text not null,
    collection_id uuid,
    collection_name text,
    subject text not null default '',
    detail jsonb not null default '{}'
);
comment on column public.audit_log.subject is 'Whom or what it was done to, in words.';
create index audit_log_collection on public.audit_log (collection_id, id desc);
create index audit_log_actor on public.audit_log (actor, id desc);

alter table public.audit_log enable row level security;
create policy "people see what they did, owners their collections, administrators all" on public.audit_log for select to authenticated
    using (
        actor = (select corpuscope.caller())
        or collection_id = any ((select corpuscope.owned_collections())::uuid[])
        or (select corpuscope.is_administrator())
    );
grant select on public.audit_log to authenticated, service_role;

-- One entry. The actor is whoever the transaction runs for, unless it is named (at sign-in nobody is signed in yet).
create function corpuscope.note(
    action text, collection uuid default null, subject text default '', detail jsonb default '{}', actor uuid default null
) returns void
language sql security definer set search_path = '' as $$
    insert into public.audit_log (actor, actor_email, action, collection_id, collection_name, subject, detail)
    select who.id, (select p.email from corpuscope.people p where p.user_id = who.id), note.action, note.collection,
           coalesce((select c.name from public.collections c where c.id = note.collection), note.detail ->> 'collection'),
           coalesce(left(note.subject, 500), ''), coalesce(note.detail, '{}')
    from (select coalesce(note.actor, auth.uid()) as id) who
$$;
revoke all on function corpuscope.note(text, uuid, text, jsonb, uuid) from public;
grant execute on function corpuscope.note(text, uuid, text, jsonb, uuid) to corpuscope_accounts;

-- What a person is called in the log.
create function corpuscope.email_of(person uuid) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce((select p.email from corpuscope.people p where p.user_id = person), person::text)
$$;
revoke all on function corpuscope.email_of(uuid) from public;

create function corpuscope.note_member() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op <> 'DELETE' and exists (
        select from corpuscope.invitations i
        where i.collection_id = new.collection_id and i.used_by = new.user_id and i.used_at = now()
    ) then
        return null;  -- an invitation that was just accepted: that has an entry of its own, which says who
    end if;
    if tg_op = 'INSERT' then
        if auth.uid() is distinct from new.user_id then  -- making a collection makes its owner; that isn't sharing
            perform corpuscope.note('shared', new.collection_id, corpuscope.email_of(new.user_id), jsonb_build_object('role', new.role));
        end if;
    elsif tg_op = 'UPDATE' then
        if new.role <> old.role then
            perform corpuscope.note(
                'role changed', new.collection_id, corpuscope.email_of(new.user_id), jsonb_build_object('role', new.role, 'before', old.role)
            );
        end if;
    elsif exists (select from public.collections c where c.id = old.collection_id) then
        perform corpuscope.note(
            case when auth.uid() = old.user_id then 'left' else 'access removed' end, old.collection_id,
            corpuscope.email_of(old.user_id), jsonb_build_object('before', old.role)
        );
    end if;
    return null;
end
$$;
create trigger note_member after insert or update or delete on public.collection_members
    for each row execute function corpuscope.note_member();

create function corpuscope.note_collection() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        perform corpuscope.note('collection made', new.id, new.name);
    elsif tg_op = 'DELETE' then
        perform corpuscope.note('collection deleted', old.id, old.name, jsonb_build_object('collection', old.name));
    elsif new.name <> old.name then
        perform corpuscope.note('collection renamed', new.id, new.name, jsonb_build_object('before', old.name));
    end if;
    return null;
end
$$;
create trigger note_collection after insert or update or delete on public.collections
    for each row execute function corpuscope.note_collection();

-- One entry a statement, with some names. Documents that go with their collection are in that entry already.
create function corpuscope.note_deleted_documents() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if auth.uid() is not null then  -- a worker that replaces a version does what was asked of it at the upload
        perform corpuscope.note('documents deleted', d.collection_id, d.names[1], jsonb_build_object('count', d.n, 'names', d.names[1:20]))
        from (
            select g.collection_id, count(*) as n, array_agg(g.name order by g.name) as names
            from gone g join public.collections c on c.id = g.collection_id group by 1
        ) d;
    end if;
    return null;
end
$$;
create trigger note_deleted_documents after delete on public.documents
    referencing old table as gone for each statement execute function corpuscope.note_deleted_documents();

create function corpuscope.note_profile() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        perform corpuscope.note('profile saved', new.collection_id, new.name, jsonb_build_object('version', new.version, 'settings', new.settings));
    elsif tg_op = 'UPDATE' then
        if new.is_default and not old.is_default then
            perform corpuscope.note('profile made default', new.collection_id, new.name, jsonb_build_object('version', new.version));
        end if;
    elsif exists (select from public.collections c where c.id = old.collection_id) then
        perform corpuscope.note('profile deleted', old.collection_id, old.name, jsonb_build_object('version', old.version, 'settings', old.settings));
    end if;
    return null;
end
$$;
create trigger note_profile after insert or update or delete on public.retrieval_profiles
    for each row execute function corpuscope.note_profile();

create function corpuscope.note_person() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        if not new.is_guest then
            perform corpuscope.note('account made', null, new.email, jsonb_build_object('administrator', new.is_administrator));
        end if;
    elsif tg_op = 'DELETE' then
        if not old.is_guest then
            perform corpuscope.note('account deleted', null, old.email);
        end if;
    else
        if new.is_administrator <> old.is_administrator then
            perform corpuscope.note(
                case when new.is_administrator then 'made administrator' else 'no longer administrator' end, null, new.email
            );
        end if;
        if (new.disabled_at is null) <> (old.disabled_at is null) then
            perform corpuscope.note(case when new.disabled_at is null then 'account opened' else 'account closed' end, null, new.email);
        end if;
        if old.password_hash is not null and new.password_hash is distinct from old.password_hash
            and new.password_changed_at is distinct from old.password_changed_at then
            perform corpuscope.note('password changed', null, new.email, actor => new.user_id);
        end if;
    end if;
    return null;
end
$$;
create trigger note_person after insert or update or delete on corpuscope.people
    for each row execute function corpuscope.note_person();

create function corpuscope.note_invitation() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    words constant jsonb := jsonb_strip_nulls(jsonb_build_object('role', new.role, 'administrator', nullif(new.as_administrator, false)));
begin
    if tg_op = 'INSERT' then
        perform corpuscope.note('invited', new.collection_id, coalesce(new.email, 'whoever has the link'), words, new.invited_by);
    elsif new.used_at is not null and old.used_at is null then
        perform corpuscope.note('invitation accepted', new.collection_id, corpuscope.email_of(new.used_by), words, new.used_by);
    elsif new.revoked_at is not null and old.revoked_at is null then
        perform corpuscope.note('invitation revoked', new.collection_id, coalesce(new.email, 'whoever has the link'), words);
    end if;
    return null;
end
$$;
create trigger note_invitation after insert or update on corpuscope.invitations
    for each row execute function corpuscope.note_invitation();

-- Downloads leave nothing else behind in the database, so the app says what was taken out.
create function public.note_export(collection uuid, what text, rows int default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if collection is null or collection <> all (corpuscope.viewable_collections()) then
        raise exception 'That collection does not exist, or it isn''t shared with you.' using errcode = 'insufficient_privilege';
    end if;
    perform corpuscope.note('exported', collection, left(what, 200), jsonb_strip_nulls(jsonb_build_object('rows', rows)));
end
$$;
revoke all on function public.note_export(uuid, text, int) from public;
grant execute on function public.note_export(uuid, text, int) to authenticated, service_role;
