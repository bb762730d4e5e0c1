-- Thousands of passages are excluded in one act. A plan that was made for the update of a few joins old and new rows one by one, and
-- is kept for the session; so neither trigger may join them that way.

-- As before, and done sooner where only exclusions changed.
create or replace function corpuscope.chunks_updated() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    stale bigint[];
    relabelled bigint[];
    moved uuid[];
begin
    update public.embeddings e set excluded = n.excluded from new_rows n
    where e.chunk_id = n.id and e.excluded <> n.excluded;
    if not exists (
        select id, content_hash, language, start_char, end_char from new_rows
        except select id, content_hash, language, start_char, end_char from old_rows
    ) then
        return null;
    end if;
    select array_agg(n.id) filter (where n.content_hash <> o.content_hash),
           array_agg(n.id) filter (where n.content_hash = o.content_hash and n.language is distinct from o.language),
           array_agg(distinct n.document_id) filter (where (n.start_char, n.end_char) <> (o.start_char, o.end_char))
    into stale, relabelled, moved from new_rows n join old_rows o using (id);
    if stale is not null then
        delete from public.embeddings e using new_rows n where e.chunk_id = n.id and e.content_hash <> n.content_hash;
        delete from public.failed_jobs f where f.chunk_id = any (stale);
        perform corpuscope.reopen_documents(
            (select array_agg(distinct document_id) from new_rows where id = any (stale)),
            (select array_agg(distinct index_id) from new_rows where id = any (stale))
        );
    end if;
    perform corpuscope.send_chunks(array(
        select id from new_rows where id = any (stale || relabelled) order by index_id, document_id, ordinal
    ));
    if moved is not null and exists (select from public.span_marks m where m.kind = 'exclusion' and m.document_id = any (moved)) then
        perform corpuscope.apply_exclusions(moved);
    end if;
    return null;
end
$$;

alter function corpuscope.chunks_moved_in_scopes() set enable_nestloop = off;
