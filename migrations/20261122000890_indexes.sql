-- Indexes that are built beside the one that answers: paused and resumed, swapped without a gap, emptied in portions.

alter table public.indexes
    add column paused boolean not null default false,
    add column problem text,
    add column problem_hint text,
    add column answered_until timestamptz;
comment on column public.indexes.paused is 'Nothing is chunked or embedded for it until somebody resumes it; never so of the active one.';
comment on column public.indexes.problem is 'Why its documents can not be worked on right now, as when its model can not be loaded; null once they can.';
comment on column public.indexes.answered_until is 'When another index took its place; the latest is the one to roll back to.';

alter table public.embedding_models add column chars_per_s real, add column measured_at timestamptz;
comment on column public.embedding_models.chars_per_s is 'Characters that one worker of this installation embeds a second, as measured at work; null before.';

-- An index is complete when it can take the active one's place: whatever document has come to its end there is chunked
-- at its current revision and embedded here. What is still under way in the active index goes on after a swap.
create or replace function public.index_is_complete(index_id bigint) returns boolean
language sql stable security invoker set search_path = '' as $$
    select not exists (
        select from public.indexes i
        join public.collections c on c.id = i.collection_id
        join public.documents d on d.collection_id = i.collection_id
        join public.index_documents a on a.index_id = c.active_index_id and a.document_id = d.id
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where i.id = index_is_complete.index_id and d.text_revision > 0 and d.stage in ('ready', 'failed')
          and (x.document_id is null or x.text_revision < d.text_revision or x.embedded_count + x.failed_count < x.chunk_count)
    )
$$;

-- What of an index still has to be done goes to the queues: documents that are not chunked for it, and chunks without a
-- vector or without their words.
create function corpuscope.send_index_work(index bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.send_documents((
        select array_agg(d.id order by d.created_at, d.id) from public.indexes i
        join public.documents d on d.collection_id = i.collection_id and d.text_revision > 0 and d.stage <> 'cancelled'
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where i.id = index and (x.document_id is null or x.text_revision < d.text_revision or x.chunk_count = 0)
    ));
    perform corpuscope.send_chunks((
        select array_agg(c.id order by c.document_id, c.ordinal) from public.chunks c
        left join public.embeddings e on e.chunk_id = c.id
        left join corpuscope.chunk_terms t on t.chunk_id = c.id
        where c.index_id = index and (e.chunk_id is null or t.chunk_id is null)
    ));
end
$$;
revoke all on function corpuscope.send_index_work(bigint) from public;

create or replace function public.build_index(collection uuid, chunking jsonb, model int default null) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    made bigint;
begin
    if collection <> all (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    if model is not null and not exists (select from public.embedding_models m where m.id = model) then
        raise exception 'That model is not registered.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into public.indexes (collection_id, model_id, chunking, state, created_by)
    values (collection, coalesce(model, (select id from public.embedding_models where is_default)), build_index.chunking, 'building', auth.uid())
    returning id into made;
    perform corpuscope.send_index_work(made);
    return made;
end
$$;

create function public.pause_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.indexes i set paused = true
    where i.id = pause_index.index_id and i.state in ('building', 'ready') and i.collection_id = any (corpuscope.editable_collections());
    if not found then
        raise exception 'That index is active or dropped, or does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
end
$$;

-- Takes up an index again, and what was given up on for it too.
create function public.resume_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.indexes i set paused = false, problem = null, problem_hint = null
    where i.id = resume_index.index_id and i.state <> 'retired' and i.collection_id = any (corpuscope.editable_collections());
    if not found then
        raise exception 'That index was dropped, or does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    delete from public.failed_jobs f where f.index_id = resume_index.index_id and f.chunk_id is not null;
    delete from public.failed_jobs f
    using public.indexes i, public.documents d
    left join public.index_documents x on x.index_id = resume_index.index_id and x.document_id = d.id
    where i.id = resume_index.index_id and d.collection_id = i.collection_id and f.document_id = d.id and f.queue = 'ingest'
      and d.text_revision > 0 and (x.document_id is null or x.text_revision < d.text_revision);
    perform corpuscope.send_index_work(resume_index.index_id);
end
$$;

-- One transaction: whoever searches sees the one index or the other. Swapping back is the same.
create or replace function public.activate_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
declare
    target public.indexes;
begin
    select * into target from public.indexes i where i.id = activate_index.index_id;
    if target.id is null or target.collection_id <> all (corpuscope.editable_collections()) then
        raise exception 'That index does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    -- Two who swap at once come one after the other.
    perform from public.collections c where c.id = target.collection_id for no key update;
    select * into target from public.indexes i where i.id = activate_index.index_id for update;
    if target.state = 'active' then
        raise exception 'That index is active already.' using errcode = 'object_not_in_prerequisite_state';
    elsif target.state = 'retired' then
        raise exception 'That index was dropped.' using errcode = 'object_not_in_prerequisite_state';
    elsif target.paused then
        raise exception 'That index is paused: resume it first.' using errcode = 'object_not_in_prerequisite_state';
    elsif not public.index_is_complete(target.id) then
        raise exception 'That index is not complete yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    update public.indexes i set state = 'ready', answered_until = now() where i.collection_id = target.collection_id and i.state = 'active';
    update public.indexes i set state = 'active', answered_until = null where i.id = target.id;
    update public.collections c set active_index_id = target.id where c.id = target.collection_id;
    -- A document's stage speaks of the active index: what lacks or failed there is looked at anew.
    with differing as materialized (
        select d.id, x.document_id is null or x.text_revision < d.text_revision as unread
        from public.documents d
        left join public.index_documents x on x.index_id = target.id and x.document_id = d.id
        where d.collection_id = target.collection_id and d.text_revision > 0 and d.stage = 'ready'
          and (x.document_id is null or x.text_revision < d.text_revision or x.failed_count > 0 or x.embedded_count < x.chunk_count)
        order by d.id for no key update of d
    )
    update public.documents d set stage = case when f.unread then 'chunking' else 'embedding' end from differing f where d.id = f.id;
    perform corpuscope.settle_documents((select array_agg(d.id) from public.documents d where d.collection_id = target.collection_id));
end
$$;

-- A small index is emptied at once, a large one by the workers, a portion at a time.
create or replace function public.retire_index(index_id bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.indexes i set state = 'retired', paused = false, problem = null, problem_hint = null
    where i.id = retire_index.index_id and i.state in ('building', 'ready')
      and i.collection_id = any (corpuscope.editable_collections());
    if not found then
        raise exception 'That index is active, or does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    if (select coalesce(sum(d.chunk_count), 0) from public.index_documents d where d.index_id = retire_index.index_id) <= 1000 then
        delete from public.index_documents d where d.index_id = retire_index.index_id;
    end if;
end
$$;

-- One bounded step of emptying retired indexes; returns how many documents' chunks went.
create function corpuscope.empty_retired(max_chunks int default 2000) returns int
language plpgsql security definer set search_path = '' as $$
declare
    n int;
begin
    with filled as (
        select x.index_id, x.document_id, sum(x.chunk_count) over (order by x.index_id, x.document_id) - x.chunk_count as before
        from public.index_documents x join public.indexes i on i.id = x.index_id and i.state = 'retired'
    ), portion as materialized (
        select x.index_id, x.document_id from public.index_documents x join filled f using (index_id, document_id)
        where f.before < max_chunks order by 1, 2 for update of x skip locked
    )
    delete from public.index_documents x using portion s where (x.index_id, x.document_id) = (s.index_id, s.document_id);
    get diagnostics n = row_count;
    return n;
end
$$;
revoke all on function public.pause_index(bigint), public.resume_index(bigint), corpuscope.empty_retired(int) from public;
grant execute on function public.pause_index(bigint), public.resume_index(bigint) to authenticated, service_role;
grant execute on function corpuscope.empty_retired(int) to corpuscope_worker;

-- A model beside the default one, for indexes that are built with it.
create function corpuscope.add_model(
    provider text, name text, dimensions int, window_tokens int, query_prefix text, passage_prefix text
) returns int
language plpgsql security definer set search_path = '' as $$
declare
    known public.embedding_models;
    made int;
begin
    select * into known from public.embedding_models m where m.provider = add_model.provider and m.name = add_model.name;
    if known.dimensions <> add_model.dimensions then
        raise exception 'That model is registered already, with vectors of % numbers.', known.dimensions
            using errcode = 'object_not_in_prerequisite_state';
    elsif known.id is not null then
        return known.id;
    end if;
    insert into public.embedding_models (provider, name, dimensions, window_tokens, query_prefix, passage_prefix)
    values ($1, $2, $3, $4, $5, $6) returning id into made;
    return made;
end
$$;
revoke all on function corpuscope.add_model(text, text, int, int, text, text) from public;
grant execute on function corpuscope.add_model(text, text, int, int, text, text) to corpuscope_worker;

create function public.add_embedding_model(
    provider text, name text, dimensions int, window_tokens int, query_prefix text default '', passage_prefix text default ''
) returns int
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.require_administrator();
    return corpuscope.add_model(provider, name, dimensions, window_tokens, query_prefix, passage_prefix);
end
$$;
revoke all on function public.add_embedding_model(text, text, int, int, text, text) from public;
grant execute on function public.add_embedding_model(text, text, int, int, text, text) to authenticated, service_role;

-- What was done to an index goes into the log.
create function corpuscope.note_index() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    said constant jsonb := jsonb_build_object('index', new.id, 'chunking', new.chunking);
    model constant text := (select case when m.name like '/%' then regexp_replace(m.name, '^.*/', '') else m.name end from public.embedding_models m where m.id = new.model_id);
begin
    if tg_op = 'INSERT' then
        if new.state = 'building' then
            perform corpuscope.note('index build begun', new.collection_id, model, said);
        end if;
    elsif new.state = 'active' and old.state <> 'active' then
        perform corpuscope.note('index made active', new.collection_id, model, said);
    elsif new.state = 'retired' and old.state <> 'retired' then
        perform corpuscope.note('index dropped', new.collection_id, model, said);
    end if;
    return null;
end
$$;
revoke all on function corpuscope.note_index() from public;
create trigger note_index after insert or update of state on public.indexes for each row execute function corpuscope.note_index();

-- As before, but paused indexes are left alone, and documents that failed in the active index are no less wanted in others.
create or replace function corpuscope.requeue_missing(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost_documents uuid[];
    lost_chunks bigint[];
begin
    with behind as (
        select distinct d.id, d.created_at from public.documents d
        left join public.indexes i on i.collection_id = d.collection_id and i.state <> 'retired' and not i.paused and d.text_revision > 0
        left join public.index_documents x on x.index_id = i.id and x.document_id = d.id
        where not d.paused and d.stage <> 'cancelled' and d.stage_at < now() - still_for
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
        join public.indexes i on i.id = x.index_id and i.state <> 'retired' and not i.paused
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

-- As before, and of a dropped index too everything goes by range.
create or replace function corpuscope.sweep_lexical(max_chunks int default 500) returns int
language plpgsql security definer set search_path = '' as $$
declare
    gone_index int;
    swept bigint[];
    n int;
begin
    -- Of an index that is gone or was dropped, postings go by range and counts without arithmetic.
    select g.index_id into gone_index from corpuscope.lexical_garbage g
    where not exists (select from public.indexes i where i.id = g.index_id and i.state <> 'retired') limit 1;
    if gone_index is not null then
        delete from corpuscope.postings where ctid = any (array (
            select p.ctid from corpuscope.postings p where p.index_id = gone_index limit max_chunks * 50 for update skip locked
        ));
        get diagnostics n = row_count;
        if n < max_chunks * 50 then
            delete from corpuscope.chunk_terms t using corpuscope.lexical_garbage g
            where g.index_id = gone_index and t.chunk_id = g.chunk_id;
            delete from corpuscope.lexeme_counts where index_id = gone_index;
            delete from corpuscope.lexical_totals where index_id = gone_index;
            delete from corpuscope.lexical_garbage where index_id = gone_index;
        end if;
        return n / 50 + 1;
    end if;
    with taken as (
        delete from corpuscope.lexical_garbage where (index_id, chunk_id) in (
            select g.index_id, g.chunk_id from corpuscope.lexical_garbage g order by 1, 2 limit max_chunks for update skip locked
        ) returning chunk_id
    )
    select array_agg(chunk_id) into swept from taken;
    perform corpuscope.remove_lexical(swept);
    return coalesce(cardinality(swept), 0);
end
$$;

-- As before, and chunks that have a vector but not their words: equal content lent it while they were paused.
create or replace function corpuscope.requeue_documents(ids uuid[]) returns void
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
        left join corpuscope.chunk_terms t on t.chunk_id = c.id
        where c.document_id = any (ids) and (e.chunk_id is null or t.chunk_id is null)
    ));
end
$$;
