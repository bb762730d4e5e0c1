-- How well each sentence of an answer is backed by the passages that it cites, as the worker measured it after the answer.

create table public.message_support (
    message_id uuid not null references public.messages (id) on delete cascade,
    attempt int not null,
    ordinal int not null check (ordinal >= 1),
    start_char int not null check (start_char >= 0),
    end_char int not null,
    cited int[] not null,
    verdict text not null check (verdict in ('supported', 'weak', 'unsupported', 'uncited')),
    lexical real not null check (lexical between 0 and 1),
    similarity real,
    missing text[] not null default '{}',
    primary key (message_id, attempt, ordinal),
    check (end_char > start_char)
);
comment on table public.message_support is
    'One row a sentence that claims something. Only the rows of the message''s own attempt count.';
comment on column public.message_support.start_char is 'Of messages.content, in code points; end_char is exclusive.';
comment on column public.message_support.cited is 'The passages that the sentence was held against; empty when it cites none.';
comment on column public.message_support.similarity is
    'Cosine to the closest two sentences of those passages, 0 being unrelated text and 1 the same; null when not measured.';
comment on column public.message_support.missing is 'Numbers of the sentence that stand in none of those passages.';

alter table public.message_support enable row level security;
create policy "people see support" on public.message_support for select to authenticated
    using (exists (select from public.messages m where m.id = message_id));
create policy "the worker checks support" on public.message_support for all to corpuscope_worker using (true) with check (true);
grant select on public.message_support to authenticated;
grant select, insert, delete on public.message_support to corpuscope_worker;
grant all on public.message_support to service_role;

-- Viewers draw the answer as soon as it is complete; the marks come a moment later.
create function corpuscope.announce_support() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'chat:' || m.chat_id)
    from public.messages m where m.id in (select message_id from new_rows) group by m.chat_id;
    return null;
end
$$;
revoke all on function corpuscope.announce_support() from public;
create trigger announce_support after insert on public.message_support
    referencing new table as new_rows for each statement execute function corpuscope.announce_support();
