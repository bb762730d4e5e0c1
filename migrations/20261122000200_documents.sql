-- Documents: the uploaded file, its bytes, its parsed text (the source of truth), and marks on spans of that text.

create table public.documents (
    id uuid primary key default gen_random_uuid(),
    collection_id uuid not null references public.collections (id) on delete cascade,
    name text not null check (length(name) between 1 and 255),
    title text,
    media_type text,
    size bigint not null check (size >= 0),
    sha256 bytea not null check (length(sha256) = 32),
    language text,
    language_corrected boolean not null default false,
    stage text not null default 'stored'
        check (stage in ('stored', 'parsing', 'chunking', 'embedding', 'ready', 'failed', 'cancelled')),
    stage_at timestamptz not null default now(),
    paused boolean not null default false,
    error text,
    error_hint text,
    error_code text,
    text_revision int not null default 0,
    page_count int,
    char_count int,
    replaces uuid,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id),
    unique (collection_id, sha256)
);
comment on column public.documents.replaces is 'The document that this one takes the place of once it is ready.';
create index documents_by_name on public.documents (collection_id, lower(name));
create index documents_unfinished on public.documents (collection_id) where stage not in ('ready', 'failed', 'cancelled');

create table public.document_files (
    document_id uuid not null references public.documents (id) on delete cascade,
    part int not null check (part >= 0),
    data bytea not null,
    primary key (document_id, part)
);
-- Uploads are mostly compressed already; not trying again saves time on both ways.
alter table public.document_files alter column data set storage external;

create table public.document_texts (
    document_id uuid not null references public.documents (id) on delete cascade,
    revision int not null check (revision >= 1),
    text text not null,
    page_starts int[] not null default '{}',
    edited_by uuid references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    primary key (document_id, revision)
);
comment on table public.document_texts is
    'Parsed text by revision. Character offsets everywhere count Unicode code points, end exclusive.';

create table public.span_marks (
    id bigint generated always as identity primary key,
    document_id uuid not null,
    collection_id uuid not null,
    start_char int not null check (start_char >= 0),
    end_char int not null,
    kind text not null check (kind in ('exclusion', 'tag')),
    tag text check ((kind = 'tag') = (tag is not null) and length(tag) between 1 and 80),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    check (end_char > start_char),
    foreign key (document_id, collection_id) references public.documents (id, collection_id) on delete cascade on update cascade
);
create index span_marks_document on public.span_marks (document_id, kind);

alter table public.documents enable row level security;
create policy "members see documents" on public.documents for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "editors add documents" on public.documents for insert to authenticated
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors change documents" on public.documents for update to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]))
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors delete documents" on public.documents for delete to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "the worker keeps documents" on public.documents for all to corpuscope_worker using (true) with check (true);
grant select, delete, insert (id, collection_id, name, title, media_type, size, sha256, language, replaces),
    update (name, title) on public.documents to authenticated;
grant select, update, delete on public.documents to corpuscope_worker;
grant all on public.documents to service_role;

-- A document is visible through its collection; these tables ask that once a document, not once a row.
alter table public.document_files enable row level security;
create policy "members read originals" on public.document_files for select to authenticated
    using (exists (select from public.documents d where d.id = document_id));
create policy "editors store originals" on public.document_files for insert to authenticated
    with check (exists (
        select from public.documents d where d.id = document_id
        and d.collection_id = any ((select corpuscope.editable_collections())::uuid[])
    ));
create policy "the worker reads originals" on public.document_files for select to corpuscope_worker using (true);
grant select, insert on public.document_files to authenticated;
grant select on public.document_files to corpuscope_worker;
grant all on public.document_files to service_role;

alter table public.document_texts enable row level security;
create policy "members read texts" on public.document_texts for select to authenticated
    using (exists (select from public.documents d where d.id = document_id));
create policy "editors correct texts" on public.document_texts for insert to authenticated
    with check (edited_by = (select auth.uid()) and exists (
        select from public.documents d where d.id = document_id
        and d.collection_id = any ((select corpuscope.editable_collections())::uuid[])
    ));
create policy "the worker keeps texts" on public.document_texts for all to corpuscope_worker using (true) with check (true);
grant select, insert on public.document_texts to authenticated;
grant select, insert on public.document_texts to corpuscope_worker;
grant all on public.document_texts to service_role;

alter table public.span_marks enable row level security;
create policy "members see marks" on public.span_marks for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "editors add marks" on public.span_marks for insert to authenticated
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors move marks" on public.span_marks for update to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]))
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors remove marks" on public.span_marks for delete to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
grant select, delete, insert (document_id, collection_id, start_char, end_char, kind, tag),
    update (start_char, end_char) on public.span_marks to authenticated;
grant all on public.span_marks to service_role;

-- A new revision of the text becomes the current one; the ingest trigger of the next migration does the rest.
create function corpuscope.adopt_text_revision() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.documents d
    set text_revision = t.revision, char_count = length(t.text),
        page_count = nullif(cardinality(t.page_starts), 0)
    from (select distinct on (document_id) * from new_rows order by document_id, revision desc) t
    where d.id = t.document_id and t.revision > d.text_revision;
    return null;
end
$$;
create trigger adopt_text_revision after insert on public.document_texts
    referencing new table as new_rows for each statement execute function corpuscope.adopt_text_revision();

create function corpuscope.note_stage_time() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.stage_at := clock_timestamp();
    return new;
end
$$;
create trigger note_stage_time before update of stage on public.documents
    for each row when (old.stage is distinct from new.stage) execute function corpuscope.note_stage_time();
