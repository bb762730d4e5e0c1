-- Retrieval profiles: named settings that search, chat, evaluation and the command line share.

create table public.retrieval_profiles (
    id bigint generated always as identity primary key,
    collection_id uuid not null references public.collections (id) on delete cascade,
    name text not null check (length(name) between 1 and 80),
    version int not null default 1,
    settings jsonb not null,
    is_default boolean not null default false,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    unique (collection_id, name, version)
);
comment on column public.retrieval_profiles.settings is 'A RetrievalProfile as JSON; what is left out takes its default.';
create unique index retrieval_profiles_one_default on public.retrieval_profiles (collection_id) where is_default;

alter table public.retrieval_profiles enable row level security;
create policy "members see profiles" on public.retrieval_profiles for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "editors add profiles" on public.retrieval_profiles for insert to authenticated
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors change profiles" on public.retrieval_profiles for update to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]))
    with check (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "editors delete profiles" on public.retrieval_profiles for delete to authenticated
    using (collection_id = any ((select corpuscope.editable_collections())::uuid[]));
create policy "the worker reads profiles" on public.retrieval_profiles for select to corpuscope_worker using (true);
grant select, delete, insert (collection_id, name, version, settings, is_default), update (is_default) on public.retrieval_profiles to authenticated;
grant select on public.retrieval_profiles to corpuscope_worker;
grant all on public.retrieval_profiles to service_role;
