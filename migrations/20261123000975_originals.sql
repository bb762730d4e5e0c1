-- Originals: the bytes of an uploaded file lie in document_files, or as one object in a private bucket of Supabase Storage.
--
-- An upload is always stored in the database first, within the transaction that makes its document: there is no document without
-- its file and no file without its document, whatever dies. Where a bucket is used, a worker brings the file there afterwards:
--   claim_original()  notes an object's name, new for every try, before anything is sent; the document is the worker's for a while
--   (no transaction)  the file is sent, read back and compared
--   adopt_object()    the document names the object, and its pieces here go, at once
-- What is noted in loose_objects belongs to no document and is removed from the bucket once it is due: what a mover left behind when
-- it died, what was brought back into the database, and the originals of deleted documents.

alter table public.documents add column original_object text check (original_object like '_%/corpuscope-originals/_%');
comment on column public.documents.original_object is 'Where in Storage the original is, as bucket/name; null while it is in document_files.';
create unique index documents_original_object on public.documents (original_object) where original_object is not null;
create index documents_in_database on public.documents (created_at, id) where original_object is null;

create table corpuscope.original_moves (
    document_id uuid primary key references public.documents (id) on delete cascade,
    due_at timestamptz not null,
    attempts int not null default 0,
    error text not null default '',
    hint text not null default ''
);
comment on table corpuscope.original_moves is 'Documents whose original somebody is moving until due_at, or, with an error, is to be tried again then.';
alter table corpuscope.original_moves enable row level security;

create table corpuscope.loose_objects (
    object text primary key,
    due_at timestamptz not null,
    removing boolean not null default false,
    attempts int not null default 0,
    error text not null default ''
);
create index loose_objects_due on corpuscope.loose_objects (due_at);
comment on table corpuscope.loose_objects is 'Objects in Storage, as bucket/name, that no document names: they are removed when they are due.';
alter table corpuscope.loose_objects enable row level security;

-- Moving: for workers and the command -----------------------------------------------------------------------------------------
-- The next document whose original is to be moved, the oldest first, for lease_s seconds; to the bucket, only what was read already.
create function corpuscope.claim_original(from_bucket boolean, bucket text, lease_s float8)
returns table (document_id uuid, name text, size bigint, sha256 bytea, object text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
    lasts constant interval := make_interval(secs => lease_s);
begin
    loop
        if from_bucket then
            select d.id, d.name, d.size, d.sha256, d.original_object into document_id, name, size, sha256, object
            from public.documents d left join corpuscope.original_moves m on m.document_id = d.id
            where d.original_object is not null and coalesce(m.due_at <= clock_timestamp(), true)
            order by d.original_object limit 1 for no key update of d skip locked;
        else
            select d.id, d.name, d.size, d.sha256, claim_original.bucket || '/corpuscope-originals/' || d.id || '/' || gen_random_uuid()
            into document_id, name, size, sha256, object
            from public.documents d left join corpuscope.original_moves m on m.document_id = d.id
            where d.original_object is null and d.size > 0 and (d.text_revision > 0 or d.stage in ('failed', 'cancelled'))
              and coalesce(m.due_at <= clock_timestamp(), true)
            order by d.created_at, d.id limit 1 for no key update of d skip locked;
        end if;
        if document_id is null then
            return;
        end if;
        insert into corpuscope.original_moves as m (document_id, due_at) values (document_id, clock_timestamp() + lasts)
        on conflict on constraint original_moves_pkey do update set due_at = excluded.due_at, error = '', hint = ''
        where m.due_at <= clock_timestamp();
        exit when found;  -- or somebody was faster, between our look and our lock
    end loop;
    if not from_bucket then
        insert into corpuscope.loose_objects (object, due_at) values (object, clock_timestamp() + lasts + interval '1 hour');
    end if;
    return next;
end
$$;

-- Whoever moves is still at it. False: what was sent so far has been given up and is being removed.
create function corpuscope.keep_move(document uuid, object text, lease_s float8) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update corpuscope.original_moves m set due_at = clock_timestamp() + make_interval(secs => lease_s) where m.document_id = document;
    update corpuscope.loose_objects l set due_at = clock_timestamp() + make_interval(secs => lease_s) + interval '1 hour'
    where l.object = keep_move.object and not l.removing;
    return found;
end
$$;

-- What was sent late, when its name had been given up, is noted again.
create function corpuscope.let_go(object text) returns void
language sql security definer set search_path = '' as $$
    insert into corpuscope.loose_objects as l (object, due_at)
    select let_go.object, clock_timestamp()
    where not exists (select from public.documents d where d.original_object = let_go.object)
    on conflict on constraint loose_objects_pkey do update set due_at = excluded.due_at
$$;
revoke all on function corpuscope.let_go(text) from public;

-- The document's original is that object from now on. False when the document is gone, was moved by another, or has lost the object.
create function corpuscope.adopt_object(document uuid, object text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    delete from corpuscope.loose_objects l where l.object = adopt_object.object and not l.removing;
    if found then
        update public.documents d set original_object = adopt_object.object where d.id = document and d.original_object is null;
    end if;
    if not found then
        perform corpuscope.let_go(object);
        return false;
    end if;
    delete from public.document_files f where f.document_id = document;
    delete from corpuscope.original_moves m where m.document_id = document;
    return true;
end
$$;

-- The original is in the database again; its pieces are written in the same transaction. False when it is not that object any more.
create function corpuscope.leave_bucket(document uuid, object text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.documents d set original_object = null where d.id = document and d.original_object = leave_bucket.object;
    if not found then
        return false;
    end if;
    insert into corpuscope.loose_objects (object, due_at) values (leave_bucket.object, clock_timestamp());
    delete from public.document_files f where f.document_id = document;
    delete from corpuscope.original_moves m where m.document_id = document;
    return true;
end
$$;

-- A move ended without success; without an error it was only interrupted. What was sent is removed. The pause grows with the failures.
create function corpuscope.end_move(document uuid, object text, error text, hint text, delay_s float8) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if error = '' then
        delete from corpuscope.original_moves m where m.document_id = document;
    else
        update corpuscope.original_moves m
        set attempts = m.attempts + 1, error = end_move.error, hint = end_move.hint,
            due_at = clock_timestamp() + make_interval(secs => delay_s * power(2, least(m.attempts, 8)))
        where m.document_id = document;
    end if;
    if object <> '' then
        perform corpuscope.let_go(object);
    end if;
end
$$;

-- What could not be moved is tried again at once.
create function corpuscope.retry_moves() returns void
language sql security definer set search_path = '' as $$
    update corpuscope.original_moves set due_at = clock_timestamp(), error = '', hint = '' where error <> ''
$$;

-- Where originals are, and how far moving is: for the command and for doctor.
create function corpuscope.originals_overview() returns table (
    in_database bigint, bytes_in_database bigint, in_bucket bigint, bytes_in_bucket bigint, moving bigint, failing bigint, loose bigint
)
language sql stable security definer set search_path = '' as $$
    select count(*) filter (where d.original_object is null), coalesce(sum(d.size) filter (where d.original_object is null), 0)::bigint,
           count(*) filter (where d.original_object is not null), coalesce(sum(d.size) filter (where d.original_object is not null), 0)::bigint,
           (select count(*) from corpuscope.original_moves m where m.error = '' and m.due_at > clock_timestamp()),
           (select count(*) from corpuscope.original_moves m where m.error <> ''),
           (select count(*) from corpuscope.loose_objects)
    from public.documents d where d.size > 0
$$;

create function corpuscope.failing_moves(most int) returns table (document_id uuid, name text, size bigint, error text, hint text, attempts int)
language sql stable security definer set search_path = '' as $$
    select m.document_id, d.name, d.size, m.error, m.hint, m.attempts
    from corpuscope.original_moves m join public.documents d on d.id = m.document_id
    where m.error <> '' order by d.name, d.id limit most
$$;

-- Loose objects that are due, to be removed within lease_s seconds; from now on no document can adopt them.
create function corpuscope.claim_loose_objects(most int, lease_s float8) returns setof text
language sql security definer set search_path = '' as $$
    with due as (
        select l.object from corpuscope.loose_objects l where l.due_at <= clock_timestamp() order by l.due_at limit most for update skip locked
    )
    update corpuscope.loose_objects l
    set removing = true, attempts = l.attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => lease_s * power(2, least(l.attempts, 6)))
    from due where l.object = due.object returning l.object
$$;

create function corpuscope.forget_loose_objects(objects text[]) returns void
language sql security definer set search_path = '' as $$
    delete from corpuscope.loose_objects l where l.object = any (objects)
$$;

revoke all on function corpuscope.claim_original(boolean, text, float8), corpuscope.keep_move(uuid, text, float8),
    corpuscope.adopt_object(uuid, text), corpuscope.leave_bucket(uuid, text), corpuscope.end_move(uuid, text, text, text, float8),
    corpuscope.retry_moves(), corpuscope.originals_overview(), corpuscope.failing_moves(int),
    corpuscope.claim_loose_objects(int, float8), corpuscope.forget_loose_objects(text[]) from public;
grant execute on function corpuscope.claim_original(boolean, text, float8), corpuscope.keep_move(uuid, text, float8),
    corpuscope.adopt_object(uuid, text), corpuscope.leave_bucket(uuid, text), corpuscope.end_move(uuid, text, text, text, float8),
    corpuscope.retry_moves(), corpuscope.originals_overview(), corpuscope.failing_moves(int),
    corpuscope.claim_loose_objects(int, float8), corpuscope.forget_loose_objects(text[]) to corpuscope_worker;

-- What comes back from the bucket is written by the worker.
create policy "the worker brings originals back" on public.document_files for insert to corpuscope_worker with check (true);
grant insert on public.document_files to corpuscope_worker;

-- Deleting -----------------------------------------------------------------------------------------------------------------------
create function corpuscope.drop_originals() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into corpuscope.loose_objects (object, due_at)
    select g.original_object, clock_timestamp() from gone g where g.original_object is not null on conflict do nothing;
    return null;
end
$$;
revoke all on function corpuscope.drop_originals() from public;
create trigger drop_originals after delete on public.documents
    referencing old table as gone for each statement execute function corpuscope.drop_originals();

-- A document whose original is in the bucket has no pieces here.
create or replace function corpuscope.keep_declared_size() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.documents d where d.id in (select n.document_id from new_rows n) order by d.id for no key update;
    if exists (
        select from (select distinct document_id from new_rows) n
        join public.documents d on d.id = n.document_id
        where d.original_object is not null
           or d.size < (select sum(octet_length(f.data)) from public.document_files f where f.document_id = d.id)
    ) then
        raise exception 'This file is larger than was said of it.';
    end if;
    return null;
end
$$;

-- Storage ----------------------------------------------------------------------------------------------------------------------
-- Originals are read by whoever sees their document, and written by the server's key alone, which no policy holds. What other buckets
-- hold is none of our business: these policies ask for the very object that a document names, whatever its bucket is called.
create policy "Corpuscope: people read the originals of documents that they see" on storage.objects for select to authenticated
    using (exists (select from public.documents d where d.original_object = bucket_id || '/' || objects.name));

-- Not even policies of the project that open every bucket to people open originals.
create policy "Corpuscope: nobody else reads originals" on storage.objects as restrictive for select to authenticated
    using (name not like 'corpuscope-originals/%' or exists (select from public.documents d where d.original_object = bucket_id || '/' || objects.name));
create policy "Corpuscope: no stranger reads originals" on storage.objects as restrictive for select to anon
    using (name not like 'corpuscope-originals/%');
create policy "Corpuscope: originals are not uploaded by people" on storage.objects as restrictive for insert to anon, authenticated
    with check (name not like 'corpuscope-originals/%');
create policy "Corpuscope: originals are not changed by people" on storage.objects as restrictive for update to anon, authenticated
    using (name not like 'corpuscope-originals/%') with check (name not like 'corpuscope-originals/%');
create policy "Corpuscope: originals are not deleted by people" on storage.objects as restrictive for delete to anon, authenticated
    using (name not like 'corpuscope-originals/%');
