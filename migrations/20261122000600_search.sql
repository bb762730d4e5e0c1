-- Searching: nearest vectors, exactly or by a graph, and search_chunks(), which fuses them with the lexical index.

-- How many vectors a model has, from counters.
create function corpuscope.model_row_count(model int) returns bigint
language sql stable security definer set search_path = '' as $$
    select coalesce(sum(d.embedded_count), 0)::bigint
    from public.indexes i join public.index_documents d on d.index_id = i.id where i.model_id = model
$$;

-- Makes the HNSW index of a model that has come to 10,000 vectors; below, scanning them is as fast. True if there is one.
-- Measured: with ef_construction 128, recall@10 at ef_search 200 is .994; with 64 it is .972.
create function corpuscope.ensure_vector_index(model int) returns boolean
language plpgsql security definer set search_path = '' set maintenance_work_mem = '256MB' as $$
declare
    name constant text := 'embeddings_hnsw_' || model;
begin
    if to_regclass('public.' || name) is not null then
        return true;
    end if;
    if corpuscope.model_row_count(model) < 10000 or not pg_try_advisory_xact_lock(hashtext('corpuscope vector index'), model) then
        return false;
    end if;
    execute format(
        'create index %I on public.embeddings using hnsw ((embedding::extensions.halfvec(%s)) extensions.halfvec_cosine_ops)'
        ' with (m = 16, ef_construction = 128) where model_id = %s',
        name, (select m.dimensions from public.embedding_models m where m.id = model), model
    );
    return true;
end
$$;
revoke all on function corpuscope.model_row_count(int), corpuscope.ensure_vector_index(int) from public;
grant execute on function corpuscope.model_row_count(int), corpuscope.ensure_vector_index(int) to corpuscope_worker;

-- How many chunks an index has, from the lexical counters if it has any; null for those who may not see it.
create function corpuscope.index_size(index_id bigint) returns bigint
language sql stable security definer set search_path = '' as $$
    select coalesce(
        nullif((select sum(t.chunks) from corpuscope.lexical_totals t where t.index_id = i.id::int), 0),
        (select sum(d.embedded_count) from public.index_documents d where d.index_id = i.id), 0
    )::bigint
    from public.indexes i
    where i.id = $1 and i.collection_id = any ((select corpuscope.viewable_collections())::uuid[])
$$;
revoke all on function corpuscope.index_size(bigint) from public;
grant execute on function corpuscope.index_size(bigint) to authenticated, service_role;

-- Nearest vectors by the model's HNSW index. Relaxed order, sorted again: at equal time its recall is 3 to 11 points
-- above strict order. The planner judges the filters badly, so they are written in ways that no other index serves, and
-- whatever would have to sort all rows is dear.
create function corpuscope.nearest_by_graph(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int, scan_tuples int
) returns table (chunk_id bigint, similarity real)
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_sort = off set jit = off as $$
begin
    perform set_config('hnsw.ef_search', ef_search::text, true);
    if current_setting('hnsw.max_scan_tuples', true) is not null then
        perform set_config('hnsw.max_scan_tuples', scan_tuples::text, true);
    end if;
    return query execute format(
        'select n.chunk_id, (1 - n.distance)::real from ('
        ' select e.chunk_id, e.embedding::extensions.halfvec(%1$s) operator(extensions.<=>) $1::extensions.halfvec(%1$s) as distance'
        ' from public.embeddings e where e.model_id = %2$s and e.index_id + 0 = $2 and not e.excluded %3$s order by 2 limit $4'
        ') n order by n.distance + 0, n.chunk_id',  -- + 0: the planner takes relaxed order for order
        extensions.vector_dims(question_vector), model, case when documents is not null then 'and coalesce(e.document_id = any ($3), false)' end
    ) using question_vector, index_id, documents, depth;
end
$$;

-- Nearest vectors by looking at each that passes the filters.
create function corpuscope.nearest_by_scan(index_id bigint, question_vector extensions.halfvec, documents uuid[], depth int)
returns table (chunk_id bigint, similarity real)
language plpgsql stable set search_path = '' set jit = off as $$
begin
    if documents is null then
        return query select n.chunk_id, (1 - n.distance)::real from (
            select e.chunk_id, e.embedding operator(extensions.<=>) $2 as distance
            from public.embeddings e where e.index_id = $1 and not e.excluded order by 2, 1 limit $4
        ) n order by n.distance, n.chunk_id;
    else
        return query select n.chunk_id, (1 - n.distance)::real from (
            select e.chunk_id, e.embedding operator(extensions.<=>) $2 as distance
            from public.embeddings e where e.index_id = $1 and not e.excluded and e.document_id = any ($3) order by 2, 1 limit $4
        ) n order by n.distance, n.chunk_id;
    end if;
end
$$;

-- Chooses between the two by stored row counts, with measured costs: a scan takes .65 µs a row. The graph visits
-- depth * all / filtered vectors, sometimes half as many again: 15 µs each for the first ef_search of them, 35 µs for each
-- one that it has to go on for.
create function corpuscope.dense_candidates(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int
) returns table (chunk_id bigint, similarity real)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
    total double precision;
    filtered double precision;
    visits double precision;
    first constant int := least(1000, greatest(ef_search, depth));
    ids bigint[];
    similarities real[];
begin
    select c.reltuples into total from pg_catalog.pg_class c where c.oid = to_regclass('public.embeddings_hnsw_' || model);
    if total is not null then
        if documents is null then
            filtered := corpuscope.index_size(index_id);
        else
            select coalesce(sum(d.embedded_count), 0) into filtered
            from public.index_documents d where d.index_id = dense_candidates.index_id and d.document_id = any (documents);
        end if;
        total := greatest(total, filtered);
        visits := depth * total / greatest(filtered, 1);
        if 0.65 * filtered > 15 * first + 35 * greatest(1.5 * visits - first, 0) then
            select array_agg(n.chunk_id), array_agg(n.similarity) into ids, similarities
            from corpuscope.nearest_by_graph(
                index_id, model, question_vector, documents, depth, first, greatest(20000, 4 * visits)::int
            ) n;
            if cardinality(ids) >= least(depth, filtered) then
                return query select * from unnest(ids, similarities);
                return;
            end if;
        end if;
    end if;
    return query select * from corpuscope.nearest_by_scan(index_id, question_vector, documents, depth);
end
$$;

do $$
begin
    -- What a function sets is as before once it ends. The cast loads the library: nobody but a superuser may name
    -- settings that are not defined yet.
    perform '[1]'::extensions.halfvec;
    alter function corpuscope.nearest_by_graph set hnsw.ef_search = 200;
    if current_setting('hnsw.iterative_scan', true) is not null then
        alter function corpuscope.nearest_by_graph set hnsw.iterative_scan = 'relaxed_order';
        alter function corpuscope.nearest_by_graph set hnsw.max_scan_tuples = 20000;
    end if;
end
$$;
revoke all on function corpuscope.nearest_by_graph(bigint, int, extensions.halfvec, uuid[], int, int, int),
    corpuscope.nearest_by_scan(bigint, extensions.halfvec, uuid[], int),
    corpuscope.dense_candidates(bigint, int, extensions.halfvec, uuid[], int, int) from public;
grant execute on function corpuscope.nearest_by_graph(bigint, int, extensions.halfvec, uuid[], int, int, int),
    corpuscope.nearest_by_scan(bigint, extensions.halfvec, uuid[], int),
    corpuscope.dense_candidates(bigint, int, extensions.halfvec, uuid[], int, int) to authenticated, service_role;

-- How far a model may be trusted in an index ---------------------------------------------------------------------------
create table corpuscope.index_agreement (
    index_id int primary key,
    chunks bigint not null,
    trust real not null,
    measured_at timestamptz not null default now()
);

-- Whether nearness of vectors agrees with shared words: of 60 chunks, the share of others that are nearer than the chunk
-- with which each has most rare words in common. MiniLM measured .01 to .1 in English and German, .22 in Chinese, .23 in
-- Russian, .41 in Arabic, where its vectors say next to nothing and half of the cosine's weight only does harm. Up to .12
-- the model has all its weight, from .3 on three tenths of it. Null where there is too little to tell.
create function corpuscope.measure_trust(index_id int) returns real
language sql stable set search_path = '' set jit = off as $$
    with everyone as materialized (
        select e.chunk_id, e.content_hash, e.embedding
        from (
            select e.chunk_id from public.embeddings e where e.index_id = measure_trust.index_id
            order by hashint8(e.chunk_id), e.chunk_id limit 300
        ) picked join public.embeddings e using (chunk_id)
    ), sampled as (
        select e.*, t.lexeme_ids from (select * from everyone order by hashint8(chunk_id), chunk_id limit 60) e join corpuscope.chunk_terms t using (chunk_id)
    ), rare as (
        select s.chunk_id, r.lexeme_id, r.chunks from sampled s cross join lateral (
            select u.lexeme_id, sum(k.chunks) as chunks
            from unnest(s.lexeme_ids) as u (lexeme_id)
            join corpuscope.lexeme_counts k on k.index_id = measure_trust.index_id and k.lexeme_id = u.lexeme_id
            group by 1 having sum(k.chunks) between 2 and 200 order by 2, 1 limit 20
        ) r
    ), shared as (
        select r.chunk_id, p.chunk_id as other, sum(1 / ln(2 + r.chunks)) as weight
        from rare r
        join corpuscope.postings p on p.index_id = measure_trust.index_id and p.lexeme_id = r.lexeme_id and p.chunk_id <> r.chunk_id
        group by 1, 2
    ), partners as (
        select distinct on (s.chunk_id) s.chunk_id, 1 - (a.embedding operator(extensions.<=>) e.embedding) as similarity
        from shared s
        join sampled a on a.chunk_id = s.chunk_id
        join public.embeddings e on e.chunk_id = s.other and e.content_hash <> a.content_hash
        order by s.chunk_id, s.weight desc, s.other
    ), ranks as (
        select avg((1 - (a.embedding operator(extensions.<=>) o.embedding) > p.similarity)::int) as nearer
        from partners p join sampled a using (chunk_id) join everyone o on o.chunk_id <> p.chunk_id
        group by p.chunk_id
    )
    select case when count(*) >= 30 then greatest(0.3, least(1, 1 - (avg(r.nearer) - 0.12) / 0.25)) end::real from ranks r
$$;
revoke all on function corpuscope.measure_trust(int) from public;

-- The share of its weight that the cosine has in this index: measured at the first search, and again when the index has
-- grown or shrunk by half. One session measures, the others don't wait for it.
create function corpuscope.model_trust(index_id bigint) returns real
language plpgsql volatile security definer set search_path = '' as $$
#variable_conflict use_column
declare
    size constant bigint := corpuscope.index_size(index_id);
    home constant int := index_id;
    known corpuscope.index_agreement;
begin
    if size is null or size < 200 then
        return case when size is not null then 1 end;  -- null: not the caller's to know
    end if;
    select * into known from corpuscope.index_agreement a where a.index_id = home;
    if found and size between known.chunks / 1.5 and known.chunks * 1.5
        or current_setting('transaction_read_only') = 'on'
        or not pg_try_advisory_xact_lock(hashtext('corpuscope model trust'), home)
    then
        return coalesce(known.trust, 1);
    end if;
    known.trust := coalesce(corpuscope.measure_trust(home), 1);
    insert into corpuscope.index_agreement as a (index_id, chunks, trust) values (home, size, known.trust)
    on conflict (index_id) do update set chunks = excluded.chunks, trust = excluded.trust, measured_at = now();
    return known.trust;
end
$$;
revoke all on function corpuscope.model_trust(bigint) from public;
grant execute on function corpuscope.model_trust(bigint) to authenticated, service_role;

-- A profile with its defaults filled in. What can't be meant is refused in words.
create function corpuscope.complete_profile(inout profile jsonb)
language plpgsql immutable set search_path = '' as $$
declare
    defaults constant jsonb := '{"mode": "hybrid", "k": 10, "threshold": null, "fusion": "convex", "dense_weight": 0.6, "rrf_k": 60, "ef_search": 200}';
    unknown text;
begin
    select string_agg(key, ', ') into unknown from jsonb_object_keys(profile) as key where not defaults ? key;
    if unknown is not null then
        raise exception 'A retrieval profile has no setting %.', unknown;
    end if;
    profile := defaults || profile;
    if profile ->> 'mode' not in ('dense', 'lexical', 'hybrid') then
        raise exception 'The mode of a search is dense, lexical or hybrid.';
    elsif (profile ->> 'k')::int not between 1 and 1000 then
        raise exception 'A search returns between 1 and 1,000 chunks.';
    elsif profile ->> 'fusion' not in ('convex', 'rrf') then
        raise exception 'The fusion of a search is convex or rrf.';
    elsif (profile ->> 'dense_weight')::real not between 0 and 1 then
        raise exception 'The weight of the dense leg lies between 0 and 1.';
    elsif (profile ->> 'threshold')::real not between -1 and 1 then
        raise exception 'A threshold on cosine similarity lies between -1 and 1.';
    elsif (profile ->> 'rrf_k')::int not between 1 and 1000 then
        raise exception 'The constant of reciprocal rank fusion lies between 1 and 1,000.';
    elsif (profile ->> 'ef_search')::int not between 1 and 1000 then
        raise exception 'ef_search lies between 1 and 1,000.';
    end if;
end
$$;
revoke all on function corpuscope.complete_profile(jsonb) from public;
grant execute on function corpuscope.complete_profile(jsonb) to authenticated, service_role;

-- The chunks of a collection's active index for a question, best first, as the asker may see them.
--
-- Convex fusion (Bruch, Gai, Ingber 2023): weight * cosine + (1 - weight) * BM25 over its own maximum, both scores
-- computed for every candidate of either leg; the weight is scaled by corpuscope.model_trust(), which is 1 where vectors
-- and shared words agree. Each leg goes to depth 200 (1,000 for k over 200) whatever k is, and the threshold comes after
-- the cut at k: so neither a smaller k nor a higher threshold ever adds a hit. Beyond 200, what the first 200 were stays
-- in front. Planning each query anew, for arrays whose length it knows, would take longer than running it.
create function public.search_chunks(
    collection uuid, question text, question_vector extensions.halfvec default null,
    profile jsonb default '{}', documents uuid[] default null
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[]
)
language plpgsql volatile security invoker set search_path = '' set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    wanted constant jsonb := corpuscope.complete_profile(coalesce(profile, '{}'));
    mode constant text := wanted ->> 'mode';
    k constant int := wanted ->> 'k';
    threshold constant real := wanted ->> 'threshold';
    weight double precision := wanted ->> 'dense_weight';
    rrf constant int := case when wanted ->> 'fusion' = 'rrf' then (wanted ->> 'rrf_k')::int end;
    depth constant int := case when k <= 200 then 200 else 1000 end;
    home record;
    dense_ids bigint[] := '{}';
    similarities real[] := '{}';
begin
    select i.id, i.model_id, m.name, m.dimensions into home
    from public.collections c
    left join public.indexes i on i.id = c.active_index_id
    left join public.embedding_models m on m.id = i.model_id
    where c.id = collection;
    if not found then
        raise exception 'That collection does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif home.id is null then
        raise exception 'This collection has no active index yet.';
    elsif question_vector is null and mode <> 'lexical' then
        raise exception 'A % search needs the vector of the question.', mode;
    elsif extensions.vector_dims(question_vector) <> home.dimensions then
        raise exception 'The vector of the question has % dimensions; % has %.',
            extensions.vector_dims(question_vector), home.name, home.dimensions;
    end if;

    if mode <> 'lexical' then
        select array_agg(d.chunk_id), array_agg(d.similarity) into dense_ids, similarities
        from corpuscope.dense_candidates(
            home.id, home.model_id, question_vector, documents,
            case when mode = 'dense' then k else depth end, (wanted ->> 'ef_search')::int
        ) d;
    end if;

    if mode = 'dense' then
        return query
        select row_number() over (order by h.n)::int, c.id, c.document_id, d.name, d.title, x.text_revision, c.page, c.start_char, c.end_char,
               c.heading_path, c.text, h.similarity, null::real, h.similarity, h.n::int, null::int, '{}'::text[]
        from unnest(dense_ids[:k], similarities[:k]) with ordinality as h (id, similarity, n)
        join public.chunks c on c.id = h.id
        join public.documents d on d.id = c.document_id
        join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
        where not c.excluded and (threshold is null or h.similarity >= threshold)
        order by h.n;
        return;
    end if;

    if mode = 'hybrid' and rrf is null then
        weight := weight * coalesce(corpuscope.model_trust(home.id), 1);
    end if;
    return query
    with leg as materialized (
        select * from corpuscope.lexical_candidates(home.id, question, documents, depth, coalesce(dense_ids, '{}'))
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
    )
    select row_number() over (order by h.n)::int, c.id, c.document_id, d.name, d.title, x.text_revision, c.page, c.start_char, c.end_char,
           c.heading_path, c.text, h.similarity, h.lexical, h.score::real, h.dense_rank, h.lexical_rank, coalesce(h.matched, '{}')
    from hits h
    join public.chunks c on c.id = h.id
    join public.documents d on d.id = c.document_id
    join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
    where h.n <= k and not c.excluded and (threshold is null or question_vector is null or h.similarity >= threshold)
    order by h.n;
end
$$;
revoke all on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[]) from public;
grant execute on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[]) to authenticated, service_role;
