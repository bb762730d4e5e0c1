"""A second user gets nothing of the first one's, over every table and function that the catalogue knows.

The lists are read from the catalogue: a new table without a canary row, or a new function without an attack, fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row

from rag.errors import CorpuscopeError
from rag.store.database import Database, connect
from tests.conftest import ALICE, BOB, copied_database

#: Rows that are the same for everybody: there is nothing to hide in them, but nobody may change them.
SHARED_TABLES = {"embedding_models"}

#: What anybody signed in may run in the private schema: each looks at the caller's own rights only.
PRIVATE_HELPERS = {
    "viewable_collections",
    "editable_collections",
    "owned_collections",
    "visible_chats",
    "editable_documents",
    "content_hash",
    # Text in, text out: they read no table.
    "text_config",
    "fold_text",
    "split_pairs",
    "analyze_text",
    "matching_words",
    "complete_profile",
}

SEED = """
select corpuscope.register_model('local', 'canary', 3, 256, '', '');
select set_config('request.jwt.claims', '{"sub": "aaaaaaaa-0000-4000-8000-000000000001"}', false);
select public.create_collection('Canary');
insert into public.documents (collection_id, name, size, sha256, text_revision)
    select id, 'canary.txt', 6, sha256('canary'), 0 from public.collections;
insert into public.document_files select id, 0, 'canary' from public.documents;
insert into public.document_texts (document_id, revision, text)
    select id, 1, 'canary in a coal mine' from public.documents;
insert into public.index_documents (index_id, document_id, collection_id, text_revision)
    select i.id, d.id, d.collection_id, 1 from public.documents d join public.indexes i using (collection_id);
insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text, language)
    select index_id, document_id, collection_id, 0, 0, 21, 'canary in a coal mine', 'en' from public.index_documents;
select corpuscope.store_embeddings(array_agg(id), array_agg(content_hash), array_agg('[1,2,3]'::extensions.halfvec))
    from public.chunks;
insert into public.span_marks (document_id, collection_id, start_char, end_char, kind, tag)
    select id, collection_id, 0, 6, 'tag', 'bird' from public.documents;
insert into public.failed_jobs (queue, message, collection_id, document_id, reason, attempts)
    select 'ingest', '{}', collection_id, id, 'canary', 1 from public.documents;
insert into public.retrieval_profiles (collection_id, name, settings) select id, 'canary', '{}' from public.collections;
insert into public.chats (collection_id, title) select id, 'canary' from public.collections;
select public.ask(id, 'Where is the canary?') from public.chats;
insert into public.message_deltas (message_id, attempt, seq, text)
    select id, 0, 1, 'canary' from public.messages where role = 'assistant';
insert into public.passages (message_id, number, document_id, document_name, text_revision, start_char, end_char, text)
    select m.id, 1, d.id, 'canary.txt', 1, 0, 6, 'canary' from public.messages m, public.documents d
    where m.role = 'assistant';
insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)
    select message_id, 1, 1, 0, 6, 'canary' from public.passages;
select corpuscope.index_lexical(array_agg(id)) from public.chunks;
"""


@pytest.fixture(scope="module")
def seeded(server: Any, template: str) -> Iterator[Database]:
    """Alice has a row in every table; Bob has none."""
    with copied_database(server, template) as database:
        with connect(database.owner_dsn) as conn:
            conn.execute(SEED)
        yield database


def tables(database: Database, schema: str = "public") -> list[str]:
    with database.as_owner() as conn:
        rows = conn.execute(
            "select relname from pg_class where relkind in ('r', 'p', 'v', 'm') and relnamespace = %s::regnamespace"
            " order by 1",
            (schema,),
        ).fetchall()
    return [row[0] for row in rows]


def functions(database: Database, schema: str, role: str) -> list[str]:
    with database.as_owner() as conn:
        rows = conn.execute(
            "select distinct p.proname from pg_proc p where p.pronamespace = %s::regnamespace"
            " and p.prorettype <> 'trigger'::regtype and has_function_privilege(%s, p.oid, 'execute')"
            " and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1",
            (schema, role),
        ).fetchall()
    return [row[0] for row in rows]


def test_every_exposed_table_has_row_level_security(seeded: Database) -> None:
    with seeded.as_owner() as conn:
        bare = conn.execute(
            "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
            " and not relrowsecurity"
        ).fetchall()
    assert bare == []


def test_every_policy_calls_its_helper_once_a_query(seeded: Database) -> None:
    """A bare function call in a policy runs once a row; wrapped in a sub-select it runs once a query."""
    with seeded.as_owner() as conn:
        bare = conn.execute(
            "select tablename, policyname from pg_policies where schemaname = 'public' and ("
            r" coalesce(qual, '') || coalesce(with_check, '') ~ '(auth\.uid|_collections|visible_chats)\(\)'"
            r" and coalesce(qual, '') || coalesce(with_check, '') !~* 'select (auth|corpuscope)\.\w+\(\)')"
        ).fetchall()
    assert bare == []


def test_alice_has_a_row_in_every_table(seeded: Database) -> None:
    with seeded.as_user(ALICE) as conn:
        for table in tables(seeded):
            count = conn.execute(sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))).fetchone()
            assert count is not None
            assert count[0] > 0, f"SEED leaves {table} empty, so this file proves nothing about it"


def test_bob_reads_and_counts_nothing(seeded: Database) -> None:
    with seeded.as_user(BOB) as conn:
        for table in set(tables(seeded)) - SHARED_TABLES:
            count = conn.execute(sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))).fetchone()
            assert count == (0,), f"Bob sees rows of {table}"


def columns(conn: Connection[Any], table: str) -> list[str]:
    rows = conn.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
        " and attgenerated = '' and attidentity = '' order by attnum",
        (f"public.{table}",),
    ).fetchall()
    return [row[0] for row in rows]


def test_bob_changes_and_deletes_nothing(seeded: Database) -> None:
    for table in tables(seeded):
        with seeded.as_owner() as conn:
            names = columns(conn, table)
        attempts = [sql.SQL("delete from public.{}").format(sql.Identifier(table))]
        attempts += [
            sql.SQL("update public.{} set {} = {}").format(
                sql.Identifier(table), sql.Identifier(name), sql.Identifier(name)
            )
            for name in names
        ]
        for attempt in attempts:
            assert touched(seeded, BOB, attempt) == 0, f"Bob could run {attempt} on {table}"


def test_bob_adds_nothing_to_what_is_alices(seeded: Database) -> None:
    for table in tables(seeded):
        with seeded.as_owner() as conn:
            names = columns(conn, table)
            record = conn.execute(f"select row_to_json(t)::text from public.{table} t limit 1").fetchone()
        assert record is not None
        for chosen in (names, [name for name in names if name not in {"id", "created_by"}]):
            listed = sql.SQL(", ").join(map(sql.Identifier, chosen))
            insert = sql.SQL("insert into public.{} ({}) select {} from json_populate_record(null::public.{}, %s)")
            statement = insert.format(sql.Identifier(table), listed, listed, sql.Identifier(table))
            assert touched(seeded, BOB, statement, record) == 0, f"Bob could add a row of Alice's to {table}"


def touched(database: Database, user: UUID, statement: Any, values: Any = None) -> int:
    """Rows that ``user`` touched with ``statement``; 0 when it was refused. Nothing is kept."""
    count = 0
    try:
        with database.as_user(user) as conn:
            count = conn.execute(statement, values).rowcount
            raise _RollBack
    except _RollBack:
        return count
    except (CorpuscopeError, psycopg.Error):
        return 0


class _RollBack(CorpuscopeError):
    """Ends a transaction without keeping it."""


def test_strangers_have_no_way_in(seeded: Database) -> None:
    """`anon` may use no table and no function; `authenticated` none of the private tables or of the queue."""
    with seeded.as_owner() as conn:
        open_tables = conn.execute(
            "select n.nspname, c.relname, r.rolname from pg_class c join pg_namespace n on n.oid = c.relnamespace,"
            " (values ('anon'), ('authenticated')) r (rolname)"
            " where c.relkind in ('r', 'p', 'v', 'm') and (n.nspname in ('corpuscope', 'pgmq')"
            " or (n.nspname = 'public' and r.rolname = 'anon'))"
            " and has_schema_privilege(r.rolname, n.oid, 'usage')"
            " and (has_table_privilege(r.rolname, c.oid, 'select, insert, update, delete')"
            "      or has_any_column_privilege(r.rolname, c.oid, 'select, insert, update'))"
        ).fetchall()
    assert open_tables == []
    assert functions(seeded, "public", "anon") == []


def test_only_known_helpers_are_open_in_the_private_schema(seeded: Database) -> None:
    found = set(functions(seeded, "corpuscope", "authenticated"))
    assert found - set(PRIVATE_ATTACKS) <= PRIVATE_HELPERS


#: A refusal says no, or that there is no such thing; anything else is a mistake in the attack.
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.NoDataFound)

Attack = Callable[[Connection[Any], dict[str, Any]], Any]


def alices(database: Database) -> dict[str, Any]:
    with database.as_owner() as conn:
        row = (
            conn.cursor(row_factory=dict_row)
            .execute(
                "select d.id as document, d.collection_id as collection, i.id as index, c.id as chat, m.id as message,"
                " k.id as chunk from public.documents d join public.indexes i using (collection_id)"
                " join public.chats c using (collection_id)"
                " join public.messages m on m.chat_id = c.id and role = 'assistant'"
                " join public.chunks k on k.document_id = d.id"
            )
            .fetchone()
        )
    assert row is not None
    return row


def run(statement: str) -> Attack:
    return lambda conn, ids: conn.execute(statement, ids).fetchall()


#: How Bob tries each function on what is Alice's. An attack must end with nothing, zero, false or a refusal.
PUBLIC_ATTACKS: dict[str, Attack] = {
    "search_chunks": run("select * from search_chunks(%(collection)s, 'canary', '[1,2,3]', '{}')"),
    "retry_documents": run("select retry_documents(array [%(document)s])"),
    "pause_documents": run("select pause_documents(array [%(document)s])"),
    "resume_documents": run("select resume_documents(array [%(document)s])"),
    "cancel_documents": run("select cancel_documents(array [%(document)s])"),
    "set_document_language": run("select set_document_language(%(document)s, 'de')"),
    "build_index": run("select build_index(%(collection)s, '{}')"),
    "activate_index": run("select activate_index(%(index)s)"),
    "retire_index": run("select retire_index(%(index)s)"),
    "ask": run("select ask(%(chat)s, 'canary?')"),
    "stop_answer": run("select stop_answer(%(message)s)"),
    "retry_answer": run("select retry_answer(%(message)s)"),
}

PRIVATE_ATTACKS: dict[str, Attack] = {
    "lexical_candidates": run("select * from corpuscope.lexical_candidates(%(index)s, 'canary', null, 10)"),
    "dense_candidates": run("select * from corpuscope.dense_candidates(%(index)s, 1, '[1,2,3]', null, 10, 200)"),
    "nearest_by_graph": run("select * from corpuscope.nearest_by_graph(%(index)s, 1, '[1,2,3]', null, 10, 200, 20000)"),
    "nearest_by_scan": run("select * from corpuscope.nearest_by_scan(%(index)s, '[1,2,3]', null, 10)"),
    "index_size": run("select corpuscope.index_size(%(index)s)"),
    "model_trust": run("select corpuscope.model_trust(%(index)s)"),
}

#: Functions that take nothing of anybody's: they make something of the caller's own, or tell what all may know.
HARMLESS = {"create_collection", "worker_status", "index_is_complete"}


def test_every_function_is_attacked(seeded: Database) -> None:
    assert set(functions(seeded, "public", "authenticated")) <= set(PUBLIC_ATTACKS) | HARMLESS


@pytest.mark.parametrize("name", sorted(PUBLIC_ATTACKS | PRIVATE_ATTACKS))
def test_bob_gets_nothing_from_a_function(seeded: Database, name: str) -> None:
    before = fingerprint(seeded)
    rows, refusal = attempt_attack(seeded, BOB, name)
    assert not told(rows)
    assert refusal is None or isinstance(refusal.__cause__, REFUSALS), refusal
    assert fingerprint(seeded) == before


@pytest.mark.parametrize("name", ["search_chunks", *sorted(PRIVATE_ATTACKS), "pause_documents", "stop_answer", "ask"])
def test_the_attacks_work_for_alice(seeded: Database, name: str) -> None:
    """Else a mistake in an attack would pass for safety."""
    rows, refusal = attempt_attack(seeded, ALICE, name)
    assert refusal is None
    assert told(rows)


def attempt_attack(database: Database, user: UUID, name: str) -> tuple[list[Any], CorpuscopeError | None]:
    """What ``user`` got from an attack, and the refusal if there was one. Nothing that it changed is kept for Alice."""
    ids, rows = alices(database), []
    try:
        with database.as_user(user) as conn:
            rows = (PUBLIC_ATTACKS | PRIVATE_ATTACKS)[name](conn, ids)
            if user == ALICE:
                raise _RollBack
    except _RollBack:
        return rows, None
    except CorpuscopeError as refusal:
        return rows, refusal
    return rows, None


def told(rows: list[Any]) -> list[Any]:
    """The rows that say anything."""
    return [row for row in rows if any(value not in (None, 0, False) for value in row)]


def fingerprint(database: Database) -> list[Any]:
    """A digest of every table of the product."""
    with database.as_owner() as conn:
        return [
            conn.execute(
                sql.SQL(
                    "select {}, md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from public.{} t"
                ).format(sql.Literal(table), sql.Identifier(table))
            ).fetchone()
            for table in tables(database)
        ]


def test_forged_and_missing_claims_see_nothing(seeded: Database) -> None:
    for claims in ({}, {"role": "service_role"}, {"sub": str(BOB), "role": "service_role"}):
        with seeded.as_user(claims) as conn:
            assert conn.execute("select count(*) from public.documents").fetchone() == (0,)


def test_a_viewer_reads_but_does_not_change(seeded: Database) -> None:
    with seeded.as_owner() as conn, conn.transaction(force_rollback=True):
        conn.execute("insert into public.collection_members select id, %s, 'viewer' from public.collections", (BOB,))
        conn.execute("select set_config('role', 'authenticated', true)")
        conn.execute("select set_config('request.jwt.claims', %s, true)", (f'{{"sub": "{BOB}"}}',))
        assert conn.execute("select count(*) from public.chunks").fetchone() == (1,)
        assert conn.execute("update public.documents set title = 'mine'").rowcount == 0
        assert conn.execute("delete from public.documents").rowcount == 0
        assert conn.execute("select count(*) from public.chats").fetchone() == (0,)


def test_a_login_that_forgets_its_role_has_no_rights(seeded: Database) -> None:
    with connect(seeded.app_dsn) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select count(*) from public.documents")
