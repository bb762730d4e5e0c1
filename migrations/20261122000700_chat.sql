-- Chat: a question is a row, a worker answers it with sequenced deltas, every viewer reads the same rows.

create table public.chats (
    id uuid primary key default gen_random_uuid(),
    collection_id uuid not null references public.collections (id) on delete cascade,
    title text not null default 'New chat' check (length(title) between 1 and 200),
    created_by uuid not null default auth.uid() references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index chats_owner on public.chats (created_by, updated_at desc);
create index chats_collection on public.chats (collection_id);

create table public.messages (
    id uuid primary key default gen_random_uuid(),
    chat_id uuid not null references public.chats (id) on delete cascade,
    position int not null,
    role text not null check (role in ('user', 'assistant')),
    content text not null default '',
    phase text not null default 'complete'
        check (phase in ('queued', 'analyzing', 'retrieving', 'generating', 'complete', 'failed', 'stopped')),
    phase_at timestamptz not null default now(),
    phases jsonb not null default '[]',
    attempt int not null default 0,
    stop_requested boolean not null default false,
    kind text check (kind in ('extractive', 'model')),
    model text,
    profile jsonb,
    error text,
    error_hint text,
    created_at timestamptz not null default now(),
    unique (chat_id, position)
);
create index messages_unfinished on public.messages (phase_at) where phase not in ('complete', 'failed', 'stopped');
comment on column public.messages.phases is 'What each phase did: [{"phase", "at", "detail", "seconds"}…], in order.';
comment on column public.messages.attempt is 'Which attempt''s deltas count: a worker that takes an answer over starts a new one.';

create table public.message_deltas (
    message_id uuid not null references public.messages (id) on delete cascade,
    attempt int not null,
    seq int not null,
    text text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (message_id, attempt, seq)
);

-- The passages an answer was made from, as they were then: what was retrieved, under its own scores.
create table public.passages (
    message_id uuid not null references public.messages (id) on delete cascade,
    number int not null check (number >= 1),
    document_id uuid references public.documents (id) on delete set null,
    chunk_id bigint,
    document_name text not null,
    title text,
    text_revision int not null,
    start_char int not null,
    end_char int not null,
    page int,
    text text not null,
    similarity real,
    lexical real,
    score real,
    primary key (message_id, number)
);
create index passages_document on public.passages (document_id);

-- Which passages the answer quotes, and where: the span is of the document's text at that revision.
create table public.citations (
    message_id uuid not null,
    ordinal int not null,
    number int not null,
    start_char int not null,
    end_char int not null,
    quote text not null,
    primary key (message_id, ordinal),
    foreign key (message_id, number) references public.passages (message_id, number) on delete cascade
);
create index citations_passage on public.citations (message_id, number);

-- Visible to its owner while they can see the collection. Sharing a chat comes with its own table.
create function corpuscope.visible_chats() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(id), '{}') from public.chats
    where created_by = auth.uid() and collection_id = any ((select corpuscope.viewable_collections())::uuid[])
$$;
revoke all on function corpuscope.visible_chats() from public;
grant execute on function corpuscope.visible_chats() to authenticated, service_role;

alter table public.chats enable row level security;
create policy "people see their chats" on public.chats for select to authenticated
    using (created_by = (select auth.uid()) and collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "people start chats" on public.chats for insert to authenticated
    with check (created_by = (select auth.uid()) and collection_id = any ((select corpuscope.viewable_collections())::uuid[]));
create policy "people rename their chats" on public.chats for update to authenticated
    using (created_by = (select auth.uid())) with check (created_by = (select auth.uid()));
create policy "people delete their chats" on public.chats for delete to authenticated
    using (created_by = (select auth.uid()));
create policy "the worker reads chats" on public.chats for select to corpuscope_worker using (true);
grant select, delete, insert (id, collection_id, title), update (title) on public.chats to authenticated;
grant select on public.chats to corpuscope_worker;
grant all on public.chats to service_role;

alter table public.messages enable row level security;
create policy "people see messages" on public.messages for select to authenticated
    using (chat_id = any ((select corpuscope.visible_chats())::uuid[]));
create policy "the worker answers" on public.messages for all to corpuscope_worker using (true) with check (true);
grant select on public.messages to authenticated;
grant select, update on public.messages to corpuscope_worker;
grant all on public.messages to service_role;

alter table public.message_deltas enable row level security;
create policy "people see deltas" on public.message_deltas for select to authenticated
    using (exists (select from public.messages m where m.id = message_id));
create policy "the worker writes deltas" on public.message_deltas for all to corpuscope_worker using (true) with check (true);
grant select on public.message_deltas to authenticated;
grant select, insert, delete on public.message_deltas to corpuscope_worker;
grant all on public.message_deltas to service_role;

alter table public.passages enable row level security;
create policy "people see passages" on public.passages for select to authenticated
    using (exists (select from public.messages m where m.id = message_id));
create policy "the worker keeps passages" on public.passages for all to corpuscope_worker using (true) with check (true);
grant select on public.passages to authenticated;
grant select, insert, delete on public.passages to corpuscope_worker;
grant all on public.passages to service_role;

alter table public.citations enable row level security;
create policy "people see citations" on public.citations for select to authenticated
    using (exists (select from public.messages m where m.id = message_id));
create policy "the worker keeps citations" on public.citations for all to corpuscope_worker using (true) with check (true);
grant select on public.citations to authenticated;
grant select, insert, delete on public.citations to corpuscope_worker;
grant all on public.citations to service_role;

-- Asking: two rows (the question, the answer to come), which put the job on the queue.
create function public.ask(chat uuid, question text, profile jsonb default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    next int;
    answer uuid;
begin
    if chat <> all (corpuscope.visible_chats()) then
        raise exception 'That chat does not exist, or you may not write in it.' using errcode = 'insufficient_privilege';
    end if;
    if length(trim(question)) not between 1 and 8000 then
        raise exception 'A question needs between 1 and 8,000 characters.';
    end if;
    if jsonb_typeof(profile) <> 'object' or length(profile::text) > 10000 then
        raise exception 'Those retrieval settings can''t be used.';
    end if;
    perform from public.chats c where c.id = chat for update;
    select coalesce(max(m.position), 0) + 1 into next from public.messages m where m.chat_id = chat;
    insert into public.messages (chat_id, position, role, content) values (chat, next, 'user', trim(question));
    insert into public.messages (chat_id, position, role, phase, profile) values (chat, next + 1, 'assistant', 'queued', ask.profile)
    returning id into answer;
    update public.chats c set updated_at = now(),
        title = case when c.title = 'New chat' then left(trim(question), 120) else c.title end
    where c.id = chat;
    perform corpuscope.send_jobs('answer', array [jsonb_build_object('message', answer)]);
    return answer;
end
$$;

-- An answer that nobody works on yet is stopped at once; a worker looks at stop_requested at each of its writes.
create function public.stop_answer(message uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.messages m
    set stop_requested = true,
        phase = case when m.phase = 'queued' then 'stopped' else m.phase end,
        phase_at = case when m.phase = 'queued' then clock_timestamp() else m.phase_at end
    where m.id = message and m.chat_id = any (corpuscope.visible_chats())
      and m.phase in ('queued', 'analyzing', 'retrieving', 'generating');
    return found;
end
$$;

-- A failed or stopped answer is tried again in its place.
create function public.retry_answer(message uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.messages m
    set phase = 'queued', phase_at = clock_timestamp(), phases = '[]', content = '', kind = null, model = null,
        error = null, error_hint = null, stop_requested = false, attempt = m.attempt + 1
    where m.id = message and m.role = 'assistant' and m.chat_id = any (corpuscope.visible_chats())
      and m.phase in ('failed', 'stopped');
    if found then
        delete from public.passages p where p.message_id = message;
        delete from public.message_deltas d where d.message_id = message;
        perform corpuscope.send_jobs('answer', array [jsonb_build_object('message', message)]);
        return true;
    end if;
    return false;
end
$$;
revoke all on function public.ask(uuid, text, jsonb), public.stop_answer(uuid), public.retry_answer(uuid) from public;
grant execute on function public.ask(uuid, text, jsonb), public.stop_answer(uuid), public.retry_answer(uuid) to authenticated, service_role;

-- Makes again what a lost message would have asked for, as corpuscope.requeue_missing does for documents.
create function corpuscope.requeue_answers(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('message', m.id)) into lost from public.messages m
    where m.phase not in ('complete', 'failed', 'stopped') and m.phase_at < now() - still_for
      and not exists (select from pgmq.q_answer q where q.message ->> 'message' = m.id::text);
    perform corpuscope.send_jobs('answer', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
revoke all on function corpuscope.requeue_answers(interval) from public;
grant execute on function corpuscope.requeue_answers(interval) to corpuscope_worker;

-- Hints for live views; the rows are the truth and polling finds them without any hint.
create function corpuscope.announce_delta() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'message:' || message_id) from (select distinct message_id from new_rows) d;
    return null;
end
$$;
create trigger announce_delta after insert on public.message_deltas
    referencing new table as new_rows for each statement execute function corpuscope.announce_delta();

create function corpuscope.announce_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'message:' || id) from new_rows;
    return null;
end
$$;
create trigger announce_message after update on public.messages
    referencing new table as new_rows for each statement execute function corpuscope.announce_message();

create function corpuscope.announce_chat() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'chat:' || chat_id) from (select distinct chat_id from new_rows) d;
    return null;
end
$$;
create trigger announce_chat after insert on public.messages
    referencing new table as new_rows for each statement execute function corpuscope.announce_chat();
