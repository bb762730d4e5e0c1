-- Retrieval profiles: diversity, reranking and neighbours among their settings; the default with its history; searching
-- another index of the collection than the active one.

-- A profile with its defaults filled in. What can't be meant is refused in words. Reranking and neighbours are settings of
-- whoever calls search_chunks(), which knows their names and does neither.
create or replace function corpuscope.complete_profile(inout profile jsonb)
language plpgsql immutable set search_path = '' as $$
declare
    defaults constant jsonb := '{"mode": "hybrid", "k": 10, "threshold": null, "fusion": "convex", "dense_weight": 0.6, "rrf_k": 60, "ef_search": 200, "diversity": 0, "rerank": null, "rerank_depth": 50, "neighbours": 0}';
    known constant text[] := '{mode,k,threshold,fusion,dense_weight,rrf_k,ef_search,diversity,rerank,rerank_depth,neighbours}';
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
    elsif (profile ->> 'diversity')::real not between 0 and 1 then
        raise exception 'Diversity lies between 0 and 1.';
    elsif jsonb_typeof(profile -> 'rerank') <> 'null' and (
        jsonb_typeof(profile -> 'rerank') <> 'string' or length(profile ->> 'rerank') not between 1 and 500
    ) then
        raise exception 'A reranker is the name or the folder of a cross encoder.';
    elsif (profile ->> 'rerank_depth')::int not between 1 and 200 then
        raise exception 'Between 1 and 200 chunks are reranked.';
    elsif (profile ->> 'neighbours')::int not between 0 and 3 then
        raise exception 'Between 0 and 3 neighbours are added on each side of a chunk.';
    end if;
end
$$;

-- Maximal marginal relevance (Carbonell and Goldstein 1998), greedily: of the first 64 chunks, each time the one with the
-- most of (1 - diversity) * relevance - diversity * its greatest similarity to one taken before. Relevance, in whatever
-- unit, is scaled to 0 ... 1 over these 64; a cosine below 0, and that of a chunk without a vector, counts as 0. Returns the
-- first `take` places of ids in their new order. What comes after the 64th stays there, and neither the 64 nor who is taken
-- depends on `take`: fewer are the beginning of more. It runs with the caller's rights.
create function corpuscope.diversify(ids bigint[], relevance double precision[], diversity double precision, take int)
returns int[]
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan set jit = off as $$
declare
    pool constant int := least(coalesce(cardinality(ids), 0), 64);
    vectors extensions.halfvec[];
    open double precision[];
    nearest double precision[] := array_fill(0::double precision, array [pool]);
    places int[] := '{}';
    best double precision[];
begin
    if diversity > 0 and pool > 1 then
        select array_agg(e.embedding order by u.n), array_agg(coalesce((u.score - m.low) / nullif(m.high - m.low, 0), 0) order by u.n)
        into vectors, open
        from unnest(ids[:pool], relevance[:pool]) with ordinality as u (id, score, n)
        cross join (select min(s) as low, max(s) as high from unnest(relevance[:pool]) as s) m
        left join public.embeddings e on e.chunk_id = u.id;
        for step in 1 .. least(take, pool) loop
            if step > 1 then
                select array_agg(greatest(u.near, 1 - (u.vector operator(extensions.<=>) vectors[places[step - 1]])) order by u.n) into nearest
                from unnest(nearest, vectors) with ordinality as u (near, vector, n);
            end if;
            select max(array [(1 - diversity) * u.score - diversity * u.near, -u.n]) filter (where u.score is not null) into best
            from unnest(open, nearest) with ordinality as u (score, near, n);
            places := places || (-best[2])::int;
            open[-best[2]] := null;
        end loop;
    end if;
    return places || array (select generate_series(cardinality(places) + 1, least(take, cardinality(ids))));
end
$$;
revoke all on function corpuscope.diversify(bigint[], double precision[], double precision, int) from public;
grant execute on function corpuscope.diversify(bigint[], double precision[], double precision, int) to authenticated, service_role;

drop function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[]);
drop function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[]);

-- The chunks of a collection's active index (or another that is being built or ready) for a question, best first, if the
-- caller may view the collection.
--
-- Convex fusion (Bruch, Gai, Ingber 2023): weight * cosine + (1 - weight) * BM25 over its own maximum, both scores
-- computed for every candidate of either leg; the weight is scaled by corpuscope.model_trust(), which is 1 where vectors
-- and shared words agree. Each leg goes to depth 200 (1,000 for k over 200) whatever k is, and the threshold comes after
-- the cut at k: so neither a smaller k nor a higher threshold ever adds a hit. Beyond 200, what the first 200 were stays
-- in front. Diversity reorders the first 64 before the cut; fused_rank is the place before it. Planning each query anew, for arrays whose length it knows, would take longer than running it.
create function corpuscope.search_collection(
    collection uuid, question text, question_vector extensions.halfvec, profile jsonb, documents uuid[], index bigint
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
    end if;

    if mode <> 'lexical' then
        nearest := corpuscope.dense_candidates(
            home.id, home.model_id, question_vector, documents,
            case when mode <> 'dense' then depth when diversity > 0 then greatest(k, 64) else k end, (wanted ->> 'ef_search')::int, home.total, home.size
        );
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
revoke all on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[], bigint) from public;
grant execute on function corpuscope.search_collection(uuid, text, extensions.halfvec, jsonb, uuid[], bigint) to authenticated, service_role;

create function public.search_chunks(
    collection uuid, question text, question_vector extensions.halfvec default null,
    profile jsonb default '{}', documents uuid[] default null, index bigint default null
) returns table (
    rank int, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int, start_char int, end_char int,
    heading_path text[], text text, similarity real, lexical real, score real, dense_rank int, lexical_rank int, matched text[], fused_rank int
)
language sql volatile security invoker set search_path = '' as $$
    select * from corpuscope.search_collection(collection, question, question_vector, profile, documents, index)
$$;
revoke all on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[], bigint) from public;
grant execute on function public.search_chunks(uuid, text, extensions.halfvec, jsonb, uuid[], bigint) to authenticated, service_role;

-- The default of a collection ---------------------------------------------------------------------------------------------
-- What is stored can be meant: whoever saves it.
alter table public.retrieval_profiles add check (corpuscope.complete_profile(settings) is not null) not valid;
comment on column public.retrieval_profiles.is_default is 'Kept by make_default_profile() and undo_default_profile(): one version in a collection at most.';
revoke insert (is_default), update (is_default) on public.retrieval_profiles from authenticated;
drop policy "editors change profiles" on public.retrieval_profiles;

-- Each time that a profile was made the default. The latest that was not undone is the default; without any it is what the
-- product comes with.
create table public.profile_defaults (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    profile_id bigint not null references public.retrieval_profiles (id) on delete cascade,
    made_by uuid references auth.users (id) on delete set null,
    made_at timestamptz not null default now(),
    undone_by uuid references auth.users (id) on delete set null,
    undone_at timestamptz
);
create index profile_defaults_collection on public.profile_defaults (collection_id, id desc);
create index profile_defaults_profile on public.profile_defaults (profile_id);
insert into public.profile_defaults (collection_id, profile_id, made_by, made_at)
select collection_id, id, created_by, created_at from public.retrieval_profiles where is_default;

alter table public.profile_defaults enable row level security;
create policy "members see what was the default" on public.profile_defaults for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
grant select on public.profile_defaults to authenticated;
grant all on public.profile_defaults to service_role;

-- The audit entry of a new default says what it replaced: the functions below write it.
create or replace function corpuscope.note_profile() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        perform corpuscope.note('profile saved', new.collection_id, new.name, jsonb_build_object('version', new.version, 'settings', new.settings));
    elsif tg_op = 'DELETE' and exists (select from public.collections c where c.id = old.collection_id) then
        perform corpuscope.note('profile deleted', old.collection_id, old.name, jsonb_build_object('version', old.version, 'settings', old.settings));
    end if;
    return null;
end
$$;

-- Makes one profile the default in place of another (null: none), and says so under this name.
create function corpuscope.switch_default(collection uuid, wanted bigint, action text) returns void
language plpgsql security definer set search_path = '' as $$
declare
    before public.retrieval_profiles;
    after public.retrieval_profiles;
begin
    update public.retrieval_profiles p set is_default = false where p.collection_id = collection and p.is_default returning * into before;
    update public.retrieval_profiles p set is_default = true where p.id = wanted returning * into after;
    perform corpuscope.note(
        action, collection, coalesce(after.name, ''),
        jsonb_build_object('version', after.version, 'before', before.name, 'before_version', before.version)
    );
end
$$;
revoke all on function corpuscope.switch_default(uuid, bigint, text) from public;

create function public.make_default_profile(profile bigint) returns void
language plpgsql security definer set search_path = '' as $$
declare
    wanted public.retrieval_profiles;
begin
    select p.* into wanted from public.retrieval_profiles p where p.id = profile;
    if wanted.id is null or wanted.collection_id <> all (corpuscope.editable_collections()) then
        raise exception 'That profile does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    perform from public.collections c where c.id = wanted.collection_id for no key update;  -- one after the other
    if exists (select from public.retrieval_profiles p where p.id = profile and p.is_default) then
        return;
    end if;
    insert into public.profile_defaults (collection_id, profile_id, made_by) values (wanted.collection_id, profile, auth.uid());
    perform corpuscope.switch_default(wanted.collection_id, profile, 'profile made default');
end
$$;

-- Back to what was the default before; the profile that is it now, null for what the product comes with.
create function public.undo_default_profile(collection uuid) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    wanted bigint;
begin
    if collection <> all (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    perform from public.collections c where c.id = collection for no key update;
    update public.profile_defaults d set undone_at = now(), undone_by = auth.uid()
    where d.id = (select max(l.id) from public.profile_defaults l where l.collection_id = collection and l.undone_at is null);
    if not found then
        raise exception 'No change of the default profile is left to undo.';
    end if;
    select d.profile_id into wanted from public.profile_defaults d
    where d.collection_id = collection and d.undone_at is null order by d.id desc limit 1;
    perform corpuscope.switch_default(collection, wanted, 'profile default undone');
    return wanted;
end
$$;
revoke all on function public.make_default_profile(bigint), public.undo_default_profile(uuid) from public;
grant execute on function public.make_default_profile(bigint), public.undo_default_profile(uuid) to authenticated, service_role;
