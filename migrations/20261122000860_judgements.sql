-- Labelled questions: sets, their questions, and judgements of what answers them.
--
-- A judgement names characters of a document's text, never a chunk, so it means the same under any chunking and model. It moves
-- with corrections of the text as marks do (rag/corpus/texts.py).

create table public.evaluation_sets (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    name text not null check (length(trim(name)) between 1 and 80),
    description text not null default '' check (length(description) <= 2000),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id)
);
create unique index evaluation_sets_name on public.evaluation_sets (collection_id, lower(name));

-- What makes two questions of a set the same one: neither case nor spaces nor how an accent is encoded.
create function corpuscope.question_key(text text) returns uuid
language sql immutable strict parallel safe set search_path = '' as $$
    select md5(lower(normalize(trim(regexp_replace($1, '\s+', ' ', 'g')), NFKC)))::uuid
$$;
revoke all on function corpuscope.question_key(text) from public;
grant execute on function corpuscope.question_key(text) to authenticated, service_role, corpuscope_worker;

create table public.questions (
    id bigint generated always as identity primary key,
    set_id bigint not null,
    collection_id uuid not null,
    text text not null check (length(trim(text)) between 1 and 8000),
    text_key uuid not null generated always as (corpuscope.question_key(text)) stored,
    external_id text check (length(external_id) between 1 and 200),
    state text not null default 'accepted' check (state in ('draft', 'accepted', 'rejected')),
    origin text not null default 'typed' check (origin in ('typed', 'imported', 'thumbs', 'drafted')),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (id, collection_id),
    unique (set_id, text_key),
    foreign key (set_id, collection_id) references public.evaluation_sets (id, collection_id) on delete cascade
);
comment on column public.questions.external_id is 'What the file that it came from calls it; exports say it again.';
comment on column public.questions.state is 'draft: waits for a person''s yes; accepted: is asked in evaluations; rejected: kept, so that it is not drafted again.';
create index questions_by_text on public.questions (collection_id, text_key);
create index questions_by_state on public.questions (set_id, state, id);

create table public.judgements (
    id bigint generated always as identity primary key,
    question_id bigint not null,
    collection_id uuid not null,
    document_id uuid not null,
    text_revision int not null,
    start_char int check (start_char >= 0),
    end_char int,
    grade smallint not null check (grade between 0 and 3),
    origin text not null default 'typed' check (origin in ('typed', 'imported', 'thumbs', 'drafted')),
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    check (end_char > start_char),
    check ((start_char is null) = (end_char is null)),
    unique nulls not distinct (question_id, document_id, start_char, end_char),
    foreign key (question_id, collection_id) references public.questions (id, collection_id) on delete cascade,
    foreign key (document_id, collection_id) references public.documents (id, collection_id) on delete cascade on update cascade
);
comment on column public.judgements.start_char is 'Null, as end_char: the whole document.';
comment on column public.judgements.grade is '0: looked at and no answer; 1 to 3: the more, the better an answer.';
create index judgements_document on public.judgements (document_id);

-- Requests to draft questions; a worker writes them, as the person who asked.
create table public.question_drafts (
    id bigint generated always as identity primary key,
    set_id bigint not null,
    collection_id uuid not null,
    wanted int not null check (wanted between 1 and 200),
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    made int not null default 0,
    writer text not null default '',
    reason text,
    hint text,
    cancel_requested boolean not null default false,
    created_by uuid not null default auth.uid() references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    foreign key (set_id, collection_id) references public.evaluation_sets (id, collection_id) on delete cascade
);
comment on column public.question_drafts.writer is 'The chat model that wrote them; empty: made of headings and sentences.';
create index question_drafts_set on public.question_drafts (set_id, id desc);

create function corpuscope.draft_requested() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.send_jobs('evaluate', array [jsonb_build_object('draft', new.id)]);
    return null;
end
$$;
revoke all on function corpuscope.draft_requested() from public;
create trigger draft_requested after insert on public.question_drafts for each row execute function corpuscope.draft_requested();

alter table public.evaluation_sets enable row level security;
create policy "members see sets" on public.evaluation_sets for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors add sets" on public.evaluation_sets for insert to authenticated
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors change sets" on public.evaluation_sets for update to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors delete sets" on public.evaluation_sets for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker reads sets" on public.evaluation_sets for select to corpuscope_worker using (true);
grant select, delete, insert (collection_id, name, description), update (name, description) on public.evaluation_sets to authenticated;
grant select on public.evaluation_sets to corpuscope_worker;
grant all on public.evaluation_sets to service_role;

alter table public.questions enable row level security;
create policy "members see questions" on public.questions for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors add questions" on public.questions for insert to authenticated
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors change questions" on public.questions for update to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors delete questions" on public.questions for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker reads questions" on public.questions for select to corpuscope_worker using (true);
grant select, delete, insert (set_id, collection_id, text, external_id, state, origin), update (text, external_id, state)
    on public.questions to authenticated;
grant select on public.questions to corpuscope_worker;
grant all on public.questions to service_role;

alter table public.judgements enable row level security;
create policy "members see judgements" on public.judgements for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors judge" on public.judgements for insert to authenticated
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors change judgements" on public.judgements for update to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors take judgements back" on public.judgements for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker reads judgements" on public.judgements for select to corpuscope_worker using (true);
grant select, delete, insert (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin),
    update (text_revision, start_char, end_char, grade, origin) on public.judgements to authenticated;
grant select on public.judgements to corpuscope_worker;
grant all on public.judgements to service_role;

alter table public.question_drafts enable row level security;
create policy "members see requests for drafts" on public.question_drafts for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors ask for drafts" on public.question_drafts for insert to authenticated
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors cancel requests for drafts" on public.question_drafts for update to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "editors forget requests for drafts" on public.question_drafts for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker drafts" on public.question_drafts for all to corpuscope_worker using (true) with check (true);
grant select, delete, insert (set_id, collection_id, wanted), update (cancel_requested) on public.question_drafts to authenticated;
grant select, update on public.question_drafts to corpuscope_worker;
grant all on public.question_drafts to service_role;
