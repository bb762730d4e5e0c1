-- Maps: an index drawn in the plane, a point for each chunk that has a vector. A worker makes them; saved coordinates are the truth.
--
-- Units are 0..65535 on both axes, equal on both. `place` numbers the points of a map from 0; a point that goes leaves a hole.
-- Queue "map" carries {"map": id} and {"place": id}, and what others hang on it: each is a hint to look at rows.

select pgmq.create('map');
grant select, insert, update, delete on pgmq.q_map, pgmq.a_map to corpuscope_worker;
grant usage on all sequences in schema pgmq to corpuscope_worker;

create table public.maps (
    id bigint generated always as identity primary key,
    collection_id uuid not null,
    index_id bigint not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    phase text check (phase in ('reading', 'neighbours', 'layout', 'clusters', 'labels', 'measuring')),
    done int not null default 0,
    total int not null default 0,
    settings jsonb not null,
    seed int not null default 20261122,
    points int not null default 0,
    left_out int not null default 0,
    trustworthiness real,
    version int not null default 1,
    timings jsonb not null default '{}',
    reason text,
    hint text,
    created_by uuid default auth.uid() references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    drawn_at timestamptz,
    touched_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (id, collection_id),
    foreign key (collection_id) references public.collections (id) on delete cascade,
    foreign key (index_id, collection_id) references public.indexes (id, collection_id) on delete cascade on update cascade
);
comment on column public.maps.points is 'How many places were given out, those of points that are gone among them.';
comment on column public.maps.left_out is 'Chunks that the last placing could not place: it is not tried again for their sake alone.';
comment on column public.maps.trustworthiness is 'Trustworthiness@15 (Venna and Kaski 2001), 0 to 1; timings say how it was measured.';
comment on column public.maps.version is 'Rises whenever points, clusters or labels change: what is cached of the map is good for one version.';
comment on column public.maps.drawn_at is 'When its points were saved: from then on there is something to see, while labels and figures may still come.';
create index maps_index on public.maps (index_id, id desc);
create index maps_collection on public.maps (collection_id, id desc);
create index maps_unfinished on public.maps (touched_at) where state in ('queued', 'running');

create table public.map_points (
    map_id bigint not null,
    place int not null check (place >= 0),
    -- Of the embedding, not of the chunk: a chunk whose text changes is placed anew once it has its new vector.
    chunk_id bigint not null references public.embeddings (chunk_id) on delete cascade,
    collection_id uuid not null,
    document_id uuid not null,
    x int not null check (x between 0 and 65535),
    y int not null check (y between 0 and 65535),
    leaf int not null default -1,
    placed_later boolean not null default false,
    primary key (map_id, place),
    unique (chunk_id, map_id),
    foreign key (map_id, collection_id) references public.maps (id, collection_id) on delete cascade on update cascade
);
comment on column public.map_points.leaf is 'The smallest cluster that it is in; -1 for none.';
comment on column public.map_points.placed_later is 'Put among its neighbours without making the map anew.';
create index map_points_document on public.map_points (document_id);
create index map_points_later on public.map_points (map_id) where placed_later;

alter table public.maps enable row level security;
create policy "members see maps" on public.maps for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "editors delete maps" on public.maps for delete to authenticated
    using (collection_id in (select unnest((select corpuscope.editable_collections()))));
create policy "the worker makes maps" on public.maps for all to corpuscope_worker using (true) with check (true);
grant select, delete on public.maps to authenticated;
grant select, update on public.maps to corpuscope_worker;
grant all on public.maps to service_role;

alter table public.map_points enable row level security;
create policy "members see points" on public.map_points for select to authenticated
    using (collection_id in (select unnest((select corpuscope.viewable_collections()))));
create policy "the worker places points" on public.map_points for all to corpuscope_worker using (true) with check (true);
grant select on public.map_points to authenticated;
grant select, insert, update, delete on public.map_points to corpuscope_worker;
grant all on public.map_points to service_role;

-- Puts one map on the queue. Without `index` it is of the active one.
create function public.start_map(collection uuid, settings jsonb default '{}', index bigint default null) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    neighbours constant int := coalesce((settings ->> 'neighbours')::int, 15);
    min_dist constant real := coalesce((settings ->> 'min_dist')::real, 0.1);
    source bigint;
    chunks bigint;
    made bigint;
begin
    perform from public.collections c
    where c.id = collection and c.id = any ((select corpuscope.editable_collections())::uuid[]) for key share;
    if not found then
        raise exception 'That collection does not exist, or you may not make a map of it.' using errcode = 'insufficient_privilege';
    elsif neighbours not between 2 and 200 or min_dist < 0 or min_dist > 0.99 then
        raise exception 'A map takes 2 to 200 neighbours and a minimum distance from 0 to 0.99.' using errcode = 'check_violation';
    end if;
    select i.id into source from public.indexes i join public.collections c on c.id = i.collection_id
    where c.id = collection and i.id = coalesce(index, c.active_index_id) and i.state <> 'retired' for key share of i;
    if not found then
        raise exception 'That index is gone.' using errcode = 'no_data_found';
    end if;
    select coalesce(sum(x.embedded_count), 0) into chunks from public.index_documents x where x.index_id = source;
    if chunks = 0 then
        raise exception 'Nothing of this index has a vector yet, so there is nothing to draw.' using errcode = 'object_not_in_prerequisite_state';
    end if;
    -- Two who ask at once come one after the other.
    perform from public.collections c where c.id = collection for no key update;
    if exists (select from public.maps m where m.index_id = source and m.state in ('queued', 'running')) then
        raise exception 'A map of this index is being made already.' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Wait for it, or cancel it first.';
    elsif (select count(*) from public.maps m where m.collection_id = collection and m.state = 'done') >= 20 then
        raise exception 'This collection has twenty maps already.' using errcode = 'object_not_in_prerequisite_state',
            hint = 'Delete one that is no longer needed.';
    end if;
    insert into public.maps (collection_id, index_id, settings, total)
    values (collection, source, jsonb_build_object('neighbours', neighbours, 'min_dist', min_dist), chunks)
    returning id into made;
    perform corpuscope.send_jobs('map', array [jsonb_build_object('map', made)]);
    return made;
end
$$;

-- The worker looks at the state before each of its writes. What was drawn of it goes.
create function public.cancel_map(map bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.maps m set state = 'cancelled', touched_at = now()
    where m.id = map and m.collection_id = any ((select corpuscope.editable_collections())::uuid[]) and m.state in ('queued', 'running');
    if not found then
        return false;
    end if;
    delete from public.map_points p where p.map_id = map;
    return true;
end
$$;
revoke all on function public.start_map(uuid, jsonb, bigint), public.cancel_map(bigint) from public;
grant execute on function public.start_map(uuid, jsonb, bigint), public.cancel_map(bigint) to authenticated, service_role;

-- For those who change what a map shows: whoever has an older version of it asks again.
create function corpuscope.touch_map(map bigint) returns void
language sql security definer set search_path = '' as $$
    update public.maps m set version = m.version + 1 where m.id = map
$$;
revoke all on function corpuscope.touch_map(bigint) from public;
grant execute on function corpuscope.touch_map(bigint) to corpuscope_worker;

-- Once a transaction is enough: deleting a collection deletes its chunks document by document.
create function corpuscope.maps_lost_points() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    with seen as materialized (
        select m.id from public.maps m
        where m.index_id = any (array (select distinct o.index_id from old_rows o)) and m.drawn_at is not null
          and m.xmin <> pg_catalog.pg_current_xact_id()::xid
        order by m.id for no key update
    )
    update public.maps m set version = m.version + 1 from seen s where m.id = s.id;
    return null;
end
$$;
revoke all on function corpuscope.maps_lost_points() from public;
create trigger maps_lost_points after delete on public.chunks
    referencing old table as old_rows for each statement execute function corpuscope.maps_lost_points();

-- A dropped index takes its maps along.
create function corpuscope.drop_maps() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.maps m where m.index_id = new.id;
    return null;
end
$$;
revoke all on function corpuscope.drop_maps() from public;
create trigger drop_maps after update of state on public.indexes
    for each row when (new.state = 'retired' and old.state <> 'retired') execute function corpuscope.drop_maps();

-- How stale a map is: points that are there, those of them that were placed later, and chunks of its index that have a vector
-- but no point.
create function corpuscope.count_map(map bigint, index bigint, out present int, out later int, out missing int)
language sql stable security definer set search_path = '' as $$
    select c.present, (select count(*) from public.map_points p where p.map_id = map and p.placed_later)::int,
           greatest(coalesce((select sum(x.embedded_count) from public.index_documents x where x.index_id = index), 0) - c.present, 0)::int
    from (select count(*)::int as present from public.map_points p where p.map_id = map) c
$$;
create function corpuscope.map_counts(map bigint, out present int, out later int, out missing int)
language plpgsql stable security definer set search_path = '' as $$
declare
    home record;
begin
    select m.index_id, m.collection_id into home from public.maps m
    where m.id = map and m.drawn_at is not null and corpuscope.may_view(m.collection_id);
    if not found then
        return;
    end if;
    select c.present, c.later, c.missing into present, later, missing from corpuscope.count_map(map, home.index_id) c;
end
$$;

revoke all on function corpuscope.map_counts(bigint), corpuscope.count_map(bigint, bigint) from public;
grant execute on function corpuscope.map_counts(bigint) to authenticated, service_role;
grant execute on function corpuscope.count_map(bigint, bigint) to corpuscope_worker;

-- The points of a map whose chunks are nearest to a vector, best first: where something that has no point belongs.
-- By the same legs as a search; only for who may view the collection.
create function public.nearest_points(map bigint, vector extensions.halfvec, k int default 15)
returns table (place int, x int, y int, leaf int, similarity real)
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan set jit = off as $$
#variable_conflict use_column
declare
    home record;
    nearest record;
    found_points int;
    wanted constant int := least(greatest(k, 1), 100);
begin
    select m.id, m.index_id, i.model_id, e.dimensions, e.name,
           (select c.reltuples from pg_catalog.pg_class c where c.oid = to_regclass('public.embeddings_hnsw_' || e.id)) as total,
           (select coalesce(sum(x.embedded_count), 0) from public.index_documents x where x.index_id = i.id)::bigint as size
    into home
    from public.maps m join public.indexes i on i.id = m.index_id join public.embedding_models e on e.id = i.model_id
    where m.id = map and corpuscope.may_view(m.collection_id);
    if not found then
        raise exception 'That map does not exist, or you may not see it.' using errcode = 'no_data_found';
    elsif vector is null or extensions.vector_dims(vector) <> home.dimensions then
        raise exception 'The vector has % dimensions; % has %.', coalesce(extensions.vector_dims(vector), 0), home.name, home.dimensions
            using errcode = 'data_exception';
    end if;
    nearest := corpuscope.dense_candidates(home.index_id, home.model_id, vector, null, least(200, greatest(4 * wanted, 64)), 100, home.total, home.size);
    return query
    select p.place, p.x, p.y, p.leaf, n.similarity
    from unnest(nearest.chunk_ids, nearest.similarities) as n (chunk_id, similarity)
    join public.map_points p on p.chunk_id = n.chunk_id and p.map_id = home.id
    order by n.similarity desc, p.place limit wanted;
    get diagnostics found_points = row_count;
    if found_points < least(wanted, 3) then
        -- The nearest are all newer than the map: look at every point.
        return query
        select p.place, p.x, p.y, p.leaf, (1 - (e.embedding operator(extensions.<=>) vector))::real
        from public.map_points p join public.embeddings e on e.chunk_id = p.chunk_id
        where p.map_id = home.id order by 5 desc, 1 offset found_points limit wanted - found_points;
    end if;
end
$$;
revoke all on function public.nearest_points(bigint, extensions.halfvec, int) from public;
grant execute on function public.nearest_points(bigint, extensions.halfvec, int) to authenticated, service_role;

-- Makes again what a lost message would have asked for.
create function corpuscope.requeue_maps(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('map', m.id)) into lost from public.maps m
    where m.state in ('queued', 'running') and m.touched_at < now() - still_for
      and not exists (select from pgmq.q_map q where q.message ->> 'map' = m.id::text);
    perform corpuscope.send_jobs('map', lost);
    return coalesce(cardinality(lost), 0);
end
$$;

-- Asks for the newest map of each index that chunks be placed on it which came since.
create function corpuscope.send_placing() returns int
language plpgsql security definer set search_path = '' as $$
declare
    wanted jsonb[];
begin
    select array_agg(jsonb_build_object('place', n.id)) into wanted
    from (
        select distinct on (m.index_id) m.id, m.index_id, m.left_out from public.maps m
        where m.state = 'done' and m.drawn_at is not null order by m.index_id, m.id desc
    ) n
    where not exists (select from pgmq.q_map q where q.message ->> 'place' = n.id::text)
      and (select c.missing from corpuscope.count_map(n.id, n.index_id) c) > n.left_out;
    perform corpuscope.send_jobs('map', wanted);
    return coalesce(cardinality(wanted), 0);
end
$$;
revoke all on function corpuscope.requeue_maps(interval), corpuscope.send_placing() from public;
grant execute on function corpuscope.requeue_maps(interval), corpuscope.send_placing() to corpuscope_worker;
