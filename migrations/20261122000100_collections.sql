-- Collections, who may see them, and the embedding models they use.
--
-- Everything private to the product lives in schema "corpuscope", which is never exposed by an API.
-- Policies compare with `any ((select f())::uuid[])`: the sub-select makes it one call a query, not one a row.

create schema if not exists corpuscope;
revoke all on schema corpuscope from public;
grant usage on schema corpuscope to authenticated, service_role;

do $$
begin
    if not exists (select from pg_roles where rolname = 'corpuscope_worker') then
        create role corpuscope_worker nologin noinherit;
    end if;
    if not pg_has_role(current_user, 'corpuscope_worker', 'member') or current_setting('server_version_num')::int >= 160000 then
        execute format('grant corpuscope_worker to %I', current_user);
    end if;
end
$$;
grant usage on schema corpuscope, public, extensions, auth to corpuscope_worker;

create table public.embedding_models (
    id int generated always as identity primary key,
    provider text not null check (provider in ('local', 'openai')),
    name text not null check (name <> ''),
    dimensions int not null check (dimensions between 1 and 4000),
    window_tokens int not null check (window_tokens > 8),
    query_prefix text not null default '',
    passage_prefix text not null default '',
    random_mean real,
    random_p95 real,
    is_default boolean not null default false,
    created_at timestamptz not null default now(),
    unique (provider, name)
);
comment on column public.embedding_models.random_mean is
    'Mean cosine similarity of unrelated passages under this model: what "nothing in common" looks like.';
create unique index embedding_models_one_default on public.embedding_models (is_default) where is_default;
alter table public.embedding_models enable row level security;
create policy "everyone signed in reads models" on public.embedding_models for select to authenticated using (true);
create policy "the worker keeps models" on public.embedding_models for all to corpuscope_worker using (true) with check (true);
grant select on public.embedding_models to authenticated, service_role;
grant select, update on public.embedding_models to corpuscope_worker;

create table public.collections (
    id uuid primary key default gen_random_uuid(),
    name text not null check (length(trim(name)) between 1 and 200),
    description text not null default '',
    created_by uuid references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    active_index_id bigint
);
create unique index collections_name_per_owner on public.collections (created_by, lower(name));

create table public.collection_members (
    collection_id uuid not null references public.collections (id) on delete cascade,
    user_id uuid not null references auth.users (id) on delete cascade,
    role text not null check (role in ('viewer', 'editor', 'owner')),
    created_at timestamptz not null default now(),
    primary key (collection_id, user_id)
);
create index collection_members_user on public.collection_members (user_id, role);

-- Security definer, so that a policy on collection_members can use them without recursion.
create function corpuscope.viewable_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(collection_id), '{}') from public.collection_members where user_id = auth.uid()
$$;

create function corpuscope.editable_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(collection_id), '{}') from public.collection_members
    where user_id = auth.uid() and role in ('editor', 'owner')
$$;

create function corpuscope.owned_collections() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(collection_id), '{}') from public.collection_members
    where user_id = auth.uid() and role = 'owner'
$$;

revoke all on function corpuscope.viewable_collections(), corpuscope.editable_collections(), corpuscope.owned_collections() from public;
grant execute on function corpuscope.viewable_collections(), corpuscope.editable_collections(), corpuscope.owned_collections()
    to authenticated, service_role;

alter table public.collections enable row level security;
create policy "members see a collection" on public.collections for select to authenticated
    using (id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "owners change a collection" on public.collections for update to authenticated
    using (id = any ((select corpuscope.owned_collections())::uuid[]))
    with check (id = any ((select corpuscope.owned_collections())::uuid[]));
create policy "owners delete a collection" on public.collections for delete to authenticated
    using (id = any ((select corpuscope.owned_collections())::uuid[]));
create policy "the worker reads collections" on public.collections for select to corpuscope_worker using (true);
grant select, delete, update (name, description) on public.collections to authenticated;
grant select on public.collections to corpuscope_worker;
grant all on public.collections to service_role;

alter table public.collection_members enable row level security;
create policy "members see who else is in" on public.collection_members for select to authenticated
    using (collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "owners add members" on public.collection_members for insert to authenticated
    with check (collection_id = any ((select corpuscope.owned_collections())::uuid[]));
create policy "owners change members" on public.collection_members for update to authenticated
    using (collection_id = any ((select corpuscope.owned_collections())::uuid[]))
    with check (collection_id = any ((select corpuscope.owned_collections())::uuid[]));
create policy "owners remove members, and anyone leaves" on public.collection_members for delete to authenticated
    using (collection_id = any ((select corpuscope.owned_collections())::uuid[]) or user_id = (select auth.uid()));
grant select, insert, delete, update (role) on public.collection_members to authenticated;
grant all on public.collection_members to service_role;

-- A collection without an owner could never be shared or deleted again.
create function corpuscope.keep_an_owner() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if exists (
        select from (select distinct collection_id from gone) g
        join public.collections c on c.id = g.collection_id
        where not exists (
            select from public.collection_members m where m.collection_id = g.collection_id and m.role = 'owner'
        )
    ) then
        raise exception 'A collection needs at least one owner.' using errcode = 'check_violation';
    end if;
    return null;
end
$$;
create trigger keep_an_owner_on_delete after delete on public.collection_members
    referencing old table as gone for each statement execute function corpuscope.keep_an_owner();
create trigger keep_an_owner_on_update after update on public.collection_members
    referencing old table as gone for each statement execute function corpuscope.keep_an_owner();
