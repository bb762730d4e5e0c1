-- Better settings: what both legs find for a question, from which the order under any profile follows, and the requests to
-- look for settings that do better on a set of questions.

-- The chunks that either leg finds for a question, to depth 200 each, with all that corpuscope.search_collection() makes its
-- order of; it must ask the legs as that one does. `trust` is the same in every row. Only for who may view the collection.
create function corpuscope.search_candidates(
    collection uuid, question text, question_vector extensions.halfvec, ef_search int default 200, index bigint default null
) returns table (
    chunk_id bigint, document_id uuid, start_char int, end_char int, similarity real, lexical real, dense_rank int, lexical_rank int,
    trust real, embedding extensions.halfvec
)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
    home record;
    nearest record;
    model_trust real;
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
    elsif home.id is null then
        raise exception 'This collection has no such index, or none that answers.';
    elsif question_vector is null or extensions.vector_dims(question_vector) <> home.dimensions then
        raise exception 'The vector of the question has % dimensions; % has %.',
            coalesce(extensions.vector_dims(question_vector), 0), home.name, home.dimensions;
    end if;
    nearest := corpuscope.dense_candidates(home.id, home.model_id, question_vector, null, 200, ef_search, home.total, home.size);
    model_trust := coalesce(corpuscope.model_trust(home.id), 1);
    return query
    select c.id, c.document_id, c.start_char, c.end_char,
           coalesce(f.similarity, (1 - (e.embedding operator(extensions.<=>) question_vector))::real),
           f.lexical, f.dense_rank, f.lexical_rank, model_trust, e.embedding
    from (
        select coalesce(v.id, l.chunk_id) as id, v.similarity, l.score as lexical, v.n::int as dense_rank, l.rank as lexical_rank
        from unnest(nearest.chunk_ids, nearest.similarities) with ordinality as v (id, similarity, n)
        full join corpuscope.lexical_candidates(home.id, question, null, 200, coalesce(nearest.chunk_ids, '{}')) l on l.chunk_id = v.id
    ) f
    join public.chunks c on c.id = f.id and not c.excluded
    left join public.embeddings e on e.chunk_id = f.id;
end
$$;
revoke all on function corpuscope.search_candidates(uuid, text, extensions.halfvec, int, bigint) from public;
grant execute on function corpuscope.search_candidates(uuid, text, extensions.halfvec, int, bigint) to authenticated, service_role;

-- Requests to look for better settings. The worker writes what came of one as JSON (rag/evaluation/findings.py).
create table public.tunings (
    id bigint generated always as identity primary key,
    set_id bigint not null,
    collection_id uuid not null,
    index_id bigint references public.indexes (id) on delete set null,
    profile jsonb not null,
    profile_id bigint references public.retrieval_profiles (id) on delete set null,
    profile_name text,
    profile_version int,
    objective text not null check (objective in ('ndcg', 'recall', 'reading')),
    budget int not null check (budget between 500 and 200000),
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    asked int not null default 0,
    total int not null,
    result jsonb,
    reason text,
    hint text,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    touched_at timestamptz not null default now(),
    finished_at timestamptz,
    foreign key (set_id, collection_id) references public.evaluation_sets (id, collection_id) on delete cascade
);
comment on column public.tunings.profile is 'The present settings, defaults filled in: what others are compared with.';
comment on column public.tunings.objective is 'What is to be better: nDCG@10, recall at k, or what is read of the answers within budget characters.';
comment on column public.tunings.touched_at is 'When a worker last wrote to it.';
create index tunings_set on public.tunings (set_id, id desc);
create index tunings_collection on public.tunings (collection_id);
create index tunings_unfinished on public.tunings (touched_at) where state in ('queued', 'running');

alter table public.tunings enable row level security;
create policy "members see tunings" on public.tunings for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors delete tunings" on public.tunings for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker tunes" on public.tunings for all to corpuscope_worker using (true) with check (true);
grant select, delete on public.tunings to authenticated;
grant select, update on public.tunings to corpuscope_worker;
grant all on public.tunings to service_role;

-- Puts one search for better settings on the queue. It starts from a stored profile, else from the collection's default.
create function public.start_tuning(
    evaluation_set bigint, objective text default 'ndcg', budget int default 8000, stored bigint default null, index bigint default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    home public.evaluation_sets;
    chosen public.retrieval_profiles;
    present jsonb;
    source bigint;
    questions int;
    made bigint;
begin
    select s.* into home from public.evaluation_sets s
    where s.id = evaluation_set and s.collection_id = any ((select corpuscope.editable_collections())::uuid[]) for key share;
    if not found then
        raise exception 'That set of questions does not exist, or you may not tune with it.' using errcode = 'insufficient_privilege';
    end if;
    select p.* into chosen from public.retrieval_profiles p
    where p.collection_id = home.collection_id and (p.id = stored or (stored is null and p.is_default));
    if not found and stored is not null then
        raise exception 'That profile is gone.' using errcode = 'no_data_found';
    end if;
    present := corpuscope.complete_profile(coalesce(chosen.settings, '{}'));
    if present ->> 'rerank' is not null then
        raise exception 'This profile reranks, and what a reranker does to other settings can''t be foreseen. Choose one without a reranker.'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    select i.id into source from public.indexes i join public.collections c on c.id = i.collection_id
    where c.id = home.collection_id and i.id = coalesce(index, c.active_index_id) and i.state <> 'retired';
    if not found then
        raise exception 'That index is gone.' using errcode = 'no_data_found';
    end if;
    questions := corpuscope.judged_questions(home.id);
    if questions = 0 then
        raise exception 'No accepted question of this set has a judged answer yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    if (select count(*) from public.tunings t where t.collection_id = home.collection_id and t.state in ('queued', 'running')) >= 10 then
        raise exception 'Ten searches for better settings of this collection are waiting already.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into public.tunings (set_id, collection_id, index_id, profile, profile_id, profile_name, profile_version, objective, budget, total)
    values (home.id, home.collection_id, source, present, chosen.id, chosen.name, chosen.version, objective, budget, questions)
    returning id into made;
    perform corpuscope.send_jobs('evaluate', array [jsonb_build_object('tuning', made)]);
    return made;
end
$$;

-- The worker looks at the state before each of its writes.
create function public.cancel_tuning(tuning bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.tunings t set state = 'cancelled', touched_at = now()
    where t.id = tuning and t.collection_id = any ((select corpuscope.editable_collections())::uuid[]) and t.state in ('queued', 'running');
    return found;
end
$$;
revoke all on function public.start_tuning(bigint, text, int, bigint, bigint), public.cancel_tuning(bigint) from public;
grant execute on function public.start_tuning(bigint, text, int, bigint, bigint), public.cancel_tuning(bigint) to authenticated, service_role;

-- Makes again what a lost message would have asked for: runs as before, searches for better settings and drafts of questions.
create or replace function corpuscope.requeue_evaluations(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(u.message) into lost from (
        select jsonb_build_object('run', r.id) as message from public.evaluation_runs r
        where r.state in ('queued', 'running') and r.touched_at < now() - still_for
        union all
        select jsonb_build_object('tuning', t.id) from public.tunings t
        where t.state in ('queued', 'running') and t.touched_at < now() - still_for
        union all
        select jsonb_build_object('draft', d.id) from public.question_drafts d
        where d.state in ('queued', 'running') and d.created_at < now() - still_for
    ) u
    where not exists (select from pgmq.q_evaluate q where q.message @> u.message);
    perform corpuscope.send_jobs('evaluate', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
