-- Conversations of several people: a tree of questions and answers, who asked what, who may look on, who is here, votes.
--
-- Whoever sees a conversation sees all collections that it asks or has asked: so nothing in it is hidden from any of them,
-- and its answers are made from nothing that one of them may not read.

alter table public.messages
    add column parent_id uuid references public.messages (id) on delete cascade,
    add column asked_by uuid references auth.users (id) on delete set null,
    add column wanted_model text check (length(wanted_model) between 1 and 200),
    add column standalone text,
    add column snapshot jsonb;
comment on column public.messages.position is 'The order in which messages came; what answers what is said by parent_id.';
comment on column public.messages.parent_id is 'An answer''s question; the answer that a question goes on from, null where it is a first one. Siblings are branches.';
comment on column public.messages.asked_by is 'Who asked; of an answer, who asked for it, with whose rights it is made.';
comment on column public.messages.wanted_model is 'The chat model chosen for this answer; null: that of the settings.';
comment on column public.messages.standalone is 'The question as it was searched for, where that is not as it was typed.';
comment on column public.messages.snapshot is 'What the answer was made with: profile, indexes, what was found, kept and left out, tokens.';

-- Nobody has to be told of this.
alter table public.messages disable trigger announce_message;
update public.messages m set parent_id = b.before, asked_by = c.created_by
from (select id, lag(id) over (partition by chat_id order by position) as before from public.messages) b, public.chats c
where b.id = m.id and c.id = m.chat_id;
alter table public.messages enable trigger announce_message;
create index messages_parent on public.messages (parent_id);
create index messages_asked_by on public.messages (asked_by);
create index messages_unfinished_of_chat on public.messages (chat_id) where phase not in ('complete', 'failed', 'stopped');

-- Beside their owner, who is chats.created_by.
create table public.chat_members (
    chat_id uuid not null references public.chats (id) on delete cascade,
    user_id uuid not null references auth.users (id) on delete cascade,
    added_by uuid default auth.uid() references auth.users (id) on delete set null,
    added_at timestamptz not null default now(),
    primary key (chat_id, user_id)
);
create index chat_members_user on public.chat_members (user_id);
create index chat_members_added_by on public.chat_members (added_by);

-- Beside the home collection, which is chats.collection_id.
create table public.chat_collections (
    chat_id uuid not null references public.chats (id) on delete cascade,
    collection_id uuid not null references public.collections (id) on delete cascade,
    is_asked boolean not null default true,
    added_at timestamptz not null default now(),
    primary key (chat_id, collection_id)
);
create index chat_collections_collection on public.chat_collections (collection_id);
comment on column public.chat_collections.is_asked is 'False: no longer, but earlier answers may quote it, so only who may view it sees them.';

create table public.message_votes (
    message_id uuid not null references public.messages (id) on delete cascade,
    user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
    vote smallint not null check (vote in (-1, 1)),
    reason text not null default '' check (length(reason) <= 2000),
    created_at timestamptz not null default now(),
    primary key (message_id, user_id)
);
create index message_votes_user on public.message_votes (user_id);

-- One row for each open page. It outlives no crash, and needs not.
create unlogged table public.chat_presence (
    visit uuid primary key,
    chat_id uuid not null references public.chats (id) on delete cascade,
    user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
    seen_at timestamptz not null default now()
);
create index chat_presence_chat on public.chat_presence (chat_id);
create index chat_presence_user on public.chat_presence (user_id);

-- Who sees what --------------------------------------------------------------------------------------------------------------
-- The caller's own and those shared with them, while they may view all collections that it asks or has asked.
create or replace function corpuscope.visible_chats() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(h.id), '{}') from public.chats h
    where h.id in (
          select o.id from public.chats o where o.created_by = (select auth.uid())
          union all
          select m.chat_id from public.chat_members m where m.user_id = (select auth.uid())
      )
      and h.collection_id in (select unnest((select corpuscope.viewable_collections())))
      and not exists (
          select from public.chat_collections x
          where x.chat_id = h.id and x.collection_id not in (select unnest((select corpuscope.viewable_collections())))
      )
$$;

-- The collections of a conversation that a person may not view.
create function corpuscope.hidden_from(person uuid, chat uuid) returns setof uuid
language sql stable security definer set search_path = '' as $$
    select c.id from public.collections c
    where c.id in (
          select h.collection_id from public.chats h where h.id = chat
          union all
          select x.collection_id from public.chat_collections x where x.chat_id = chat
      )
      and not c.is_public
      and not exists (select from public.collection_members m where m.collection_id = c.id and m.user_id = person)
$$;
-- The same of one person and one conversation, whoever asks.
create function corpuscope.sees_chat(person uuid, chat uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.chats h
        where h.id = chat
          and (h.created_by = person or exists (select from public.chat_members m where m.chat_id = chat and m.user_id = person))
          and not exists (select from corpuscope.hidden_from(person, chat))
    ) and not exists (select from corpuscope.people p where p.user_id = person and p.disabled_at is not null)
$$;
-- What its next answers are made from. Everybody who sees the conversation may view all of it: who may not sees nothing of either.
create function corpuscope.common_collections(chat uuid) returns uuid[]
language sql stable security definer set search_path = '' as $$
    select array(
        select h.collection_id from public.chats h where h.id = chat
        union all
        (select x.collection_id from public.chat_collections x where x.chat_id = chat and x.is_asked order by x.added_at, x.collection_id)
    )
$$;
revoke all on function corpuscope.sees_chat(uuid, uuid), corpuscope.hidden_from(uuid, uuid), corpuscope.common_collections(uuid) from public;
grant execute on function corpuscope.common_collections(uuid) to corpuscope_worker, service_role;

-- How a person is called in conversations: an address is for those who manage access.
create function corpuscope.name_of(person uuid) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(nullif(p.name, ''), case when p.is_guest then 'A guest' end, nullif(split_part(coalesce(p.email, u.email), '@', 1), ''), 'Somebody')
    from auth.users u left join corpuscope.people p on p.user_id = u.id where u.id = person
$$;
revoke all on function corpuscope.name_of(uuid) from public;

drop policy "people see their chats" on public.chats;
-- One's own in the transaction that makes it too: a row that is only being inserted is not among visible_chats() yet.
create policy "participants see a chat" on public.chats for select to authenticated using (
    id in (select unnest((select corpuscope.visible_chats())))
    or (created_by = (select corpuscope.caller()) and created_at = now() and collection_id in (select unnest((select corpuscope.viewable_collections()))))
);
drop policy "people change their chats" on public.chats;
create policy "people change their chats" on public.chats for update to authenticated
    using (created_by = (select corpuscope.caller()) and id in (select unnest((select corpuscope.visible_chats()))))
    with check (
        created_by = (select corpuscope.caller())
        and (scope_id is null or scope_id in (select unnest((select corpuscope.visible_scopes()))))
    );
drop policy "people delete their chats" on public.chats;
create policy "people delete their chats" on public.chats for delete to authenticated
    using (created_by = (select corpuscope.caller()) and id in (select unnest((select corpuscope.visible_chats()))));

alter table public.chat_members enable row level security;
create policy "participants see who takes part" on public.chat_members for select to authenticated
    using (chat_id in (select unnest((select corpuscope.visible_chats()))));
grant select on public.chat_members to authenticated;
grant all on public.chat_members to service_role;

alter table public.chat_collections enable row level security;
create policy "participants see what is asked" on public.chat_collections for select to authenticated
    using (chat_id in (select unnest((select corpuscope.visible_chats()))));
grant select on public.chat_collections to authenticated;
grant all on public.chat_collections to service_role;

alter table public.message_votes enable row level security;
create policy "participants see votes" on public.message_votes for select to authenticated
    using (exists (select from public.messages m where m.id = message_id));
grant select on public.message_votes to authenticated;
grant all on public.message_votes to service_role;

alter table public.chat_presence enable row level security;
create policy "participants see who is here" on public.chat_presence for select to authenticated
    using (chat_id in (select unnest((select corpuscope.visible_chats()))));
grant select on public.chat_presence to authenticated;
grant all on public.chat_presence to service_role;

-- A scope is used by everybody who sees a conversation that is bound to it, and by whoever an answer within it is made for.
create function corpuscope.bound_scopes() returns bigint[]
language sql stable security definer set search_path = '' as $$
    select array(
        select h.scope_id from public.chats h
        where h.scope_id is not null and h.id in (select unnest((select corpuscope.visible_chats())))
        union all
        select (m.scope ->> 'id')::bigint from public.messages m
        where m.phase not in ('complete', 'failed', 'stopped') and m.asked_by = (select auth.uid()) and m.scope is not null
          and m.chat_id in (select unnest((select corpuscope.visible_chats())))
    )
$$;
revoke all on function corpuscope.bound_scopes() from public;
create or replace function corpuscope.visible_scopes() returns bigint[]
language sql stable security definer set search_path = '' as $$
    select array(
        select s.id from public.scopes s
        where s.collection_id in (select unnest((select corpuscope.viewable_collections())))
          and (s.name is not null or s.created_by = (select auth.uid()) or s.id in (select unnest((select corpuscope.bound_scopes()))))
    )
$$;
create or replace function corpuscope.check_scope(scope bigint, collection uuid) returns int
language plpgsql stable security definer set search_path = '' as $$
declare
    found_passages int;
begin
    select s.passages into found_passages from public.scopes s
    where s.id = scope and s.collection_id = collection
      and (s.name is not null or s.created_by = auth.uid() or s.id = any (corpuscope.bound_scopes()));
    if not found then
        raise exception 'That selection does not exist, or it is not shared with you.' using errcode = 'no_data_found';
    end if;
    return found_passages;
end
$$;

-- Questions count for who asks and for every collection that is asked --------------------------------------------------------
create function corpuscope.count_asking(person uuid, chat uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    asked uuid;
begin
    perform corpuscope.count_question('person', person);
    -- In one order everywhere, so that two who ask at once wait for each other and not both.
    for asked in select u.id from unnest(corpuscope.common_collections(chat)) as u (id) order by u.id loop
        perform corpuscope.count_question('collection', asked);
    end loop;
end
$$;
revoke all on function corpuscope.count_asking(uuid, uuid) from public;
create or replace function corpuscope.keep_question_limits() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- By answers: to have one made again costs as much as asking.
    perform corpuscope.count_asking(coalesce(auth.uid(), n.asked_by, c.created_by), c.id)
    from new_rows n join public.chats c on c.id = n.chat_id
    where n.role = 'assistant';
    return null;
end
$$;
create or replace function corpuscope.count_retry() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if auth.uid() is not null then
        perform corpuscope.count_asking(auth.uid(), new.chat_id);
    end if;
    return null;
end
$$;

-- The queue of a conversation ------------------------------------------------------------------------------------------------
-- An answer waits while one that its question goes on from is unfinished: it has no job until the last of these has ended.
create function corpuscope.unfinished_before(message uuid) returns setof uuid
language sql stable security definer set search_path = '' as $$
    with recursive line (id, parent_id, unfinished) as (
        select m.id, m.parent_id, false from public.messages m where m.id = message
        union all
        select m.id, m.parent_id, m.role = 'assistant' and m.phase not in ('complete', 'failed', 'stopped')
        from line l join public.messages m on m.id = l.parent_id
    )
    select l.id from line l where l.unfinished
$$;
create function corpuscope.answer_waits(message uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from corpuscope.unfinished_before(message))
$$;

-- Sends the job unless the answer has to wait. An earlier answer that ends just now is waited for: whoever is later then sees
-- the other, so that one of the two sends the job.
create function corpuscope.send_answer(message uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.messages m
    where m.id in (select corpuscope.unfinished_before(message)) order by m.position for share;
    if not corpuscope.answer_waits(message) then
        perform corpuscope.send_jobs('answer', array [jsonb_build_object('message', message)]);
    end if;
end
$$;

create function corpuscope.send_next_answers() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (select from public.messages m where m.parent_id = new.id) then
        return null;
    end if;
    -- An earlier answer that was retried may end at the same moment as this one: each would take the other for unfinished, and
    -- nobody would send the job of the next. Not the chat's row, which whoever asks holds while they wait for this answer.
    perform pg_advisory_xact_lock(hashtextextended('answers of ' || new.chat_id, 0));
    if corpuscope.answer_waits(new.id) then
        return null;
    end if;
    perform corpuscope.send_jobs('answer', (
        with recursive below (id, role, phase, position) as (
            select m.id, m.role, m.phase, m.position from public.messages m where m.parent_id = new.id
            union all
            select m.id, m.role, m.phase, m.position from below b join public.messages m on m.parent_id = b.id
            where b.phase in ('complete', 'failed', 'stopped')
        )
        select array_agg(jsonb_build_object('message', b.id) order by b.position) from below b where b.role = 'assistant' and b.phase = 'queued'
    ));
    return null;
end
$$;
create trigger send_next_answers after update of phase on public.messages for each row
    when (new.phase in ('complete', 'failed', 'stopped') and old.phase not in ('complete', 'failed', 'stopped'))
    execute function corpuscope.send_next_answers();

create or replace function corpuscope.requeue_answers(still_for interval default '2 minutes') returns int
language plpgsql security definer set search_path = '' as $$
declare
    lost jsonb[];
begin
    select array_agg(jsonb_build_object('message', m.id) order by m.phase_at) into lost from public.messages m
    where m.phase not in ('complete', 'failed', 'stopped') and m.phase_at < now() - still_for
      and not exists (select from pgmq.q_answer q where q.message ->> 'message' = m.id::text)
      and not corpuscope.answer_waits(m.id);
    perform corpuscope.send_jobs('answer', lost);
    return coalesce(cardinality(lost), 0);
end
$$;
revoke all on function corpuscope.unfinished_before(uuid), corpuscope.answer_waits(uuid), corpuscope.send_answer(uuid),
    corpuscope.send_next_answers() from public;
grant execute on function corpuscope.answer_waits(uuid) to corpuscope_worker;

-- Asking ---------------------------------------------------------------------------------------------------------------------
-- Everything that changes a conversation begins with this: one after another.
create function corpuscope.hold_chat(chat uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if chat = any (corpuscope.visible_chats()) is not true then
        raise exception 'That chat does not exist, or you may not write in it.' using errcode = 'insufficient_privilege';
    end if;
    perform from public.chats c where c.id = chat for no key update;
end
$$;

create function corpuscope.check_asking(question text, profile jsonb, model text) returns void
language plpgsql set search_path = '' as $$
begin
    if length(trim(question)) between 1 and 8000 is not true then
        raise exception 'A question needs between 1 and 8,000 characters.';
    elsif jsonb_typeof(profile) <> 'object' or length(profile::text) > 10000 then
        raise exception 'Those retrieval settings can''t be used.';
    elsif length(model) not between 1 and 200 then
        raise exception 'The name of a model has between 1 and 200 characters.';
    end if;
end
$$;

create function corpuscope.add_question(chat uuid, parent uuid, question text) returns uuid
language sql security definer set search_path = '' as $$
    insert into public.messages (chat_id, position, role, content, parent_id, asked_by)
    select chat, coalesce(max(m.position), 0) + 1, 'user', trim(question), parent, auth.uid() from public.messages m where m.chat_id = chat
    returning id
$$;

-- An answer to come, and what the conversation is bound to now: what it is bound to later changes nothing about this answer.
create function corpuscope.add_answer(chat uuid, question uuid, profile jsonb, model text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    answer uuid;
begin
    if (
        select count(*) from public.messages m
        where m.chat_id = chat and m.asked_by = auth.uid() and m.phase not in ('complete', 'failed', 'stopped')
    ) >= 20 then
        perform corpuscope.refuse_over_limit(
            'Twenty questions of yours are waiting in this conversation.', 'Wait for some answers, or stop those that are not needed.'
        );
    end if;
    insert into public.messages (chat_id, position, role, phase, parent_id, asked_by, profile, wanted_model, scope)
    values (
        chat, (select max(m.position) + 1 from public.messages m where m.chat_id = chat), 'assistant', 'queued', question, auth.uid(), profile, model,
        (
            select jsonb_build_object('id', s.id, 'name', s.name, 'passages', n.passages, 'documents', n.documents)
            from public.chats c join public.scopes s on s.id = c.scope_id cross join lateral corpuscope.count_scope(s.id) n where c.id = chat
        )
    ) returning id into answer;
    update public.chats c set updated_at = now() where c.id = chat;
    perform corpuscope.send_answer(answer);
    return answer;
end
$$;
revoke all on function corpuscope.hold_chat(uuid), corpuscope.check_asking(text, jsonb, text), corpuscope.add_question(uuid, uuid, text),
    corpuscope.add_answer(uuid, uuid, jsonb, text) from public;

-- The end of a branch: from a message down by the newest child each time. Without one, the newest message is it.
create function corpuscope.branch_end(chat uuid, message uuid) returns uuid
language sql stable security definer set search_path = '' as $$
    with recursive line (id) as (
        select m.id from public.messages m where m.chat_id = chat and m.id = message
        union all
        select (select m.id from public.messages m where m.parent_id = l.id order by m.position desc limit 1) from line l where l.id is not null
    )
    select case when message is null then (
        select m.id from public.messages m where m.chat_id = chat order by m.position desc limit 1
    ) else (
        select l.id from line l join public.messages m on m.id = l.id order by m.position desc limit 1
    ) end
$$;
revoke all on function corpuscope.branch_end(uuid, uuid) from public;

-- Asking: two rows, the question and the answer to come, at the end of the branch that `parent` is in, or of the newest. Who
-- asks while somebody else's question waits there comes after it.
drop function public.ask(uuid, text, jsonb);
create function public.ask(chat uuid, question text, profile jsonb default null, parent uuid default null, model text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    last uuid;
    asked uuid;
begin
    perform corpuscope.hold_chat(chat);
    perform corpuscope.check_asking(question, profile, model);
    last := corpuscope.branch_end(chat, parent);
    if parent is not null and last is null then
        raise exception 'What this question goes on from was deleted meanwhile.' using hint = 'Ask again at the end of the conversation.';
    end if;
    asked := corpuscope.add_question(chat, last, question);
    update public.chats c set title = left(trim(question), 120) where c.id = chat and c.title = 'New chat';
    return corpuscope.add_answer(chat, asked, profile, model);
end
$$;

-- The conversation of a message that the caller sees, held.
create function corpuscope.hold_message(message uuid) returns public.messages
language plpgsql security definer set search_path = '' as $$
declare
    found_one public.messages;
begin
    select * into found_one from public.messages m where m.id = message and m.chat_id = any (corpuscope.visible_chats());
    if not found then
        raise exception 'That message does not exist any more, or it is not yours.' using errcode = 'insufficient_privilege';
    end if;
    perform corpuscope.hold_chat(found_one.chat_id);
    select * into found_one from public.messages m where m.id = message;
    if not found then
        raise exception 'That message was deleted meanwhile.' using errcode = 'insufficient_privilege';
    end if;
    return found_one;
end
$$;
revoke all on function corpuscope.hold_message(uuid) from public;

-- The caller's own question in other words: a branch beside it.
create function public.edit_question(message uuid, question text, profile jsonb default null, model text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    before constant public.messages := corpuscope.hold_message(message);
begin
    if before.role <> 'user' or before.asked_by is distinct from auth.uid() then
        raise exception 'People edit their own questions.' using errcode = 'insufficient_privilege';
    end if;
    perform corpuscope.check_asking(question, profile, model);
    return corpuscope.add_answer(before.chat_id, corpuscope.add_question(before.chat_id, before.parent_id, question), profile, model);
end
$$;

-- Another answer to the same question: a branch beside this one.
create function public.regenerate_answer(message uuid, profile jsonb default null, model text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    before constant public.messages := corpuscope.hold_message(message);
begin
    if before.role <> 'assistant' then
        raise exception 'That is a question and no answer.';
    end if;
    perform corpuscope.check_asking('?', profile, model);
    return corpuscope.add_answer(before.chat_id, before.parent_id, profile, model);
end
$$;

-- A failed or stopped answer is tried again in its place, as the question of whoever tries.
create or replace function public.retry_answer(message uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.chats c join public.messages m on m.chat_id = c.id
    where m.id = message and c.id = any (corpuscope.visible_chats()) for no key update of c;
    update public.messages m
    set phase = 'queued', phase_at = clock_timestamp(), phases = '[]', content = '', kind = null, model = null, standalone = null,
        snapshot = null, error = null, error_hint = null, stop_requested = false, attempt = m.attempt + 1,
        asked_by = coalesce(auth.uid(), m.asked_by)
    where m.id = message and m.role = 'assistant' and m.chat_id = any (corpuscope.visible_chats()) and m.phase in ('failed', 'stopped');
    if found then
        delete from public.passages p where p.message_id = message;
        delete from public.message_deltas d where d.message_id = message;
        perform corpuscope.send_answer(message);
        return true;
    end if;
    return false;
end
$$;

-- Deletes a question, or an answer, with everything that goes on from it; with its last answer a question goes too. The owner
-- may delete anything, others what they asked while nobody else goes on from it. How many messages went.
create function public.delete_message(message uuid) returns int
language plpgsql security definer set search_path = '' as $$
declare
    top public.messages := corpuscope.hold_message(message);
    branch uuid[];
begin
    if top.role = 'assistant' and not exists (select from public.messages m where m.parent_id = top.parent_id and m.id <> top.id) then
        select * into top from public.messages m where m.id = coalesce(top.parent_id, top.id);
    end if;
    with recursive below (id) as (
        select top.id union all select m.id from below b join public.messages m on m.parent_id = b.id
    )
    select array_agg(b.id) into branch from below b;
    if not exists (select from public.chats c where c.id = top.chat_id and c.created_by = auth.uid())
       and exists (select from public.messages m where m.id = any (branch) and m.asked_by is distinct from auth.uid()) then
        raise exception 'Only the owner of a conversation deletes what others asked.' using errcode = 'insufficient_privilege';
    end if;
    delete from public.messages m where m.id = top.id;
    return cardinality(branch);
end
$$;
revoke all on function public.ask(uuid, text, jsonb, uuid, text), public.edit_question(uuid, text, jsonb, text),
    public.regenerate_answer(uuid, jsonb, text), public.delete_message(uuid) from public;
grant execute on function public.ask(uuid, text, jsonb, uuid, text), public.edit_question(uuid, text, jsonb, text),
    public.regenerate_answer(uuid, jsonb, text), public.delete_message(uuid) to authenticated, service_role;

-- Sharing --------------------------------------------------------------------------------------------------------------------
-- Everybody who has to do with a conversation, for those who see it: 'owner', 'member', and those who asked and have 'left'.
-- Who lost access to one of its collections is a member still, but sees nothing of it.
create function public.chat_people(chat uuid) returns table (user_id uuid, name text, role text, sees_it boolean)
language sql stable security definer set search_path = '' as $$
    select p.person, corpuscope.name_of(p.person), p.role, p.role <> 'left' and corpuscope.sees_chat(p.person, chat)
    from (
        select distinct on (a.person) a.person, a.role, a.since from (
            select h.created_by as person, 'owner' as role, 1 as rank, h.created_at as since from public.chats h where h.id = chat
            union all
            select m.user_id, 'member', 2, m.added_at from public.chat_members m where m.chat_id = chat_people.chat
            union all
            (select m.asked_by, 'left', 3, min(m.created_at) from public.messages m where m.chat_id = chat_people.chat and m.asked_by is not null group by 1)
        ) a order by a.person, a.rank
    ) p
    where chat in (select unnest((select corpuscope.visible_chats())))
    order by array_position(array ['owner', 'member', 'left'], p.role), p.since, p.person
$$;

-- Whom the owner can share it with: members of one of its collections, in which the owner is too, who may view all of them.
create function public.chat_candidates(chat uuid) returns table (user_id uuid, name text, email text)
language sql stable security definer set search_path = '' as $$
    select u.id, corpuscope.name_of(u.id), coalesce(p.email, u.email, '')
    from auth.users u left join corpuscope.people p on p.user_id = u.id
    where chat in (select h.id from public.chats h where h.created_by = auth.uid() and h.id in (select unnest((select corpuscope.visible_chats()))))
      and u.id <> auth.uid() and p.disabled_at is null and p.is_guest is not true and not corpuscope.is_guest()
      and u.id in (
          select m.user_id from public.collection_members m
          where m.collection_id in (select unnest((select corpuscope.member_collections())))
            and (m.collection_id in (select h.collection_id from public.chats h where h.id = chat)
                 or m.collection_id in (select x.collection_id from public.chat_collections x where x.chat_id = chat_candidates.chat))
      )
      and not exists (select from public.chat_members m where m.chat_id = chat_candidates.chat and m.user_id = u.id)
      and not exists (select from corpuscope.hidden_from(u.id, chat))
    order by lower(corpuscope.name_of(u.id)), u.id
$$;

create function corpuscope.hold_own_chat(chat uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform corpuscope.hold_chat(chat);
    if not exists (select from public.chats c where c.id = chat and c.created_by = auth.uid()) then
        raise exception 'Only the owner of a conversation decides that.' using errcode = 'insufficient_privilege';
    end if;
end
$$;
revoke all on function corpuscope.hold_own_chat(uuid) from public;

-- How many were added.
create function public.share_chat(chat uuid, people uuid[]) returns int
language plpgsql security definer set search_path = '' as $$
declare
    known constant uuid[] := array(
        select m.user_id from public.collection_members m where m.collection_id = any (corpuscope.member_collections())
    );
    missing record;
    added int;
begin
    perform corpuscope.hold_own_chat(chat);
    if corpuscope.is_guest() then
        raise exception 'Guests can read and ask, but not share.' using errcode = 'insufficient_privilege';
    end if;
    if cardinality(people) > 200 then
        raise exception 'A conversation can be shared with two hundred people at most.';
    end if;
    select corpuscope.name_of(u.id) as person, c.name as collection into missing
    from unnest(people) as u (id) cross join lateral corpuscope.hidden_from(u.id, chat) h (id) join public.collections c on c.id = h.id
    where u.id = any (known) limit 1;
    if found then
        raise exception '% is no member of “%”, which this conversation asks or has asked.', missing.person, missing.collection
            using hint = 'Give them access to that collection first, or leave them out.';
    end if;
    insert into public.chat_members (chat_id, user_id)
    select chat, t.user_id from public.chat_candidates(chat) t where t.user_id = any (people)
    on conflict do nothing;
    get diagnostics added = row_count;
    if exists (
        select from unnest(people) as u (id)
        where u.id <> auth.uid() and not exists (select from public.chat_members m where m.chat_id = share_chat.chat and m.user_id = u.id)
    ) then
        raise exception 'A conversation is shared with members of its collections only.'
            using hint = 'Share the collection with them first.';
    end if;
    return added;
end
$$;

-- The owner takes somebody out, and anybody goes themselves. What they asked stays.
create function public.unshare_chat(chat uuid, person uuid default auth.uid()) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.chat_members m
    where m.chat_id = chat and m.user_id = person and corpuscope.caller() is not null
      and (m.user_id = auth.uid() or exists (
          select from public.chats c where c.id = m.chat_id and c.created_by = auth.uid() and c.id = any (corpuscope.visible_chats())
      ));
    if not found then
        return false;
    end if;
    delete from public.chat_presence p where p.chat_id = chat and p.user_id = person;
    return true;
end
$$;

-- Which collections it asks beside its home. One that was asked before stays a condition for seeing the conversation.
create function public.set_chat_collections(chat uuid, collections uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
declare
    others uuid[];
    missing record;
begin
    perform corpuscope.hold_own_chat(chat);
    select array_agg(distinct u.id) into others
    from unnest(collections) as u (id) where u.id <> (select c.collection_id from public.chats c where c.id = chat);
    if cardinality(others) > 20 then
        raise exception 'A conversation asks twenty-one collections at most.';
    elsif exists (select from unnest(others) as u (id) where u.id <> all (corpuscope.viewable_collections())) then
        raise exception 'One of those collections does not exist, or you may not see it.' using errcode = 'insufficient_privilege';
    end if;
    select corpuscope.name_of(m.user_id) as person, c.name as collection into missing
    from public.chat_members m cross join unnest(others) as u (id) join public.collections c on c.id = u.id
    where m.chat_id = chat and corpuscope.sees_chat(m.user_id, chat) and not c.is_public
      and not exists (select from public.collection_members o where o.collection_id = c.id and o.user_id = m.user_id)
    limit 1;
    if found then
        raise exception '% takes part in this conversation and is no member of “%”.', missing.person, missing.collection
            using hint = 'Give them access to that collection first, or take them out of the conversation.';
    end if;
    -- Only what no answer can have been made from: each has ended before it was added.
    delete from public.chat_collections x
    where x.chat_id = chat and x.collection_id <> all (coalesce(others, '{}'))
      and not exists (
          select from public.messages m
          where m.chat_id = x.chat_id and m.role = 'assistant'
            and (m.phase_at >= x.added_at or m.phase not in ('complete', 'failed', 'stopped'))
      );
    update public.chat_collections x set is_asked = (x.collection_id = any (coalesce(others, '{}')))
    where x.chat_id = chat and x.is_asked <> (x.collection_id = any (coalesce(others, '{}')));
    insert into public.chat_collections (chat_id, collection_id) select chat, unnest(others) on conflict do nothing;
end
$$;

revoke all on function public.chat_people(uuid), public.chat_candidates(uuid), public.share_chat(uuid, uuid[]), public.unshare_chat(uuid, uuid),
    public.set_chat_collections(uuid, uuid[]) from public;
grant execute on function public.chat_people(uuid), public.chat_candidates(uuid), public.share_chat(uuid, uuid[]), public.unshare_chat(uuid, uuid),
    public.set_chat_collections(uuid, uuid[]) to authenticated, service_role;

-- Who is here ----------------------------------------------------------------------------------------------------------------
-- Pages say so every twenty seconds; who was silent for 45 is not here any more.
create function public.note_presence(chat uuid, visit uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if chat = any (corpuscope.visible_chats()) is not true then
        raise exception 'That chat does not exist, or you may not look into it.' using errcode = 'insufficient_privilege';
    end if;
    delete from public.chat_presence p where p.visit in (
        select g.visit from public.chat_presence g where g.seen_at < now() - interval '45 seconds' for update skip locked
    );
    insert into public.chat_presence as p (visit, chat_id) values (visit, chat)
    on conflict on constraint chat_presence_pkey do update set seen_at = now(), chat_id = excluded.chat_id where p.user_id = auth.uid();
end
$$;
create function public.end_presence(visit uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.chat_presence p where p.visit = end_presence.visit and p.user_id = auth.uid();
    return found;
end
$$;
-- Everybody whose page is open, and whether an answer is being made for them.
create function public.who_is_here(chat uuid) returns table (user_id uuid, name text, asking boolean)
language sql stable security definer set search_path = '' as $$
    select h.person, corpuscope.name_of(h.person), exists (
        select from public.messages m
        where m.chat_id = who_is_here.chat and m.asked_by = h.person and m.phase not in ('complete', 'failed', 'stopped')
    )
    from (
        select p.user_id as person from public.chat_presence p
        where p.chat_id = chat and p.seen_at >= now() - interval '45 seconds' group by 1
    ) h
    where chat in (select unnest((select corpuscope.visible_chats()))) and corpuscope.sees_chat(h.person, chat)
    order by 2, 1
$$;
revoke all on function public.note_presence(uuid, uuid), public.end_presence(uuid), public.who_is_here(uuid) from public;
grant execute on function public.note_presence(uuid, uuid), public.end_presence(uuid), public.who_is_here(uuid) to authenticated, service_role;

-- Votes ----------------------------------------------------------------------------------------------------------------------
-- A vote of null takes it back.
create function public.vote_answer(message uuid, vote int, reason text default '') returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    if not exists (
        select from public.messages m where m.id = message and m.role = 'assistant' and m.chat_id = any (corpuscope.visible_chats())
    ) then
        raise exception 'That answer does not exist any more, or it is not yours.' using errcode = 'insufficient_privilege';
    elsif vote is null then
        delete from public.message_votes v where v.message_id = message and v.user_id = auth.uid();
        return found;
    elsif vote not in (-1, 1) then
        raise exception 'A vote is up or down.';
    elsif length(reason) > 2000 then
        raise exception 'A reason has 2,000 characters at most.';
    end if;
    insert into public.message_votes as v (message_id, vote, reason) values (message, vote, coalesce(trim(reason), ''))
    on conflict on constraint message_votes_pkey do update set vote = excluded.vote, reason = excluded.reason, created_at = now();
    return true;
end
$$;
revoke all on function public.vote_answer(uuid, int, text) from public;
grant execute on function public.vote_answer(uuid, int, text) to authenticated, service_role;

-- Hints ----------------------------------------------------------------------------------------------------------------------
-- chat:<id> when what the conversation shows has changed, presence:<id> when somebody came or went. Each is a row's own column,
-- named by the trigger; equal ones are sent once a transaction.
create function corpuscope.announce_conversation() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    changed constant jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
begin
    perform pg_notify('corpuscope_feed', tg_argv[0] || ':' || (changed ->> tg_argv[1]));
    return null;
end
$$;
create trigger announce_end after update of phase on public.messages for each row
    when ((new.phase in ('complete', 'failed', 'stopped')) <> (old.phase in ('complete', 'failed', 'stopped')))
    execute function corpuscope.announce_conversation('chat', 'chat_id');
create trigger announce_deletion after delete on public.messages
    for each row execute function corpuscope.announce_conversation('chat', 'chat_id');
create trigger announce_change after update of title, scope_id on public.chats
    for each row when ((new.title, new.scope_id) is distinct from (old.title, old.scope_id))
    execute function corpuscope.announce_conversation('chat', 'id');
create trigger announce_end after delete on public.chats for each row execute function corpuscope.announce_conversation('chat', 'id');
create trigger announce_change after insert or update or delete on public.chat_members
    for each row execute function corpuscope.announce_conversation('chat', 'chat_id');
create trigger announce_change after insert or update or delete on public.chat_collections
    for each row execute function corpuscope.announce_conversation('chat', 'chat_id');
create trigger announce_arrival after insert on public.chat_presence
    for each row execute function corpuscope.announce_conversation('presence', 'chat_id');
create trigger announce_move after update of chat_id on public.chat_presence
    for each row when (new.chat_id <> old.chat_id) execute function corpuscope.announce_conversation('presence', 'chat_id');
create trigger announce_leaving after delete on public.chat_presence
    for each row execute function corpuscope.announce_conversation('presence', 'chat_id');

create function corpuscope.announce_vote() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'chat:' || m.chat_id) from public.messages m
    where m.id = (case when tg_op = 'DELETE' then old else new end).message_id;
    return null;
end
$$;
create trigger announce_vote after insert or update or delete on public.message_votes
    for each row execute function corpuscope.announce_vote();
revoke all on function corpuscope.announce_conversation(), corpuscope.announce_vote() from public;
