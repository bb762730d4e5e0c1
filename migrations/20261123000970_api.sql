-- The instant API: schema "api" is the only one that a REST or GraphQL server shows.
--
-- Its views run with the rights of whoever asks (security_invoker), so row level security of the tables below decides, and
-- its functions are invoker's functions. Nobody without an account gets in: anon has no right here.

create schema if not exists api;
revoke all on schema api from public;
grant usage on schema api to authenticated, service_role;

-- Searching ---------------------------------------------------------------------------------------------------------------

-- What the caller may see, of one collection with its default profile. The mode follows from what is given, the number from
-- top_k; all else is as in the search page: fusion, weights, threshold, diversity. Reranking is left to whoever asks.
create function corpuscope.profile_for(collection uuid, mode text, top_k int) returns jsonb
language sql stable set search_path = '' as $$
    select coalesce(
        (select p.settings from public.retrieval_profiles p where p.collection_id = profile_for.collection and p.is_default), '{}'
    ) || jsonb_build_object('mode', profile_for.mode, 'k', profile_for.top_k)
$$;
revoke all on function corpuscope.profile_for(uuid, text, int) from public;
grant execute on function corpuscope.profile_for(uuid, text, int) to authenticated, service_role;

-- The collections that a search without one asks: all that the caller may see. Refused where that is more than a search can
-- ask in good time, or where one vector can't be right for all of them.
create function corpuscope.searchable_collections(dense boolean) returns uuid[]
language plpgsql stable set search_path = '' as $$
declare
    most constant int := 20;
    found_ids uuid[];
    models bigint;
begin
    select array_agg(s.id), count(distinct s.model_id) into found_ids, models from (
        select c.id, i.model_id from public.collections c join public.indexes i on i.id = c.active_index_id
        where c.id in (select unnest((select corpuscope.viewable_collections()))) limit most + 1
    ) s;
    if cardinality(found_ids) > most then
        raise exception 'You may see more than % collections.', most using errcode = 'PT400', hint = 'Say in which collection to search.';
    elsif dense and models > 1 then
        raise exception 'The collections that you may see have different embedding models.'
            using errcode = 'PT400', hint = 'Say in which collection to search: a vector is of one model.';
    end if;
    return coalesce(found_ids, '{}');
end
$$;
revoke all on function corpuscope.searchable_collections(boolean) from public;
grant execute on function corpuscope.searchable_collections(boolean) to authenticated, service_role;

-- Hits of several collections as one ranking, as chats pool them (rag/chat/pooling.py): the legs are fused anew over all hits,
-- cosines counted from what unrelated texts score, BM25 by the best of the pool. Of the same words twice, the better alone.
create function corpuscope.search_collections(collections uuid[], question text, question_vector extensions.halfvec, mode text, top_k int)
returns table (collection_id uuid, chunk_id bigint, document_id uuid, document text, title text, text_revision int, page int,
    start_char int, end_char int, heading_path text[], text text, similarity real, lexical real, score real, matched text[])
language sql volatile set search_path = '' as $$
    with found as materialized (
        select c.id as collection_id, h.*, (h.similarity - m.mean) / greatest(1 - m.mean, 1e-6) as near,
               case when mode = 'hybrid' then 0.6 * coalesce(corpuscope.model_trust(i.id), 1) end as weight
        from unnest(collections) as u (id)
        join public.collections c on c.id = u.id
        join public.indexes i on i.id = c.active_index_id
        join public.embedding_models e on e.id = i.model_id
        cross join lateral (select coalesce(e.random_mean, 0)::double precision as mean) m
        cross join lateral corpuscope.search_collection(
            c.id, question, question_vector, jsonb_build_object('mode', mode, 'k', greatest(top_k, 50)), null, null, null
        ) h
    ), scored as (
        select f.*, case mode
            when 'dense' then f.near
            when 'lexical' then f.lexical
            else f.weight * coalesce(f.near, 0) + (1 - f.weight) * coalesce(f.lexical / nullif(max(f.lexical) over (), 0), 0)
        end as pooled from found f
    ), single as (
        select distinct on (regexp_replace(trim(s.text), '\s+', ' ', 'g')) s.*
        from scored s order by regexp_replace(trim(s.text), '\s+', ' ', 'g'), s.pooled desc nulls last, s.rank, s.chunk_id
    )
    select s.collection_id, s.chunk_id, s.document_id, s.document, s.title, s.text_revision, s.page, s.start_char, s.end_char,
           s.heading_path, s.text, s.similarity, s.lexical, s.pooled::real, s.matched
    from single s order by s.pooled desc nulls last, s.rank, s.chunk_id limit top_k
$$;
revoke all on function corpuscope.search_collections(uuid[], text, extensions.halfvec, text, int) from public;
grant execute on function corpuscope.search_collections(uuid[], text, extensions.halfvec, text, int) to authenticated, service_role;

create function api.search_chunks(
    query text default null, embedding extensions.halfvec default null, collection uuid default null, top_k int default 10,
    documents uuid[] default null
) returns table (
    rank int, chunk_id bigint, collection_id uuid, document_id uuid, document_name text, title text, text_revision int, page int,
    start_char int, end_char int, heading_path text[], content text, similarity real, lexical real, score real, matched text[]
)
language plpgsql volatile set search_path = '' as $$
#variable_conflict use_column
declare
    question constant text := nullif(trim(query), '');
    mode constant text := case when question is null then 'dense' when embedding is null then 'lexical' else 'hybrid' end;
begin
    if question is null and embedding is null then
        raise exception 'A search needs a query, an embedding or both.' using errcode = 'PT400';
    elsif length(question) > 8000 then
        raise exception 'A query has at most 8,000 characters.' using errcode = 'PT400', hint = 'Ask for less at once.';
    elsif top_k between 1 and 1000 is not true then
        raise exception 'A search returns between 1 and 1,000 chunks.' using errcode = 'PT400';
    elsif collection is null and documents is not null then
        raise exception 'Say in which collection these documents are.' using errcode = 'PT400';
    elsif auth.uid() is null then
        raise exception 'A server''s key is nobody, so it sees nothing to search.' using errcode = 'PT404', hint = 'Search with the token of a person.';
    end if;
    if collection is null then
        return query
        select row_number() over ()::int, h.chunk_id, h.collection_id, h.document_id, h.document, h.title, h.text_revision, h.page,
               h.start_char, h.end_char, h.heading_path, h.text, h.similarity, h.lexical, h.score, h.matched
        from corpuscope.search_collections(
            corpuscope.searchable_collections(embedding is not null), question, embedding, mode, top_k
        ) h;
        return;
    elsif collection <> all (corpuscope.viewable_collections()) then
        raise exception 'That collection does not exist, or you may not see it.' using errcode = 'PT404', hint = 'Its id is in collections.';
    end if;
    return query
    select h.rank, h.chunk_id, collection, h.document_id, h.document, h.title, h.text_revision, h.page, h.start_char, h.end_char,
           h.heading_path, h.text, h.similarity, h.lexical, h.score, h.matched
    from corpuscope.search_collection(
        collection, question, embedding, corpuscope.profile_for(collection, mode, top_k), documents, null, null
    ) h order by h.rank;
end
$$;
comment on function api.search_chunks(text, extensions.halfvec, uuid, int, uuid[]) is
    'The passages nearest to a question: by its words (query), by its meaning (embedding, under the collection''s model) or by both. Without a collection, in all that the caller may see.';
revoke all on function api.search_chunks(text, extensions.halfvec, uuid, int, uuid[]) from public;
grant execute on function api.search_chunks(text, extensions.halfvec, uuid, int, uuid[]) to authenticated, service_role;

-- Collections ---------------------------------------------------------------------------------------------------------------
create view api.collections with (security_invoker = true) as
select c.id, c.name, c.description, c.is_public, c.created_at,
       (select m.role from public.collection_members m where m.collection_id = c.id and m.user_id = (select auth.uid())) as my_role,
       (select e.name from public.indexes i join public.embedding_models e on e.id = i.model_id where i.id = c.active_index_id) as embedding_model,
       (select e.dimensions from public.indexes i join public.embedding_models e on e.id = i.model_id where i.id = c.active_index_id) as dimensions,
       (select e.query_prefix from public.indexes i join public.embedding_models e on e.id = i.model_id where i.id = c.active_index_id) as query_prefix
from public.collections c;
comment on view api.collections is 'What the caller may see. Inserting one makes the caller its owner.
@graphql({"primary_key_columns": ["id"], "totalCount": {"enabled": true}})';
comment on column api.collections.my_role is 'viewer, editor or owner; null for a public collection of others.';
comment on column api.collections.embedding_model is 'The model whose vectors search_chunks compares; a vector to search with has as many dimensions.';
comment on column api.collections.query_prefix is 'What the model wants in front of a question before it is embedded; often nothing.';

create function corpuscope.insert_collection() returns trigger
language plpgsql set search_path = '' as $$
declare
    made constant uuid := public.create_collection(new.name, coalesce(new.description, ''));
begin
    select c.* into new from api.collections c where c.id = made;
    return new;
end
$$;
revoke all on function corpuscope.insert_collection() from public;
create trigger insert_collection instead of insert on api.collections for each row execute function corpuscope.insert_collection();
grant select, insert (name, description), update (name, description) on api.collections to authenticated;
grant select on api.collections to service_role;

-- Documents -----------------------------------------------------------------------------------------------------------------
create view api.documents with (security_invoker = true) as
select d.id, d.collection_id, d.name, d.title,
       (select t.text from public.document_texts t where t.document_id = d.id and t.revision = d.text_revision) as text,
       d.media_type, d.language, d.size, d.stage, d.stage_at, d.error, d.error_hint, d.page_count, d.char_count, d.text_revision,
       d.replaces, d.created_at
from public.documents d;
comment on view api.documents is 'Insert name, text and collection_id: workers read, cut and embed it, and stage becomes ready. Deleting puts it into the trash.
@graphql({"primary_key_columns": ["id"], "totalCount": {"enabled": true}, "foreign_keys": [{"local_name": "documents", "local_columns": ["collection_id"], "foreign_name": "collection", "foreign_schema": "api", "foreign_table": "collections", "foreign_columns": ["id"]}]})';
comment on column api.documents.name is 'Its ending says how the text is read: .md, .html, .csv, .json and so on; as plain text without one.';
comment on column api.documents.text is 'The text as it was read, in which all spans count characters; null until then. Name your columns to leave it out.';
comment on column api.documents.stage is 'stored, parsing, chunking, embedding, then ready; or failed or cancelled.';
comment on column api.documents.replaces is 'The document of the same collection that this one takes the place of once it is ready.';

-- A display name without folders, control and direction marks, as safe_name() of rag/reading/media.py makes it.
create function corpuscope.safe_name(raw text) returns text
language sql immutable set search_path = '' as $$
    select case when s.name ~ '[^. ]' then left(s.name, 255) else 'unnamed' end
    from (
        select trim(regexp_replace(
            regexp_replace(
                rtrim(regexp_replace(normalize(raw), '[\u0001-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]', '', 'g'), '/\ '),
                '^.*[/\\]', ''
            ), '\s+', ' ', 'g'
        )) as name
    ) s
$$;
revoke all on function corpuscope.safe_name(text) from public;
grant execute on function corpuscope.safe_name(text) to authenticated, service_role;

-- The text becomes a file like an uploaded one, in pieces as uploads have them, and goes the same way from there.
create function corpuscope.store_text(document uuid, bytes bytea) returns void
language sql set search_path = '' as $$
    insert into public.document_files (document_id, part, data)
    select document, n, substring(bytes from n * 1048576 + 1 for 1048576)
    from generate_series(0, (octet_length(bytes) - 1) / 1048576) as n
$$;
revoke all on function corpuscope.store_text(uuid, bytea) from public;
grant execute on function corpuscope.store_text(uuid, bytea) to authenticated, service_role;

-- What a new version takes the place of: the one that is named, or, where that is itself a version still to come, what it would
-- have; then it is not needed any more.
create function corpuscope.take_place_of(older uuid, collection uuid) returns uuid
language plpgsql set search_path = '' as $$
declare
    before uuid;
begin
    select d.replaces into before from public.documents d where d.id = older and d.collection_id = collection for update;
    if not found then
        raise exception 'The document to replace is not in this collection.' using errcode = 'PT404';
    elsif before is not null then
        delete from public.documents d where d.id = older;
    end if;
    return coalesce(before, older);
end
$$;
revoke all on function corpuscope.take_place_of(uuid, uuid) from public;
grant execute on function corpuscope.take_place_of(uuid, uuid) to authenticated, service_role;

create function corpuscope.insert_document() returns trigger
language plpgsql set search_path = '' as $$
declare
    most constant int := 10000000;
    bytes constant bytea := convert_to(new.text, 'UTF8');
    digest constant bytea := sha256(bytes);
    given constant text := new.text;
    made uuid;
    known record;
begin
    if new.collection_id is null or new.name is null or coalesce(given, '') !~ '\S' then
        raise exception 'A document needs a collection_id, a name and a text.' using errcode = 'PT400';
    elsif octet_length(bytes) > most then
        raise exception 'A text has at most 10 MB here.' using errcode = 'PT413', hint = 'Upload larger files in the app or with corpuscope ingest.';
    elsif row_security_active('public.documents') and new.collection_id <> all (corpuscope.editable_collections()) then
        raise exception 'That collection does not exist, or you may not add to it.' using errcode = 'insufficient_privilege';
    end if;
    select d.id, d.name into known from public.documents d where d.collection_id = new.collection_id and d.sha256 = digest;
    if found then
        raise exception 'The collection has this text already: “%”.', known.name
            using errcode = 'unique_violation', detail = known.id::text;
    end if;
    made := public.find_in_trash(new.collection_id, digest);
    if made is not null then
        perform public.restore_documents(array [made]);
    else
        insert into public.documents (collection_id, name, title, size, sha256, replaces)
        values (
            new.collection_id, corpuscope.safe_name(new.name), new.title, octet_length(bytes), digest,
            case when new.replaces is not null then corpuscope.take_place_of(new.replaces, new.collection_id) end
        ) returning id into made;
        perform corpuscope.store_text(made, bytes);
    end if;
    select d.* into new from api.documents d where d.id = made;
    new.text := given;
    return new;
end
$$;
revoke all on function corpuscope.insert_document() from public;
create trigger insert_document instead of insert on api.documents for each row execute function corpuscope.insert_document();

-- A name that is changed is made harmless too. Who may only view the document changes nothing.
create function corpuscope.update_document() returns trigger
language plpgsql set search_path = '' as $$
begin
    update public.documents d set name = corpuscope.safe_name(new.name), title = new.title where d.id = old.id returning d.name into new.name;
    return case when found then new end;
end
$$;
revoke all on function corpuscope.update_document() from public;
create trigger update_document instead of update on api.documents for each row execute function corpuscope.update_document();

create function corpuscope.trash_document() returns trigger
language plpgsql set search_path = '' as $$
begin
    perform public.curate_documents(old.collection_id, array [old.id]);
    return old;
end
$$;
revoke all on function corpuscope.trash_document() from public;
create trigger trash_document instead of delete on api.documents for each row execute function corpuscope.trash_document();
grant select, delete, insert (collection_id, name, title, text, replaces), update (name, title) on api.documents to authenticated;
grant select, insert (collection_id, name, title, text, replaces) on api.documents to service_role;

-- Chunks of the active indexes ------------------------------------------------------------------------------------------------
create view api.chunks with (security_invoker = true) as
select k.id, k.document_id, k.collection_id, k.ordinal, k.text as content, k.page, k.heading_path, k.start_char, k.end_char,
       k.token_count, k.language, k.excluded, exists (select from public.embeddings e where e.chunk_id = k.id) as embedded
from public.chunks k
where k.index_id in (select c.active_index_id from public.collections c);
comment on view api.chunks is 'The passages that a search can find, of the active index of each collection, where they stand in their document.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "chunks", "local_columns": ["document_id"], "foreign_name": "document", "foreign_schema": "api", "foreign_table": "documents", "foreign_columns": ["id"]}]})';
comment on column api.chunks.excluded is 'Left out of searches by somebody who curates the collection.';
grant select on api.chunks to authenticated, service_role;

-- Asking --------------------------------------------------------------------------------------------------------------------
create view api.chats with (security_invoker = true) as
select h.id, h.collection_id, h.title, h.created_by = (select auth.uid()) as is_mine, h.created_at, h.updated_at
from public.chats h;
comment on view api.chats is 'Conversations of the caller and those shared with them.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "chats", "local_columns": ["collection_id"], "foreign_name": "collection", "foreign_schema": "api", "foreign_table": "collections", "foreign_columns": ["id"]}]})';
grant select, delete, insert (collection_id, title), update (title) on api.chats to authenticated;
grant select on api.chats to service_role;

create view api.messages with (security_invoker = true) as
select m.id, m.chat_id, m.parent_id, m.position, m.role,
       case when m.phase = 'generating' then coalesce((
           select string_agg(d.text, '' order by d.seq) from public.message_deltas d where d.message_id = m.id and d.attempt = m.attempt
       ), '') else m.content end as content,
       m.phase, m.kind, m.model, m.error, m.error_hint, m.created_at,
       (select a.id from public.messages a where a.parent_id = m.id order by a.position desc limit 1) as answer_id
from public.messages m;
comment on view api.messages is 'Insert chat_id and content to ask; the answer is the message answer_id, written by a worker: read it until phase is complete, failed or stopped.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "messages", "local_columns": ["chat_id"], "foreign_name": "chat", "foreign_schema": "api", "foreign_table": "chats", "foreign_columns": ["id"]}]})';
comment on column api.messages.content is 'While an answer is being written, what there is of it.';
comment on column api.messages.parent_id is 'An answer''s question; the answer that a question goes on from: without it the newest.';
comment on column api.messages.answer_id is 'The newest message that follows: of a question its answer.';
comment on column api.messages.model is 'The chat model that wrote it; to ask, the one that should.';

create function corpuscope.insert_question() returns trigger
language plpgsql set search_path = '' as $$
declare
    answer constant uuid := public.ask(new.chat_id, new.content, null, new.parent_id, new.model);
begin
    select q.* into new from api.messages q where q.answer_id = answer and q.id = (select m.parent_id from public.messages m where m.id = answer);
    return new;
end
$$;
revoke all on function corpuscope.insert_question() from public;
create trigger insert_question instead of insert on api.messages for each row execute function corpuscope.insert_question();
grant select, insert (chat_id, content, parent_id, model) on api.messages to authenticated;
grant select on api.messages to service_role;

create view api.sources with (security_invoker = true) as
select p.message_id, p.number, p.document_id, p.chunk_id, p.document_name, p.title, p.page, p.text_revision, p.start_char, p.end_char,
       p.text as content, p.similarity, p.lexical, p.score,
       coalesce((
           select jsonb_agg(jsonb_build_object('start_char', c.start_char, 'end_char', c.end_char, 'quote', c.quote) order by c.ordinal)
           from public.citations c where c.message_id = p.message_id and c.number = p.number
       ), '[]') as quotes
from public.passages p;
comment on view api.sources is 'The passages that an answer was made from, as they were then; [1] in it is the one with number 1.
@graphql({"primary_key_columns": ["message_id", "number"], "foreign_keys": [{"local_name": "sources", "local_columns": ["message_id"], "foreign_name": "message", "foreign_schema": "api", "foreign_table": "messages", "foreign_columns": ["id"]}]})';
comment on column api.sources.quotes is 'What the answer quotes of it: [{start_char, end_char, quote}], spans of the document''s text.';
grant select on api.sources to authenticated, service_role;

-- For programs that answer by a model of their own from what search_chunks found, as the Edge Function ask does: limits hold
-- for them as well. Who calls it counts a question of their own, and one of each of these collections.
create function corpuscope.count_own_question(collections uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
declare
    asked constant uuid[] := array(select distinct c.id from unnest(collections) c (id) order by c.id);
begin
    if auth.uid() is null then
        raise exception 'A server''s key is nobody, so it asks nothing.' using errcode = 'PT404', hint = 'Ask with the token of a person.';
    elsif cardinality(asked) = 0 then
        raise exception 'Say which collections the question is asked of.' using errcode = 'PT400';
    elsif asked <@ corpuscope.viewable_collections() is not true then
        raise exception 'One of those collections does not exist, or you may not see it.'
            using errcode = 'PT404', hint = 'Their ids are in collections.';
    end if;
    perform corpuscope.count_question('person', auth.uid());
    perform corpuscope.count_question('collection', c.id) from unnest(asked) c (id);
end
$$;
revoke all on function corpuscope.count_own_question(uuid[]) from public;
grant execute on function corpuscope.count_own_question(uuid[]) to authenticated, service_role;

create function api.count_question(collections uuid[]) returns table (scope text, used bigint, allowed bigint)
language plpgsql volatile set search_path = '' as $$
begin
    perform corpuscope.count_own_question(count_question.collections);
    return query
    select l.scope, l.used, l.allowed from public.my_limits(null) l where l.what = 'questions today';
end
$$;
comment on function api.count_question(uuid[]) is
    'Counts a question of the caller''s, and of each of these collections, and refuses it over a limit. Answers with how many of today''s the caller has used.';
revoke all on function api.count_question(uuid[]) from public;
grant execute on function api.count_question(uuid[]) to authenticated, service_role;

-- Evaluation, to read ---------------------------------------------------------------------------------------------------------
create view api.evaluation_sets with (security_invoker = true) as
select s.id, s.collection_id, s.name, s.description, s.created_at from public.evaluation_sets s;
comment on view api.evaluation_sets is 'Sets of labelled questions.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "evaluation_sets", "local_columns": ["collection_id"], "foreign_name": "collection", "foreign_schema": "api", "foreign_table": "collections", "foreign_columns": ["id"]}]})';

create view api.questions with (security_invoker = true) as
select q.id, q.set_id, q.collection_id, q.text, q.external_id, q.state, q.origin, q.created_at from public.questions q;
comment on view api.questions is 'The questions of a set; evaluations ask those that are accepted.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "questions", "local_columns": ["set_id"], "foreign_name": "evaluation_set", "foreign_schema": "api", "foreign_table": "evaluation_sets", "foreign_columns": ["id"]}]})';

create view api.judgements with (security_invoker = true) as
select j.id, j.question_id, j.collection_id, j.document_id, j.text_revision, j.start_char, j.end_char, j.grade, j.origin, j.created_at
from public.judgements j;
comment on view api.judgements is 'Which characters of which document answer a question; grade 0 does not, 3 does best. Without a span it is the whole document.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "judgements", "local_columns": ["question_id"], "foreign_name": "question", "foreign_schema": "api", "foreign_table": "questions", "foreign_columns": ["id"]}]})';

create view api.evaluation_runs with (security_invoker = true) as
select r.id, r.set_id, r.collection_id, r.profile_name, r.profile_version, r.profile, r.model, r.state, r.asked, r.total, r.metrics,
       r.reason, r.hint, r.created_at, r.finished_at
from public.evaluation_runs r;
comment on view api.evaluation_runs is 'What a set of questions scored under a retrieval profile.
@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "runs", "local_columns": ["set_id"], "foreign_name": "evaluation_set", "foreign_schema": "api", "foreign_table": "evaluation_sets", "foreign_columns": ["id"]}]})';

create view api.evaluation_results with (security_invoker = true) as
select e.run_id, e.question_id, e.hits, e.metrics, e.latency_ms from public.evaluation_results e;
comment on view api.evaluation_results is 'What each question of a run found and scored.
@graphql({"primary_key_columns": ["run_id", "question_id"], "foreign_keys": [{"local_name": "results", "local_columns": ["run_id"], "foreign_name": "run", "foreign_schema": "api", "foreign_table": "evaluation_runs", "foreign_columns": ["id"]}, {"local_name": "results", "local_columns": ["question_id"], "foreign_name": "question", "foreign_schema": "api", "foreign_table": "questions", "foreign_columns": ["id"]}]})';
comment on column api.evaluation_results.hits is 'Best first: d document, s start, e end, c chunk, sim similarity, score.';
grant select on api.evaluation_sets, api.questions, api.judgements, api.evaluation_runs, api.evaluation_results to authenticated, service_role;

comment on schema api is 'Corpuscope
Search, add, ask and read: everything under the rights of whoever asks.
@graphql({"inflect_names": true})';
-- A REST server that is up reads the schema again.
notify pgrst, 'reload schema';
