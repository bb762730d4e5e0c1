-- Health of a corpus: what a worker found worth a look in an index, and what people decided to keep as it is.
--
-- No text is kept here, only which chunks and spans: text is read from its document, by the policies there. Queue "map"
-- carries {"health": id}.

create table public.health_checks (
    id bigint generated always as identity primary key,
    collection_id uuid not null,
    index_id bigint not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    phase text not null default '',
    done int not null default 0,
    total int not null default 0,
    corpus jsonb not null default '{}',
    figures jsonb not null default '{}',
    timings jsonb not null default '{}',
    reason text,
    hint text,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    touched_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (id, collection_id),
    foreign key (index_id, collection_id) references public.indexes (id, collection_id) on delete cascade on update cascade
);
comment on column public.health_checks.done is 'How much of the phase is done, out of total; 0 of 0 where nothing is counted.';
comment on column public.health_checks.corpus is 'corpuscope.content_state() when it was read.';
comment on column public.health_checks.figures is 'What was checked, and the limits that followed from it: numbers only.';
create unique index health_checks_unfinished on public.health_checks (index_id) where state in ('queued', 'running');
create index health_checks_index on public.health_checks (index_id, id desc);
create index health_checks_collection on public.health_checks (collection_id);

-- Near-duplicates. Chunks whose phrases are all the same have one shape; shapes are compared, not chunks: a thousand copies
-- of a footer are a thousand rows here and no pair. A chunk that goes leaves its row: it may come back under its number, out of the
-- trash; readers join the chunks that there are.
create table public.health_members (
    check_id bigint not null,
    chunk_id bigint not null,
    collection_id uuid not null,
    shape int not null,
    primary key (check_id, chunk_id),
    foreign key (check_id, collection_id) references public.health_checks (id, collection_id) on delete cascade on update cascade
);

create table public.health_pairs (
    check_id bigint not null,
    collection_id uuid not null,
    shape_a int not null,
    shape_b int not null,
    score real not null check (score between 0 and 1),
    primary key (check_id, shape_a, shape_b),
    check (shape_a < shape_b),
    foreign key (check_id, collection_id) references public.health_checks (id, collection_id) on delete cascade on update cascade
);
comment on column public.health_pairs.score is 'Jaccard index of their three-word phrases.';

create table public.health_findings (
    id bigint generated always as identity primary key,
    check_id bigint not null,
    collection_id uuid not null,
    finding text not null check (finding in ('outlier', 'short', 'long', 'language', 'unretrieved')),
    document_id uuid not null references public.documents (id) on delete cascade,
    chunk_id bigint,
    value real,
    note text,
    foreign key (check_id, collection_id) references public.health_checks (id, collection_id) on delete cascade on update cascade,
    check ((chunk_id is null) = (finding = 'unretrieved'))
);
comment on column public.health_findings.value is
    'outlier: mean cosine distance to its neighbours; short, long: words; unretrieved: its best rank, null for none.';
comment on column public.health_findings.note is 'language: its code.';
create index health_findings_check on public.health_findings (check_id, finding);
create index health_findings_document on public.health_findings (document_id);

-- Boilerplate: each place where a text stands that many documents repeat. `repeat` numbers the texts.
create table public.health_repeats (
    id bigint generated always as identity primary key,
    check_id bigint not null,
    collection_id uuid not null,
    repeat int not null,
    document_id uuid not null references public.documents (id) on delete cascade,
    text_revision int not null,
    start_char int not null check (start_char >= 0),
    end_char int not null,
    check (end_char > start_char),
    foreign key (check_id, collection_id) references public.health_checks (id, collection_id) on delete cascade on update cascade
);
create index health_repeats_check on public.health_repeats (check_id, repeat);
create index health_repeats_document on public.health_repeats (document_id);

-- What somebody looked at and wants to stay as it is. By spans, so that it outlives checks and indexes.
create table public.health_kept (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    finding text not null check (finding in ('duplicates', 'outlier', 'short', 'long', 'language', 'repeat', 'unretrieved')),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id)
);
create index health_kept_collection on public.health_kept (collection_id, finding);

create table public.health_kept_spans (
    kept_id bigint not null,
    collection_id uuid not null,
    document_id uuid not null references public.documents (id) on delete cascade,
    start_char int not null check (start_char >= 0),
    end_char int not null,
    primary key (kept_id, document_id, start_char, end_char),
    check (end_char > start_char),
    foreign key (kept_id, collection_id) references public.health_kept (id, collection_id) on delete cascade on update cascade
);
create index health_kept_spans_document on public.health_kept_spans (document_id);

alter table public.health_checks enable row level security;
create policy "members see health checks" on public.health_checks for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker checks health" on public.health_checks for all to corpuscope_worker using (true) with check (true);
grant select on public.health_checks to authenticated;
grant select, update, delete on public.health_checks to corpuscope_worker;
grant all on public.health_checks to service_role;

alter table public.health_members enable row level security;
create policy "members see duplicates" on public.health_members for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker keeps duplicates" on public.health_members for all to corpuscope_worker using (true) with check (true);
grant select on public.health_members to authenticated;
grant select, insert, delete on public.health_members to corpuscope_worker;
grant all on public.health_members to service_role;

alter table public.health_pairs enable row level security;
create policy "members see pairs" on public.health_pairs for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker keeps pairs" on public.health_pairs for all to corpuscope_worker using (true) with check (true);
grant select on public.health_pairs to authenticated;
grant select, insert, delete on public.health_pairs to corpuscope_worker;
grant all on public.health_pairs to service_role;

alter table public.health_findings enable row level security;
create policy "members see findings" on public.health_findings for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker keeps findings" on public.health_findings for all to corpuscope_worker using (true) with check (true);
grant select on public.health_findings to authenticated;
grant select, insert, delete on public.health_findings to corpuscope_worker;
grant all on public.health_findings to service_role;

alter table public.health_repeats enable row level security;
create policy "members see repeats" on public.health_repeats for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker keeps repeats" on public.health_repeats for all to corpuscope_worker using (true) with check (true);
grant select on public.health_repeats to authenticated;
grant select, insert, delete on public.health_repeats to corpuscope_worker;
grant all on public.health_repeats to service_role;

alter table public.health_kept enable row level security;
create policy "members see what is kept" on public.health_kept for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors take back what is kept" on public.health_kept for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
grant select, delete on public.health_kept to authenticated;
grant all on public.health_kept to service_role;

alter table public.health_kept_spans enable row level security;
create policy "members see what is kept" on public.health_kept_spans for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
grant select on public.health_kept_spans to authenticated;
grant all on public.health_kept_spans to service_role;

-- What an index holds, whatever is excluded from it: a check is stale once this differs. By the caller's policies.
create function corpuscope.content_state(index bigint) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'documents', count(*), 'chunks', coalesce(sum(x.chunk_count), 0), 'embedded', coalesce(sum(x.embedded_count), 0),
        'fingerprint', md5(coalesce(string_agg(concat_ws(':', x.document_id, x.text_revision, x.chunk_count), ',' order by x.document_id), ''))
    )
    from public.index_documents x join public.documents d on d.id = x.document_id where x.index_id = index
$$;
revoke all on function corpuscope.content_state(bigint) from public;
grant execute on function corpuscope.content_state(bigint) to authenticated, service_role;

-- Puts a check of an index on the queue, of the active one unless told; the one that waits or runs already, if there is one.
create function public.start_health_check(collection uuid, index bigint default null) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    home bigint;
    made bigint;
begin
    select i.id into home
    from public.collections c join public.indexes i on i.id = coalesce(index, c.active_index_id) and i.collection_id = c.id
    where c.id = collection and c.id = any ((select corpuscope.editable_collections())::uuid[]) and i.state <> 'retired';
    if not found then
        raise exception 'That collection has no such index, or you may not check it.' using errcode = 'insufficient_privilege';
    end if;
    insert into public.health_checks (collection_id, index_id) values (collection, home)
    on conflict (index_id) where state in ('queued', 'running') do nothing returning id into made;
    if made is null then
        select h.id into made from public.health_checks h where h.index_id = home and h.state in ('queued', 'running');
        return made;
    end if;
    perform corpuscope.send_jobs('map', array [jsonb_build_object('health', made)]);
    return made;
end
$$;

-- The worker looks at the state before each of its writes.
create function public.cancel_health_check(health bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.health_checks h set state = 'cancelled', touched_at = now()
    where h.id = health and h.collection_id = any ((select corpuscope.editable_collections())::uuid[]) and h.state in ('queued', 'running');
    return found;
end
$$;

-- Remembers that these spans are to stay as they are; the id to take it back by.
create function public.keep_findings(collection uuid, finding text, documents uuid[], starts int[], ends int[]) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    made bigint;
begin
    if not collection = any (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    insert into public.health_kept (collection_id, finding) values (collection, keep_findings.finding) returning id into made;
    insert into public.health_kept_spans (kept_id, collection_id, document_id, start_char, end_char)
    select distinct made, d.collection_id, d.id, u.s, u.e
    from unnest(documents, starts, ends) as u (document, s, e)
    join public.documents d on d.id = u.document and d.collection_id = collection;
    if not found then
        raise exception 'None of this is in the collection any more.' using errcode = 'no_data_found';
    end if;
    return made;
end
$$;
revoke all on function public.start_health_check(uuid, bigint), public.cancel_health_check(bigint),
    public.keep_findings(uuid, text, uuid[], int[], int[]) from public;
grant execute on function public.start_health_check(uuid, bigint), public.cancel_health_check(bigint),
    public.keep_findings(uuid, text, uuid[], int[], int[]) to authenticated, service_role;

-- Makes again what a lost message would have asked for.
create function corpuscope.requeue_health_checks(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('health', h.id)) into lost from public.health_checks h
    where h.state in ('queued', 'running') and h.touched_at < now() - still_for
      and not exists (select from pgmq.q_map q where q.message ->> 'health' = h.id::text);
    perform corpuscope.send_jobs('map', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
revoke all on function corpuscope.requeue_health_checks(interval) from public;
grant execute on function corpuscope.requeue_health_checks(interval) to corpuscope_worker;
