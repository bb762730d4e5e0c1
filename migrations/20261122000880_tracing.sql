-- Following one chunk through a search: what each leg says of it, asked of the functions that the search itself uses.
--
-- Both run with the owner's rights, as search_collection() does, and decide by may_view() before they read anything.

-- Where a chunk stands by its vector: among all that the search may find (exact_rank of `compared`, by looking at each),
-- and among those that the dense leg passes on (leg_rank of `depth` at most). by_graph: that leg went through the HNSW
-- index; the count of its scans in this transaction tells. One row; without a vector of the chunk only about the leg.
create function corpuscope.trace_dense(
    index bigint, question_vector extensions.halfvec, profile jsonb, documents uuid[], chunk bigint,
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
    select i.id, i.model_id, m.name, m.dimensions,
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
    end if;

    depth := case when wanted ->> 'mode' <> 'dense' then case when k <= 200 then 200 else 1000 end
                  when (wanted ->> 'diversity')::real > 0 then greatest(k, 64) else k end;
    graph := to_regclass('public.embeddings_hnsw_' || home.model_id);
    before := coalesce(pg_stat_get_xact_numscans(graph), 0);
    nearest := corpuscope.dense_candidates(
        home.id, home.model_id, question_vector, documents, depth, (wanted ->> 'ef_search')::int, home.total, home.size
    );
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
        ) n;
    end if;
end
$$;
revoke all on function corpuscope.trace_dense(bigint, extensions.halfvec, jsonb, uuid[], bigint) from public;
grant execute on function corpuscope.trace_dense(bigint, extensions.halfvec, jsonb, uuid[], bigint) to authenticated, service_role;

-- The words of a question as the lexical leg takes them, in any order: the forms that an index looks up, in how many of
-- its chunks these are and what they weigh (both null: no chunk has the word), and whether this chunk has one of them (null
-- while it isn't in the lexical index). dropped: every language of the index leaves the word out as too common.
create function corpuscope.trace_terms(index bigint, question text, chunk bigint)
returns table (word text, forms text[], dropped boolean, chunks bigint, weight double precision, in_chunk boolean)
language plpgsql stable security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    home constant int := index;
    split record;
    held int[];
begin
    if not exists (select from public.indexes i where i.id = trace_terms.index and corpuscope.may_view(i.collection_id)) then
        raise exception 'That index does not exist, or you may not see it.' using errcode = 'no_data_found';
    end if;
    select t.lexeme_ids into held from corpuscope.chunk_terms t where t.chunk_id = chunk and t.index_id = home;
    split := corpuscope.split_pairs(corpuscope.fold_text(left(question, 8000)));
    return query
    with sizes as (
        select t.config from corpuscope.lexical_totals t where t.index_id = home group by 1 having sum(t.chunks) > 0
    ), words as (
        select w.word, f.form
        from unnest((tsvector_to_array(to_tsvector('simple', split.content)))[:500]) as w (word)
        cross join sizes s
        left join lateral unnest(tsvector_to_array(to_tsvector(s.config::regconfig, w.word))) as f (form) on true
        where octet_length(w.word) <= 200
        union select p.pair, p.pair from unnest(split.pairs[:500]) as p (pair)
    )
    select w.word, coalesce(array_agg(distinct w.form) filter (where w.form is not null), '{}'), count(w.form) = 0,
           max(q.chunks), max(q.weight), case when held is not null then coalesce(bool_or(q.lexeme_id = any (held)), false) end
    from words w left join corpuscope.question_lexemes(home, question) q on q.lexeme = w.form
    group by 1;
end
$$;
revoke all on function corpuscope.trace_terms(bigint, text, bigint) from public;
grant execute on function corpuscope.trace_terms(bigint, text, bigint) to authenticated, service_role;
