-- Hints for live views of documents: documents:<collection> when a collection's documents, or how far they have come, have changed.
-- Once a statement, and equal ones are sent once a transaction; who listens paces them further.

create function corpuscope.announce_documents() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op <> 'INSERT' then
        perform pg_notify('corpuscope_feed', 'documents:' || collection_id) from (select distinct collection_id from old_rows) d;
    end if;
    if tg_op <> 'DELETE' then
        perform pg_notify('corpuscope_feed', 'documents:' || collection_id) from (select distinct collection_id from new_rows) d;
    end if;
    return null;
end
$$;
create trigger announce_new_documents after insert on public.documents
    referencing new table as new_rows for each statement execute function corpuscope.announce_documents();
create trigger announce_changed_documents after update on public.documents
    referencing old table as old_rows new table as new_rows for each statement execute function corpuscope.announce_documents();
create trigger announce_deleted_documents after delete on public.documents
    referencing old table as old_rows for each statement execute function corpuscope.announce_documents();

create function corpuscope.announce_progress() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform pg_notify('corpuscope_feed', 'documents:' || d.collection_id)
    from public.documents d where d.id in (select document_id from new_rows) group by d.collection_id;
    return null;
end
$$;
create trigger announce_progress after update on public.index_documents
    referencing new table as new_rows for each statement execute function corpuscope.announce_progress();
revoke all on function corpuscope.announce_documents(), corpuscope.announce_progress() from public;
