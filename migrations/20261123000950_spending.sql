-- What chat models have cost, in tokens and in the money of CHAT_PRICES. The caps are settings of the server (they go
-- with its key); here is only what was used. Counted by day (UTC), person, conversation and model; deleting a
-- conversation or an account gives nothing back.

create table corpuscope.model_use (
    day date not null default (now() at time zone 'UTC')::date,
    user_id uuid not null,
    chat_id uuid,
    model text not null,
    requests int not null default 0,
    prompt_tokens bigint not null default 0,
    completion_tokens bigint not null default 0,
    estimated_tokens bigint not null default 0,
    cost numeric(20, 8) not null default 0,
    unique nulls not distinct (day, user_id, chat_id, model)
);
comment on column corpuscope.model_use.chat_id is 'Null for what is asked outside conversations: drafted questions, names of clusters.';
comment on column corpuscope.model_use.estimated_tokens is 'How many of both kinds of tokens the server did not count itself.';
create index model_use_of_chat on corpuscope.model_use (chat_id);
alter table corpuscope.model_use enable row level security;

create function corpuscope.record_model_use(
    person uuid, chat uuid, model text, prompt_tokens bigint, completion_tokens bigint, exact boolean, cost numeric
) returns void
language plpgsql security definer set search_path = '' as $$
begin
    insert into corpuscope.model_use as u (user_id, chat_id, model, requests, prompt_tokens, completion_tokens, estimated_tokens, cost)
    values (
        person, chat, left(record_model_use.model, 300), 1, record_model_use.prompt_tokens, record_model_use.completion_tokens,
        case when exact then 0 else record_model_use.prompt_tokens + record_model_use.completion_tokens end, record_model_use.cost
    )
    on conflict on constraint model_use_day_user_id_chat_id_model_key do update
    set requests = u.requests + 1, prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = u.completion_tokens + excluded.completion_tokens,
        estimated_tokens = u.estimated_tokens + excluded.estimated_tokens, cost = u.cost + excluded.cost;
end
$$;
revoke all on function corpuscope.record_model_use(uuid, uuid, text, bigint, bigint, boolean, numeric) from public;
grant execute on function corpuscope.record_model_use(uuid, uuid, text, bigint, bigint, boolean, numeric) to corpuscope_worker;

-- What a conversation has used in all, and a person and everybody today.
create function corpuscope.sum_model_use(person uuid, chat uuid) returns table (scope text, tokens bigint, cost numeric)
language sql stable security definer set search_path = '' as $$
    select 'conversation', coalesce(sum(u.prompt_tokens + u.completion_tokens), 0)::bigint, coalesce(sum(u.cost), 0)
    from corpuscope.model_use u where u.chat_id = sum_model_use.chat
    union all
    select 'person', coalesce(sum(u.prompt_tokens + u.completion_tokens), 0)::bigint, coalesce(sum(u.cost), 0)
    from corpuscope.model_use u where u.day = (now() at time zone 'UTC')::date and u.user_id = person
    union all
    select 'everybody', coalesce(sum(u.prompt_tokens + u.completion_tokens), 0)::bigint, coalesce(sum(u.cost), 0)
    from corpuscope.model_use u where u.day = (now() at time zone 'UTC')::date
$$;
revoke all on function corpuscope.sum_model_use(uuid, uuid) from public;
grant execute on function corpuscope.sum_model_use(uuid, uuid) to corpuscope_worker;

-- The caller's own day, and a conversation that they see. How much everybody uses is for administrators.
create function public.my_model_use(chat uuid default null) returns table (scope text, tokens bigint, cost numeric)
language sql stable security definer set search_path = '' as $$
    select s.scope, s.tokens, s.cost from corpuscope.sum_model_use(corpuscope.caller(), my_model_use.chat) s
    where s.scope = 'person' or (s.scope = 'conversation' and my_model_use.chat = any ((select corpuscope.visible_chats())::uuid[]))
$$;
revoke all on function public.my_model_use(uuid) from public;
grant execute on function public.my_model_use(uuid) to authenticated, service_role;

create function public.list_model_use(days int default 7)
returns table (
    day date, person text, model text, requests bigint, prompt_tokens bigint, completion_tokens bigint, estimated_tokens bigint, cost numeric
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
    perform corpuscope.require_administrator();
    return query
    select u.day, coalesce(nullif(p.name, ''), p.email, case when p.user_id is null then 'a deleted account' else 'a guest' end), u.model,
           sum(u.requests)::bigint, sum(u.prompt_tokens)::bigint, sum(u.completion_tokens)::bigint, sum(u.estimated_tokens)::bigint, sum(u.cost)
    from corpuscope.model_use u
    left join corpuscope.people p on p.user_id = u.user_id
    where u.day > (now() at time zone 'UTC')::date - least(greatest(days, 1), 366)
    group by u.day, 2, u.model, u.user_id
    order by u.day desc, sum(u.prompt_tokens + u.completion_tokens) desc
    limit 1000;
end
$$;
revoke all on function public.list_model_use(int) from public;
grant execute on function public.list_model_use(int) to authenticated, service_role;
