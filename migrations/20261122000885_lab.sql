-- The Search lab: how similar one question is to all chunks of an index, as a histogram.

-- Counts of the index's chunks by cosine similarity to the question, in 200 bins of .01 from -1 to 1; the last one has 1
-- itself. A caller who may not view the collection gets the same refusal as for one that does not exist. Looks at each
-- vector once, .8 µs a row. What leaves a chunk out of search leaves it out here.
create function public.similarity_histogram(collection uuid, question_vector extensions.halfvec, index bigint default null)
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
    end if;
    with compared as (
        select 1 - (e.embedding operator(extensions.<=>) question_vector) as similarity
        from public.embeddings e where e.index_id = home.id and not e.excluded offset 0  -- so that it is computed once a row
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
revoke all on function public.similarity_histogram(uuid, extensions.halfvec, bigint) from public;
grant execute on function public.similarity_histogram(uuid, extensions.halfvec, bigint) to authenticated, service_role;
