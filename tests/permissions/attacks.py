"""How everybody tries each function on what is Alice's, and what came of it.

A refusal, or nothing told and nothing changed: that is what somebody without a right must get.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from tests.permissions.cast import ADA, ALICE, CAST, ED, VERA, Part, take_part
from tests.permissions.catalogue import fingerprint, open_functions

#: `may not`: the function isn't open to the role at all.
Outcome = Literal["may not", "refused", "nothing", "works"]

Values = dict[str, Any]

PUBLIC_ATTACKS: dict[str, str] = {
    "search_chunks": "select * from search_chunks(%(collection)s, 'canary', '[1,2,3]', '{}')",
    "similarity_histogram": "select similarity_histogram(%(collection)s, '[1,2,3]')",
    "save_scope": "select save_scope(%(collection)s, null, array [%(document)s], array [0], array [6])",
    "drop_scope": "select drop_scope(%(scope)s)",
    "scope_counts": "select * from scope_counts(array [%(scope)s])",
    "scope_members": "select * from scope_members(%(scope)s)",
    "retry_documents": "select retry_documents(array [%(document)s])",
    "pause_documents": "select pause_documents(array [%(document)s])",
    "resume_documents": "select resume_documents(array [%(document)s])",
    "cancel_documents": "select cancel_documents(array [%(document)s])",
    "set_document_language": "select set_document_language(%(document)s, 'de')",
    "build_index": "select build_index(%(collection)s, '{}')",
    "activate_index": "select activate_index(%(built)s)",
    "retire_index": "select retire_index(%(built)s)",
    "pause_index": "select pause_index(%(built)s)",
    "resume_index": "select resume_index(%(built)s)",
    "add_embedding_model": "select add_embedding_model('local', 'another', 8, 256)",
    "ask": "select ask(%(chat)s, 'canary?')",
    "edit_question": "select edit_question(%(question)s, 'canary?')",
    "regenerate_answer": "select regenerate_answer(%(message)s)",
    "delete_message": "select delete_message(%(message)s)",
    "chat_people": "select * from chat_people(%(chat)s)",
    "chat_candidates": "select * from chat_candidates(%(chat)s)",
    "share_chat": "select share_chat(%(chat)s, array [%(editor)s])",
    "unshare_chat": "select unshare_chat(%(chat)s, %(viewer)s)",
    "set_chat_collections": "select set_chat_collections(%(chat)s, array [%(collection)s])",
    "note_presence": "select note_presence(%(chat)s, '00000000-0000-4000-8000-000000000000')",
    "end_presence": "select end_presence(%(visit)s)",
    "who_is_here": "select * from who_is_here(%(chat)s)",
    "vote_answer": "select vote_answer(%(message)s, -1, 'canary')",
    "stop_answer": "select stop_answer(%(message)s)",
    "retry_answer": "select retry_answer(%(stopped)s)",
    "collection_people": "select * from collection_people(%(collection)s)",
    "share_collection": "select share_collection(%(collection)s, 'mallory@example.org', 'owner', sha256('m'))",
    "share_by_link": "select share_by_link(%(collection)s, 'editor', sha256('m'))",
    "open_invitations": "select * from open_invitations(%(collection)s)",
    "revoke_invitation": "select revoke_invitation(%(invitation)s)",
    "transfer_collection": "select transfer_collection(%(collection)s, %(editor)s)",
    "note_export": "select note_export(%(collection)s, 'all of it')",
    "my_limits": "select * from my_limits(%(collection)s) where scope = 'collection'",
    "my_model_use": "select * from my_model_use(%(chat)s) where scope = 'conversation'",
    "list_model_use": "select * from list_model_use()",
    "list_people": "select * from list_people()",
    "set_administrator": "select set_administrator(%(person)s, true)",
    "set_account_open": "select set_account_open(%(editor)s, false)",
    "describe_person_removal": "select * from describe_person_removal(%(person)s)",
    "delete_person": "select delete_person(%(editor)s)",
    "invite_person": "select invite_person('mallory@example.org', true, sha256('m'))",
    "make_password_reset": "select make_password_reset(%(person)s, sha256('m'))",
    "list_sessions": "select * from list_sessions(%(person)s)",
    "end_session": "select end_session(%(session)s)",
    "end_sessions": "select end_sessions(%(person)s)",
    "list_limits": "select * from list_limits()",
    "set_limits": "select set_limits('person', %(person)s, 0, 0, 0)",
    "list_all_collections": "select * from list_all_collections()",
    "make_default_profile": "select make_default_profile(%(profile)s)",
    "undo_default_profile": "select undo_default_profile(%(collection)s)",
    "curate_spans": "select curate_spans(%(collection)s, 'exclude', array [%(document)s], array [0], array [21])",
    "preview_act": "select * from preview_act('tag', array [%(document)s], array [0], array [21])",
    "curate_documents": "select curate_documents(%(collection)s, array [%(document)s])",
    "undo_act": "select undo_act(%(act)s)",
    "redo_act": "select redo_act(%(act)s)",
    "list_trash": "select * from list_trash(%(collection)s)",
    "find_in_trash": "select find_in_trash(%(collection)s, sha256('canary'))",
    "restore_documents": "select restore_documents(array [%(document)s])",
    "purge_documents": "select purge_documents(%(collection)s, array [%(document)s])",
    "start_map": "select start_map(%(collection)s)",
    "cancel_map": "select cancel_map(%(map)s)",
    "nearest_points": "select * from nearest_points(%(map)s, '[1,2,3]', 5)",
    "name_clusters": "select name_clusters(%(map)s)",
    "stop_naming": "select stop_naming(%(map)s)",
    "start_tuning": "select start_tuning(%(set)s, 'ndcg', 8000, %(profile)s, %(index)s)",
    "cancel_tuning": "select cancel_tuning(%(tuning)s)",
    "start_evaluation": "select start_evaluation(%(set)s, %(index)s)",
    "cancel_evaluation": "select cancel_evaluation(%(run)s)",
    "resume_evaluation": "select resume_evaluation(%(run)s)",
    "note_list_export": "select note_list_export('the list of activity')",
    "start_health_check": "select start_health_check(%(collection)s)",
    "cancel_health_check": "select cancel_health_check(%(health)s)",
    "keep_findings": "select keep_findings(%(collection)s, 'short', array [%(document)s]::uuid[], '{0}', '{5}')",
}

#: Open in the private schema, since policies and search_chunks() call them with the rights of whoever asks.
PRIVATE_ATTACKS: dict[str, str] = {
    "lexical_candidates": "select * from corpuscope.lexical_candidates(%(index)s, 'canary', null, 10)",
    "search_collection": "select * from corpuscope.search_collection("
    "%(collection)s, 'canary', '[1,2,3]', '{}', null, null)",
    "search_collections": "select * from corpuscope.search_collections("
    "array [%(collection)s]::uuid[], 'canary', '[1,2,3]', 'hybrid', 10)",
    "count_own_question": "select corpuscope.count_own_question(array [%(collection)s]::uuid[])",
    "search_candidates": "select * from corpuscope.search_candidates(%(collection)s, 'canary', '[1,2,3]', 200, null)",
    "index_size": "select corpuscope.index_size(%(index)s)",
    "model_trust": "select corpuscope.model_trust(%(index)s)",
    "trace_dense": "select * from corpuscope.trace_dense(%(index)s, '[1,2,3]', '{}', null, %(chunk)s)",
    "trace_terms": "select * from corpuscope.trace_terms(%(index)s, 'canary', %(chunk)s)",
    "visible_scopes": "select %(scope)s = any (corpuscope.visible_scopes())",
    "list_scope_spans": "select * from corpuscope.list_scope_spans(%(document)s)",
    "move_scope_spans": "select corpuscope.move_scope_spans(%(document)s, array [0], array [21], array [0], array [6])",
    "trashed_documents": "select %(document)s = any (corpuscope.trashed_documents())",
    "list_act_spans": "select * from corpuscope.list_act_spans(%(document)s)",
    "move_act_spans": "select corpuscope.move_act_spans(%(document)s, array [0], array [6], array [0], array [3])",
    "map_counts": "select * from corpuscope.map_counts(%(map)s)",
    "viewable_collections": "select %(collection)s = any (corpuscope.viewable_collections())",
    "member_collections": "select %(collection)s = any (corpuscope.member_collections())",
    "editable_collections": "select %(collection)s = any (corpuscope.editable_collections())",
    "owned_collections": "select %(collection)s = any (corpuscope.owned_collections())",
    "visible_chats": "select %(chat)s = any (corpuscope.visible_chats())",
    "joinable_channel": "select corpuscope.joinable_channel() is not null"
    " from (select set_config('realtime.topic', 'chat:' || %(chat)s, true) as topic offset 0) asked where topic <> ''",
    "editable_documents": "select %(document)s = any (corpuscope.editable_documents(array [%(document)s]))",
    "is_administrator": "select corpuscope.is_administrator()",
}

#: Through schema api, as a REST server would send it.
API_ATTACKS: dict[str, str] = {
    "search_chunks": "select * from api.search_chunks('canary', '[1,2,3]', %(collection)s)",
    "count_question": "select * from api.count_question(array [%(collection)s]::uuid[])",
    "collections, read": "select name from api.collections where id = %(collection)s",
    "collections, change": "update api.collections set description = 'canary' where id = %(collection)s returning id",
    "documents, read": "select text from api.documents where id = %(document)s",
    "documents, insert": "insert into api.documents (collection_id, name, text)"
    " values (%(collection)s, 'canary', 'a text') returning id",
    "documents, change": "update api.documents set title = 'canary' where id = %(document)s returning id",
    "documents, delete": "delete from api.documents where id = %(document)s returning id",
    "chunks, read": "select content from api.chunks where id = %(chunk)s",
    "chats, read": "select title from api.chats where id = %(chat)s",
    "chats, insert": "insert into api.chats (collection_id) values (%(collection)s) returning id",
    "chats, change": "update api.chats set title = 'mine' where id = %(chat)s returning id",
    "chats, delete": "delete from api.chats where id = %(chat)s returning id",
    "messages, read": "select content, answer_id from api.messages where chat_id = %(chat)s",
    "messages, insert": "insert into api.messages (chat_id, content) values (%(chat)s, 'canary?') returning id",
    "sources, read": "select content, quotes from api.sources where message_id = %(message)s",
    "evaluation_sets, read": "select name from api.evaluation_sets where id = %(set)s",
    "questions, read": "select text from api.questions where set_id = %(set)s",
    "judgements, read": "select grade from api.judgements where document_id = %(document)s",
    "evaluation_runs, read": "select model from api.evaluation_runs where id = %(run)s",
    "evaluation_results, read": "select hits from api.evaluation_results where run_id = %(run)s",
}

#: What they say or make is the caller's own, or the same for everybody: there is nothing to attack.
HARMLESS = {
    "create_collection": "makes a collection of the caller's own",
    "set_my_name": "the caller's own name",
    "worker_status": "whether work goes on, not where or on what",
    "index_is_complete": "an invoker's function: true of whatever the caller does not see",
    "caller": "the caller",
    "is_guest": "about the caller",
    "content_hash": "reads no table",
    "text_config": "reads no table",
    "fold_text": "reads no table",
    "split_pairs": "reads no table",
    "analyze_text": "reads no table",
    "matching_words": "reads no table",
    "complete_profile": "reads no table",
    "question_key": "reads no table",
    "profile_for": "an invoker's function: the default profile that the caller sees",
    "searchable_collections": "an invoker's function: those that the caller may view",
    "safe_name": "reads no table",
    "store_text": "an invoker's function: what the caller may insert into document_files",
    "take_place_of": "an invoker's function: finds, and deletes, what the caller may",
    "diversify": "an invoker's function: vectors that the caller does not see count as none",
    "corpus_state": "an invoker's function: counts what the caller sees",
    "judged_questions": "an invoker's function: counts what the caller sees",
    "content_state": "an invoker's function: counts what the caller sees",
}

#: A refusal says no, or that there is no such thing; anything else is a mistake in the attack.
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.NoDataFound)
#: How functions of schema api tell a REST server to answer 404.
NOT_FOUND = "PT404"

_TARGET = """
    select d.id as document, d.collection_id as collection, c.active_index_id as index, i.model_id as model,
           h.id as chat, m.id as message, m.parent_id as question, p.visit, k.id as chunk
    from public.collections c
    join public.documents d on d.collection_id = c.id
    join public.indexes i on i.id = c.active_index_id
    join public.chats h on h.collection_id = c.id and h.created_by = %(alice)s
    join public.messages m on m.chat_id = h.id and m.role = 'assistant'
    join public.chat_presence p on p.chat_id = h.id
    join public.chunks k on k.document_id = d.id
    where c.id = %(collection)s
"""


def find_target(conn: Connection[Any], collection: UUID) -> Values:
    """What of Alice's is tried on. Things are put into states in which each function has something to do."""
    row = conn.cursor(row_factory=dict_row).execute(_TARGET, {"collection": collection, "alice": ALICE}).fetchone()
    assert row is not None
    found = {
        "invitation": "select id from corpuscope.invitations where collection_id = %(collection)s",
        "session": "select id from corpuscope.sessions where user_id = %(person)s",
        "set": "select id from public.evaluation_sets where collection_id = %(collection)s",
        "scope": "select id from public.scopes where collection_id = %(collection)s",
        "act": "select id from public.curation_log where collection_id = %(collection)s",
        "map": "select id from public.maps where collection_id = %(collection)s",
        "tuning": "select id from public.tunings where collection_id = %(collection)s",
        "profile": "select id from public.retrieval_profiles where collection_id = %(collection)s",
        "run": "select id from public.evaluation_runs where collection_id = %(collection)s",
        "health": "select id from public.health_checks where collection_id = %(collection)s",
    }
    values: Values = row | {"person": ALICE, "editor": ED, "viewer": VERA, "administrator": ADA}
    for name, statement in found.items():
        values[name] = _one(conn, statement, values)
    return values


def _one(conn: Connection[Any], statement: str, values: Values) -> Any:
    row = conn.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]


#: What has to be so that a function would have an effect; undone like all of it.
_IN_TRASH = "update public.documents set trashed_at = now() where id = %(document)s"
SCENES = {
    "redo_act": "update public.curation_log set undone_at = now() where id = %(act)s",
    "list_trash": _IN_TRASH,
    "find_in_trash": _IN_TRASH,
    "restore_documents": _IN_TRASH,
    "purge_documents": _IN_TRASH,
    "trashed_documents": _IN_TRASH,
    "retry_documents": "update public.documents set stage = 'failed' where id = %(document)s",
    "pause_documents": "update public.documents set stage = 'parsing' where id = %(document)s",
    "resume_documents": "update public.documents set paused = true, stage = 'parsing' where id = %(document)s",
    "cancel_documents": "update public.documents set stage = 'parsing' where id = %(document)s",
    "retry_answer": "update public.messages set phase = 'stopped' where id = %(message)s",
    "who_is_here": "update public.chat_presence set seen_at = now() where chat_id = %(chat)s",
    "make_default_profile": "update public.retrieval_profiles set is_default = false where id = %(profile)s",
    "cancel_map": "update public.maps set state = 'running' where id = %(map)s",
    "stop_naming": "update public.cluster_namings set state = 'running' where map_id = %(map)s",
    "resume_evaluation": "update public.evaluation_runs set state = 'failed' where id = %(run)s",
}
_BUILT = """
    with made as (
        insert into public.indexes (collection_id, model_id, chunking, state)
        values (%(collection)s, %(model)s, '{}', 'building')
        returning id, collection_id
    )
    insert into public.index_documents (index_id, document_id, collection_id, text_revision)
    select id, %(document)s, collection_id, 1 from made returning index_id
"""


def attack(conn: Connection[Any], part: Part, statement: str, values: Values, scene: str | None = None) -> Outcome:
    """What a statement comes to for ``part``; undone. ``conn`` is a superuser's."""
    with conn.transaction(force_rollback=True):
        given = values | {"stopped": values["message"], "built": None}
        if "%(built)s" in statement:
            given["built"] = _one(conn, _BUILT, values)
        if scene is not None:
            conn.execute(scene.encode(), values)
        before = fingerprint(conn)
        try:
            with acting_until_done(conn, part):
                told = tell(conn.execute(statement.encode(), given).fetchall())
        except REFUSALS:
            return "refused"
        except psycopg.DatabaseError as error:
            if error.sqlstate != NOT_FOUND:
                raise
            return "refused"
        return "works" if told or fingerprint(conn) != before else "nothing"


class acting_until_done:
    """Like :func:`tests.permissions.cast.acting`, but what was done stays to be looked at."""

    def __init__(self, conn: Connection[Any], part: Part) -> None:
        self.conn, self.part = conn, part

    def __enter__(self) -> None:
        self.savepoint = self.conn.transaction()
        self.savepoint.__enter__()
        take_part(self.conn, self.part)

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self.conn.execute("select set_config('role', 'none', true), set_config('request.jwt.claims', '', true)")
        self.savepoint.__exit__(*error)


def tell(rows: list[Any]) -> list[Any]:
    """The rows that say anything."""
    return [row for row in rows if any(value not in (None, 0, False, "") for value in row)]


def try_api(conn: Connection[Any], statement: str, values: Values) -> dict[str, Outcome]:
    """What a statement on schema api, aimed at Alice's things, comes to for each part of the cast."""
    return {part.name: attack(conn, part, statement, values) for part in CAST}


def try_function(conn: Connection[Any], schema: str, name: str, values: Values) -> dict[str, Outcome]:
    """What calling it on Alice's things comes to for each part of the cast."""
    found: dict[str, Outcome] = {}
    statement = (PUBLIC_ATTACKS if schema == "public" else PRIVATE_ATTACKS)[name]
    for part in CAST:
        if name not in open_functions(conn, schema, part.role):
            found[part.name] = "may not"
        else:
            found[part.name] = attack(conn, part, statement, values, SCENES.get(name))
    return found
