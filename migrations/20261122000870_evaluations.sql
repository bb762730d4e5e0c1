-- Evaluation runs: the questions of a set, asked by a worker under one profile and one index as the person who started it.
--
-- A run keeps what was found for each question as spans, not scores alone: so metrics can be taken again when judgements
-- change, and the curves need no new search. Queue "evaluate" carries {"run": id}, and {"draft": id} and {"tuning": id}.

select pgmq.create('evaluate');
grant select, insert, update, delete on pgmq.q_evaluate, pgmq.a_evaluate to corpuscope_worker;
grant usage on all sequences in schema pgmq to corpuscope_worker;

create table public.evaluation_runs (
    id bigint generated always as identity primary key,
    set_id bigint not null,
    collection_id uuid not null,
    index_id bigint references public.indexes (id) on delete set null,
    profile jsonb not null,
    profile_id bigint references public.retrieval_profiles (id) on delete set null,
    profile_name text,
    profile_version int,
    model text not null,
    corpus jsonb not null default '{}',
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    asked int not null default 0,
    total int not null,
    metrics jsonb not null default '{}',
    reason text,
    hint text,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    touched_at timestamptz not null default now(),
    finished_at timestamptz,
    foreign key (set_id, collection_id) references public.evaluation_sets (id, collection_id) on delete cascade
);
comment on column public.evaluation_runs.profile is 'The exact settings, defaults filled in; profile_id may be gone or have newer versions.';
comment on column public.evaluation_runs.corpus is 'corpuscope.corpus_state() when the first question was asked.';
comment on column public.evaluation_runs.touched_at is 'When a worker last wrote to it.';
comment on column public.evaluation_runs.finished_at is 'When all was asked: a run that is queued again after that is only measured again.';
create index evaluation_runs_set on public.evaluation_runs (set_id, id desc);
create index evaluation_runs_collection on public.evaluation_runs (collection_id);
create index evaluation_runs_unfinished on public.evaluation_runs (touched_at) where state in ('queued', 'running');

create table public.evaluation_results (
    run_id bigint not null references public.evaluation_runs (id) on delete cascade,
    question_id bigint not null references public.questions (id) on delete cascade,
    hits jsonb not null,
    metrics jsonb not null default '{}',
    latency_ms real not null,
    primary key (run_id, question_id)
);
create index evaluation_results_question on public.evaluation_results (question_id);
comment on column public.evaluation_results.hits is
    '[{"d": document, "s": start, "e": end, "c": chunk, "sim": similarity, "score": what it was ordered by}…], best first.';

alter table public.evaluation_runs enable row level security;
create policy "members see runs" on public.evaluation_runs for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors delete runs" on public.evaluation_runs for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker runs" on public.evaluation_runs for all to corpuscope_worker using (true) with check (true);
grant select, delete on public.evaluation_runs to authenticated;
grant select, update on public.evaluation_runs to corpuscope_worker;
grant all on public.evaluation_runs to service_role;

alter table public.evaluation_results enable row level security;
create policy "members see results" on public.evaluation_results for select to authenticated
    using (run_id in (select r.id from public.evaluation_runs r));
create policy "the worker keeps results" on public.evaluation_results for all to corpuscope_worker using (true) with check (true);
grant select on public.evaluation_results to authenticated;
grant select, insert, update on public.evaluation_results to corpuscope_worker;
grant all on public.evaluation_results to service_role;

-- What an index holds, so that one can tell whether it is still the same: its documents at their revisions with their
-- chunks, and what is excluded from them. By the caller's policies.
create function corpuscope.corpus_state(index bigint) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'documents', count(*), 'chunks', coalesce(sum(x.chunk_count), 0), 'embedded', coalesce(sum(x.embedded_count), 0),
        'fingerprint', md5(
            coalesce(string_agg(concat_ws(':', x.document_id, x.text_revision, x.chunk_count), ',' order by x.document_id), '')
            || coalesce((
                select string_agg(concat_ws(':', m.document_id, m.start_char, m.end_char), ',' order by m.document_id, m.start_char, m.end_char)
                from public.span_marks m join public.indexes i on i.collection_id = m.collection_id
                where i.id = index and m.kind = 'exclusion'
            ), '')
        )
    )
    from public.index_documents x where x.index_id = index
$$;
revoke all on function corpuscope.corpus_state(bigint) from public;
grant execute on function corpuscope.corpus_state(bigint) to authenticated, service_role;

-- How many questions of a set can be asked: accepted, and with something judged to answer them.
create function corpuscope.judged_questions(evaluation_set bigint) returns int
language sql stable set search_path = '' as $$
    select count(*)::int from public.questions q
    where q.set_id = evaluation_set and q.state = 'accepted'
      and exists (select from public.judgements j where j.question_id = q.id and j.grade > 0)
$$;
revoke all on function corpuscope.judged_questions(bigint) from public;
grant execute on function corpuscope.judged_questions(bigint) to authenticated, service_role, corpuscope_worker;

-- Puts one run on the queue. `stored` is a profile of the collection; else `profile` says how to search. Without `index`
-- it is the active one.
create function public.start_evaluation(
    evaluation_set bigint, index bigint default null, profile jsonb default null, stored bigint default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    home public.evaluation_sets;
    chosen public.retrieval_profiles;
    source record;
    questions int;
    made bigint;
begin
    select s.* into home from public.evaluation_sets s
    where s.id = evaluation_set and s.collection_id = any ((select corpuscope.editable_collections())::uuid[]) for key share;
    if not found then
        raise exception 'That set of questions does not exist, or you may not run it.' using errcode = 'insufficient_privilege';
    end if;
    if stored is not null then
        select p.* into chosen from public.retrieval_profiles p where p.id = stored and p.collection_id = home.collection_id;
        if not found then
            raise exception 'That profile is gone.' using errcode = 'no_data_found';
        end if;
    end if;
    select i.id, m.name into source
    from public.indexes i
    join public.embedding_models m on m.id = i.model_id
    join public.collections c on c.id = i.collection_id
    where c.id = home.collection_id and i.id = coalesce(index, c.active_index_id) and i.state <> 'retired';
    if not found then
        raise exception 'That index is gone.' using errcode = 'no_data_found';
    end if;
    questions := corpuscope.judged_questions(home.id);
    if questions = 0 then
        raise exception 'No accepted question of this set has a judged answer yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    if (select count(*) from public.evaluation_runs r where r.collection_id = home.collection_id and r.state in ('queued', 'running')) >= 50 then
        raise exception 'Fifty runs of this collection are waiting already.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into public.evaluation_runs (set_id, collection_id, index_id, profile, profile_id, profile_name, profile_version, model, total)
    values (
        home.id, home.collection_id, source.id, corpuscope.complete_profile(coalesce(chosen.settings, profile, '{}')),
        chosen.id, chosen.name, chosen.version, source.name, questions
    )
    returning id into made;
    perform corpuscope.send_jobs('evaluate', array [jsonb_build_object('run', made)]);
    return made;
end
$$;

create function corpuscope.editable_run(run bigint) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.evaluation_runs r
        where r.id = run and r.collection_id = any ((select corpuscope.editable_collections())::uuid[])
    )
$$;
revoke all on function corpuscope.editable_run(bigint) from public;

-- The worker looks at the state before each of its writes.
create function public.cancel_evaluation(run bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.evaluation_runs r set state = 'cancelled', touched_at = now()
    where r.id = run and corpuscope.editable_run(run) and r.state in ('queued', 'running');
    return found;
end
$$;

-- Goes on with a run that failed or was cancelled; takes the metrics of a finished one again, with today's judgements.
create function public.resume_evaluation(run bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.evaluation_runs r set state = 'queued', reason = null, hint = null, touched_at = now()
    where r.id = run and corpuscope.editable_run(run) and r.state in ('done', 'failed', 'cancelled');
    if found then
        perform corpuscope.send_jobs('evaluate', array [jsonb_build_object('run', run)]);
        return true;
    end if;
    return false;
end
$$;
revoke all on function public.start_evaluation(bigint, bigint, jsonb, bigint), public.cancel_evaluation(bigint), public.resume_evaluation(bigint) from public;
grant execute on function public.start_evaluation(bigint, bigint, jsonb, bigint), public.cancel_evaluation(bigint), public.resume_evaluation(bigint)
    to authenticated, service_role;

-- Makes again what a lost message would have asked for, as corpuscope.requeue_missing does for documents.
create function corpuscope.requeue_evaluations(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('run', r.id)) into lost from public.evaluation_runs r
    where r.state in ('queued', 'running') and r.touched_at < now() - still_for
      and not exists (select from pgmq.q_evaluate q where q.message ->> 'run' = r.id::text);
    perform corpuscope.send_jobs('evaluate', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
revoke all on function corpuscope.requeue_evaluations(interval) from public;
grant execute on function corpuscope.requeue_evaluations(interval) to corpuscope_worker;
