-- Embeddings by the project's own Edge Function: it takes jobs from the queue that workers take theirs from, under the same
-- leases, counts of failures and versions, so that both may run at once. What it does there is here, in functions of the
-- worker's role; the function itself (supabase/functions/embed) only makes vectors of what it is given.
--
-- When it is called is not here: supabase/hosted has that, for projects with pg_cron and pg_net.

alter table public.embedding_models drop constraint embedding_models_provider_check;
alter table public.embedding_models add constraint embedding_models_provider_check
    check (provider in ('local', 'openai', 'supabase'));

-- Runs of the function, so that no more are woken than are wanted. One that dies is forgotten after half a minute.
create table corpuscope.edge_runs (
    id uuid primary key,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);
alter table corpuscope.edge_runs enable row level security;
create policy "the worker keeps runs" on corpuscope.edge_runs for all to corpuscope_worker using (true) with check (true);
grant select, insert, update, delete on corpuscope.edge_runs to corpuscope_worker;

create function corpuscope.note_edge_run(run uuid) returns void
language sql set search_path = '' as $$
    delete from corpuscope.edge_runs where seen_at < now() - interval '1 minute';
    insert into corpuscope.edge_runs (id) values (run) on conflict (id) do update set seen_at = now();
$$;
create function corpuscope.end_edge_run(run uuid) returns void
language sql set search_path = '' as $$
    delete from corpuscope.edge_runs where id = run;
$$;

-- The chunks that a message names; one that nobody understands names none.
create function corpuscope.named_chunks(message jsonb) returns bigint[]
language sql immutable set search_path = '' as $$
    select coalesce(array_agg(named::bigint), '{}')
    from jsonb_array_elements_text(case jsonb_typeof(message -> 'chunks') when 'array' then message -> 'chunks' else '[]' end) named
    where named ~ '^[0-9]{1,18}$'
$$;

-- Chunks that want a vector, with what the model reads: of the models with these names (lower case), or of any. Those of paused
-- or cancelled documents and retired indexes want none, nor those that were given up on (rag/work/embedding.py says the same).
create function corpuscope.missing_vectors(ids bigint[], names text[] default null)
returns table (id bigint, hash bytea, model_id int, dimensions int, input text)
language sql stable set search_path = '' as $$
    select c.id, c.content_hash, m.id, m.dimensions,
           m.passage_prefix || case when c.context <> '' then c.context || e'\n' else '' end || c.text
    from public.chunks c
    join public.documents d on d.id = c.document_id and not d.paused and d.stage <> 'cancelled'
    join public.indexes i on i.id = c.index_id and i.state <> 'retired' and not i.paused
    join public.embedding_models m on m.id = i.model_id
    where c.id = any (ids) and (names is null or lower(m.name) = any (names))
      and not exists (select from public.embeddings e where e.chunk_id = c.id)
      and not exists (select from public.failed_jobs f where f.chunk_id = c.id)
$$;

-- Whoever reads a message raises read_ct: only while that is still the number that was got is the message ours.
create function corpuscope.end_job(job bigint, reads int) returns boolean
language plpgsql set search_path = '' as $$
begin
    delete from pgmq.q_embed q where q.msg_id = job and q.read_ct = reads;
    if found then
        delete from corpuscope.job_attempts a where a.queue = 'embed' and a.msg_id = job;
    end if;
    return found;
end
$$;

create function corpuscope.return_job(job bigint, reads int, delay_s double precision, failures int default 0, error text default '')
returns boolean
language plpgsql set search_path = '' as $$
begin
    update pgmq.q_embed q set vt = clock_timestamp() + make_interval(secs => delay_s) where q.msg_id = job and q.read_ct = reads;
    if not found then
        return false;
    end if;
    insert into corpuscope.job_attempts as a (queue, msg_id, attempts, returned, last_error) values ('embed', job, failures, 1, error)
    on conflict (queue, msg_id) do update
    set attempts = a.attempts + excluded.attempts, returned = a.returned + 1, updated_at = now(),
        last_error = case when excluded.last_error = '' then a.last_error else excluded.last_error end;
    return true;
end
$$;

-- Ends a job of which these models have nothing left to do: for good, or for whoever has the others.
create function corpuscope.leave_job(job bigint, reads int, chunks bigint[]) returns void
language plpgsql set search_path = '' as $$
begin
    if exists (select from corpuscope.missing_vectors(chunks)) then
        perform corpuscope.return_job(job, reads, 0);
    else
        perform corpuscope.end_job(job, reads);
    end if;
end
$$;

-- Words of these chunks into the lexical index; returns those that somebody is changing now, which are left out.
create function corpuscope.index_free_words(ids bigint[]) returns bigint[]
language plpgsql set search_path = '' as $$
declare
    wanted bigint[];
    free bigint[];
begin
    wanted := array(
        select c.id from public.chunks c
        join public.documents d on d.id = c.document_id and not d.paused and d.stage <> 'cancelled'
        join public.indexes i on i.id = c.index_id and i.state <> 'retired' and not i.paused
        where c.id = any (ids)
    );
    free := array(select c.id from public.chunks c where c.id = any (wanted) order by c.id for share skip locked);
    perform corpuscope.index_lexical(free);
    perform corpuscope.reuse_embeddings(wanted);
    return array(select unnest(wanted) except select unnest(free));
end
$$;

-- Leases jobs for a reader that has models with these names (lower case), and says what to embed, equal texts once:
-- {"jobs": [{"id", "reads", "attempts", "chunks"}], "pieces": [{"ids", "hash", "dimensions", "input"}]}.
--
-- Jobs of other models stay for others. A job over which readers died is split, then tried alone, in the end given up on.
create function corpuscope.claim_embedding(names text[], most int, lease_s double precision) returns jsonb
language plpgsql set search_path = '' as $$
declare
    kills_limit constant int := 5;
    kills_before_split constant int := 2;
    held jsonb := '[]';
    kept jsonb := '[]';
    busy bigint[];
    job record;
    suspected boolean;
begin
    with due as materialized (
        select q.msg_id from pgmq.q_embed q
        where q.vt <= clock_timestamp()
          and (exists (select from corpuscope.missing_vectors(corpuscope.named_chunks(q.message), names))
               or not exists (select from corpuscope.missing_vectors(corpuscope.named_chunks(q.message))))
        order by q.msg_id limit most for update skip locked
    ), taken as (
        update pgmq.q_embed q set vt = clock_timestamp() + make_interval(secs => lease_s), read_ct = q.read_ct + 1
        from due where q.msg_id = due.msg_id returning q.msg_id, q.read_ct, q.message
    )
    select coalesce(jsonb_agg(jsonb_build_object(
               'id', t.msg_id, 'reads', t.read_ct, 'attempts', coalesce(a.attempts, 0),
               'kills', greatest(0, t.read_ct - 1 - coalesce(a.returned, 0)), 'chunks', corpuscope.named_chunks(t.message)
           ) order by t.msg_id), '[]')
    into held from taken t left join corpuscope.job_attempts a on a.queue = 'embed' and a.msg_id = t.msg_id;

    select coalesce(bool_or((h ->> 'kills')::int > 0), false) into suspected from jsonb_array_elements(held) h;
    busy := corpuscope.index_free_words(array(
        select named::bigint from jsonb_array_elements(held) h, jsonb_array_elements_text(h -> 'chunks') named
    ));
    for job in
        select h as whole, x.* from jsonb_array_elements(held) h,
        jsonb_to_record(h) as x (id bigint, reads int, attempts int, kills int, chunks bigint[])
    loop
        if job.kills >= kills_limit and cardinality(job.chunks) <= 1 then
            perform corpuscope.give_up_chunk(m.id, m.hash, 'The work stopped unexpectedly on this chunk.',
                'Its text may be too much for the model; change or exclude it, then retry.', job.kills)
            from corpuscope.missing_vectors(job.chunks, names) m;
            perform corpuscope.leave_job(job.id, job.reads, job.chunks);
        elsif job.kills >= kills_before_split and cardinality(job.chunks) > 1 then
            perform corpuscope.send_jobs('embed', array_agg(jsonb_build_object('chunks', p.chunks))) from (
                select jsonb_agg(u.id order by u.n) as chunks from unnest(job.chunks) with ordinality as u (id, n)
                group by (u.n - 1) / greatest(1, ceil(cardinality(job.chunks) / 8.0)::int)
            ) p;
            perform corpuscope.end_job(job.id, job.reads);
        elsif suspected and (job.kills = 0 or kept <> '[]') then
            perform corpuscope.return_job(job.id, job.reads, 0);  -- the suspect works alone
        elsif job.chunks && busy then
            perform corpuscope.return_job(job.id, job.reads, 1);
        elsif exists (select from corpuscope.missing_vectors(job.chunks, names)) then
            kept := kept || jsonb_build_array(job.whole - 'kills');
        else
            perform corpuscope.leave_job(job.id, job.reads, job.chunks);
        end if;
    end loop;
    return jsonb_build_object('claimed', jsonb_array_length(held), 'jobs', kept, 'pieces', (
        select coalesce(jsonb_agg(jsonb_build_object(
                   'ids', g.ids, 'hash', encode(g.hash, 'hex'), 'dimensions', g.dimensions, 'input', g.input
               ) order by g.ids[1]), '[]')
        from (
            select array_agg(m.id order by m.id) as ids, m.hash, m.dimensions, min(m.input) as input
            from corpuscope.missing_vectors(array(
                select named::bigint from jsonb_array_elements(kept) k, jsonb_array_elements_text(k -> 'chunks') named
            ), names) m
            group by m.model_id, m.hash, m.dimensions
        ) g
    ));
end
$$;

-- Vectors of pieces as claim_embedding gave them: [{"ids", "hash", "vector"}]. One that came too late is dropped: its chunk says
-- something else by now. Returns how many chunks have theirs.
create function corpuscope.store_claimed(vectors jsonb) returns int
language sql set search_path = '' as $$
    select corpuscope.store_embeddings(array_agg(f.id), array_agg(f.hash), array_agg(f.vector)) from (
        select i.id::bigint as id, decode(v ->> 'hash', 'hex') as hash, (v ->> 'vector')::extensions.halfvec as vector
        from jsonb_array_elements(vectors) v, jsonb_array_elements_text(v -> 'ids') as i (id)
    ) f
$$;

-- Ends a claimed job: done, or tried again after delay_s where ``error`` kept chunks from their vectors, and after eight of those
-- given up on: listed for a person. Without an error nothing is held against what is left: it is free for anybody after delay_s.
create function corpuscope.conclude_embedding(job jsonb, names text[], error text, hint text, delay_s double precision) returns text
language plpgsql set search_path = '' as $$
declare
    attempts_limit constant int := 8;
    msg constant bigint := (job ->> 'id')::bigint;
    reads constant int := (job ->> 'reads')::int;
    chunks constant bigint[] := array(select n::bigint from jsonb_array_elements_text(job -> 'chunks') n);
    attempts constant int := (job ->> 'attempts')::int + 1;
begin
    if not exists (select from corpuscope.missing_vectors(chunks, names)) then
        perform corpuscope.leave_job(msg, reads, chunks);
        return 'done';
    elsif error is null then
        perform corpuscope.return_job(msg, reads, delay_s);
        return 'left';
    elsif not corpuscope.return_job(msg, reads, delay_s, 1, error) then
        return 'lost';
    elsif attempts < attempts_limit then
        return 'again';
    end if;
    perform corpuscope.give_up_chunk(m.id, m.hash, error, nullif(hint, ''), attempts) from corpuscope.missing_vectors(chunks, names) m;
    perform corpuscope.leave_job(msg, reads, chunks);
    return 'given up';
end
$$;

do $$
declare
    one text;
begin
    foreach one in array array [
        'note_edge_run(uuid)', 'end_edge_run(uuid)', 'named_chunks(jsonb)', 'missing_vectors(bigint[], text[])', 'end_job(bigint, int)',
        'return_job(bigint, int, double precision, int, text)', 'leave_job(bigint, int, bigint[])', 'index_free_words(bigint[])',
        'claim_embedding(text[], int, double precision)', 'store_claimed(jsonb)',
        'conclude_embedding(jsonb, text[], text, text, double precision)'
    ] loop
        execute format('revoke all on function corpuscope.%s from public', one);
        execute format('grant execute on function corpuscope.%s to corpuscope_worker', one);
    end loop;
end
$$;
