-- Clusters of a map, at five granularities from one tree: "coarser" and "finer" change neither the map nor its points.
--
-- A cluster stands at the granularities coarsest..finest, 1 the coarsest. Those at 5 are the leaves, and have the numbers
-- that map_points.leaf has. Of two granularities the finer one divides the clusters of the coarser one.

create table public.clusters (
    map_id bigint not null,
    collection_id uuid not null,
    cluster int not null check (cluster >= 0),
    parent int,
    coarsest smallint not null,
    finest smallint not null,
    density real not null default 0,
    x int not null check (x between 0 and 65535),
    y int not null check (y between 0 and 65535),
    points int not null,
    words text[] not null default '{}',
    label text not null default '',
    sentence text not null default '',
    chunk_id bigint references public.chunks (id) on delete set null,
    proposed text check (length(btrim(proposed)) between 1 and 80),
    name text check (length(btrim(name)) between 1 and 80),
    primary key (map_id, cluster),
    check (coarsest between 1 and finest and finest <= 5),
    foreign key (map_id, collection_id) references public.maps (id, collection_id) on delete cascade on update cascade,
    foreign key (map_id, parent) references public.clusters (map_id, cluster) on delete cascade
);
comment on column public.clusters.density is 'Where its label stands: 1 / distance to the twelfth nearest point, in map units (HDBSCAN''s lambda).';
comment on column public.clusters.x is 'With y, where its label stands: at a point of it in its thick.';
comment on column public.clusters.points is 'When it was made; map_points know how many there are.';
comment on column public.clusters.words is 'What is distinctive in its texts, best first.';
comment on column public.clusters.label is 'Made of words; a chat model''s `proposed` comes before it, and a person''s `name` before both.';
comment on column public.clusters.sentence is 'A sentence near its centre, word for word from chunk_id; it goes with that chunk.';
create index clusters_chunk on public.clusters (chunk_id);
create index clusters_parent on public.clusters (map_id, parent);

-- One request at a time for names by the chat model.
create table public.cluster_namings (
    map_id bigint primary key,
    collection_id uuid not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    named int not null default 0,
    total int not null default 0,
    writer text not null default '',
    reason text,
    hint text,
    created_by uuid default auth.uid() references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    touched_at timestamptz not null default now(),
    foreign key (map_id, collection_id) references public.maps (id, collection_id) on delete cascade on update cascade
);

alter table public.clusters enable row level security;
create policy "members see clusters" on public.clusters for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors rename clusters" on public.clusters for update to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))))
    with check (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker keeps clusters" on public.clusters for all to corpuscope_worker using (true) with check (true);
grant select, update (name) on public.clusters to authenticated;
grant select, insert, update, delete on public.clusters to corpuscope_worker;
grant all on public.clusters to service_role;

alter table public.cluster_namings enable row level security;
create policy "members see namings" on public.cluster_namings for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker names" on public.cluster_namings for all to corpuscope_worker using (true) with check (true);
grant select on public.cluster_namings to authenticated;
grant select, update on public.cluster_namings to corpuscope_worker;
grant all on public.cluster_namings to service_role;

-- What was quoted of a chunk goes with it.
create function corpuscope.drop_quoted() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.sentence := '';
    return new;
end
$$;
create trigger drop_quoted before update of chunk_id on public.clusters
    for each row when (new.chunk_id is null and old.chunk_id is not null) execute function corpuscope.drop_quoted();

-- A new label is a new version of the map.
create function corpuscope.labels_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.maps m set version = m.version + 1
    where m.id in (
        select n.map_id from new_rows n join old_rows o using (map_id, cluster)
        where (n.name, n.proposed, n.label) is distinct from (o.name, o.proposed, o.label)
    );
    return null;
end
$$;
create trigger labels_changed after update on public.clusters
    referencing old table as old_rows new table as new_rows for each statement execute function corpuscope.labels_changed();
revoke all on function corpuscope.drop_quoted(), corpuscope.labels_changed() from public;

-- Asks the chat model for names. False when it is at it already.
create function public.name_clusters(map bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    home record;
begin
    select m.id, m.collection_id into home from public.maps m
    where m.id = map and m.collection_id = any ((select corpuscope.editable_collections())::uuid[]) for key share;
    if not found then
        raise exception 'That map does not exist, or you may not name what is on it.' using errcode = 'insufficient_privilege';
    elsif not exists (select from public.clusters c where c.map_id = map) then
        raise exception 'This map has no clusters to name yet.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into public.cluster_namings as n (map_id, collection_id) values (home.id, home.collection_id)
    on conflict (map_id) do update
        set state = 'queued', named = 0, total = 0, writer = '', reason = null, hint = null, created_by = auth.uid(),
            created_at = now(), touched_at = now()
        where n.state not in ('queued', 'running');
    if not found then
        return false;
    end if;
    perform corpuscope.send_jobs('map', array [jsonb_build_object('labels', map)]);
    return true;
end
$$;

-- The worker looks at the state before each of its writes. Names that are there already stay.
create function public.stop_naming(map bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.cluster_namings n set state = 'cancelled', touched_at = now()
    where n.map_id = map and n.collection_id = any ((select corpuscope.editable_collections())::uuid[])
      and n.state in ('queued', 'running');
    return found;
end
$$;
revoke all on function public.name_clusters(bigint), public.stop_naming(bigint) from public;
grant execute on function public.name_clusters(bigint), public.stop_naming(bigint) to authenticated, service_role;

-- Makes again what a lost message would have asked for.
create function corpuscope.requeue_namings(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('labels', n.map_id)) into lost from public.cluster_namings n
    where n.state in ('queued', 'running') and n.touched_at < now() - still_for
      and not exists (select from pgmq.q_map q where q.message ->> 'labels' = n.map_id::text);
    perform corpuscope.send_jobs('map', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
revoke all on function corpuscope.requeue_namings(interval) from public;
grant execute on function corpuscope.requeue_namings(interval) to corpuscope_worker;
