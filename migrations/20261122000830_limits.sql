-- Limits on what people store and ask, per person and per collection. Triggers keep them, so no way around the app is a
-- way around them. A refusal has the SQLSTATE CSLIM and says what is left.

-- A row without subject is the default of its scope. Null means the default there, and no limit in the default.
create table corpuscope.limits (
    scope text not null check (scope in ('person', 'guest', 'collection')),
    subject uuid,
    files int check (files >= 0),
    bytes bigint check (bytes >= 0),
    questions_per_day int check (questions_per_day >= 0),
    changed_at timestamptz not null default now(),
    unique nulls not distinct (scope, subject)
);
insert into corpuscope.limits (scope, questions_per_day, files, bytes) values ('person', null, null, null), ('collection', null, null, null), ('guest', 20, 0, 0);

-- Questions by day (UTC) and whose they count as. Deleting a chat gives nothing back.
create table corpuscope.question_counts (
    day date not null,
    scope text not null check (scope in ('person', 'collection')),
    subject uuid not null,
    questions int not null default 0,
    primary key (day, scope, subject)
);
create index documents_created_by on public.documents (created_by) where created_by is not null;

-- The limits of a person (or guest) or collection, its own before the default.
create function corpuscope.limits_of(scope text, subject uuid, out files int, out bytes bigint, out questions_per_day int)
language sql stable security definer set search_path = '' as $$
    select coalesce(own.files, usual.files), coalesce(own.bytes, usual.bytes), coalesce(own.questions_per_day, usual.questions_per_day)
    from (values (case when limits_of.scope = 'person' and exists (
              select from corpuscope.people p where p.user_id = limits_of.subject and p.is_guest
          ) then 'guest' else limits_of.scope end)) as kind (scope)
    left join corpuscope.limits usual on usual.scope = kind.scope and usual.subject is null
    left join corpuscope.limits own on own.scope = kind.scope and own.subject = limits_of.subject
$$;
revoke all on function corpuscope.limits_of(text, uuid) from public;

create function corpuscope.refuse_over_limit(message text, hint text) returns void
language plpgsql set search_path = '' as $$
begin
    raise exception using errcode = 'CSLIM', message = refuse_over_limit.message, hint = refuse_over_limit.hint;
end
$$;
revoke all on function corpuscope.refuse_over_limit(text, text) from public;

-- Bytes as pages say them: by thousands, which is how the app shows sizes.
create function corpuscope.say_bytes(n bigint) returns text
language sql immutable set search_path = '' as $$
    select case
        when n < 1000 then n || case n when 1 then ' byte' else ' bytes' end
        when n < 1e6 then round(n / 1e3, 1)::real || ' KB'
        when n < 1e9 then round(n / 1e6, 1)::real || ' MB'
        else round(n / 1e9, 1)::real || ' GB'
    end
$$;
revoke all on function corpuscope.say_bytes(bigint) from public;

-- One person's or collection's files against its limits. The lock makes two uploads at once count each other.
create function corpuscope.check_stored(scope text, subject uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    most record;
    held record;
    whose constant text := case scope when 'person' then 'You' else 'This collection' end;
begin
    select * into most from corpuscope.limits_of(scope, subject);
    if subject is null or (most.files is null and most.bytes is null) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('corpuscope limit ' || scope), hashtext(subject::text));
    select count(*) as files, coalesce(sum(d.size), 0)::bigint as bytes into held from public.documents d
    where (scope = 'person' and d.created_by = subject) or (scope = 'collection' and d.collection_id = subject);
    if held.files > most.files then
        perform corpuscope.refuse_over_limit(
            format('%s can hold %s %s, and this would be number %s.',
                whose, most.files, case most.files when 1 then 'file' else 'files' end, held.files),
            'Delete documents that are not needed, or ask an administrator for more.'
        );
    elsif held.bytes > most.bytes then
        perform corpuscope.refuse_over_limit(
            format('%s can hold %s, and this would be %s too much.',
                whose, corpuscope.say_bytes(most.bytes), corpuscope.say_bytes(held.bytes - most.bytes)),
            'Delete documents that are not needed, or ask an administrator for more.'
        );
    end if;
end
$$;
revoke all on function corpuscope.check_stored(text, uuid) from public;

create function corpuscope.keep_storage_limits() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.check_stored('person', n.created_by) from (select distinct created_by from new_rows) n;
    perform corpuscope.check_stored('collection', n.collection_id) from (select distinct collection_id from new_rows) n;
    return null;
end
$$;
create trigger keep_storage_limits after insert on public.documents
    referencing new table as new_rows for each statement execute function corpuscope.keep_storage_limits();

-- A file is as large as its document says, or the limit on bytes would be a matter of trust. Pieces that two connections
-- write for one document at once wait for each other, or neither would count the other's.
create function corpuscope.keep_declared_size() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.documents d where d.id in (select n.document_id from new_rows n) order by d.id for no key update;
    if exists (
        select from (select distinct document_id from new_rows) n
        join public.documents d on d.id = n.document_id
        where d.size < (select sum(octet_length(f.data)) from public.document_files f where f.document_id = d.id)
    ) then
        raise exception 'This file is larger than was said of it.';
    end if;
    return null;
end
$$;
create trigger keep_declared_size after insert on public.document_files
    referencing new table as new_rows for each statement execute function corpuscope.keep_declared_size();

create function corpuscope.count_question(scope text, subject uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    most constant int := (select l.questions_per_day from corpuscope.limits_of(scope, subject) l);
    number constant text := most || case most when 1 then ' question' else ' questions' end;
    asked int;
begin
    insert into corpuscope.question_counts as q (day, scope, subject, questions)
    values ((now() at time zone 'UTC')::date, count_question.scope, count_question.subject, 1)
    on conflict on constraint question_counts_pkey do update set questions = q.questions + 1
    returning q.questions into asked;
    if asked > most then
        perform corpuscope.refuse_over_limit(
            case scope when 'person' then format('You have asked %s today, which is the limit.', number)
            else format('This collection has answered %s today, which is its limit.', number) end,
            'Ask again tomorrow (days end at midnight UTC), or ask an administrator for more.'
        );
    end if;
end
$$;
revoke all on function corpuscope.count_question(text, uuid) from public;

create function corpuscope.keep_question_limits() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.count_question('person', coalesce(auth.uid(), c.created_by)), corpuscope.count_question('collection', c.collection_id)
    from new_rows n join public.chats c on c.id = n.chat_id
    where n.role = 'user';
    return null;
end
$$;
create trigger keep_question_limits after insert on public.messages
    referencing new table as new_rows for each statement execute function corpuscope.keep_question_limits();

-- Trying again costs as much as asking. A worker that takes an answer over is nobody's question.
create function corpuscope.count_retry() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if auth.uid() is not null then
        perform corpuscope.count_question('person', auth.uid()), corpuscope.count_question('collection', c.collection_id)
        from public.chats c where c.id = new.chat_id;
    end if;
    return null;
end
$$;
create trigger count_retry after update of attempt on public.messages
    for each row when (new.attempt > old.attempt) execute function corpuscope.count_retry();

-- What the caller, and a collection that they see, have used and may use; `allowed` is null without a limit.
create function public.my_limits(collection uuid default null) returns table (scope text, what text, used bigint, allowed bigint)
language sql stable security definer set search_path = '' as $$
    select s.scope, v.what, v.used, v.allowed
    from (values ('person', corpuscope.caller()), ('collection', my_limits.collection)) as s (scope, subject)
    cross join lateral corpuscope.limits_of(s.scope, s.subject) as l
    cross join lateral (
        select count(*) as files, coalesce(sum(d.size), 0)::bigint as bytes from public.documents d
        where (s.scope = 'person' and d.created_by = s.subject) or (s.scope = 'collection' and d.collection_id = s.subject)
    ) as held
    cross join lateral (values
        ('files', held.files, l.files::bigint),
        ('bytes', held.bytes, l.bytes),
        ('questions today', coalesce((
            select q.questions from corpuscope.question_counts q
            where q.day = (now() at time zone 'UTC')::date and q.scope = s.scope and q.subject = s.subject
        ), 0)::bigint, l.questions_per_day::bigint)
    ) as v (what, used, allowed)
    where s.subject is not null and (s.scope = 'person' or s.subject = any ((select corpuscope.viewable_collections())::uuid[]))
$$;
revoke all on function public.my_limits(uuid) from public;
grant execute on function public.my_limits(uuid) to authenticated, service_role;
