-- A new version of a document takes over what was judged of the one that it replaces: the document as a whole, and each
-- passage whose words it still has. What it has no longer goes with the old version.

create index documents_replacing on public.documents (replaces) where replaces is not null;

create function corpuscope.hand_on_judgements() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    heir uuid;
begin
    if not exists (select from public.judgements j where j.document_id = old.id) then
        return old;
    end if;
    select d.id into heir from public.documents d
    where d.replaces = old.id and d.collection_id = old.collection_id and d.text_revision > 0;
    if heir is null then
        return old;
    end if;
    insert into public.judgements
        (question_id, collection_id, document_id, text_revision, start_char, end_char, grade, origin, created_by, created_at)
    select j.question_id, j.collection_id, d.id, d.text_revision, p.place, p.place + j.end_char - j.start_char,
           j.grade, j.origin, j.created_by, j.created_at
    from public.judgements j
    join public.documents d on d.id = heir
    join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
    left join public.document_texts o on o.document_id = old.id and o.revision = old.text_revision
    cross join lateral (
        select nullif(strpos(t.text, substr(o.text, j.start_char + 1, j.end_char - j.start_char)), 0) - 1 as place
    ) p
    where j.document_id = old.id and (j.start_char is null or p.place is not null)
    on conflict do nothing;
    return old;
end
$$;
revoke all on function corpuscope.hand_on_judgements() from public;
create trigger hand_on_judgements before delete on public.documents
    for each row execute function corpuscope.hand_on_judgements();
