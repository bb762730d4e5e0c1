-- Live updates over Supabase Realtime: who may join which channel, and what the database says on it.
--
-- chat:<id> and collection:<id> are for whoever sees that conversation or collection, corpuscope:hints for the server's key
-- alone. The database alone broadcasts; people who joined a channel may add only that they are there (Presence). Where nobody
-- asks for broadcasts, which is so on an embedded database, all of this costs a look at one row.

-- Who may join ---------------------------------------------------------------------------------------------------------------
-- The channel that Realtime asks about, if the caller may join it. Realtime tries a row of it as that person, and rolls back.
create function corpuscope.joinable_channel() returns text
language plpgsql stable set search_path = '' as $$
declare
    topic constant text := realtime.topic();
    subject uuid;
begin
    if topic ~ '^(chat|collection):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' is not true then
        return null;
    end if;
    subject := split_part(topic, ':', 2);
    return case
        when topic like 'chat:%' and subject = any (corpuscope.visible_chats()) then topic
        when topic like 'collection:%' and subject = any (corpuscope.viewable_collections()) then topic
    end;
end
$$;
revoke all on function corpuscope.joinable_channel() from public;
grant execute on function corpuscope.joinable_channel() to authenticated;

create policy "Corpuscope: people hear what they may see" on realtime.messages for select to authenticated
    using ((extension = 'broadcast' or extension = 'presence') and topic = (select corpuscope.joinable_channel()));
create policy "Corpuscope: people say that they are there" on realtime.messages for insert to authenticated
    with check (extension = 'presence' and topic = (select corpuscope.joinable_channel()));

-- What is to be said ---------------------------------------------------------------------------------------------------------
-- One row. Whoever sends broadcasts renews it, so that nothing is noted where nobody does.
create table corpuscope.broadcasting (
    is_only boolean primary key default true check (is_only),
    until timestamptz not null default '-infinity',
    sent_at timestamptz not null default '-infinity',
    every interval not null default '250 milliseconds',
    most int not null default 20 check (most > 0),
    token_life interval not null default '1 hour'
);
alter table corpuscope.broadcasting enable row level security;
insert into corpuscope.broadcasting default values;
comment on column corpuscope.broadcasting.most is
    'Broadcasts in a round, of which there is one every so often: 84 a second with the hints. The project also counts what each listener gets.';
comment on column corpuscope.broadcasting.token_life is 'How long a person''s token is good at most: the project''s JWT expiry.';

-- What has changed, as often as it did: rows that nobody waits for. Lost in a crash, as hints may be.
create unlogged table corpuscope.due_broadcasts (
    id bigint generated always as identity primary key,
    key text not null,
    is_hinted boolean not null default false
);
alter table corpuscope.due_broadcasts enable row level security;

-- What was said last of it: when, and how much of an answer's text.
create unlogged table corpuscope.sent_broadcasts (
    key text primary key,
    at timestamptz not null,
    attempt int not null default 0,
    seq int not null default 0,
    characters int not null default 0
);
alter table corpuscope.sent_broadcasts enable row level security;

create function corpuscope.note_broadcast(key text) returns void
language plpgsql set search_path = '' as $$
begin
    insert into corpuscope.due_broadcasts (key) select note_broadcast.key from corpuscope.broadcasting b where b.until > now();
end
$$;
-- To the processes that listen, and to be broadcast.
create function corpuscope.announce(key text) returns void
language plpgsql set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', key);
    perform corpuscope.note_broadcast(key);
end
$$;
revoke all on function corpuscope.note_broadcast(text), corpuscope.announce(text) from public;

create or replace function corpuscope.announce_delta() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('message:' || message_id) from (select distinct message_id from new_rows) d;
    return null;
end
$$;
create or replace function corpuscope.announce_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('message:' || id) from new_rows;
    return null;
end
$$;
create or replace function corpuscope.announce_chat() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('chat:' || chat_id) from (select distinct chat_id from new_rows) d;
    perform corpuscope.note_broadcast('message:' || id) from (select id from new_rows order by position) d;
    return null;
end
$$;
create or replace function corpuscope.announce_conversation() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    changed constant jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
begin
    perform corpuscope.announce(tg_argv[0] || ':' || (changed ->> tg_argv[1]));
    return null;
end
$$;
create or replace function corpuscope.announce_vote() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('chat:' || m.chat_id) from public.messages m
    where m.id = (case when tg_op = 'DELETE' then old else new end).message_id;
    return null;
end
$$;
create or replace function corpuscope.announce_support() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('chat:' || m.chat_id)
    from public.messages m where m.id in (select message_id from new_rows) group by m.chat_id;
    return null;
end
$$;
create or replace function corpuscope.announce_documents() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op <> 'INSERT' then
        perform corpuscope.announce('documents:' || collection_id) from (select distinct collection_id from old_rows) d;
    end if;
    if tg_op <> 'DELETE' then
        perform corpuscope.announce('documents:' || collection_id) from (select distinct collection_id from new_rows) d;
    end if;
    return null;
end
$$;
create or replace function corpuscope.announce_progress() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.announce('documents:' || d.collection_id)
    from public.documents d where d.id in (select document_id from new_rows) group by d.collection_id;
    return null;
end
$$;

-- Jobs on a collection: jobs:<collection>. Pages that show one look at its row anyway, so nobody is notified.
create function corpuscope.note_job() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.note_broadcast('jobs:' || (case when tg_op = 'DELETE' then old else new end).collection_id);
    return null;
end
$$;
revoke all on function corpuscope.note_job() from public;
create trigger note_job after insert or delete or update of state, phase, done, total on public.maps
    for each row execute function corpuscope.note_job();
create trigger note_job after insert or delete or update of state, asked, total on public.evaluation_runs
    for each row execute function corpuscope.note_job();
create trigger note_job after insert or delete or update of state, asked, total on public.tunings
    for each row execute function corpuscope.note_job();
create trigger note_job after insert or delete or update of state, phase, done, total on public.health_checks
    for each row execute function corpuscope.note_job();
create trigger note_job after insert or delete or update of state on public.indexes
    for each row execute function corpuscope.note_job();

-- Who lost their access ------------------------------------------------------------------------------------------------------
-- Realtime asks who may hear a channel when somebody joins it and when their token is renewed, not at each message. So once
-- somebody may not see a conversation any more, what is said there has no words in it until their token is over: who still
-- may reads the rows.
create table corpuscope.lost_access (
    id bigint generated always as identity primary key,
    chat_id uuid,
    collection_id uuid,
    until timestamptz not null
);
alter table corpuscope.lost_access enable row level security;

create function corpuscope.note_lost_access() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    changed constant jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
    subject constant uuid := changed ->> tg_argv[1];
begin
    insert into corpuscope.lost_access (chat_id, collection_id, until)
    select l.chat_id, l.collection_id, now() + b.token_life
    from corpuscope.broadcasting b, (
        select subject, null::uuid where tg_argv[0] = 'chat'
        union all
        select null, subject where tg_argv[0] = 'collection'
        union all
        select null, m.collection_id from public.collection_members m where tg_argv[0] = 'person' and m.user_id = subject
        union all
        select m.chat_id, null from public.chat_members m where tg_argv[0] = 'person' and m.user_id = subject
    ) l (chat_id, collection_id)
    where b.until > now() - b.token_life;
    return null;
end
$$;
revoke all on function corpuscope.note_lost_access() from public;
create trigger note_lost_access after delete on public.chat_members
    for each row execute function corpuscope.note_lost_access('chat', 'chat_id');
create trigger note_lost_access after update of created_by on public.chats
    for each row when (new.created_by <> old.created_by) execute function corpuscope.note_lost_access('chat', 'id');
create trigger note_lost_access after delete on public.collection_members
    for each row execute function corpuscope.note_lost_access('collection', 'collection_id');
create trigger note_lost_access after update of is_public on public.collections
    for each row when (old.is_public and not new.is_public) execute function corpuscope.note_lost_access('collection', 'id');
create trigger note_lost_access after update of disabled_at on corpuscope.people
    for each row when (old.disabled_at is null and new.disabled_at is not null)
    execute function corpuscope.note_lost_access('person', 'user_id');

create function corpuscope.collection_has_lost(collection uuid) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from corpuscope.lost_access l where l.until > now() and l.collection_id = collection)
$$;
create function corpuscope.chat_has_lost(chat uuid) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from corpuscope.lost_access l where l.until > now() and l.chat_id = chat)
        or exists (
            select from (
                select h.collection_id from public.chats h where h.id = chat
                union all
                select x.collection_id from public.chat_collections x where x.chat_id = chat
            ) c where corpuscope.collection_has_lost(c.collection_id)
        )
$$;
revoke all on function corpuscope.note_lost_access(), corpuscope.chat_has_lost(uuid), corpuscope.collection_has_lost(uuid) from public;

-- What is said ---------------------------------------------------------------------------------------------------------------
-- A payload without `words` where they may not be said, or are more than Realtime takes: 256 KB on its smallest plan.
create function corpuscope.without_words(payload jsonb, words text[], is_secret boolean) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_strip_nulls(
        case when is_secret or octet_length(payload::text) > 200000 then (payload - words) || '{"left_out": true}' else payload end
    )
$$;

-- chat:<id>, event message: a question, or an answer as it stands, with the text that was added since the last time, from
-- the character `start` on; once it is final with all of it as `content`.
create function corpuscope.broadcast_message(message uuid) returns void
language plpgsql set search_path = '' as $$
declare
    m public.messages;
    said corpuscope.sent_broadcasts;
    is_final boolean;
    added record;
begin
    select * into m from public.messages x where x.id = message;
    if not found then
        return;
    end if;
    is_final := m.phase in ('complete', 'failed', 'stopped');
    select * into said from corpuscope.sent_broadcasts s where s.key = 'message:' || message and s.attempt = m.attempt;
    select coalesce(string_agg(d.text, '' order by d.seq), '') as words, coalesce(max(d.seq), said.seq, 0) as seq into added
    from public.message_deltas d
    where not is_final and d.message_id = m.id and d.attempt = m.attempt and d.seq > coalesce(said.seq, 0);
    perform realtime.send(
        corpuscope.without_words(
            jsonb_build_object(
                'message', m.id, 'parent', m.parent_id, 'position', m.position, 'role', m.role, 'attempt', m.attempt, 'phase', m.phase,
                'detail', m.phases -> -1 ->> 'detail', 'name', case when m.role = 'user' then corpuscope.name_of(m.asked_by) end,
                'start', case when not is_final then coalesce(said.characters, 0) end,
                'text', nullif(added.words, ''), 'content', case when is_final then m.content end,
                'kind', m.kind, 'model', m.model, 'error', m.error, 'error_hint', m.error_hint
            ),
            array ['detail', 'name', 'text', 'content', 'error', 'error_hint'], corpuscope.chat_has_lost(m.chat_id)
        ), 'message', 'chat:' || m.chat_id, true
    );
    insert into corpuscope.sent_broadcasts as s (key, at, attempt, seq, characters)
    values ('message:' || message, clock_timestamp(), m.attempt, added.seq, coalesce(said.characters, 0) + length(added.words))
    on conflict (key) do update
    set at = excluded.at, attempt = excluded.attempt, seq = excluded.seq, characters = excluded.characters;
end
$$;

-- chat:<id>, event changed: how it is called and how many messages it has now. Who has others looks at the rows.
create function corpuscope.broadcast_chat(chat uuid) returns void
language sql set search_path = '' as $$
    select realtime.send(
        corpuscope.without_words(
            jsonb_build_object(
                'title', (select h.title from public.chats h where h.id = chat),
                'exists', exists (select from public.chats h where h.id = chat),
                'messages', (select count(*) from public.messages m where m.chat_id = chat)
            ), array ['title'], corpuscope.chat_has_lost(chat)
        ), 'changed', 'chat:' || chat, true
    )
$$;

-- chat:<id>, event presence: who has it open in the app, once each.
create function corpuscope.broadcast_presence(chat uuid) returns void
language sql set search_path = '' as $$
    with here as (
        select distinct p.user_id from public.chat_presence p where p.chat_id = chat and p.seen_at > now() - interval '45 seconds'
    )
    select realtime.send(
        corpuscope.without_words(
            jsonb_build_object(
                'count', count(*), 'names', coalesce(jsonb_agg(n.name order by n.name) filter (where n.number <= 50), '[]')
            ), array ['names'], corpuscope.chat_has_lost(chat)
        ), 'presence', 'chat:' || chat, true
    )
    from (select corpuscope.name_of(h.user_id) as name, row_number() over (order by h.user_id) as number from here h) n
$$;

-- collection:<id>, event documents: how many are at each stage.
create function corpuscope.broadcast_documents(collection uuid) returns void
language sql set search_path = '' as $$
    select realtime.send(
        corpuscope.without_words(
            jsonb_build_object('stages', (
                select coalesce(jsonb_object_agg(s.stage, s.documents), '{}') from (
                    select d.stage, count(*) as documents from public.documents d
                    where d.collection_id = collection and d.trashed_at is null group by d.stage
                ) s
            )), array ['stages'], corpuscope.collection_has_lost(collection)
        ), 'documents', 'collection:' || collection, true
    )
$$;

-- collection:<id>, event jobs: what a worker makes or has just made of it. An index also grows with its documents.
create function corpuscope.list_jobs(collection uuid) returns jsonb
language sql stable set search_path = '' as $$
    with jobs (kind, number, state, phase, done, total, finished_at) as (
        select 'map', id, state, phase, done, total, finished_at from public.maps where collection_id = collection
        union all
        select 'evaluation', id, state, null, asked, total, finished_at from public.evaluation_runs where collection_id = collection
        union all
        select 'tuning', id, state, null, asked, total, finished_at from public.tunings where collection_id = collection
        union all
        select 'health check', id, state, nullif(phase, ''), done, total, finished_at from public.health_checks where collection_id = collection
        union all
        select 'index', i.id, i.state, null, sum(x.embedded_count), sum(x.chunk_count), null
        from public.indexes i left join public.index_documents x on x.index_id = i.id
        where i.collection_id = collection and i.state = 'building' group by i.id
    )
    select coalesce(
        jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'kind', kind, 'number', number, 'state', state, 'phase', phase, 'done', done, 'total', total
        )) order by kind, number), '[]'
    ) from jobs where state in ('queued', 'running', 'building') or finished_at > now() - interval '1 minute'
$$;
create function corpuscope.broadcast_jobs(collection uuid) returns void
language sql set search_path = '' as $$
    select realtime.send(
        corpuscope.without_words(
            jsonb_build_object('jobs', corpuscope.list_jobs(collection)), array ['jobs'], corpuscope.collection_has_lost(collection)
        ), 'jobs', 'collection:' || collection, true
    )
$$;
revoke all on function corpuscope.without_words(jsonb, text[], boolean), corpuscope.broadcast_message(uuid),
    corpuscope.broadcast_chat(uuid), corpuscope.broadcast_presence(uuid), corpuscope.broadcast_documents(uuid),
    corpuscope.list_jobs(uuid), corpuscope.broadcast_jobs(uuid) from public;

-- Sending --------------------------------------------------------------------------------------------------------------------
-- Seconds between two broadcasts of the same thing: answers as often as this is called, counts over many rows once a second.
create function corpuscope.broadcast_pace(key text) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(secs => case split_part(key, ':', 1) when 'message' then 0 when 'chat' then 0.4 else 1 end)
$$;

-- The keys that have come up, to the apps' processes: all in one broadcast, whatever waits for its turn on its own channel.
create function corpuscope.broadcast_hints() returns int
language plpgsql set search_path = '' as $$
declare
    keys jsonb;
begin
    with fresh as (
        update corpuscope.due_broadcasts d set is_hinted = true
        where d.id in (select x.id from corpuscope.due_broadcasts x where not x.is_hinted order by x.id limit 4000) returning d.key
    ) select jsonb_agg(distinct f.key) into keys from fresh f;
    if keys is null then
        return 0;
    end if;
    perform realtime.send(jsonb_build_object('keys', keys), 'changed', 'corpuscope:hints', true);
    return 1;
end
$$;

-- Broadcasts what is due, the longest waiting first; how many it were. Whoever may calls it again and again: one does it at a
-- time, and in rounds, so that however much happens, there are no more than the project allows: what changes more often is said
-- less often, and as it is then.
create function corpuscope.send_broadcasts() returns int
language plpgsql security definer set search_path = '' as $$
declare
    round corpuscope.broadcasting;
    due text[];
    topic text;
    subject uuid;
    sent int;
begin
    if not pg_try_advisory_xact_lock(4857342119011) then
        return 0;
    end if;
    select * into round from corpuscope.broadcasting;
    if round.until < now() + interval '45 seconds' then
        update corpuscope.broadcasting b set until = now() + interval '1 minute';
        delete from corpuscope.sent_broadcasts s where s.at < now() - interval '1 hour';
        delete from corpuscope.lost_access l where l.until < now();
    end if;
    if round.sent_at > clock_timestamp() - round.every or not exists (select from corpuscope.due_broadcasts) then
        return 0;
    end if;
    sent := corpuscope.broadcast_hints();
    select array_agg(d.key) into due from (
        select d.key from corpuscope.due_broadcasts d left join corpuscope.sent_broadcasts s on s.key = d.key
        where s.at is null or s.at <= clock_timestamp() - corpuscope.broadcast_pace(d.key)
        group by d.key order by min(d.id) limit round.most
    ) d;
    -- Deleted before the rows are read: a change after that is noted again. One that was not hinted at yet stays for that.
    delete from corpuscope.due_broadcasts d where d.key = any (due) and d.is_hinted;
    foreach topic in array coalesce(due, '{}') loop
        subject := split_part(topic, ':', 2);
        case split_part(topic, ':', 1)
            when 'message' then perform corpuscope.broadcast_message(subject);
            when 'chat' then perform corpuscope.broadcast_chat(subject);
            when 'presence' then perform corpuscope.broadcast_presence(subject);
            when 'documents' then perform corpuscope.broadcast_documents(subject);
            when 'jobs' then perform corpuscope.broadcast_jobs(subject);
        end case;
        insert into corpuscope.sent_broadcasts as s (key, at) values (topic, clock_timestamp())
        on conflict on constraint sent_broadcasts_pkey do update set at = excluded.at;
        sent := sent + 1;
    end loop;
    if sent > 0 then
        update corpuscope.broadcasting b set sent_at = clock_timestamp();
    end if;
    return sent;
end
$$;
revoke all on function corpuscope.broadcast_pace(text), corpuscope.broadcast_hints(), corpuscope.send_broadcasts() from public;
grant execute on function corpuscope.send_broadcasts() to corpuscope_worker, service_role;
