-- Curation: acts that tag, exclude, move and delete, each one entry in a log, each undone in any order; and the trash.
--
-- What is the case is never written by an act itself: it follows from what was there before and from the acts that are not undone,
-- in the order in which they were done. So undoing one is striking it out and looking again, whatever was done since.
--   marks of one kind (exclusion, or a tag) in a document: marks made by hand, plus what acts add, each less what later acts take off
--   where a document is: where its newest move took it, or where it was before all of them; in the trash while an act wants it there
-- Marks that a person sets or removes by hand meanwhile are theirs: acts no longer claim them.
--
-- A document that leaves a collection, for another or for the trash, has its chunks, vectors, points on maps and judgements put aside
-- ("parked"), where no search, map, count or evaluation looks. They come back with it, under their old ids.

alter table public.documents add column trashed_at timestamptz;
comment on column public.documents.trashed_at is 'Since when it is in the trash, where nobody sees it but in list_trash(); deleted for good after 30 days.';
create index documents_trashed on public.documents (trashed_at) where trashed_at is not null;
alter policy "members see documents" on public.documents
    using (trashed_at is null and collection_id in (select unnest((select corpuscope.viewable_collections()))));
alter policy "editors change documents" on public.documents
    using (trashed_at is null and collection_id in (select unnest((select corpuscope.editable_collections()))));
alter policy "editors delete documents" on public.documents
    using (trashed_at is null and collection_id in (select unnest((select corpuscope.editable_collections()))));
-- To a worker, a document in the trash is gone: what was to be done with it is dropped, and asked for again when it comes back.
alter policy "the worker keeps documents" on public.documents using (trashed_at is null) with check (true);

create function corpuscope.trashed_documents() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(d.id), '{}') from public.documents d
    where d.trashed_at is not null and d.collection_id = any (corpuscope.viewable_collections())
$$;
revoke all on function corpuscope.trashed_documents() from public;
grant execute on function corpuscope.trashed_documents() to authenticated, service_role;
alter policy "members see marks" on public.span_marks using (
    collection_id in (select unnest((select corpuscope.viewable_collections())))
    and document_id not in (select unnest((select corpuscope.trashed_documents())))
);

alter table public.span_marks add column by_acts boolean not null default false;
comment on column public.span_marks.by_acts is 'It follows from acts in the curation log and goes with them; false: set by hand.';
grant update (by_acts) on public.span_marks to authenticated;

create table public.curation_log (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    kind text not null check (kind in ('exclude', 'include', 'tag', 'untag', 'trash', 'move')),
    tag text check ((kind in ('tag', 'untag')) = (tag is not null) and length(tag) between 1 and 80),
    target_id uuid,
    target_name text,
    note text not null default '' check (length(note) <= 500),
    passages int not null default 0,
    documents int not null default 0,
    names text[] not null default '{}',
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    undone_at timestamptz,
    undone_by uuid references auth.users (id) on delete set null
);
comment on column public.curation_log.passages is 'How many passages of the active index it changed when it was done.';
comment on column public.curation_log.names is 'Some of the documents, as they were called.';
create index curation_log_collection on public.curation_log (collection_id, id desc);

-- What an act wants: characters of documents, or documents.
create table corpuscope.act_spans (
    act_id bigint not null references public.curation_log (id) on delete cascade,
    document_id uuid not null references public.documents (id) on delete cascade,
    start_char int not null,
    end_char int not null,
    primary key (document_id, act_id, start_char),
    check (end_char > start_char)
);
create index act_spans_act on corpuscope.act_spans (act_id);
create table corpuscope.act_documents (
    act_id bigint not null references public.curation_log (id) on delete cascade,
    document_id uuid not null references public.documents (id) on delete cascade,
    source uuid not null,
    wanted boolean not null default true,
    primary key (document_id, act_id)
);
comment on column corpuscope.act_documents.wanted is 'False: this one was taken out of the trash by itself, which leaves the rest of the act as it is.';
create index act_documents_act on corpuscope.act_documents (act_id);
-- Marks set by hand that an act takes off, to be put back as they were.
create table corpuscope.cut_marks (
    id bigint primary key,
    document_id uuid not null references public.documents (id) on delete cascade,
    start_char int not null,
    end_char int not null,
    kind text not null,
    tag text,
    created_by uuid references auth.users (id) on delete set null,
    created_at timestamptz not null
);
create index cut_marks_document on corpuscope.cut_marks (document_id);

create table corpuscope.parked_documents (
    document_id uuid not null references public.documents (id) on delete cascade,
    collection_id uuid not null references public.collections (id) on delete cascade,
    stage text not null,
    stage_at timestamptz not null,
    judgements jsonb not null default '[]',
    failures jsonb not null default '[]',
    parked_at timestamptz not null default now(),
    primary key (document_id, collection_id)
);
create table corpuscope.parked_chunks (
    id bigint primary key,
    index_id bigint not null references public.indexes (id) on delete cascade,
    document_id uuid not null references public.documents (id) on delete cascade,
    text_revision int not null,
    ordinal int not null,
    start_char int not null,
    end_char int not null,
    page int,
    heading_path text[] not null,
    context text not null,
    text text not null,
    token_count int not null,
    language text,
    content_hash bytea not null,
    model_id int,
    embedding extensions.halfvec,
    points jsonb
);
create index parked_chunks_document on corpuscope.parked_chunks (document_id, index_id);
create index parked_chunks_index on corpuscope.parked_chunks (index_id);
create index parked_chunks_content on corpuscope.parked_chunks (content_hash, model_id) where embedding is not null;

alter table public.curation_log enable row level security;
create policy "members see what was curated" on public.curation_log for select to authenticated
    using (collection_id in (select unnest((select corpuscope.member_collections()))));
grant select on public.curation_log to authenticated;
grant all on public.curation_log to service_role;

-- Few chunks are excluded: counting those of a selection doesn't look at the others.
create index chunks_excluded on public.chunks (index_id, id) where excluded;

-- Marks -------------------------------------------------------------------------------------------------------------------

-- Where marks of one kind in these documents come from, with what later acts left of each; null when nothing was taken off.
-- A row with an id is a mark set by hand, be it put aside or not.
create function corpuscope.mark_sources(ids uuid[], kind text, tag text)
returns table (id bigint, document_id uuid, low int, high int, left_over int4multirange)
language sql stable security definer set search_path = '' set jit = off as $$
    with spans as materialized (
        select s.document_id, s.act_id, s.start_char, s.end_char, a.kind in ('exclude', 'tag') as adds
        from corpuscope.act_spans s join public.curation_log a on a.id = s.act_id
        where s.document_id = any ($1) and a.undone_at is null and a.tag is not distinct from $3
          and a.kind = any (case $2 when 'exclusion' then array ['exclude', 'include'] else array ['tag', 'untag'] end)
    ), sources as materialized (
        select m.id, m.document_id, 0::bigint as made, m.start_char, m.end_char from public.span_marks m
        where m.document_id = any ($1) and m.kind = $2 and m.tag is not distinct from $3 and not m.by_acts
        union all
        select m.id, m.document_id, 0, m.start_char, m.end_char from corpuscope.cut_marks m
        where m.document_id = any ($1) and m.kind = $2 and m.tag is not distinct from $3
        union all
        select null, s.document_id, s.act_id, s.start_char, s.end_char from spans s where s.adds
    ), taken as (
        select s.document_id, s.act_id, range_agg(int4range(s.start_char, s.end_char)) as spans from spans s where not s.adds group by 1, 2
    ), later as materialized (  -- the same for all spans of one act in a document
        select o.document_id, o.made, range_agg(t.spans) as spans
        from (select distinct s.document_id, s.made from sources s) o
        join taken t on t.document_id = o.document_id and t.act_id > o.made group by 1, 2
    )
    select s.id, s.document_id, s.start_char, s.end_char,
           case when l.spans && int4range(s.start_char, s.end_char)
                then int4multirange(int4range(s.start_char, s.end_char)) - l.spans end
    from sources s left join later l on l.document_id = s.document_id and l.made = s.made
$$;
revoke all on function corpuscope.mark_sources(uuid[], text, text) from public;

-- Writes what marks of one kind these documents have now: see the head of this file.
create function corpuscope.renew_marks(ids uuid[], kind text, tag text) returns void
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    whole bigint[];
    cut bigint[];
    documents uuid[];
    lows int[];
    highs int[];
begin
    with s as materialized (
        select * from corpuscope.mark_sources(ids, renew_marks.kind, renew_marks.tag)
    ), wanted as (
        select s.document_id, s.low, s.high from s where s.id is null and s.left_over is null
        union select s.document_id, lower(p), upper(p) from s cross join lateral unnest(s.left_over) as p
        except select s.document_id, s.low, s.high from s where s.id is not null and s.left_over is null
    ), listed as (
        select array_agg(w.document_id) as documents, array_agg(w.low) as lows, array_agg(w.high) as highs from wanted w
    )
    select array (select s.id from s where s.id is not null and s.left_over is null),
           array (select s.id from s where s.id is not null and s.left_over is not null), l.documents, l.lows, l.highs
    into whole, cut, documents, lows, highs from listed l;

    -- Marks set by hand go aside while something is taken off them, and come back whole.
    insert into corpuscope.cut_marks (id, document_id, start_char, end_char, kind, tag, created_by, created_at)
    select m.id, m.document_id, m.start_char, m.end_char, m.kind, m.tag, m.created_by, m.created_at
    from public.span_marks m where m.id = any (cut);
    insert into public.span_marks (id, document_id, collection_id, start_char, end_char, kind, tag, created_by, created_at)
    overriding system value
    select c.id, c.document_id, d.collection_id, c.start_char, c.end_char, c.kind, c.tag, c.created_by, c.created_at
    from corpuscope.cut_marks c join public.documents d on d.id = c.document_id where c.id = any (whole);
    delete from corpuscope.cut_marks c where c.id = any (whole);
    delete from public.span_marks m where m.id = any (cut);

    delete from public.span_marks m
    where m.document_id = any (ids) and m.kind = renew_marks.kind and m.tag is not distinct from renew_marks.tag and m.by_acts
      and (m.document_id, m.start_char, m.end_char) not in (
          select w.document, w.low, w.high from unnest(documents, lows, highs) as w (document, low, high)
      );
    insert into public.span_marks (document_id, collection_id, start_char, end_char, kind, tag, created_by, by_acts)
    select w.document, d.collection_id, w.low, w.high, renew_marks.kind, renew_marks.tag, auth.uid(), true
    from unnest(documents, lows, highs) as w (document, low, high) join public.documents d on d.id = w.document
    where (w.document, w.low, w.high) not in (
        select m.document_id, m.start_char, m.end_char from public.span_marks m
        where m.document_id = any (ids) and m.kind = renew_marks.kind and m.tag is not distinct from renew_marks.tag
    );
end
$$;
revoke all on function corpuscope.renew_marks(uuid[], text, text) from public;

-- Who removes a mark by hand has the last word on it: acts that it came of no longer want that part.
create function corpuscope.mark_removed_by_hand() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    with claims as (
        delete from corpuscope.act_spans s using gone g, public.curation_log a
        where s.document_id = g.document_id and a.id = s.act_id and a.undone_at is null
          and a.kind = case g.kind when 'exclusion' then 'exclude' else 'tag' end and a.tag is not distinct from g.tag
          and case when g.by_acts then s.start_char <= g.start_char and s.end_char >= g.end_char
                   else (s.start_char, s.end_char) = (g.start_char, g.end_char) end
        returning s.act_id, s.document_id, s.start_char, s.end_char
    ), rest as (
        select c.act_id, c.document_id, int4multirange(int4range(c.start_char, c.end_char)) - g.spans as spans
        from claims c join (
            select document_id, range_agg(int4range(start_char, end_char)) as spans from gone group by 1
        ) g using (document_id)
    )
    insert into corpuscope.act_spans (act_id, document_id, start_char, end_char)
    select r.act_id, r.document_id, lower(p), upper(p) from rest r cross join lateral unnest(r.spans) as p;
    return null;
end
$$;
revoke all on function corpuscope.mark_removed_by_hand() from public;
create trigger mark_removed_by_hand after delete on public.span_marks
    referencing old table as gone for each statement
    when (current_user in ('authenticated', 'service_role')) execute function corpuscope.mark_removed_by_hand();

-- For who corrects a text: what acts and marks that were put aside mean in it moves as the marks do. A span that goes has null.
create function corpuscope.list_act_spans(document uuid) returns table (start_char int, end_char int)
language sql stable security definer set search_path = '' as $$
    select s.start_char, s.end_char from corpuscope.act_spans s
    where s.document_id = document and document = any (corpuscope.editable_documents(array [document]))
    union select c.start_char, c.end_char from corpuscope.cut_marks c
    where c.document_id = document and document = any (corpuscope.editable_documents(array [document]))
$$;
create function corpuscope.move_act_spans(document uuid, starts int[], ends int[], new_starts int[], new_ends int[]) returns void
language plpgsql security definer set search_path = '' as $$
declare
    acts bigint[];
    lows int[];
    highs int[];
begin
    if document <> all (corpuscope.editable_documents(array [document])) then
        raise exception 'That document does not exist, or you may not change it.' using errcode = 'insufficient_privilege';
    end if;
    with taken as (
        delete from corpuscope.act_spans s using unnest(starts, ends, new_starts, new_ends) as m (low, high, new_low, new_high)
        where s.document_id = document and (s.start_char, s.end_char) = (m.low, m.high) returning s.act_id, m.new_low, m.new_high
    )
    select array_agg(t.act_id), array_agg(t.new_low), array_agg(t.new_high) into acts, lows, highs from taken t where t.new_low < t.new_high;
    insert into corpuscope.act_spans (act_id, document_id, start_char, end_char)
    select u.act_id, document, u.low, max(u.high) from unnest(acts, lows, highs) as u (act_id, low, high) group by 1, 3
    on conflict on constraint act_spans_pkey do update set end_char = greatest(act_spans.end_char, excluded.end_char);
    delete from corpuscope.cut_marks c using unnest(starts, ends, new_starts, new_ends) as m (low, high, new_low, new_high)
    where c.document_id = document and (c.start_char, c.end_char) = (m.low, m.high) and not coalesce(m.new_low < m.new_high, false);
    update corpuscope.cut_marks c set start_char = m.new_low, end_char = m.new_high
    from unnest(starts, ends, new_starts, new_ends) as m (low, high, new_low, new_high)
    where c.document_id = document and (c.start_char, c.end_char) = (m.low, m.high);
end
$$;
revoke all on function corpuscope.list_act_spans(uuid), corpuscope.move_act_spans(uuid, int[], int[], int[], int[]) from public;
grant execute on function corpuscope.list_act_spans(uuid), corpuscope.move_act_spans(uuid, int[], int[], int[], int[])
    to authenticated, service_role;

-- As before, and faster: most passages are touched by no exclusion.
create or replace function corpuscope.apply_exclusions(ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    with spans as (
        select document_id, range_agg(int4range(start_char, end_char)) as spans
        from public.span_marks where kind = 'exclusion' and document_id = any (ids) group by document_id
    ), wanted as (
        select c.id, case when s.spans && int4range(c.start_char, c.end_char) then coalesce((
            select 2 * sum(upper(r) - lower(r)) >= c.end_char - c.start_char
            from unnest(s.spans * int4multirange(int4range(c.start_char, c.end_char))) r
        ), false) else false end as excluded
        from public.chunks c left join spans s on s.document_id = c.document_id
        where c.document_id = any (ids)
    )
    update public.chunks c set excluded = w.excluded from wanted w where c.id = w.id and c.excluded <> w.excluded
$$;

-- Documents that leave and come back -----------------------------------------------------------------------------------------

create function corpuscope.park_document(document uuid) returns void
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
    -- Of an earlier stay here nothing is of use any more.
    delete from corpuscope.parked_chunks p using public.indexes i, public.documents d
    where p.document_id = park_document.document and d.id = p.document_id and i.id = p.index_id and i.collection_id = d.collection_id;
    insert into corpuscope.parked_chunks (
        id, index_id, document_id, text_revision, ordinal, start_char, end_char, page, heading_path, context, text, token_count, language,
        content_hash, model_id, embedding, points
    )
    select c.id, c.index_id, c.document_id, x.text_revision, c.ordinal, c.start_char, c.end_char, c.page, c.heading_path, c.context, c.text,
           c.token_count, c.language, c.content_hash, e.model_id, e.embedding,
           (select jsonb_agg(to_jsonb(p)) from public.map_points p where p.chunk_id = c.id)
    from public.chunks c
    join public.index_documents x on x.index_id = c.index_id and x.document_id = c.document_id
    left join public.embeddings e on e.chunk_id = c.id
    where c.document_id = park_document.document;
    insert into corpuscope.parked_documents as k (document_id, collection_id, stage, stage_at, judgements, failures)
    select d.id, d.collection_id, d.stage, d.stage_at,
           coalesce((select jsonb_agg(to_jsonb(j)) from public.judgements j where j.document_id = d.id), '[]'),
           coalesce((select jsonb_agg(to_jsonb(f)) from public.failed_jobs f where f.document_id = d.id), '[]')
    from public.documents d where d.id = park_document.document
    on conflict on constraint parked_documents_pkey do update
    set stage = excluded.stage, stage_at = excluded.stage_at, judgements = excluded.judgements, failures = excluded.failures, parked_at = now();
    -- Nothing of the pipeline takes up a cancelled document.
    update public.documents d set stage = 'cancelled' where d.id = park_document.document;
    delete from public.failed_jobs f where f.document_id = park_document.document;
    delete from public.judgements j where j.document_id = park_document.document;
    delete from public.index_documents x where x.document_id = park_document.document;
end
$$;
revoke all on function corpuscope.park_document(uuid) from public;

create function corpuscope.unpark_document(document uuid) returns void
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
    home public.documents;
    kept corpuscope.parked_documents;
    ids bigint[];
    next_stage text;
begin
    select * into home from public.documents d where d.id = unpark_document.document;
    select * into kept from corpuscope.parked_documents k where k.document_id = home.id and k.collection_id = home.collection_id;
    insert into public.index_documents (index_id, document_id, collection_id, text_revision)
    select distinct p.index_id, home.id, home.collection_id, p.text_revision
    from corpuscope.parked_chunks p join public.indexes i on i.id = p.index_id
    where p.document_id = home.id and i.collection_id = home.collection_id and i.state <> 'retired' and p.text_revision = home.text_revision;
    insert into public.chunks (
        id, index_id, document_id, collection_id, ordinal, start_char, end_char, page, heading_path, context, text, token_count, language
    ) overriding system value
    select p.id, p.index_id, home.id, home.collection_id, p.ordinal, p.start_char, p.end_char, p.page, p.heading_path, p.context, p.text,
           p.token_count, case when home.language_corrected then home.language else p.language end
    from corpuscope.parked_chunks p
    join public.index_documents x on x.index_id = p.index_id and x.document_id = p.document_id and x.text_revision = p.text_revision
    where p.document_id = home.id;
    ids := array (select c.id from public.chunks c where c.document_id = home.id order by c.id);
    insert into public.embeddings (chunk_id, model_id, index_id, collection_id, document_id, content_hash, excluded, embedding)
    select c.id, p.model_id, c.index_id, c.collection_id, c.document_id, c.content_hash, c.excluded, p.embedding
    from public.chunks c join corpuscope.parked_chunks p on p.id = c.id
    where c.document_id = home.id and p.embedding is not null and p.content_hash = c.content_hash;
    -- Their words: what was not swept yet counts on, and of the rest as much as a person likes to wait for. A worker does the others.
    delete from corpuscope.lexical_garbage g where g.chunk_id = any (ids);
    perform corpuscope.index_lexical(array (
        select c.id from public.chunks c left join corpuscope.chunk_terms t on t.chunk_id = c.id
        where c.document_id = home.id and t.chunk_id is null order by c.id limit 500
    ));
    insert into public.map_points (map_id, place, chunk_id, collection_id, document_id, x, y, leaf, placed_later)
    select m.id, (q ->> 'place')::int, c.id, c.collection_id, c.document_id, (q ->> 'x')::int, (q ->> 'y')::int, (q ->> 'leaf')::int,
           (q ->> 'placed_later')::boolean
    from corpuscope.parked_chunks p join public.chunks c on c.id = p.id join public.embeddings e on e.chunk_id = c.id
    cross join lateral jsonb_array_elements(p.points) as q
    join public.maps m on m.id = (q ->> 'map_id')::bigint and m.drawn_at is not null
    where p.document_id = home.id
    on conflict do nothing;
    update public.maps m set version = m.version + 1
    where m.id in (select p.map_id from public.map_points p where p.document_id = home.id);
    insert into public.judgements overriding system value
    select j.* from jsonb_populate_recordset(null::public.judgements, kept.judgements) j
    where exists (select from public.questions q where q.id = j.question_id)
      and (j.start_char is null or j.end_char <= home.char_count)
    on conflict do nothing;
    insert into public.failed_jobs overriding system value
    select f.* from jsonb_populate_recordset(null::public.failed_jobs, kept.failures) f
    where (f.chunk_id is null or f.chunk_id = any (ids)) and (f.index_id is null or exists (select from public.indexes i where i.id = f.index_id))
    on conflict do nothing;
    delete from corpuscope.parked_chunks p using public.indexes i
    where p.document_id = home.id and i.id = p.index_id and i.collection_id = home.collection_id;
    delete from corpuscope.parked_documents k where k.document_id = home.id and k.collection_id = home.collection_id;

    -- Cancelled work stays so, wherever the document goes.
    next_stage := case
        when coalesce(kept.stage, (
            select k.stage from corpuscope.parked_documents k where k.document_id = home.id order by k.parked_at desc limit 1
        )) = 'cancelled' then 'cancelled'
        when kept.stage = 'failed' and home.error is not null then 'failed'
        when home.text_revision = 0 then 'stored'
        when exists (
            select from public.index_documents x join public.collections c on c.active_index_id = x.index_id
            where c.id = home.collection_id and x.document_id = home.id and x.text_revision = home.text_revision
        ) then case when kept.stage = 'ready' then 'ready' else 'embedding' end
        else 'chunking'
    end;
    update public.documents d set stage = next_stage where d.id = home.id;
    if next_stage = kept.stage then
        update public.documents d set stage_at = kept.stage_at where d.id = home.id;
    end if;
    if next_stage in ('stored', 'chunking') or (next_stage in ('embedding', 'ready') and exists (
        select from public.indexes i where i.collection_id = home.collection_id and i.state <> 'retired' and not i.paused
          and not exists (select from public.index_documents x where x.index_id = i.id and x.document_id = home.id)
    )) then
        perform corpuscope.send_documents(array [home.id]);
    end if;
    perform corpuscope.settle_documents(array [home.id]);
end
$$;
revoke all on function corpuscope.unpark_document(uuid) from public;

-- Puts documents where the acts that are not undone want them; returns how many of them that changed.
create function corpuscope.place_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    mine constant uuid[] := corpuscope.editable_collections();
    moving record;
    n int := 0;
begin
    for moving in
        with locked as materialized (
            select d.id, d.collection_id, d.trashed_at, d.name, d.sha256 from public.documents d where d.id = any (ids)
            order by d.id for no key update
        )
        select l.*,
               coalesce(
                   (select a.target_id from corpuscope.act_documents w join public.curation_log a on a.id = w.act_id
                    where w.document_id = l.id and w.wanted and a.kind = 'move' and a.undone_at is null order by a.id desc limit 1),
                   (select w.source from corpuscope.act_documents w join public.curation_log a on a.id = w.act_id
                    where w.document_id = l.id and a.kind = 'move' order by a.id limit 1),
                   l.collection_id
               ) as place,
               exists (
                   select from corpuscope.act_documents w join public.curation_log a on a.id = w.act_id
                   where w.document_id = l.id and w.wanted and a.kind = 'trash' and a.undone_at is null
               ) as trashed
        from locked l order by l.id
    loop
        continue when moving.place = moving.collection_id and moving.trashed = (moving.trashed_at is not null);
        if moving.collection_id <> all (mine) or moving.place <> all (mine) then
            raise exception '“%” is, or would be, in a collection that you may not change.', moving.name using errcode = 'insufficient_privilege';
        elsif moving.place <> moving.collection_id and exists (
            select from public.documents d where d.collection_id = moving.place and d.sha256 = moving.sha256
        ) then
            raise exception 'The file of “%” is in that collection already, or in its trash.', moving.name
                using hint = 'Delete the other one for good first.';
        end if;
        if moving.trashed_at is null then
            perform corpuscope.park_document(moving.id);
        end if;
        update public.documents d
        set collection_id = moving.place, trashed_at = case when moving.trashed then coalesce(d.trashed_at, now()) end
        where d.id = moving.id;
        if not moving.trashed then
            perform corpuscope.unpark_document(moving.id);
        end if;
        n := n + 1;
    end loop;
    return n;
end
$$;
revoke all on function corpuscope.place_documents(uuid[]) from public;

-- A collection that a document moves to has limits too.
create function corpuscope.keep_limits_of_moves() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.check_stored('collection', n.collection_id)
    from (select distinct n.collection_id from new_rows n join old_rows o using (id) where n.collection_id <> o.collection_id) n;
    return null;
end
$$;
revoke all on function corpuscope.keep_limits_of_moves() from public;
create trigger keep_limits_of_moves after update on public.documents
    referencing old table as old_rows new table as new_rows for each statement execute function corpuscope.keep_limits_of_moves();

-- Acts --------------------------------------------------------------------------------------------------------------------

-- One at a time in a collection, so that what an act says it changed is what it changed.
create function corpuscope.begin_act(collection uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if collection is null or collection <> all (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may look into it but not change it.' using errcode = 'insufficient_privilege';
    end if;
    perform pg_advisory_xact_lock(hashtext('corpuscope curation'), hashtext(collection::text));
end
$$;
revoke all on function corpuscope.begin_act(uuid) from public;

-- The documents' passages in the active index: those that leave search when the spans are excluded, or come back when they are
-- included; for tags, those that lie in them by half.
create function corpuscope.count_act(kind text, documents uuid[], starts int[], ends int[], allowed uuid[]) returns table (passages int, documents int)
language sql stable security definer set search_path = '' set jit = off as $$
    with wanted as materialized (
        select u.document, range_agg(int4range(u.low, u.high)) as spans
        from unnest($2, $3, $4) as u (document, low, high)
        where u.low < u.high and u.document in (select unnest($5)) group by 1
    ), held as materialized (
        select m.document_id, range_agg(int4range(m.start_char, m.end_char)) as spans from public.span_marks m
        where m.kind = 'exclusion' and m.document_id in (select w.document from wanted w) and $1 in ('exclude', 'include') group by 1
    ), after as materialized (
        select w.document, w.spans as touched, case $1 when 'exclude' then coalesce(h.spans, '{}') + w.spans when 'include' then coalesce(h.spans, '{}') - w.spans
                           else w.spans end as spans
        from wanted w left join held h on h.document_id = w.document
    ), changed as (
        select c.id, c.document_id from after a
        join public.documents d on d.id = a.document and d.trashed_at is null
        join public.collections l on l.id = d.collection_id
        join public.chunks c on c.index_id = l.active_index_id and c.document_id = a.document
            and a.touched && int4range(c.start_char, c.end_char)
        cross join lateral (
            select coalesce(2 * sum(upper(r) - lower(r)) >= c.end_char - c.start_char, false) as covered
            from unnest(a.spans * int4multirange(int4range(c.start_char, c.end_char))) r
        ) s
        where case $1 when 'exclude' then s.covered and not c.excluded when 'include' then c.excluded and not s.covered else s.covered end
    )
    select count(*)::int, count(distinct c.document_id)::int from changed c
$$;
revoke all on function corpuscope.count_act(text, uuid[], int[], int[], uuid[]) from public;

create function public.curate_spans(
    collection uuid, kind text, documents uuid[], starts int[], ends int[], tag text default null, note text default ''
) returns bigint
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    made bigint;
    counted record;
    touched uuid[];
begin
    perform corpuscope.begin_act(collection);
    if kind not in ('exclude', 'include', 'tag', 'untag') then
        raise exception 'Passages can be excluded, included, tagged and untagged.';
    elsif cardinality(documents) <> cardinality(starts) or cardinality(starts) <> cardinality(ends) or cardinality(documents) > 1000000 then
        raise exception 'An act has a document, a start and an end for each of a million spans at most.';
    end if;
    touched := array (
        select d.id from public.documents d
        where d.collection_id = curate_spans.collection and d.trashed_at is null and d.id = any (documents) order by d.id for share
    );
    select * into counted from corpuscope.count_act(kind, documents, starts, ends, touched);
    insert into public.curation_log (collection_id, kind, tag, note, passages, documents, names)
    select collection, curate_spans.kind, curate_spans.tag, curate_spans.note, counted.passages, counted.documents,
           array (select d.name from public.documents d where d.id = any (touched) order by d.name limit 20)
    returning id into made;
    insert into corpuscope.act_spans (act_id, document_id, start_char, end_char)
    select made, m.id, lower(r), upper(r)
    from (
        select d.id, range_agg(int4range(greatest(u.low, 0), least(u.high, d.char_count))) as spans
        from unnest(documents, starts, ends) as u (document, low, high) join public.documents d on d.id = u.document
        where d.id = any (touched) and greatest(u.low, 0) < least(u.high, d.char_count) group by 1
    ) m cross join lateral unnest(m.spans) as r;
    if not found then
        raise exception 'Nothing of that selection is in this collection any more.';
    end if;
    perform corpuscope.renew_marks(touched, case when kind in ('exclude', 'include') then 'exclusion' else 'tag' end, tag);
    return made;
end
$$;

create function public.preview_act(kind text, documents uuid[], starts int[], ends int[]) returns table (passages int, documents int)
language sql stable security definer set search_path = '' as $$
    select c.* from corpuscope.count_act($1, $2, $3, $4, corpuscope.editable_documents(array (select distinct u.id from unnest($2) as u (id)))) c
$$;

-- Documents go to the trash, or, with a target, to another collection.
create function public.curate_documents(collection uuid, ids uuid[], target uuid default null, note text default '') returns bigint
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    made bigint;
    touched uuid[];
begin
    perform corpuscope.begin_act(least(collection, target));
    if target is not null and greatest(collection, target) <> least(collection, target) then
        perform corpuscope.begin_act(greatest(collection, target));
    end if;
    touched := array (
        select d.id from public.documents d
        where d.collection_id = curate_documents.collection and d.id = any (curate_documents.ids) and d.trashed_at is null
          and (target is null or not exists (
              select from public.documents t where t.collection_id = curate_documents.target and t.sha256 = d.sha256
          )) order by d.id for no key update
    );
    if target = collection then
        raise exception 'They are in that collection already.';
    elsif cardinality(touched) = 0 then
        raise exception '%', case when target is null then 'None of these documents is in this collection any more.'
            else 'None of these documents can be moved: they are gone, or the other collection has the same files already.' end
           ;
    end if;
    insert into public.curation_log (collection_id, kind, target_id, target_name, note, passages, documents, names)
    select collection, case when target is null then 'trash' else 'move' end, target, (select c.name from public.collections c where c.id = target),
           curate_documents.note,
           (select coalesce(sum(x.chunk_count), 0) from public.index_documents x join public.collections c on c.active_index_id = x.index_id
            where x.document_id = any (touched)),
           cardinality(touched), array (select d.name from public.documents d where d.id = any (touched) order by d.name limit 20)
    returning id into made;
    insert into corpuscope.act_documents (act_id, document_id, source) select made, u.id, collection from unnest(touched) as u (id);
    perform corpuscope.place_documents(touched);
    perform corpuscope.note(
        case when target is null then 'documents put in the trash' else 'documents moved' end, collection, a.names[1],
        jsonb_strip_nulls(jsonb_build_object('count', a.documents, 'names', a.names, 'to', a.target_name))
    ) from public.curation_log a where a.id = made;
    return made;
end
$$;

-- Strikes an act out, or back in; returns how many documents that concerned.
create function corpuscope.set_act(act bigint, undo boolean) returns int
language plpgsql security definer set search_path = '' set jit = off as $$
#variable_conflict use_column
declare
    entry public.curation_log;
    touched uuid[];
begin
    select * into entry from public.curation_log a where a.id = set_act.act;
    perform corpuscope.begin_act(entry.collection_id);
    select * into entry from public.curation_log a where a.id = set_act.act for update;
    if undo = (entry.undone_at is not null) then
        raise exception '%', case when undo then 'That was undone already.' else 'That is done already.' end
           ;
    end if;
    touched := array (
        select distinct s.document_id from corpuscope.act_spans s where s.act_id = entry.id
        union select w.document_id from corpuscope.act_documents w where w.act_id = entry.id
    );
    if entry.kind not in ('trash', 'move') and exists (
        select from public.documents d where d.id = any (touched) and d.collection_id <> all (corpuscope.editable_collections())
    ) then
        raise exception 'Some of these documents are in a collection now that you may not change.' using errcode = 'insufficient_privilege';
    end if;
    update public.curation_log a set undone_at = case when undo then now() end, undone_by = case when undo then auth.uid() end
    where a.id = entry.id;
    if entry.kind in ('trash', 'move') then
        update corpuscope.act_documents w set wanted = true where w.act_id = entry.id and not undo;
        perform corpuscope.place_documents(touched);
    else
        perform corpuscope.renew_marks(touched, case when entry.kind in ('exclude', 'include') then 'exclusion' else 'tag' end, entry.tag);
    end if;
    return cardinality(touched);
end
$$;
revoke all on function corpuscope.set_act(bigint, boolean) from public;
create function public.undo_act(act bigint) returns int
language sql security definer set search_path = '' as $$ select corpuscope.set_act(act, true) $$;
create function public.redo_act(act bigint) returns int
language sql security definer set search_path = '' as $$ select corpuscope.set_act(act, false) $$;

-- The trash ---------------------------------------------------------------------------------------------------------------
create function public.list_trash(collection uuid) returns table (
    id uuid, name text, title text, size bigint, trashed_at timestamptz, goes_at timestamptz, act_id bigint, trashed_by uuid, passages int
)
language sql stable security definer set search_path = '' as $$
    select d.id, d.name, d.title, d.size, d.trashed_at, d.trashed_at + interval '30 days', a.id, a.created_by,
           (select count(*) from corpuscope.parked_chunks p join public.collections c on c.active_index_id = p.index_id
            where p.document_id = d.id and c.id = d.collection_id)::int
    from public.documents d
    left join lateral (
        select g.id, g.created_by from corpuscope.act_documents w join public.curation_log g on g.id = w.act_id
        where w.document_id = d.id and w.wanted and g.kind = 'trash' and g.undone_at is null order by g.id desc limit 1
    ) a on true
    where d.collection_id = list_trash.collection and d.trashed_at is not null
      and list_trash.collection = any (corpuscope.editable_collections())
    order by d.trashed_at desc, d.name
$$;

-- Which document in the trash has this file; for who may add to the collection.
create function public.find_in_trash(collection uuid, sha256 bytea) returns uuid
language sql stable security definer set search_path = '' as $$
    select d.id from public.documents d
    where d.collection_id = find_in_trash.collection and d.sha256 = find_in_trash.sha256 and d.trashed_at is not null
      and find_in_trash.collection = any (corpuscope.editable_collections())
$$;

-- Takes single documents out of the trash; an act of which nothing is left there counts as undone.
create function public.restore_documents(ids uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
    mine constant uuid[] := array (
        select d.id from public.documents d
        where d.id = any (ids) and d.trashed_at is not null and d.collection_id = any (corpuscope.editable_collections()) order by d.id
    );
begin
    perform corpuscope.begin_act(c.collection_id) from (
        select distinct d.collection_id from public.documents d where d.id = any (mine) order by 1
    ) c;
    with released as (
        update corpuscope.act_documents w set wanted = false from public.curation_log a
        where w.document_id = any (mine) and a.id = w.act_id and a.kind = 'trash' and a.undone_at is null and w.wanted
        returning w.act_id, w.document_id
    )
    update public.curation_log a set undone_at = now(), undone_by = auth.uid()
    where a.id in (select r.act_id from released r)
      and not exists (
          select from corpuscope.act_documents w where w.act_id = a.id and w.wanted
            and not exists (select from released r where (r.act_id, r.document_id) = (w.act_id, w.document_id))
      );
    return corpuscope.place_documents(mine);
end
$$;

-- Deletes documents of the trash for good: these, or all of it.
create function public.purge_documents(collection uuid, ids uuid[] default null) returns int
language plpgsql security definer set search_path = '' as $$
declare
    n int;
begin
    perform corpuscope.begin_act(collection);
    delete from public.documents d
    where d.collection_id = purge_documents.collection and d.trashed_at is not null and (purge_documents.ids is null or d.id = any (purge_documents.ids));
    get diagnostics n = row_count;
    return n;
end
$$;
revoke all on function public.curate_spans(uuid, text, uuid[], int[], int[], text, text), public.preview_act(text, uuid[], int[], int[]),
    public.curate_documents(uuid, uuid[], uuid, text), public.undo_act(bigint), public.redo_act(bigint), public.list_trash(uuid),
    public.find_in_trash(uuid, bytea), public.restore_documents(uuid[]), public.purge_documents(uuid, uuid[]) from public;
grant execute on function public.curate_spans(uuid, text, uuid[], int[], int[], text, text), public.preview_act(text, uuid[], int[], int[]),
    public.curate_documents(uuid, uuid[], uuid, text), public.undo_act(bigint), public.redo_act(bigint), public.list_trash(uuid),
    public.find_in_trash(uuid, bytea), public.restore_documents(uuid[]), public.purge_documents(uuid, uuid[]) to authenticated, service_role;

-- After 30 days for good; and what was put aside of documents that stayed where they were moved to. A bounded step.
create function corpuscope.empty_trash(most int default 20) returns int
language plpgsql security definer set search_path = '' as $$
declare
    n int;
begin
    delete from corpuscope.parked_chunks p using public.indexes i, public.documents d, corpuscope.parked_documents k
    where i.id = p.index_id and d.id = p.document_id and d.collection_id <> i.collection_id
      and k.document_id = d.id and k.collection_id = i.collection_id and k.parked_at < now() - interval '30 days';
    delete from public.documents d where d.id in (
        select t.id from public.documents t where t.trashed_at < now() - interval '30 days' order by t.trashed_at limit most for update skip locked
    );
    get diagnostics n = row_count;
    return n;
end
$$;
revoke all on function corpuscope.empty_trash(int) from public;
grant execute on function corpuscope.empty_trash(int) to corpuscope_worker;

-- As before, but what lies in the trash is left alone.
create or replace function corpuscope.editable_documents(ids uuid[]) returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(id), '{}') from public.documents
    where id = any (ids) and trashed_at is null and collection_id = any ((select corpuscope.editable_collections())::uuid[])
$$;

-- As before, and vectors of what was put aside serve as well: a document that moves is not embedded anew.
create or replace function corpuscope.reuse_embeddings(ids bigint[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    served bigint[];
    n int;
begin
    select array_agg(c.id) into served from public.chunks c
    join public.indexes i on i.id = c.index_id and i.state <> 'retired'
    where c.id = any (ids)
      and (exists (select from public.embeddings e where e.content_hash = c.content_hash and e.model_id = i.model_id)
           or exists (select from corpuscope.parked_chunks p where p.content_hash = c.content_hash and p.model_id = i.model_id and p.embedding is not null))
      and not exists (select from public.embeddings e where e.chunk_id = c.id);
    if served is null then
        return 0;
    end if;
    served := corpuscope.lock_chunks(served);
    insert into public.embeddings (chunk_id, model_id, index_id, collection_id, document_id, content_hash, excluded, embedding)
    select c.id, i.model_id, c.index_id, c.collection_id, c.document_id, c.content_hash, c.excluded, twin.embedding
    from public.chunks c
    join public.indexes i on i.id = c.index_id and i.state <> 'retired'
    cross join lateral (
        (select e.embedding from public.embeddings e where e.content_hash = c.content_hash and e.model_id = i.model_id limit 1)
        union all
        (select p.embedding from corpuscope.parked_chunks p
         where p.content_hash = c.content_hash and p.model_id = i.model_id and p.embedding is not null limit 1)
        limit 1
    ) twin
    where c.id = any (served)
    on conflict (chunk_id) do nothing;
    get diagnostics n = row_count;
    return n;
end
$$;

-- As before, but it says that the trash counts.
create or replace function corpuscope.check_stored(scope text, subject uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    most record;
    held record;
    whose constant text := case scope when 'person' then 'You' else 'This collection' end;
begin
    select * into most from corpuscope.limits_of(scope, subject);
    if subject is null or (most.files is null and most.bytes is null) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('corpuscope limit ' || scope), hashtext(subject::text));
    select count(*) as files, coalesce(sum(d.size), 0)::bigint as bytes into held from public.documents d
    where (scope = 'person' and d.created_by = subject) or (scope = 'collection' and d.collection_id = subject);
    if held.files > most.files then
        perform corpuscope.refuse_over_limit(
            format('%s can hold %s %s, and this would be number %s.',
                whose, most.files, case most.files when 1 then 'file' else 'files' end, held.files),
            'Delete documents that are not needed, from the trash too, or ask an administrator for more.'
        );
    elsif held.bytes > most.bytes then
        perform corpuscope.refuse_over_limit(
            format('%s can hold %s, and this would be %s too much.',
                whose, corpuscope.say_bytes(most.bytes), corpuscope.say_bytes(held.bytes - most.bytes)),
            'Delete documents that are not needed, from the trash too, or ask an administrator for more.'
        );
    end if;
end
$$;
