-- Indexes (a version of a collection), chunks and their embeddings, kept in step by statement-level triggers.

create table public.indexes (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    model_id int not null references public.embedding_models (id),
    chunking jsonb not null,
    state text not null default 'building' check (state in ('building', 'ready', 'active', 'retired')),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id)
);
comment on column public.indexes.state is
    'building: being filled beside the active one; ready: complete and kept in step, can be swapped in; active: answers; retired: emptied.';
create unique index indexes_one_active on public.indexes (collection_id) where state = 'active';
alter table public.collections add foreign key (active_index_id) references public.indexes (id) on delete set null;

create table public.index_documents (
    index_id bigint not null,
    document_id uuid not null,
    collection_id uuid not null,
    text_revision int not null,
    chunk_count int not null default 0,
    embedded_count int not null default 0,
    failed_count int not null default 0,
    primary key (index_id, document_id),
    foreign key (index_id, collection_id) references public.indexes (id, collection_id) on delete cascade on update cascade,
    foreign key (document_id, collection_id) references public.documents (id, collection_id) on delete cascade on update cascade
);
create index index_documents_document on public.index_documents (document_id);
comment on table public.index_documents is 'How far each document has come in each index; counters are kept by triggers.';

create function corpuscope.content_hash(context text, content text) returns bytea
language sql immutable strict parallel safe set search_path = '' as $$
    select sha256(convert_to(context || e'\n' || content, 'UTF8'))
$$;
revoke all on function corpuscope.content_hash(text, text) from public;
grant execute on function corpuscope.content_hash(text, text) to authenticated, service_role, corpuscope_worker;

create table public.chunks (
    id bigint generated always as identity primary key,
    index_id bigint not null,
    document_id uuid not null,
    collection_id uuid not null,
    ordinal int not null,
    start_char int not null check (start_char >= 0),
    end_char int not null,
    page int,
    heading_path text[] not null default '{}',
    context text not null default '',
    text text not null check (text <> ''),
    token_count int not null default 0,
    language text,
    excluded boolean not null default false,
    content_hash bytea not null generated always as (corpuscope.content_hash(context, text)) stored,
    check (end_char > start_char),
    foreign key (index_id, document_id) references public.index_documents (index_id, document_id) on delete cascade,
    foreign key (document_id, collection_id) references public.documents (id, collection_id) on delete cascade on update cascade
);
comment on column public.chunks.context is 'Title and heading path, prefixed to the text when it is embedded; empty when the text says it already.';
comment on column public.chunks.excluded is 'At least half of its characters lie in excluded spans (span_marks); kept by triggers.';
create index chunks_document on public.chunks (index_id, document_id, ordinal);
create index chunks_document_only on public.chunks (document_id);

create table public.embeddings (
    chunk_id bigint primary key references public.chunks (id) on delete cascade,
    model_id int not null references public.embedding_models (id),
    index_id bigint not null,
    collection_id uuid not null,
    document_id uuid not null,
    content_hash bytea not null,
    excluded boolean not null default false,
    embedding extensions.halfvec not null
);
create index embeddings_index on public.embeddings (index_id, document_id);
create index embeddings_content on public.embeddings (content_hash, model_id);

alter table public.indexes enable row level security;
create policy "members see indexes" on public.indexes for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "the worker keeps indexes" on public.indexes for all to corpuscope_worker using (true) with check (true);
grant select on public.indexes to authenticated;
grant select, update on public.indexes to corpuscope_worker;
grant all on public.indexes to service_role;

alter table public.index_documents enable row level security;
create policy "members see progress" on public.index_documents for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "the worker keeps progress" on public.index_documents for all to corpuscope_worker using (true) with check (true);
grant select on public.index_documents to authenticated;
grant select, insert, update, delete on public.index_documents to corpuscope_worker;
grant all on public.index_documents to service_role;

alter table public.chunks enable row level security;
create policy "members see chunks" on public.chunks for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "editors add chunks" on public.chunks for insert to authenticated
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors change chunks" on public.chunks for update to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]))
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors delete chunks" on public.chunks for delete to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "the worker keeps chunks" on public.chunks for all to corpuscope_worker using (true) with check (true);
grant select, delete, insert (index_id, document_id, collection_id, ordinal, start_char, end_char, page, heading_path, context, text, token_count, language),
    update (context, text, token_count, language) on public.chunks to authenticated;
grant select, insert, update, delete on public.chunks to corpuscope_worker;
grant all on public.chunks to service_role;

alter table public.embeddings enable row level security;
create policy "members see embeddings" on public.embeddings for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "the worker keeps embeddings" on public.embeddings for all to corpuscope_worker using (true) with check (true);
grant select on public.embeddings to authenticated;
grant select, insert, update, delete on public.embeddings to corpuscope_worker;
grant all on public.embeddings to service_role;

-- Counters of index_documents -------------------------------------------------------------------------------------
-- Rows are locked in one order, so that workers that write to the same documents wait instead of deadlocking.
create function corpuscope.add_to_counters(indexes bigint[], documents uuid[], chunks int[], embedded int[]) returns void
language sql security definer set search_path = '' as $$
    with changed as materialized (
        select d.index_id, d.document_id, c.chunks, c.embedded
        from unnest($1, $2, $3, $4) as c (index_id, document_id, chunks, embedded)
        join public.index_documents d using (index_id, document_id)
        order by 1, 2 for no key update of d
    )
    update public.index_documents d
    set chunk_count = d.chunk_count + c.chunks, embedded_count = d.embedded_count + c.embedded
    from changed c where (d.index_id, d.document_id) = (c.index_id, c.document_id)
$$;
revoke all on function corpuscope.add_to_counters(bigint[], uuid[], int[], int[]) from public;

create function corpuscope.count_chunks() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        perform corpuscope.add_to_counters(array_agg(index_id), array_agg(document_id), array_agg(n), array_agg(0))
        from (select index_id, document_id, count(*)::int as n from new_rows group by 1, 2) c;
    else
        perform corpuscope.add_to_counters(array_agg(index_id), array_agg(document_id), array_agg(-n), array_agg(0))
        from (select index_id, document_id, count(*)::int as n from old_rows group by 1, 2) c;
        -- What is left may all be embedded.
        perform corpuscope.settle_documents((select array_agg(distinct document_id) from old_rows));
    end if;
    return null;
end
$$;

create function corpuscope.count_embeddings() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        perform corpuscope.add_to_counters(array_agg(index_id), array_agg(document_id), array_agg(0), array_agg(n))
        from (select index_id, document_id, count(*)::int as n from new_rows group by 1, 2) c;
        perform corpuscope.settle_documents((select array_agg(distinct document_id) from new_rows));
    else
        perform corpuscope.add_to_counters(array_agg(index_id), array_agg(document_id), array_agg(0), array_agg(-n))
        from (select index_id, document_id, count(*)::int as n from old_rows group by 1, 2) c;
    end if;
    return null;
end
$$;

-- Moves documents whose chunks are all embedded (or given up on) to their final stage, and takes out what they replace.
create function corpuscope.settle_documents(ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
declare
    settled uuid[];
begin
    with complete as materialized (
        select d.id, i.chunk_count, i.failed_count
        from public.documents d
        join public.collections c on c.id = d.collection_id
        join public.index_documents i on i.index_id = c.active_index_id and i.document_id = d.id
        where d.id = any (ids) and i.text_revision = d.text_revision
          and i.embedded_count + i.failed_count >= i.chunk_count
          and (d.stage = 'embedding' or (d.stage = 'failed' and d.error_code = 'embedding') or (d.stage = 'ready' and i.chunk_count = 0))
        order by d.id for no key update of d
    ), moved as (
        update public.documents d
        set stage = case when c.failed_count > 0 or c.chunk_count = 0 then 'failed' else 'ready' end,
            error = case when c.failed_count > 0
                then format('%s of %s chunks could not be embedded; the others can be searched.', c.failed_count, c.chunk_count)
                when c.chunk_count = 0 then 'Nothing of this document is left to search.' end,
            error_hint = case when c.failed_count > 0 then 'See the reason under "Failed work", then retry.'
                when c.chunk_count = 0 then 'Retry to make its chunks again.' end,
            error_code = case when c.failed_count > 0 or c.chunk_count = 0 then 'embedding' end
        from complete c where d.id = c.id
        returning d.id, d.stage
    )
    select array_agg(id) into settled from moved where stage = 'ready';
    if settled is not null then
        delete from public.documents old using public.documents d
        where d.id = any (settled) and old.id = d.replaces and old.collection_id = d.collection_id;
        update public.documents d set replaces = null where d.id = any (settled) and d.replaces is not null;
    end if;
end
$$;
revoke all on function corpuscope.settle_documents(uuid[]) from public;
grant execute on function corpuscope.settle_documents(uuid[]) to corpuscope_worker;

create trigger count_embeddings_insert after insert on public.embeddings
    referencing new table as new_rows for each statement execute function corpuscope.count_embeddings();
create trigger count_embeddings_delete after delete on public.embeddings
    referencing old table as old_rows for each statement execute function corpuscope.count_embeddings();

-- Exclusions: chunks follow span_marks ----------------------------------------------------------------------------
create function corpuscope.apply_exclusions(ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    with spans as (
        select document_id, range_agg(int4range(start_char, end_char)) as spans
        from public.span_marks where kind = 'exclusion' and document_id = any (ids) group by document_id
    ), wanted as (
        select c.id, coalesce((
            select 2 * sum(upper(r) - lower(r)) >= c.end_char - c.start_char
            from unnest(s.spans * int4multirange(int4range(c.start_char, c.end_char))) r
        ), false) as excluded
        from public.chunks c left join spans s on s.document_id = c.document_id
        where c.document_id = any (ids)
    )
    update public.chunks c set excluded = w.excluded from wanted w where c.id = w.id and c.excluded <> w.excluded
$$;
revoke all on function corpuscope.apply_exclusions(uuid[]) from public;

create function corpuscope.exclusions_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.apply_exclusions((select array_agg(distinct document_id) from changed where kind = 'exclusion'));
    return null;
end
$$;
create trigger exclusions_added after insert on public.span_marks
    referencing new table as changed for each statement execute function corpuscope.exclusions_changed();
create trigger exclusions_moved after update on public.span_marks
    referencing new table as changed for each statement execute function corpuscope.exclusions_changed();
create trigger exclusions_removed after delete on public.span_marks
    referencing old table as changed for each statement execute function corpuscope.exclusions_changed();
