-- Searching asks once whether the caller may view the collection, instead of asking the policies for each row looked at:
-- with them a scan took half as long again, and for a member of 1,000 collections each row was compared with all of these.
--
-- search_chunks() runs with the caller's rights and hands over to search_collection(), which decides by may_view() before it
-- reads anything. What that one calls is for nobody else.

-- Whether the caller may view one collection, as viewable_collections() says of all: at no cost for having many.
create function corpuscope.may_view(collection uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from public.collection_members m where m.collection_id = may_view.collection and m.user_id = auth.uid())
$$;
revoke all on function corpuscope.may_view(uuid) from public;

-- A profile with its defaults filled in. What can't be meant is refused in words.
create or replace function corpuscope.complete_profile(inout profile jsonb)
language plpgsql immutable set search_path = '' as $$
declare
    defaults constant jsonb := '{"mode": "hybrid", "k": 10, "threshold": null, "fusion": "convex", "dense_weight": 0.6, "rrf_k": 60, "ef_search": 200}';
    known constant text[] := '{mode,k,threshold,fusion,dense_weight,rrf_k,ef_search}';
begin
    if profile - known <> '{}' then
        raise exception 'A retrieval profile has no setting %.', (select string_agg(key, ', ') from jsonb_object_keys(profile - known) as key);
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

drop function corpuscope.dense_candidates(bigint, int, extensions.halfvec, uuid[], int, int);
drop function corpuscope.nearest_by_graph(bigint, int, extensions.halfvec, uuid[], int, int, int);
drop function corpuscope.nearest_by_scan(bigint, extensions.halfvec, uuid[], int);

-- Nearest vectors by the model's HNSW index. Relaxed order, sorted again: at equal time its recall is 3 to 11 points
-- above strict order. The planner judges the filters badly, so they are written in ways that no other index serves, and
-- whatever would have to sort all rows is dear. Each statement costs more after a walk through the graph, which leaves
-- nothing in the processor's caches: so there are few.
create function corpuscope.nearest_by_graph(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int, scan_tuples int,
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
        ' from public.embeddings e where e.model_id = %2$s and e.index_id + 0 = $2 and not e.excluded %3$s order by 2 limit $4'
        ') n order by n.distance + 0, n.chunk_id) s',  -- + 0: the planner takes relaxed order for order
        extensions.vector_dims(question_vector), model, case when documents is not null then 'and coalesce(e.document_id = any ($3), false)' end
    ) into chunk_ids, similarities using question_vector, index_id, documents, depth;
end
$$;

-- Nearest vectors by looking at each that passes the filters.
create function corpuscope.nearest_by_scan(
    index_id bigint, question_vector extensions.halfvec, documents uuid[], depth int, out chunk_ids bigint[], out similarities real[]
)
language plpgsql stable set search_path = '' set jit = off as $$
begin
    if documents is null then
        select array_agg(s.chunk_id), array_agg(s.similarity) into chunk_ids, similarities from (
            select n.chunk_id, (1 - n.distance)::real as similarity from (
                select e.chunk_id, e.embedding operator(extensions.<=>) $2 as distance
                from public.embeddings e where e.index_id = $1 and not e.excluded order by 2, 1 limit $4
            ) n order by n.distance, n.chunk_id
        ) s;
    else
        select array_agg(s.chunk_id), array_agg(s.similarity) into chunk_ids, similarities from (
            select n.chunk_id, (1 - n.distance)::real as similarity from (
                select e.chunk_id, e.embedding operator(extensions.<=>) $2 as distance
                from public.embeddings e where e.index_id = $1 and not e.excluded and e.document_id = any ($3) order by 2, 1 limit $4
            ) n order by n.distance, n.chunk_id
        ) s;
    end if;
end
$$;

-- Chooses between the two by stored row counts, with measured costs: a scan takes .65 µs a row. The graph visits
-- depth * all / filtered vectors, sometimes half as many again: 15 µs each for the first ef_search of them, 35 µs for each
-- one that it has to go on for. `total` vectors are in the graph (null where there is none), `size` in the index; of many
-- documents a hundred tell how many they have.
create function corpuscope.dense_candidates(
    index_id bigint, model int, question_vector extensions.halfvec, documents uuid[], depth int, ef_search int,
    total double precision, size bigint, out chunk_ids bigint[], out similarities real[]
)
language plpgsql stable set search_path = '' as $$
declare
    filtered double precision := size;
    visits double precision;
    first constant int := least(1000, greatest(ef_search, depth));
    step constant int := greatest(1, cardinality(documents) / 100);
    sample uuid[] := documents;
    by_graph boolean := false;
    nearest record;
begin
    if total is not null then
        if documents is not null then
            if step > 1 then
                sample := array (select documents[n] from generate_series(1, cardinality(documents), step) as n);
            end if;
            select coalesce(sum(d.embedded_count), 0) * step into filtered
            from public.index_documents d where d.index_id = dense_candidates.index_id and d.document_id = any (sample);
        end if;
        visits := depth * greatest(total, filtered) / greatest(filtered, 1);
        by_graph := 0.65 * filtered > 15 * first + 35 * greatest(1.5 * visits - first, 0);
    end if;
    if by_graph then
        nearest := corpuscope.nearest_by_graph(
            index_id, model, question_vector, documents, depth, first, greatest(20000, 4 * visits)::int
        );
        by_graph := cardinality(nearest.chunk_ids) >= depth;
    end if;
    if by_graph is not true then
        nearest := corpuscope.nearest_by_scan(index_id, question_vector, documents, depth);
    end if;
    chunk_ids := nearest.chunk_ids;
    similarities := nearest.similarities;
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
    corpuscope.dense_candidates(bigint, int, extensions.halfvec, uuid[], int, int, double precision, bigint) from public;

-- BM25 of each of these chunks and its neighbours taken as one, in the order of the chunks.
drop function corpuscope.window_score(int, bigint, int[], double precision[], double precision);
create function corpuscope.window_scores(index_id int, chunks bigint[], lexeme_ids int[], weights double precision[], average double precision)
returns double precision[]
language sql stable set search_path = '' as $$
    select array_agg(coalesce((
        select sum(weights[f.n] * f.tf / (f.tf + 0.375 + 1.125 * w.length))
        from (
            select array_position(lexeme_ids, p.lexeme_id) as n, sum(p.tf) as tf from corpuscope.postings p
            where p.index_id = window_scores.index_id and p.lexeme_id = any (lexeme_ids) and p.chunk_id = any (w.members)
            group by 1
        ) f
    ), 0) order by w.n)
    from (
        select f.n, array_agg(n.id) filter (where t.chunk_id is not null) as members,
               sum(t.length) / (count(t.chunk_id) * average) as length
        from unnest(chunks) with ordinality as f (id, n)
        left join public.chunks c on c.id = f.id
        left join public.chunks n on n.index_id = c.index_id and n.document_id = c.document_id
            and n.ordinal between c.ordinal - 1 and c.ordinal + 1 and not n.excluded
        left join corpuscope.chunk_terms t on t.chunk_id = n.id
        group by f.n
    ) w
$$;
revoke all on function corpuscope.window_scores(int, bigint[], int[], double precision[], double precision) from public;

-- The best chunks of an index for a question by BM25 (k1 = 1.5, b = 0.75) with their ranks, and the scores of some other
-- chunks ("also") without. It asks itself whether the caller may view the index, once; no policy is asked for each row.
--
-- The rarest lexemes choose the candidates, until their document frequencies sum to 8,000; every lexeme scores them.
-- That agreed with full BM25 on the top ten at a quarter of its time. Where it finds fewer than depth, the next lexeme
-- chooses too. Of a lexeme in more than 50,000 chunks only so many are looked at.
--
-- Where chunks are short, as those of languages that the model's tokenizer takes to pieces, a question's words are spread
-- over several: below 65 lexemes on average, up to half of the score is that of the chunk together with its neighbours
-- (nDCG@10 on short chunks of German +.01, Russian +.01, Arabic +.015; at 75 lexemes and more it costs instead).
create or replace function corpuscope.lexical_candidates(
    index_id bigint, question text, documents uuid[] default null, depth int default 200, also bigint[] default '{}'
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
            if wide then
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

-- The chunks of a collection's active index for a question, best first, if the caller may view the collection.
--
-- Convex fusion (Bruch, Gai, Ingber 2023): weight * cosine + (1 - weight) * BM25 over its own maximum, both scores
-- computed for every candidate of either leg; the weight is scaled by corpuscope.model_trust(), which is 1 where vectors
-- and shared words agree. Each leg goes to depth 200 (1,000 for k over 200) whatever k is, and the threshold comes after
-- the cut at k: so neither a smaller k nor a higher threshold ever adds a hit. Beyond 200, what the first 200 were stays
-- in front. Planning each query anew, for arrays whose length it knows, would take longer than running it.
create function corpuscope.search_collection(
    collection uuid, question text, question_vector extensions.halfvec, profile jsonb, documents uuid[]
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[]
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
    depth constant int := case when k <= 200 then 200 else 1000 end;
    home record;
    nearest record;
    dense_ids bigint[] := '{}';
    similarities real[] := '{}';
begin
    select i.id, i.model_id, m.name, m.dimensions,
           (select k.reltuples from pg_catalog.pg_class k where k.oid = to_regclass('public.embeddings_hnsw_' || m.id)) as total,
           coalesce(
               nullif((select sum(t.chunks) from corpuscope.lexical_totals t where t.index_id = i.id), 0),
               (select sum(x.embedded_count) from public.index_documents x where x.index_id = i.id), 0
           ) as size
    into home
    from public.collections c
    left join public.indexes i on i.id = c.active_index_id
    left join public.embedding_models m on m.id = i.model_id
    where c.id = collection and corpuscope.may_view(c.id);
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
        nearest := corpuscope.dense_candidates(
            home.id, home.model_id, question_vector, documents,
            case when mode = 'dense' then k else depth end, (wanted ->> 'ef_search')::int, home.total, home.size
        );
        dense_ids := nearest.chunk_ids;
        similarities := nearest.similarities;
    end if;

    if mode = 'dense' then
        return query
        select row_number() over (order by h.n)::int, c.*, h.similarity, null::real, h.similarity, h.n::int, null::int, '{}'::text[]
        from unnest(dense_ids[:k], similarities[:k]) with ordinality as h (id, similarity, n)
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
    select row_number() over (order by h.n)::int, c.*, h.similarity, h.lexical, h.score::real, h.dense_rank, h.lexical_rank,
           coalesce(h.matched, '{}')
    from hits h
    cross join lateral (
        select c.id, c.document_id, d.name, d.title, x.text_revision, c.page, c.start_char, c.end_char, c.heading_path, c.text
        from public.chunks c
        join public.documents d on d.id = c.document_id
        join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
        where c.id = h.id and not c.excluded limit 1  -- a limit, so that it is planned for one row
    ) c
    where h.n <= k and (threshold is null or question_vector is null or h.similarity >= threshold)
    order by h.n;
end
$$;
revoke all on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[]) from public;
grant execute on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[]) to authenticated, service_role;

create or replace function public.search_chunks(
    collection uuid, question text, question_vector extensions.halfvec default null,
    profile jsonb default '{}', documents uuid[] default null
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[]
)
language sql volatile security invoker set search_path = '' as $$
    select * from corpuscope.search_collection(collection, question, question_vector, profile, documents)
$$;
