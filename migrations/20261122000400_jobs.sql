-- The queues, the triggers that fill them, and what workers say of themselves.
--
-- A message is a hint to look at rows, never a copy of their content: ingest {"document": uuid}, embed {"chunks": [id…]},
-- answer {"message": uuid}. So edits coalesce (the second message finds nothing left to do) and a lost message can be
-- made again from the tables (corpuscope.requeue_missing).

do $$
begin
    if to_regnamespace('pgmq') is null then
        create extension pgmq;
    end if;
end
$$;
select pgmq.create('ingest');
select pgmq.create('embed');
select pgmq.create('answer');

grant usage on schema pgmq to corpuscope_worker;
grant execute on all functions in schema pgmq to corpuscope_worker;
grant select, insert, update, delete on
    pgmq.q_ingest, pgmq.a_ingest, pgmq.q_embed, pgmq.a_embed, pgmq.q_answer, pgmq.a_answer to corpuscope_worker;
grant select on pgmq.meta to corpuscope_worker;
grant usage on all sequences in schema pgmq to corpuscope_worker;

-- One transaction's work is announced once, at its commit.
create function corpuscope.send_jobs(queue text, messages jsonb[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if cardinality(messages) > 0 then
        perform pgmq.send_batch(queue, messages);
        perform pg_notify('corpuscope_jobs', queue);
    end if;
end
$$;
revoke all on function corpuscope.send_jobs(text, jsonb[]) from public;
grant execute on function corpuscope.send_jobs(text, jsonb[]) to corpuscope_worker;

create function corpuscope.send_documents(ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    select corpuscope.send_jobs('ingest', array_agg(jsonb_build_object('document', id))) from unnest(ids) id
$$;
revoke all on function corpuscope.send_documents(uuid[]) from public;
grant execute on function corpuscope.send_documents(uuid[]) to corpuscope_worker;

-- 64 chunks a message: measured as the cheapest way to queue a bulk insert, and one batch of the encoder.
create function corpuscope.send_chunks(ids bigint[]) returns void
language sql security definer set search_path = '' as $$
    select corpuscope.send_jobs('embed', array_agg(jsonb_build_object('chunks', m.chunks) order by m.batch))
    from (
        select (n - 1) / 64 as batch, jsonb_agg(id order by n) as chunks
        from unnest(ids) with ordinality as u (id, n) group by 1
    ) m
$$;
revoke all on function corpuscope.send_chunks(bigint[]) from public;
grant execute on function corpuscope.send_chunks(bigint[]) to corpuscope_worker;

-- Documents → ingest ------------------------------------------------------------------------------------------------
create function corpuscope.document_stored() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.send_documents((select array_agg(id order by created_at, id) from new_rows));
    return null;
end
$$;
create trigger document_stored after insert on public.documents
    referencing new table as new_rows for each statement execute function corpuscope.document_stored();

-- A corrected text goes through chunking again; the first revision is written by the ingest job itself.
create function corpuscope.text_corrected() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    corrected uuid[] := (select array_agg(distinct document_id) from new_rows where edited_by is not null);
begin
    if corrected is not null then
        update public.documents set stage = 'chunking', error = null, error_hint = null, error_code = null
        where id = any (corrected) and stage <> 'cancelled';
        perform corpuscope.send_documents(corrected);
    end if;
    return null;
end
$$;
-- Named to run after adopt_text_revision: triggers of one event fire in alphabetical order.
create trigger text_corrected after insert on public.document_texts
    referencing new table as new_rows for each statement execute function corpuscope.text_corrected();

-- Chunks → embed ----------------------------------------------------------------------------------------------------
-- A finished document whose active index has something to embed again says so.
create function corpuscope.reopen_documents(ids uuid[], in_indexes bigint[]) returns void
language sql security definer set search_path = '' as $$
    with finished as materialized (
        select d.id from public.documents d join public.collections c on c.id = d.collection_id
        where d.id = any (ids) and c.active_index_id = any (in_indexes)
          and (d.stage = 'ready' or (d.stage = 'failed' and d.error_code = 'embedding'))
        order by d.id for no key update of d
    )
    update public.documents d set stage = 'embedding', error = null, error_hint = null, error_code = null
    from finished f where d.id = f.id
$$;
revoke all on function corpuscope.reopen_documents(uuid[], bigint[]) from public;

create function corpuscope.chunks_inserted() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    documents uuid[];
    indexes bigint[];
begin
    perform corpuscope.send_chunks((select array_agg(id order by index_id, document_id, ordinal) from new_rows));
    select array_agg(distinct document_id), array_agg(distinct index_id) into documents, indexes from new_rows;
    perform corpuscope.reopen_documents(documents, indexes);
    if exists (select from public.span_marks m where m.kind = 'exclusion' and m.document_id = any (documents)) then
        perform corpuscope.apply_exclusions(documents);
    end if;
    return null;
end
$$;

create function corpuscope.chunks_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    stale bigint[];
    relabelled bigint[];
    moved uuid[];
begin
    update public.embeddings e set excluded = n.excluded from new_rows n
    where e.chunk_id = n.id and e.excluded <> n.excluded;
    select array_agg(n.id) filter (where n.content_hash <> o.content_hash),
           array_agg(n.id) filter (where n.content_hash = o.content_hash and n.language is distinct from o.language),
           array_agg(distinct n.document_id) filter (where (n.start_char, n.end_char) <> (o.start_char, o.end_char))
    into stale, relabelled, moved from new_rows n join old_rows o using (id);
    if stale is not null then
        delete from public.embeddings e using new_rows n where e.chunk_id = n.id and e.content_hash <> n.content_hash;
        delete from public.failed_jobs f where f.chunk_id = any (stale);
        perform corpuscope.reopen_documents(
            (select array_agg(distinct document_id) from new_rows where id = any (stale)),
            (select array_agg(distinct index_id) from new_rows where id = any (stale))
        );
    end if;
    perform corpuscope.send_chunks(array(
        select id from new_rows where id = any (stale || relabelled) order by index_id, document_id, ordinal
    ));
    if moved is not null and exists (select from public.span_marks m where m.kind = 'exclusion' and m.document_id = any (moved)) then
        perform corpuscope.apply_exclusions(moved);
    end if;
    return null;
end
$$;

create trigger chunks_inserted after insert on public.chunks
    referencing new table as new_rows for each statement execute function corpuscope.chunks_inserted();
create trigger chunks_updated after update on public.chunks
    referencing old table as old_rows new table as new_rows for each statement execute function corpuscope.chunks_updated();
create trigger count_chunks_insert after insert on public.chunks
    referencing new table as new_rows for each statement execute function corpuscope.count_chunks();
create trigger count_chunks_delete after delete on public.chunks
    referencing old table as old_rows for each statement execute function corpuscope.count_chunks();

-- What was given up on ----------------------------------------------------------------------------------------------
create table public.failed_jobs (
    id bigint generated always as identity primary key,
    queue text not null,
    message jsonb not null,
    collection_id uuid references public.collections (id) on delete cascade,
    document_id uuid references public.documents (id) on delete cascade,
    index_id bigint references public.indexes (id) on delete cascade,
    chunk_id bigint references public.chunks (id) on delete cascade,
    reason text not null,
    hint text,
    attempts int not null,
    failed_at timestamptz not null default now()
);
create index failed_jobs_document on public.failed_jobs (document_id);
create unique index failed_jobs_chunk on public.failed_jobs (chunk_id) where chunk_id is not null;
create index failed_jobs_collection on public.failed_jobs (collection_id, failed_at);
alter table public.failed_jobs enable row level security;
create policy "members see what failed" on public.failed_jobs for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "the worker keeps what failed" on public.failed_jobs for all to corpuscope_worker using (true) with check (true);
grant select on public.failed_jobs to authenticated;
grant select, insert, delete on public.failed_jobs to corpuscope_worker;
grant all on public.failed_jobs to service_role;

-- index_documents.failed_count follows what was given up on, however such a row comes or goes.
create function corpuscope.count_failures() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.index_documents d set failed_count = d.failed_count + c.n
    from (
        select index_id, document_id, (case tg_op when 'INSERT' then 1 else -1 end * count(*))::int as n
        from changed where chunk_id is not null group by 1, 2
    ) c
    where (d.index_id, d.document_id) = (c.index_id, c.document_id);
    if tg_op = 'DELETE' then
        -- When a chunk is deleted, this runs after count_chunks: triggers of a cascade come last.
        perform corpuscope.settle_documents((select array_agg(distinct document_id) from changed where chunk_id is not null));
    end if;
    return null;
end
$$;
create trigger count_failures_insert after insert on public.failed_jobs
    referencing new table as changed for each statement execute function corpuscope.count_failures();
create trigger count_failures_delete after delete on public.failed_jobs
    referencing old table as changed for each statement execute function corpuscope.count_failures();

-- attempts: failures of a job so far. returned: how often it was given back in order, failed or put off. pgmq's read_ct
-- less the returned ones is how often a reader died or lost the job.
create table corpuscope.job_attempts (
    queue text not null,
    msg_id bigint not null,
    attempts int not null default 0,
    returned int not null default 0,
    last_error text not null default '',
    updated_at timestamptz not null default now(),
    primary key (queue, msg_id)
);
grant select, insert, update, delete on corpuscope.job_attempts to corpuscope_worker;

create table corpuscope.workers (
    id uuid primary key,
    host text not null,
    pid int not null,
    state text not null check (state in ('starting', 'loading model', 'idle', 'busy', 'waiting', 'stopping')),
    detail text not null default '',
    waiting_until timestamptz,
    started_at timestamptz not null default now(),
    heartbeat_at timestamptz not null default now()
);
grant select, insert, update, delete on corpuscope.workers to corpuscope_worker;

-- Anyone signed in may know whether work goes on, not where or on what.
create function public.worker_status() returns table (
    alive int, loading int, busy int, waiting_until timestamptz, waiting_reason text, last_seen timestamptz
)
language sql stable security definer set search_path = '' as $$
    select count(*) filter (where live)::int,
           count(*) filter (where live and state in ('starting', 'loading model'))::int,
           count(*) filter (where live and state = 'busy')::int,
           max(w.waiting_until) filter (where live and w.waiting_until > now()),
           max(w.detail) filter (where live and w.waiting_until > now()),
           max(heartbeat_at)
    from (select *, heartbeat_at > now() - interval '15 seconds' and state <> 'stopping' as live from corpuscope.workers) w
$$;
revoke all on function public.worker_status() from public;
grant execute on function public.worker_status() to authenticated, service_role, corpuscope_worker;

-- What a person may do with documents: each checks that the caller edits the collection ------------------------------
create function corpuscope.editable_documents(ids uuid[]) returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(id), '{}') from public.documents
    where id = any (ids) and collection_id = any ((select corpuscope.editable_collections())::uuid[])
$$;
revoke all on function corpuscope.editable_documents(uuid[]) from public;
grant execute on function corpuscope.editable_documents(uuid[]) to authenticated;

-- Chunks of these documents without a current vector, given up on or not, go back to the queue.
create function corpuscope.requeue_documents(ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.failed_jobs where document_id = any (ids);
    update public.documents
    set stage = case when text_revision = 0 then 'stored' else 'chunking' end, paused = false,
        error = null, error_hint = null, error_code = null
    where id = any (ids) and stage <> 'ready';
    perform corpuscope.send_documents(ids);
    perform corpuscope.send_chunks((
        select array_agg(c.id order by c.index_id, c.document_id, c.ordinal) from public.chunks c
        left join public.embeddings e on e.chunk_id = c.id
        where c.document_id = any (ids) and e.chunk_id is null
    ));
end
$$;
revoke all on function corpuscope.requeue_documents(uuid[]) from public;
grant execute on function corpuscope.requeue_documents(uuid[]) to corpuscope_worker;

create function public.retry_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    mine uuid[] := (
        select coalesce(array_agg(id), '{}') from public.documents
        where id = any (corpuscope.editable_documents(ids)) and stage in ('failed', 'cancelled')
    );
begin
    perform corpuscope.requeue_documents(mine);
    return cardinality(mine);
end
$$;

create function public.pause_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    n int;
begin
    update public.documents set paused = true
    where id = any (corpuscope.editable_documents(ids)) and not paused and stage not in ('ready', 'failed', 'cancelled');
    get diagnostics n = row_count;
    return n;
end
$$;

create function public.resume_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    mine uuid[] := (
        select coalesce(array_agg(id), '{}') from public.documents
        where id = any (corpuscope.editable_documents(ids)) and paused
    );
begin
    perform corpuscope.requeue_documents(mine);
    update public.documents set paused = false where id = any (mine);
    return cardinality(mine);
end
$$;

-- Cancelling keeps the file and drops what was made of it so far; a retry starts again.
create function public.cancel_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    mine uuid[];
begin
    with cancelled as (
        update public.documents set stage = 'cancelled', paused = false,
            error = 'Cancelled before it was finished.', error_hint = 'Retry to take it up again.', error_code = 'cancelled'
        where id = any (corpuscope.editable_documents(ids)) and stage not in ('ready', 'failed', 'cancelled')
        returning id
    )
    select coalesce(array_agg(id), '{}') into mine from cancelled;
    delete from public.index_documents where document_id = any (mine);
    return cardinality(mine);
end
$$;

create function public.set_document_language(document uuid, language text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if document <> all (corpuscope.editable_documents(array [document])) then
        raise exception 'That document does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    update public.documents d set language = set_document_language.language, language_corrected = true where d.id = document;
    update public.chunks c set language = set_document_language.language where c.document_id = document;
end
$$;
revoke all on function public.retry_documents(uuid[]), public.pause_documents(uuid[]), public.resume_documents(uuid[]),
    public.cancel_documents(uuid[]), public.set_document_language(uuid, text) from public;
grant execute on function public.retry_documents(uuid[]), public.pause_documents(uuid[]), public.resume_documents(uuid[]),
    public.cancel_documents(uuid[]), public.set_document_language(uuid, text) to authenticated, service_role;

-- Collections and indexes -------------------------------------------------------------------------------------------
create function public.create_collection(name text, description text default '', chunking jsonb default '{}') returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    owner uuid := auth.uid();
    model int := (select id from public.embedding_models where is_default);
    made uuid;
    first_index bigint;
begin
    if owner is null then
        raise exception 'Sign in to make a collection.' using errcode = 'insufficient_privilege';
    end if;
    if model is null then
        raise exception 'No embedding model is registered yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into public.collections (name, description, created_by)
    values (trim(create_collection.name), create_collection.description, owner) returning id into made;
    insert into public.collection_members (collection_id, user_id, role) values (made, owner, 'owner');
    insert into public.indexes (collection_id, model_id, chunking, state, created_by)
    values (made, model, create_collection.chunking, 'active', owner) returning id into first_index;
    update public.collections c set active_index_id = first_index where c.id = made;
    return made;
end
$$;

-- A second index is filled beside the active one: every document that has text is sent through chunking for it.
create function public.build_index(collection uuid, chunking jsonb, model int default null) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    made bigint;
begin
    if collection <> all (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    insert into public.indexes (collection_id, model_id, chunking, state, created_by)
    values (collection, coalesce(model, (select id from public.embedding_models where is_default)), build_index.chunking, 'building', auth.uid())
    returning id into made;
    perform corpuscope.send_documents((
        select array_agg(d.id order by d.created_at, d.id) from public.documents d
        where d.collection_id = collection and d.text_revision > 0 and d.stage <> 'cancelled'
    ));
    return made;
end
$$;

-- Complete: every document of the collection that has text is chunked at its current revision and embedded.
create function public.index_is_complete(index_id bigint) returns boolean
language sql stable security invoker set search_path = '' as $$
    select not exists (
        select from public.indexes i
        join public.documents d on d.collection_id = i.collection_id
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where i.id = index_is_complete.index_id and d.text_revision > 0 and d.stage <> 'cancelled'
          and (x.document_id is null or x.text_revision < d.text_revision or x.embedded_count + x.failed_count < x.chunk_count)
    )
$$;

create function public.activate_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
declare
    target public.indexes;
begin
    select * into target from public.indexes i where i.id = activate_index.index_id for update;
    if target.id is null or target.collection_id <> all (corpuscope.editable_collections()) then
        raise exception 'That index does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    if target.state not in ('building', 'ready') or not public.index_is_complete(target.id) then
        raise exception 'That index is not complete yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    update public.indexes i set state = 'ready' where i.collection_id = target.collection_id and i.state = 'active';
    update public.indexes i set state = 'active' where i.id = target.id;
    update public.collections c set active_index_id = target.id where c.id = target.collection_id;
    perform corpuscope.settle_documents((select array_agg(d.id) from public.documents d where d.collection_id = target.collection_id));
end
$$;

create function public.retire_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.indexes i set state = 'retired'
    where i.id = retire_index.index_id and i.state in ('building', 'ready')
      and i.collection_id = any (corpuscope.editable_collections());
    if not found then
        raise exception 'That index is active, or does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    delete from public.index_documents d where d.index_id = retire_index.index_id;
end
$$;
revoke all on function public.create_collection(text, text, jsonb), public.build_index(uuid, jsonb, int), public.index_is_complete(bigint),
    public.activate_index(bigint), public.retire_index(bigint) from public;
grant execute on function public.create_collection(text, text, jsonb), public.build_index(uuid, jsonb, int), public.index_is_complete(bigint),
    public.activate_index(bigint), public.retire_index(bigint) to authenticated, service_role;
grant execute on function public.index_is_complete(bigint) to corpuscope_worker;

-- The default model of new collections; called at start with what the settings name.
create function corpuscope.register_model(
    provider text, name text, dimensions int, window_tokens int, query_prefix text, passage_prefix text
) returns int
language plpgsql security definer set search_path = '' as $$
declare
    made int;
begin
    insert into public.embedding_models as m (provider, name, dimensions, window_tokens, query_prefix, passage_prefix)
    values ($1, $2, $3, $4, $5, $6)
    on conflict on constraint embedding_models_provider_name_key do update set window_tokens = excluded.window_tokens
    returning m.id into made;
    update public.embedding_models m set is_default = false where m.is_default and m.id <> made;
    update public.embedding_models m set is_default = true where m.id = made and not m.is_default;
    return made;
end
$$;
revoke all on function corpuscope.register_model(text, text, int, int, text, text) from public;
grant execute on function corpuscope.register_model(text, text, int, int, text, text) to corpuscope_worker;

-- The worker's writes: guarded so that a slow result never lands on changed content ----------------------------------

-- Workers wait for nobody's lock, so that no person's transaction ever deadlocks with one: what somebody is changing right
-- now is left out, and the worker looks again. Locks documents, their counters and the chunks; returns the chunks.
create function corpuscope.lock_chunks(ids bigint[]) returns bigint[]
language plpgsql security definer set search_path = '' as $$
begin
    return array(
        with documents as materialized (
            select d.id from public.documents d
            where d.id in (select c.document_id from public.chunks c where c.id = any (ids))
            order by d.id for no key update skip locked
        ), counters as materialized (
            select x.index_id, x.document_id from public.index_documents x join documents d on d.id = x.document_id
            where x.index_id in (select c.index_id from public.chunks c where c.id = any (ids))
            order by 1, 2 for no key update of x skip locked
        )
        select c.id from public.chunks c join counters using (index_id, document_id)
        where c.id = any (ids) order by c.id for share of c skip locked
    );
end
$$;

-- Before the chunks of a document in an index are written anew: 'wanted' (and all of it is locked), 'unwanted' (the
-- document is gone, cancelled or has a newer text, or the index is retired) or 'busy' (somebody is changing it).
create function corpuscope.lock_for_chunking(document uuid, revision int, index bigint) returns text
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (
        select from public.documents d join public.indexes i on i.id = index
        where d.id = document and d.text_revision = revision and d.stage <> 'cancelled' and i.state <> 'retired'
    ) then
        return 'unwanted';
    end if;
    perform from public.documents d
    where d.id = document and d.text_revision = revision and d.stage <> 'cancelled' for no key update skip locked;
    if not found then
        return 'busy';
    end if;
    perform from public.indexes i where i.id = index and i.state <> 'retired' for share skip locked;
    if not found then
        return 'busy';
    end if;
    perform from public.index_documents x where x.index_id = index and x.document_id = document for no key update skip locked;
    if not found and exists (select from public.index_documents x where x.index_id = index and x.document_id = document) then
        return 'busy';
    end if;
    if (select count(*) from public.chunks c where c.index_id = index and c.document_id = document) > (
        select count(*) from (
            select from public.chunks c where c.index_id = index and c.document_id = document order by c.id for update skip locked
        ) locked
    ) then
        return 'busy';
    end if;
    return 'wanted';
end
$$;
revoke all on function corpuscope.lock_for_chunking(uuid, int, bigint) from public;
grant execute on function corpuscope.lock_for_chunking(uuid, int, bigint) to corpuscope_worker;

-- Vectors from equal content already embedded under the same model; returns how many chunks that served.
create function corpuscope.reuse_embeddings(ids bigint[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    served bigint[];
    n int;
begin
    select array_agg(c.id) into served from public.chunks c
    join public.indexes i on i.id = c.index_id and i.state <> 'retired'
    where c.id = any (ids)
      and exists (select from public.embeddings e where e.content_hash = c.content_hash and e.model_id = i.model_id)
      and not exists (select from public.embeddings e where e.chunk_id = c.id);
    if served is null then
        return 0;
    end if;
    served := corpuscope.lock_chunks(served);
    insert into public.embeddings (chunk_id, model_id, index_id, collection_id, document_id, content_hash, excluded, embedding)
    select c.id, i.model_id, c.index_id, c.collection_id, c.document_id, c.content_hash, c.excluded, twin.embedding
    from public.chunks c
    join public.indexes i on i.id = c.index_id and i.state <> 'retired'
    cross join lateral (
        select e.embedding from public.embeddings e
        where e.content_hash = c.content_hash and e.model_id = i.model_id limit 1
    ) twin
    where c.id = any (served)
    on conflict (chunk_id) do nothing;
    get diagnostics n = row_count;
    return n;
end
$$;

create function corpuscope.store_embeddings(ids bigint[], hashes bytea[], vectors extensions.halfvec[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    free bigint[];
    n int;
begin
    free := corpuscope.lock_chunks(ids);
    insert into public.embeddings (chunk_id, model_id, index_id, collection_id, document_id, content_hash, excluded, embedding)
    select c.id, i.model_id, c.index_id, c.collection_id, c.document_id, c.content_hash, c.excluded, v.vector
    from public.chunks c
    join unnest(ids, hashes, vectors) as v (id, hash, vector) on v.id = c.id and v.hash = c.content_hash
    join public.indexes i on i.id = c.index_id and i.state <> 'retired'
    where c.id = any (free)
    on conflict (chunk_id) do nothing;
    get diagnostics n = row_count;
    return n;
end
$$;

-- Gives up on one chunk whose content is still the same: listed for a person, counted, its document moves on.
create function corpuscope.give_up_chunk(chunk bigint, hash bytea, reason text, hint text, attempts int) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if cardinality(corpuscope.lock_chunks(array [chunk])) = 0 then
        return;
    end if;
    insert into public.failed_jobs (queue, message, collection_id, document_id, index_id, chunk_id, reason, hint, attempts)
    select 'embed', jsonb_build_object('chunks', jsonb_build_array(c.id)), c.collection_id, c.document_id, c.index_id, c.id, $3, $4, $5
    from public.chunks c
    where c.id = chunk and c.content_hash = hash and not exists (select from public.embeddings e where e.chunk_id = c.id)
    on conflict do nothing;
    if found then
        perform corpuscope.settle_documents((select array_agg(c.document_id) from public.chunks c where c.id = chunk));
    end if;
end
$$;

-- Makes again what a lost message would have asked for: run now and then by a worker. A job's outcome is committed
-- before its message goes, so what no message names and nothing excuses was lost.
create function corpuscope.requeue_missing(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost_documents uuid[];
    lost_chunks bigint[];
begin
    with behind as (
        select distinct d.id, d.created_at from public.documents d
        left join public.indexes i on i.collection_id = d.collection_id and i.state <> 'retired' and d.text_revision > 0
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where not d.paused and d.stage not in ('failed', 'cancelled') and d.stage_at < now() - still_for
          and (d.stage in ('stored', 'parsing', 'chunking')
               or (i.id is not null and (x.document_id is null or x.text_revision < d.text_revision)))
    )
    select array_agg(b.id order by b.created_at, b.id) into lost_documents from behind b
    where not exists (select from pgmq.q_ingest q where q.message ->> 'document' = b.id::text)
      and not exists (select from public.failed_jobs f where f.document_id = b.id and f.queue = 'ingest');
    if exists (
        select from public.index_documents x join public.documents d on d.id = x.document_id
        where x.embedded_count + x.failed_count < x.chunk_count and d.stage_at < now() - still_for
    ) then
        with queued as materialized (
            select jsonb_array_elements(q.message -> 'chunks')::bigint as id from pgmq.q_embed q
        )
        select array_agg(c.id order by c.index_id, c.document_id, c.ordinal) into lost_chunks
        from public.index_documents x
        join public.documents d on d.id = x.document_id and not d.paused and d.stage <> 'cancelled'
        join public.indexes i on i.id = x.index_id and i.state <> 'retired'
        join public.chunks c on c.index_id = x.index_id and c.document_id = x.document_id
        left join public.embeddings e on e.chunk_id = c.id
        where x.embedded_count + x.failed_count < x.chunk_count and d.stage_at < now() - still_for
          and e.chunk_id is null
          and not exists (select from queued q where q.id = c.id)
          and not exists (select from public.failed_jobs f where f.chunk_id = c.id);
    end if;
    perform corpuscope.send_documents(lost_documents);
    perform corpuscope.send_chunks(lost_chunks);
    return coalesce(cardinality(lost_documents), 0) + coalesce(cardinality(lost_chunks), 0);
end
$$;
revoke all on function corpuscope.lock_chunks(bigint[]), corpuscope.reuse_embeddings(bigint[]), corpuscope.store_embeddings(bigint[], bytea[], extensions.halfvec[]),
    corpuscope.give_up_chunk(bigint, bytea, text, text, int), corpuscope.requeue_missing(interval) from public;
grant execute on function corpuscope.reuse_embeddings(bigint[]), corpuscope.store_embeddings(bigint[], bytea[], extensions.halfvec[]),
    corpuscope.give_up_chunk(bigint, bytea, text, text, int), corpuscope.requeue_missing(interval) to corpuscope_worker;
