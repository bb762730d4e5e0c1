-- Scopes: saved selections of passages. A search, a conversation or a request for questions may look in one of them alone.
--
-- A scope is spans of documents, so it means the same under any chunking and model; a chunk is in it when at least half of its
-- characters are. A scope with a name was saved by an editor, for everybody who may view the collection. One without is made by
-- the way, as for a conversation, and is its maker's own.

create table public.scopes (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    name text check (length(trim(name)) between 1 and 80),
    passages int not null default 0,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id)
);
comment on column public.scopes.name is 'Null: made by the way, and seen by its maker alone.';
comment on column public.scopes.passages is 'Chunks of the active index that were in it when it was saved: by this a search is planned.';
create unique index scopes_name on public.scopes (collection_id, lower(name)) where name is not null;
create index scopes_creator on public.scopes (created_by, collection_id);

-- Apart from each other and in order. Of a document that is in another collection by now, they count for nothing.
create table public.scope_spans (
    scope_id bigint not null references public.scopes (id) on delete cascade,
    document_id uuid not null references public.documents (id) on delete cascade,
    start_char int not null check (start_char >= 0),
    end_char int not null,
    primary key (scope_id, document_id, start_char),
    check (end_char > start_char)
);
create index scope_spans_document on public.scope_spans (document_id);

-- Which chunks of which index that makes; kept by the functions below and by triggers. A row that outlives its chunk does no harm.
create table corpuscope.scope_chunks (
    scope_id bigint not null references public.scopes (id) on delete cascade,
    index_id bigint not null,
    chunk_id bigint not null,
    primary key (scope_id, index_id, chunk_id)
);
create index scope_chunks_chunk on corpuscope.scope_chunks (chunk_id);
revoke all on corpuscope.scope_chunks from public;

alter table public.chats
    add column scope_id bigint,
    add foreign key (scope_id, collection_id) references public.scopes (id, collection_id) on delete set null (scope_id);
create index chats_scope on public.chats (scope_id) where scope_id is not null;
comment on column public.chats.scope_id is 'What its answers are made from; null: everything.';
alter table public.messages add column scope jsonb;
comment on column public.messages.scope is 'What this answer was to be made from: {"id", "name", "passages", "documents"} of the scope; null: everything.';

alter table public.question_drafts
    add column scope_id bigint,
    add foreign key (scope_id, collection_id) references public.scopes (id, collection_id) on delete cascade;
create index question_drafts_scope on public.question_drafts (scope_id) where scope_id is not null;
comment on column public.question_drafts.scope_id is 'What is to be asked about; null: all documents.';

-- The scopes that the caller may use: those with a name, their own, and what a conversation of theirs is bound to.
create function corpuscope.visible_scopes() returns bigint[]
language sql stable security definer set search_path = '' as $$
    select array(
        select s.id from public.scopes s
        where s.collection_id in (select unnest((select corpuscope.viewable_collections())))
          and (s.name is not null or s.created_by = (select auth.uid())
               or exists (select from public.chats h where h.scope_id = s.id and h.created_by = (select auth.uid())))
    )
$$;
revoke all on function corpuscope.visible_scopes() from public;
grant execute on function corpuscope.visible_scopes() to authenticated, service_role;

alter table public.scopes enable row level security;
create policy "people see scopes" on public.scopes for select to authenticated
    using (id in (select unnest((select corpuscope.visible_scopes()))));
create policy "editors name scopes" on public.scopes for update to authenticated
    using (id in (select unnest((select corpuscope.visible_scopes()))) and collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (name is not null and collection_id in (select unnest((select corpuscope.editable_collections()))));
grant select, update (name) on public.scopes to authenticated;
grant all on public.scopes to service_role;

alter table public.scope_spans enable row level security;
create policy "people see the spans of scopes" on public.scope_spans for select to authenticated
    using (scope_id in (select unnest((select corpuscope.visible_scopes()))));
grant select on public.scope_spans to authenticated;
grant all on public.scope_spans to service_role;

drop policy "people start chats" on public.chats;
create policy "people start chats" on public.chats for insert to authenticated
    with check (
        created_by = (select corpuscope.caller()) and collection_id in (select unnest((select corpuscope.viewable_collections())))
        and (scope_id is null or scope_id in (select unnest((select corpuscope.visible_scopes()))))
    );
drop policy "people rename their chats" on public.chats;
create policy "people change their chats" on public.chats for update to authenticated
    using (id in (select unnest((select corpuscope.visible_chats()))))
    with check (
        created_by = (select corpuscope.caller())
        and (scope_id is null or scope_id in (select unnest((select corpuscope.visible_scopes()))))
    );
grant insert (scope_id), update (scope_id) on public.chats to authenticated;

drop policy "editors ask for drafts" on public.question_drafts;
create policy "editors ask for drafts" on public.question_drafts for insert to authenticated
    with check (
        collection_id in (select unnest((select corpuscope.editable_collections())))
        and (scope_id is null or scope_id in (select unnest((select corpuscope.visible_scopes()))))
    );
grant insert (scope_id) on public.question_drafts to authenticated;

-- Which of these chunks are in which scopes, or in this one. Spans of a document are apart and in order, so that of each chunk
-- only those are looked at that can meet it.
create function corpuscope.place_in_scopes(chunks bigint[], scope bigint default null) returns void
language plpgsql security definer set search_path = '' set jit = off as $$
begin
    delete from corpuscope.scope_chunks m where m.chunk_id = any (chunks) and (scope is null or m.scope_id = scope);
    insert into corpuscope.scope_chunks (scope_id, index_id, chunk_id)
    select w.scope_id, c.index_id, c.id
    from public.chunks c
    join (
        select distinct s.scope_id, s.document_id, o.collection_id from public.scope_spans s join public.scopes o on o.id = s.scope_id
        where (place_in_scopes.scope is null or s.scope_id = place_in_scopes.scope)
          and s.document_id in (select k.document_id from public.chunks k where k.id = any (chunks))
    ) w on w.document_id = c.document_id and w.collection_id = c.collection_id
    where c.id = any (chunks) and 2 * (
        select sum(least(c.end_char, s.end_char) - greatest(c.start_char, s.start_char)) from public.scope_spans s
        where s.scope_id = w.scope_id and s.document_id = c.document_id and s.end_char > c.start_char and s.start_char < c.end_char
          and s.start_char >= coalesce((
              select p.start_char from public.scope_spans p
              where p.scope_id = w.scope_id and p.document_id = c.document_id and p.start_char <= c.start_char
              order by p.start_char desc limit 1
          ), 0)
    ) >= c.end_char - c.start_char
    on conflict do nothing;
end
$$;
revoke all on function corpuscope.place_in_scopes(bigint[], bigint) from public;

create function corpuscope.chunks_entered_scopes() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from public.scope_spans s where s.document_id = any (array (select distinct n.document_id from new_rows n))) then
        perform corpuscope.place_in_scopes(array (select n.id from new_rows n));
    end if;
    return null;
end
$$;
create function corpuscope.chunks_moved_in_scopes() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    moved bigint[];
begin
    select array_agg(n.id) into moved from new_rows n join old_rows o using (id)
    where (n.start_char, n.end_char, n.index_id, n.collection_id) <> (o.start_char, o.end_char, o.index_id, o.collection_id);
    if moved is not null and exists (
        select from public.scope_spans s where s.document_id = any (array (select distinct n.document_id from new_rows n))
    ) then
        perform corpuscope.place_in_scopes(moved);
    end if;
    return null;
end
$$;
create function corpuscope.chunks_left_scopes() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    delete from corpuscope.scope_chunks m where m.chunk_id = any (array (select o.id from old_rows o));
    return null;
end
$$;
revoke all on function corpuscope.chunks_entered_scopes(), corpuscope.chunks_moved_in_scopes(), corpuscope.chunks_left_scopes() from public;
create trigger chunks_entered_scopes after insert on public.chunks
    referencing new table as new_rows for each statement execute function corpuscope.chunks_entered_scopes();
create trigger chunks_moved_in_scopes after update on public.chunks
    referencing old table as old_rows new table as new_rows for each statement execute function corpuscope.chunks_moved_in_scopes();
create trigger chunks_left_scopes after delete on public.chunks
    referencing old table as old_rows for each statement execute function corpuscope.chunks_left_scopes();

-- What of a scope a search of the active index can find.
create function corpuscope.count_scope(scope bigint, out passages int, out documents int)
language sql stable security definer set search_path = '' set jit = off as $$
    select count(*)::int, count(distinct c.document_id)::int
    from public.scopes o
    join public.collections k on k.id = o.collection_id
    join corpuscope.scope_chunks m on m.scope_id = o.id and m.index_id = k.active_index_id
    join public.chunks c on c.id = m.chunk_id and c.index_id = m.index_id and not c.excluded
    where o.id = scope
$$;
revoke all on function corpuscope.count_scope(bigint) from public;

create function public.scope_counts(scopes bigint[]) returns table (scope bigint, passages int, documents int)
language sql stable security definer set search_path = '' as $$
    select s.id, n.passages, n.documents from unnest(corpuscope.visible_scopes()) as s (id) cross join lateral corpuscope.count_scope(s.id) n
    where s.id = any (scopes)
$$;
-- The chunks of an index that are in a scope, whether or not they may be found; nothing for who may not use it.
create function public.scope_members(scope bigint, index bigint default null) returns setof bigint
language sql stable security definer set search_path = '' as $$
    select m.chunk_id from public.scopes o
    join public.collections k on k.id = o.collection_id
    join corpuscope.scope_chunks m on m.scope_id = o.id and m.index_id = coalesce(scope_members.index, k.active_index_id)
    where o.id = scope and scope = any ((select corpuscope.visible_scopes())::bigint[])
$$;
revoke all on function public.scope_counts(bigint[]), public.scope_members(bigint, bigint) from public;
grant execute on function public.scope_counts(bigint[]), public.scope_members(bigint, bigint) to authenticated, service_role;

-- Saves spans of documents of a collection as a scope, what overlaps as one. Without a name it is the caller's own; of these
-- all but the latest fifty go that nothing refers to.
create function public.save_scope(collection uuid, name text, documents uuid[], starts int[], ends int[]) returns bigint
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    wanted constant text := nullif(trim(save_scope.name), '');
    made bigint;
begin
    if not corpuscope.may_view(collection) then
        raise exception 'That collection does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif wanted is not null and collection <> all (corpuscope.editable_collections()) then
        raise exception 'You may look into this collection but not save selections for others.' using errcode = 'insufficient_privilege';
    elsif cardinality(documents) <> cardinality(starts) or cardinality(starts) <> cardinality(ends) or cardinality(documents) > 1000000 then
        raise exception 'A selection has a document, a start and an end for each of a million spans at most.' using errcode = 'invalid_parameter_value';
    elsif wanted is not null and (select count(*) from public.scopes s where s.collection_id = save_scope.collection and s.name is not null) >= 500 then
        raise exception 'This collection has five hundred saved selections already.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    delete from public.scopes s
    where s.created_by = auth.uid() and s.collection_id = save_scope.collection and s.name is null
      and not exists (select from public.chats h where h.scope_id = s.id)
      and not exists (select from public.question_drafts q where q.scope_id = s.id and q.state in ('queued', 'running'))
      and s.id < (
          select l.id from public.scopes l where l.created_by = auth.uid() and l.collection_id = save_scope.collection and l.name is null
          order by l.id desc offset 49 limit 1
      );
    -- Whoever chunks one of them anew waits, so that no chunk is missed.
    perform from public.documents d where d.collection_id = collection and d.id = any (documents) order by d.id for share;
    insert into public.scopes (collection_id, name) values (collection, wanted) returning id into made;
    insert into public.scope_spans (scope_id, document_id, start_char, end_char)
    select made, m.id, lower(r), upper(r)
    from (
        select d.id, range_agg(int4range(greatest(u.start, 0), least(u.stop, d.char_count))) as spans
        from unnest(documents, starts, ends) as u (document, start, stop)
        join public.documents d on d.id = u.document and d.collection_id = save_scope.collection and d.trashed_at is null
        where greatest(u.start, 0) < least(u.stop, d.char_count) group by d.id
    ) m cross join lateral unnest(m.spans) as r;
    if not found then
        raise exception 'Nothing of that selection is in this collection.' using errcode = 'invalid_parameter_value';
    end if;
    perform corpuscope.place_in_scopes(array (select c.id from public.chunks c where c.document_id = any (documents)), made);
    update public.scopes s set passages = (select n.passages from corpuscope.count_scope(made) n) where s.id = made;
    return made;
end
$$;

-- Deletes a scope. One that conversations are bound to only loses its name: they still mean it.
create function public.drop_scope(scope bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.scopes s
    where s.id = scope and s.id = any (corpuscope.visible_scopes())
      and (s.created_by = auth.uid() or (s.name is not null and s.collection_id = any (corpuscope.editable_collections())))
    for update;
    if not found then
        raise exception 'That selection does not exist, or you may not delete it.' using errcode = 'insufficient_privilege';
    elsif exists (select from public.chats h where h.scope_id = scope)
        or exists (select from public.question_drafts q where q.scope_id = scope and q.state in ('queued', 'running')) then
        update public.scopes s set name = null where s.id = scope;
    else
        delete from public.scopes s where s.id = scope;
    end if;
end
$$;
revoke all on function public.save_scope(uuid, text, uuid[], int[], int[]), public.drop_scope(bigint) from public;
grant execute on function public.save_scope(uuid, text, uuid[], int[], int[]), public.drop_scope(bigint) to authenticated, service_role;

-- For who corrects a text: all spans of scopes in it, whosever they are, without saying whose; and where they lie afterwards.
-- A span that goes has null there.
create function corpuscope.list_scope_spans(document uuid) returns table (start_char int, end_char int)
language sql stable security definer set search_path = '' as $$
    select distinct s.start_char, s.end_char from public.scope_spans s join public.documents d on d.id = s.document_id
    where s.document_id = document and d.collection_id = any ((select corpuscope.editable_collections())::uuid[]) order by 1, 2
$$;
create function corpuscope.move_scope_spans(document uuid, starts int[], ends int[], new_starts int[], new_ends int[]) returns void
language plpgsql security definer set search_path = '' as $$
declare
    owners bigint[];
    lows int[];
    highs int[];
begin
    if not exists (
        select from public.documents d where d.id = document and d.collection_id = any (corpuscope.editable_collections())
    ) then
        raise exception 'That document does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    with taken as (
        delete from public.scope_spans s using unnest(starts, ends, new_starts, new_ends) as m (low, high, new_low, new_high)
        where s.document_id = document and (s.start_char, s.end_char) = (m.low, m.high) returning s.scope_id, m.new_low, m.new_high
    )
    select array_agg(t.scope_id), array_agg(t.new_low), array_agg(t.new_high) into owners, lows, highs from taken t where t.new_low < t.new_high;
    insert into public.scope_spans (scope_id, document_id, start_char, end_char)
    select m.scope_id, document, lower(r), upper(r)
    from (
        select u.scope_id, range_agg(int4range(u.low, u.high)) as spans from unnest(owners, lows, highs) as u (scope_id, low, high) group by 1
    ) m cross join lateral unnest(m.spans) as r
    on conflict (scope_id, document_id, start_char) do update set end_char = greatest(scope_spans.end_char, excluded.end_char);
    perform corpuscope.place_in_scopes(array (select c.id from public.chunks c where c.document_id = document));
end
$$;
revoke all on function corpuscope.list_scope_spans(uuid), corpuscope.move_scope_spans(uuid, int[], int[], int[], int[]) from public;
grant execute on function corpuscope.list_scope_spans(uuid), corpuscope.move_scope_spans(uuid, int[], int[], int[], int[]) to authenticated, service_role;

-- Searching in a scope ----------------------------------------------------------------------------------------------------
-- How many chunks a scope had when it was saved; refuses who may not use it, or not in this collection.
create function corpuscope.check_scope(scope bigint, collection uuid) returns int
language plpgsql stable security definer set search_path = '' as $$
declare
    found_passages int;
begin
    select s.passages into found_passages from public.scopes s
    where s.id = scope and s.collection_id = collection
      and (s.name is not null or s.created_by = auth.uid()
           or exists (select from public.chats h where h.scope_id = s.id and h.created_by = auth.uid()));
    if not found then
        raise exception 'That selection does not exist, or it is not shared with you.' using errcode = 'no_data_found';
    end if;
    return found_passages;
end
$$;
revoke all on function corpuscope.check_scope(bigint, uuid) from public;

-- As nearest_by_graph(), of a scope: each vector on the way is looked up in it.
create function corpuscope.scope_by_graph(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int, scan_tuples int, scope bigint,
    out chunk_ids bigint[], out similarities real[]
)
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_sort = off set jit = off as $$
declare
    done text;
begin
    if ef_search <> 200 then
        done := set_config('hnsw.ef_search', ef_search::text, true);
    end if;
    if scan_tuples <> 20000 and current_setting('hnsw.max_scan_tuples', true) is not null then
        done := set_config('hnsw.max_scan_tuples', scan_tuples::text, true);
    end if;
    execute format(
        'select array_agg(s.chunk_id), array_agg(s.similarity) from (select n.chunk_id, (1 - n.distance)::real as similarity from ('
        ' select e.chunk_id, e.embedding::extensions.halfvec(%1$s) operator(extensions.<=>) $1::extensions.halfvec(%1$s) as distance'
        ' from public.embeddings e where e.model_id = %2$s and e.index_id + 0 = $2 and not e.excluded'
        ' and coalesce((select true from corpuscope.scope_chunks m where m.scope_id = $5 and m.index_id = $2 and m.chunk_id = e.chunk_id), false)'
        ' %3$s order by 2 limit $4) n order by n.distance + 0, n.chunk_id) s',
        extensions.vector_dims(question_vector), model, case when documents is not null then 'and coalesce(e.document_id = any ($3), false)' end
    ) into chunk_ids, similarities using question_vector, index_id, documents, depth, scope;
end
$$;

-- As nearest_by_scan(), of a scope, 3 µs a row. By a limit each vector is looked up by itself: the planner would rather read a whole
-- index, for small scopes too once others are large.
create function corpuscope.scope_by_scan(
    index_id bigint, question_vector extensions.halfvec, documents uuid[], depth int, scope bigint, out chunk_ids bigint[], out similarities real[]
)
language plpgsql stable set search_path = '' set jit = off as $$
begin
    select array_agg(s.chunk_id), array_agg(s.similarity) into chunk_ids, similarities from (
        select n.chunk_id, (1 - n.distance)::real as similarity from (
            select m.chunk_id, e.embedding operator(extensions.<=>) $2 as distance
            from corpuscope.scope_chunks m cross join lateral (
                select v.embedding, v.excluded, v.document_id from public.embeddings v
                where v.chunk_id = m.chunk_id and v.index_id = $1 limit 1
            ) e
            where m.scope_id = $5 and m.index_id = $1 and not e.excluded and ($3 is null or e.document_id = any ($3))
            order by 2, 1 limit $4
        ) n order by n.distance, n.chunk_id
    ) s;
end
$$;

-- As dense_candidates(), of a scope: small ones are looked at whole, of large ones the graph is asked.
create function corpuscope.scoped_candidates(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int,
    total double precision, scope bigint, out chunk_ids bigint[], out similarities real[]
)
language plpgsql stable set search_path = '' as $$
declare
    filtered double precision;
    visits double precision;
    first constant int := least(1000, greatest(ef_search, depth));
    by_graph boolean := false;
    nearest record;
begin
    if total is not null then
        select s.passages into filtered from public.scopes s where s.id = scope;
        if documents is not null then
            select least(filtered, coalesce(sum(d.embedded_count), 0)) into filtered
            from public.index_documents d where d.index_id = scoped_candidates.index_id and d.document_id = any (documents);
        end if;
        visits := depth * greatest(total, filtered) / greatest(filtered, 1);
        by_graph := 3 * filtered > 15 * first + 35 * greatest(1.5 * visits - first, 0);
    end if;
    if by_graph then
        nearest := corpuscope.scope_by_graph(
            index_id, model, question_vector, documents, depth, first, greatest(20000, 4 * visits)::int, scope
        );
        by_graph := cardinality(nearest.chunk_ids) >= depth;
    end if;
    if by_graph is not true then
        nearest := corpuscope.scope_by_scan(index_id, question_vector, documents, depth, scope);
    end if;
    chunk_ids := nearest.chunk_ids;
    similarities := nearest.similarities;
end
$$;
do $$
begin
    perform '[1]'::extensions.halfvec;
    alter function corpuscope.scope_by_graph set hnsw.ef_search = 200;
    if current_setting('hnsw.iterative_scan', true) is not null then
        alter function corpuscope.scope_by_graph set hnsw.iterative_scan = 'relaxed_order';
        alter function corpuscope.scope_by_graph set hnsw.max_scan_tuples = 20000;
    end if;
end
$$;
revoke all on function corpuscope.scope_by_graph(bigint, int, extensions.halfvec, uuid[], int, int, int, bigint),
    corpuscope.scope_by_scan(bigint, extensions.halfvec, uuid[], int, bigint),
    corpuscope.scoped_candidates(bigint, int, extensions.halfvec, uuid[], int, int, double precision, bigint) from public;

-- As before, and of a scope.
drop function corpuscope.lexical_candidates(bigint, text, uuid[], int, bigint[]);
create function corpuscope.lexical_candidates(
    index_id bigint, question text, documents uuid[] default null, depth int default 200, also bigint[] default '{}',
    scope bigint default null
) returns table (chunk_id bigint, score real, rank int, matched text[])
language plpgsql stable security definer set search_path = '' set enable_sort = off set jit = off as $$
#variable_conflict use_column
declare
    home constant int := index_id;
    ids int[];
    names text[];
    counts bigint[];
    weights double precision[];
    average double precision;
    blend double precision := 0;
    others bigint[];
    places int;
    windows double precision[];
    allowed bigint[];
    wide boolean := false;
    budget bigint := 8000;
    chosen int := 0;
    taken bigint := 0;
    candidates bigint[];
    partials double precision[];
    kept bigint[];
    kept_partials double precision[];
    take int := depth + 50;
    found bigint[];
    scores double precision[];
begin
    if not exists (select from public.indexes i where i.id = home and corpuscope.may_view(i.collection_id)) then
        raise exception 'That index does not exist, or you may not see it.' using errcode = 'insufficient_privilege';
    end if;
    select array_agg(q.lexeme_id), array_agg(q.lexeme), array_agg(q.chunks), array_agg(q.weight)
    into ids, names, counts, weights from corpuscope.question_lexemes(home, question) q;
    if ids is null then
        return;
    end if;
    select a.average, case when a.chunks >= 200 then 0.5 * greatest(0, least(1, (65 - a.average) / 25)) else 0 end
    into average, blend
    from (
        select greatest(sum(t.length), 1)::double precision / greatest(sum(t.chunks), 1) as average, sum(t.chunks) as chunks
        from corpuscope.lexical_totals t where t.index_id = home
    ) a;
    -- A narrow filter becomes a list of chunks, a wide one is asked of the candidates.
    if documents is not null then
        budget := 16000;
        select coalesce(sum(d.chunk_count), 0) > 20000 into wide
        from public.index_documents d where d.index_id = lexical_candidates.index_id and d.document_id = any (documents);
        if not wide then
            select coalesce(array_agg(c.id), '{}') into allowed
            from public.chunks c where c.index_id = home and c.document_id = any (documents) and not c.excluded;
        end if;
    end if;
    if scope is not null then
        budget := 16000;
        wide := corpuscope.check_scope(scope, (select i.collection_id from public.indexes i where i.id = home)) > 20000;
        if not wide then
            -- What is excluded of it falls out last.
            select coalesce(array_agg(s.chunk_id), '{}') into allowed
            from corpuscope.scope_chunks s
            where s.scope_id = scope and s.index_id = home and (documents is null or exists (
                select from public.chunks c where c.id = s.chunk_id and c.document_id = any (documents)
            ));
        else
            allowed := null;
        end if;
    end if;

    if cardinality(allowed) <= 2000 then
        candidates := allowed;
        partials := array_fill(0::double precision, array [cardinality(allowed)]);
    else
        loop
            while chosen < cardinality(ids) and (chosen = 0 or taken + counts[chosen + 1] <= budget) loop
                chosen := chosen + 1;
                taken := taken + counts[chosen];
            end loop;
            if allowed is null then
                select array_agg(s.id), array_agg(s.score) into candidates, partials from (
                    select p.chunk_id as id, sum(q.weight * p.tf / (p.tf + 0.375 + 1.125 * p.length / average)) as score
                    from unnest(ids[:chosen], weights[:chosen]) as q (id, weight)
                    cross join lateral (
                        select * from corpuscope.postings p where p.index_id = home and p.lexeme_id = q.id limit 50000
                    ) p group by 1
                ) s;
            else
                select array_agg(s.id), array_agg(s.score) into candidates, partials from (
                    select p.chunk_id as id, sum(q.weight * p.tf / (p.tf + 0.375 + 1.125 * p.length / average)) as score
                    from unnest(ids[:chosen], weights[:chosen]) as q (id, weight)
                    join corpuscope.postings p on p.index_id = home and p.lexeme_id = q.id
                    join unnest(allowed) as a (id) on a.id = p.chunk_id group by 1
                ) s;
            end if;
            if wide and scope is not null then
                select array_agg(s.id), array_agg(s.partial) into candidates, partials
                from unnest(candidates, partials) as s (id, partial)
                join corpuscope.scope_chunks m on m.scope_id = scope and m.index_id = home and m.chunk_id = s.id;
            end if;
            if wide and documents is not null then
                select array_agg(s.id), array_agg(s.partial) into candidates, partials
                from unnest(candidates, partials) as s (id, partial) join public.chunks c on c.id = s.id
                where not c.excluded and c.document_id in (select unnest(documents));
            end if;
            exit when cardinality(candidates) >= depth or chosen = cardinality(ids);
            budget := taken + counts[chosen + 1];
        end loop;
    end if;

    candidates := coalesce(candidates, '{}');
    -- No lexeme adds more than its weight, so a candidate that the rest can't lift among the best needs no look-ups. One
    -- scan a lexeme looks up all others, in the order of the index. Hashed (enable_sort is off), scores are summed up in the
    -- order of the lexemes: chunks with the same words get the same score to the last bit.
    -- Deleted and excluded chunks fall out last; where they leave too few, all candidates are scored.
    loop
        select array_agg(c.id order by c.id), array_agg(c.partial order by c.id) into kept, kept_partials
        from unnest(candidates, partials) as c (id, partial)
        where c.partial + coalesce((select sum(w) from unnest(weights[chosen + 1:]) as w), 0)
            >= coalesce((select p from unnest(partials) as p order by p desc offset take - 1 limit 1), 0);
        with scored as (
            select u.id, sum(u.partial) + coalesce(sum(u.rest), 0) as score
            from (
                select k.id, k.partial, null::double precision as rest from unnest(kept, kept_partials) as k (id, partial)
                union all
                select p.chunk_id, null, q.weight * p.tf / (p.tf + 0.375 + 1.125 * p.length / average)
                from unnest(ids[chosen + 1:], weights[chosen + 1:]) as q (id, weight)
                cross join lateral (
                    select * from corpuscope.postings p
                    where p.index_id = home and p.lexeme_id = q.id and p.chunk_id = any (kept)
                ) p
            ) u group by 1 order by 2 desc, 1 limit take
        )
        select array_agg(s.id order by s.score desc, s.id), array_agg(s.score order by s.score desc, s.id) into found, scores
        from scored s join public.chunks c on c.id = s.id and not c.excluded where s.score > 0;
        exit when cardinality(found) >= depth or take > cardinality(candidates);
        take := cardinality(candidates) + 1;
    end loop;
    found := coalesce(found[:depth], '{}');
    scores := coalesce(scores[:depth], '{}');
    places := cardinality(found);

    others := array (select unnest(also) except select unnest(found) order by 1);
    if others <> '{}' then
        select found || array_agg(o.id), scores || array_agg(o.score) into found, scores from (
            select p.chunk_id as id, sum(q.weight * p.tf / (p.tf + 0.375 + 1.125 * p.length / average)) as score
            from unnest(ids, weights) as q (id, weight)
            cross join lateral (
                select * from corpuscope.postings p
                where p.index_id = home and p.lexeme_id = q.id and p.chunk_id = any (others)
            ) p group by 1
        ) o where o.score > 0;
    end if;
    if blend > 0 then
        windows := corpuscope.window_scores(home, found, ids, weights, average);
    end if;

    -- The first 200 stay the first 200, so that asking for more changes nothing about them.
    return query
    select u.id, u.score::real, case when u.place <= places then u.n::int end, (
        select array_agg(q.name) from corpuscope.chunk_terms t, unnest(ids, names) as q (id, name)
        where t.chunk_id = u.id and t.index_id = home and q.id = any (t.lexeme_ids)
    )
    from (
        select w.*, row_number() over (order by w.place > places, w.place > 200, w.score desc, w.id) as n
        from (
            select f.id, f.place, case when blend = 0 then f.score else (1 - blend) * f.score + blend * f.whole end as score
            from unnest(found, scores, windows) with ordinality as f (id, score, whole, place)
        ) w
    ) u;
end
$$;
revoke all on function corpuscope.lexical_candidates(bigint, text, uuid[], int, bigint[], bigint) from public;
grant execute on function corpuscope.lexical_candidates(bigint, text, uuid[], int, bigint[], bigint) to authenticated;

drop function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[], bigint);
drop function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[], bigint);
-- As before, and of a scope.
create function corpuscope.search_collection(
    collection uuid, question text, question_vector extensions.halfvec, profile jsonb, documents uuid[], index bigint, scope bigint default null
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[], fused_rank int
)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
    wanted constant jsonb := corpuscope.complete_profile(coalesce(profile, '{}'));
    mode constant text := wanted ->> 'mode';
    k constant int := wanted ->> 'k';
    threshold constant real := wanted ->> 'threshold';
    weight double precision := wanted ->> 'dense_weight';
    rrf constant int := case when wanted ->> 'fusion' = 'rrf' then (wanted ->> 'rrf_k')::int end;
    diversity constant double precision := wanted ->> 'diversity';
    depth constant int := case when k <= 200 then 200 else 1000 end;
    home record;
    nearest record;
    dense_ids bigint[] := '{}';
    similarities real[] := '{}';
    places int[];
begin
    select i.id, i.model_id, m.name, m.dimensions,
           (select k.reltuples from pg_catalog.pg_class k where k.oid = to_regclass('public.embeddings_hnsw_' || m.id)) as total,
           coalesce(
               nullif((select sum(t.chunks) from corpuscope.lexical_totals t where t.index_id = i.id), 0),
               (select sum(x.embedded_count) from public.index_documents x where x.index_id = i.id), 0
           ) as size
    into home
    from public.collections c
    left join public.indexes i on i.id = coalesce(index, c.active_index_id) and i.collection_id = c.id and i.state <> 'retired'
    left join public.embedding_models m on m.id = i.model_id
    where c.id = collection and corpuscope.may_view(c.id);
    if not found then
        raise exception 'That collection does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif home.id is null and index is not null then
        raise exception 'This collection has no index %, or it was retired.', index;
    elsif home.id is null then
        raise exception 'This collection has no active index yet.';
    elsif question_vector is null and mode <> 'lexical' then
        raise exception 'A % search needs the vector of the question.', mode;
    elsif extensions.vector_dims(question_vector) <> home.dimensions then
        raise exception 'The vector of the question has % dimensions; % has %.',
            extensions.vector_dims(question_vector), home.name, home.dimensions;
    elsif scope is not null then
        perform corpuscope.check_scope(scope, collection);
    end if;

    if mode <> 'lexical' then
        if scope is null then
            nearest := corpuscope.dense_candidates(
                home.id, home.model_id, question_vector, documents,
                case when mode <> 'dense' then depth when diversity > 0 then greatest(k, 64) else k end, (wanted ->> 'ef_search')::int, home.total, home.size
            );
        else
            nearest := corpuscope.scoped_candidates(
                home.id, home.model_id, question_vector, documents,
                case when mode <> 'dense' then depth when diversity > 0 then greatest(k, 64) else k end, (wanted ->> 'ef_search')::int, home.total, scope
            );
        end if;
        dense_ids := nearest.chunk_ids;
        similarities := nearest.similarities;
    end if;

    if mode = 'dense' then
        if diversity > 0 then
            places := corpuscope.diversify(dense_ids, similarities, diversity, k);
            select array_agg(dense_ids[p]), array_agg(similarities[p]) into dense_ids, similarities from unnest(places) as p;
        end if;
        return query
        select row_number() over (order by h.n)::int, c.*, h.similarity, null::real, h.similarity, coalesce(h.place, h.n)::int, null::int,
               '{}'::text[], coalesce(h.place, h.n)::int
        from unnest(dense_ids[:k], similarities[:k], places) with ordinality as h (id, similarity, place, n)
        cross join lateral (
            select c.id, c.document_id, d.name, d.title, x.text_revision, c.page, c.start_char, c.end_char, c.heading_path, c.text
            from public.chunks c
            join public.documents d on d.id = c.document_id
            join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
            where c.id = h.id and not c.excluded limit 1  -- a limit, so that it is planned for one row
        ) c
        where threshold is null or h.similarity >= threshold
        order by h.n;
        return;
    end if;

    if mode = 'hybrid' and rrf is null then
        weight := weight * coalesce(corpuscope.model_trust(home.id), 1);
    end if;
    return query
    with leg as materialized (
        select * from corpuscope.lexical_candidates(home.id, question, documents, depth, coalesce(dense_ids, '{}'), scope)
    ), best as (
        select max(l.score) as score from leg l where l.rank <= 200
    ), joined as (
        select coalesce(v.id, l.chunk_id) as id, v.n::int as dense_rank, l.rank as lexical_rank, l.score as lexical, l.matched,
               coalesce(v.similarity, (1 - (e.embedding operator(extensions.<=>) question_vector))::real) as similarity
        from unnest(dense_ids, similarities) with ordinality as v (id, similarity, n)
        full join leg l on l.chunk_id = v.id
        left join public.embeddings e on v.id is null and e.chunk_id = l.chunk_id
    ), scored as (
        select j.*, s.score, case when least(j.dense_rank, j.lexical_rank) <= 200 then s.first_score end as first_score
        from joined j cross join best b cross join lateral (
            select case when mode = 'lexical' then j.lexical
                        when rrf is null then weight * coalesce(j.similarity, 0) + (1 - weight) * coalesce(j.lexical / b.score, 0)
                        else coalesce(1.0 / (rrf + j.dense_rank), 0) + coalesce(1.0 / (rrf + j.lexical_rank), 0) end as score,
                   case when mode = 'hybrid' and rrf is not null
                        then coalesce(1.0 / (rrf + case when j.dense_rank <= 200 then j.dense_rank end), 0)
                           + coalesce(1.0 / (rrf + case when j.lexical_rank <= 200 then j.lexical_rank end), 0) end as first_score
        ) r cross join lateral (select r.score, coalesce(r.first_score, r.score) as first_score) s
    ), ranked as (
        select s.*, row_number() over (order by s.first_score desc nulls last, s.id) as first_n from scored s
    ), hits as (
        select r.*, row_number() over (order by case when r.first_n <= 200 then r.first_n end nulls last, r.score desc, r.id) as n from ranked r
    ), placed as (
        select h.*, case when diversity > 0 then p.place else h.n end as place
        from hits h left join unnest(case when diversity > 0 then (
            select corpuscope.diversify(array_agg(f.id order by f.n), array_agg(f.first_score order by f.n), diversity, k)
            from hits f where f.n <= greatest(k, 64)
        ) end) with ordinality as p (n, place) on p.n = h.n
    )
    select row_number() over (order by h.place)::int, c.*, h.similarity, h.lexical, h.score::real, h.dense_rank, h.lexical_rank,
           coalesce(h.matched, '{}'), h.n::int
    from placed h
    cross join lateral (
        select c.id, c.document_id, d.name, d.title, x.text_revision, c.page, c.start_char, c.end_char, c.heading_path, c.text
        from public.chunks c
        join public.documents d on d.id = c.document_id
        join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
        where c.id = h.id and not c.excluded limit 1  -- a limit, so that it is planned for one row
    ) c
    where h.place <= k and (threshold is null or question_vector is null or h.similarity >= threshold)
    order by h.place;
end
$$;
revoke all on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[], bigint, bigint) from public;
grant execute on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[], bigint, bigint) to authenticated, service_role;

create function public.search_chunks(
    collection uuid, question text, question_vector extensions.halfvec default null,
    profile jsonb default '{}', documents uuid[] default null, index bigint default null, scope bigint default null
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[], fused_rank int
)
language sql volatile security invoker set search_path = '' as $$
    select * from corpuscope.search_collection(collection, question, question_vector, profile, documents, index, scope)
$$;
revoke all on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[], bigint, bigint) from public;
grant execute on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[], bigint, bigint) to authenticated, service_role;

-- As before, and of a scope.
drop function corpuscope.trace_dense(bigint, extensions.halfvec, jsonb, uuid[], bigint);
create function corpuscope.trace_dense(
    index bigint, question_vector extensions.halfvec, profile jsonb, documents uuid[], chunk bigint, scope bigint default null,
    out similarity real, out exact_rank bigint, out compared bigint, out leg_rank int, out depth int, out by_graph boolean
)
language plpgsql volatile security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    wanted constant jsonb := corpuscope.complete_profile(coalesce(profile, '{}'));
    k constant int := wanted ->> 'k';
    graph regclass;
    home record;
    own record;
    nearest record;
    before bigint;
begin
    select i.id, i.model_id, i.collection_id, m.name, m.dimensions,
           (select c.reltuples from pg_catalog.pg_class c where c.oid = to_regclass('public.embeddings_hnsw_' || m.id)) as total,
           coalesce(
               nullif((select sum(t.chunks) from corpuscope.lexical_totals t where t.index_id = i.id), 0),
               (select sum(x.embedded_count) from public.index_documents x where x.index_id = i.id), 0
           ) as size
    into home
    from public.indexes i join public.embedding_models m on m.id = i.model_id
    where i.id = trace_dense.index and corpuscope.may_view(i.collection_id);
    if not found then
        raise exception 'That index does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif extensions.vector_dims(question_vector) <> home.dimensions then
        raise exception 'The vector of the question has % dimensions; % has %.',
            extensions.vector_dims(question_vector), home.name, home.dimensions;
    elsif scope is not null then
        perform corpuscope.check_scope(scope, home.collection_id);
    end if;

    depth := case when wanted ->> 'mode' <> 'dense' then case when k <= 200 then 200 else 1000 end
                  when (wanted ->> 'diversity')::real > 0 then greatest(k, 64) else k end;
    graph := to_regclass('public.embeddings_hnsw_' || home.model_id);
    before := coalesce(pg_stat_get_xact_numscans(graph), 0);
    if scope is null then
        nearest := corpuscope.dense_candidates(
            home.id, home.model_id, question_vector, documents, depth, (wanted ->> 'ef_search')::int, home.total, home.size
        );
    else
        nearest := corpuscope.scoped_candidates(
            home.id, home.model_id, question_vector, documents, depth, (wanted ->> 'ef_search')::int, home.total, scope
        );
    end if;
    by_graph := coalesce(pg_stat_get_xact_numscans(graph), 0) > before and cardinality(nearest.chunk_ids) >= depth;
    leg_rank := array_position(nearest.chunk_ids, chunk);

    select e.chunk_id, e.embedding operator(extensions.<=>) question_vector as distance into own
    from public.embeddings e where e.chunk_id = chunk and e.index_id = home.id;
    if own.chunk_id is not null then
        similarity := (1 - own.distance)::real;
        select 1 + count(*) filter (where (n.distance, n.chunk_id) < (own.distance, own.chunk_id)), count(*)
        into exact_rank, compared
        from (
            select e.chunk_id, e.embedding operator(extensions.<=>) question_vector as distance
            from public.embeddings e
            where e.index_id = home.id and not e.excluded and (documents is null or e.document_id = any (documents))
              and (scope is null or exists (
                  select from corpuscope.scope_chunks s where s.scope_id = scope and s.index_id = home.id and s.chunk_id = e.chunk_id
              ))
        ) n;
    end if;
end
$$;
revoke all on function corpuscope.trace_dense(bigint, extensions.halfvec, jsonb, uuid[], bigint, bigint) from public;
grant execute on function corpuscope.trace_dense(bigint, extensions.halfvec, jsonb, uuid[], bigint, bigint) to authenticated, service_role;

-- As before, and of a scope.
drop function public.similarity_histogram(uuid, extensions.halfvec, bigint);
create function public.similarity_histogram(collection uuid, question_vector extensions.halfvec, index bigint default null, scope bigint default null)
returns bigint[]
language plpgsql stable security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    home record;
    counts bigint[];
begin
    select i.id, m.name, m.dimensions into home
    from public.collections c
    join public.indexes i on i.collection_id = c.id and i.id = coalesce(similarity_histogram.index, c.active_index_id)
    join public.embedding_models m on m.id = i.model_id
    where c.id = collection and corpuscope.may_view(c.id);
    if not found then
        raise exception 'That collection does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif question_vector is null then
        raise exception 'Similarity needs the vector of the question.';
    elsif extensions.vector_dims(question_vector) <> home.dimensions then
        raise exception 'The vector of the question has % dimensions; % has %.',
            extensions.vector_dims(question_vector), home.name, home.dimensions;
    elsif scope is not null then
        perform corpuscope.check_scope(scope, collection);
    end if;
    with compared as (
        select 1 - (e.embedding operator(extensions.<=>) question_vector) as similarity
        from public.embeddings e where e.index_id = home.id and not e.excluded and (similarity_histogram.scope is null or exists (
            select from corpuscope.scope_chunks s
            where s.scope_id = similarity_histogram.scope and s.index_id = home.id and s.chunk_id = e.chunk_id
        ))
        offset 0  -- so that it is computed once a row
    ), counted as (
        -- A vector of zeros is like nothing, and its cosine is NaN: it is in no bin.
        select greatest(1, least(200, floor(100 * similarity + 101)::int)) as bin, count(*) as n
        from compared where similarity <> 'NaN' group by 1
    )
    select array_agg(coalesce(k.n, 0) order by b.bin) into counts
    from generate_series(1, 200) as b (bin) left join counted k using (bin);
    return counts;
end
$$;
revoke all on function public.similarity_histogram(uuid, extensions.halfvec, bigint, bigint) from public;
grant execute on function public.similarity_histogram(uuid, extensions.halfvec, bigint, bigint) to authenticated, service_role;

-- As before, and writes down what the conversation is bound to: what it is bound to later changes nothing about this answer.
create or replace function public.ask(chat uuid, question text, profile jsonb default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    next int;
    answer uuid;
    within jsonb;
begin
    if chat <> all (corpuscope.visible_chats()) then
        raise exception 'That chat does not exist, or you may not write in it.' using errcode = 'insufficient_privilege';
    end if;
    if length(trim(question)) not between 1 and 8000 then
        raise exception 'A question needs between 1 and 8,000 characters.';
    end if;
    if jsonb_typeof(profile) <> 'object' or length(profile::text) > 10000 then
        raise exception 'Those retrieval settings can''t be used.';
    end if;
    perform from public.chats c where c.id = chat for update;
    select jsonb_build_object('id', s.id, 'name', s.name, 'passages', n.passages, 'documents', n.documents) into within
    from public.chats c join public.scopes s on s.id = c.scope_id cross join lateral corpuscope.count_scope(s.id) n where c.id = chat;
    select coalesce(max(m.position), 0) + 1 into next from public.messages m where m.chat_id = chat;
    insert into public.messages (chat_id, position, role, content) values (chat, next, 'user', trim(question));
    insert into public.messages (chat_id, position, role, phase, profile, scope)
    values (chat, next + 1, 'assistant', 'queued', ask.profile, within)
    returning id into answer;
    update public.chats c set updated_at = now(),
        title = case when c.title = 'New chat' then left(trim(question), 120) else c.title end
    where c.id = chat;
    perform corpuscope.send_jobs('answer', array [jsonb_build_object('message', answer)]);
    return answer;
end
$$;
