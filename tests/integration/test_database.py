"""Connections as somebody: rights, errors in plain words, survival of a restarted server."""

from __future__ import annotations

import threading
from contextlib import suppress
from uuid import UUID

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector

from rag.errors import DatabaseError, DatabaseUnavailable, InvalidInput, NotAllowed
from rag.settings import Settings
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, connect, open_database
from rag.store.postgres import EmbeddedPostgres
from rag.store.refusals import translate


def test_as_user_takes_on_the_role_and_the_claims(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        row = conn.execute("select current_user, session_user, auth.uid(), auth.role()").fetchone()
    assert row == ("authenticated", "authenticator", alice, "authenticated")


def test_as_user_passes_verified_claims_on(database: Database, bob: UUID) -> None:
    claims = {"sub": str(bob), "role": "authenticated", "email": "bob'\\@example.org", "app_metadata": {"team": "x"}}
    with database.as_user(claims) as conn:
        row = conn.execute("select auth.uid(), auth.email(), auth.jwt()").fetchone()
    assert row == (bob, "bob'\\@example.org", claims)


def test_identity_ends_with_the_transaction(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        used = conn.info.backend_pid
    for _ in range(10):
        with database.pool.connection() as bare:
            row = bare.execute("select current_user, current_setting('request.jwt.claims', true)").fetchone()
            if bare.info.backend_pid == used:
                break
    else:
        pytest.fail("the pool never gave the same connection again")
    assert row == ("authenticator", "")


def test_a_path_that_forgets_as_user_has_no_rights(database: Database) -> None:
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    with database.pool.connection() as conn:
        assert conn.execute(tables).fetchone() != (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select * from public.collections")


def test_an_error_rolls_back_and_is_translated(database: Database, alice: UUID) -> None:
    def break_in() -> None:
        with database.as_user(alice) as conn:
            conn.execute("create temp table kept (x int)")
            conn.execute("select * from auth.users")

    with pytest.raises(NotAllowed) as caught:
        break_in()
    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)
    with database.as_user(alice) as conn:
        assert conn.execute("select to_regclass('kept')").fetchone() == (None,)


def test_a_swallowed_failure_is_not_a_silent_rollback(database: Database) -> None:
    def swallow() -> None:
        with database.as_worker() as conn, suppress(psycopg.errors.DivisionByZero):
            conn.execute("select 1/0")

    with pytest.raises(DatabaseError, match="Nothing was saved"):
        swallow()


def test_savepoints_work_inside(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
            conn.execute("select 1/0")
        assert conn.execute("select auth.uid()").fetchone() == (alice,)


def test_a_slow_statement_is_stopped(database: Database, alice: UUID) -> None:
    with pytest.raises(DatabaseError, match="too long"), database.as_user(alice, limit_s=0.05) as conn:
        conn.execute("select pg_sleep(5)")


def test_the_worker_has_its_own_role(database: Database) -> None:
    with database.as_worker() as conn:
        row = conn.execute(
            "select current_user, rolsuper, rolbypassrls from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == ("corpuscope_worker", False, False)


def test_vectors_pass_both_ways(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        sent = [HalfVector([1, 2]), HalfVector([3, 4])]
        row = conn.execute("select %b::halfvec[], %b::halfvec", (sent, sent[0])).fetchone()
    assert row is not None
    np.testing.assert_array_equal([v.to_numpy() for v in row[0]], [[1, 2], [3, 4]])
    assert row[1] == sent[0]


def test_a_broken_connection_is_replaced_unseen(database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        conn.execute("select 1")
    with database.as_owner() as owner:
        ended = owner.execute(
            "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity"
            " where usename = 'authenticator' and datname = current_database()"
        ).fetchone()
    assert ended is not None
    assert ended[0] >= 1
    with database.as_user(alice) as conn:
        assert conn.execute("select auth.uid()").fetchone() == (alice,)


def test_listen_hears_and_keeps_time(database: Database) -> None:
    heard = database.listen("corpuscope_test", timeout_s=0.1)
    assert next(heard) is None
    with database.as_owner() as conn:
        conn.execute("notify corpuscope_test, 'hello'")
    first = next(note for note in (next(heard) for _ in range(50)) if note is not None)
    assert (first.channel, first.payload) == ("corpuscope_test", "hello")
    heard.close()  # type: ignore[attr-defined]


def test_listen_outlives_its_connection(database: Database) -> None:
    heard = database.listen("corpuscope_test", timeout_s=0.1)
    next(heard)
    with database.as_owner() as conn:
        conn.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where query like 'listen%'")
        next(heard)
        next(heard)
        conn.execute("notify corpuscope_test, 'again'")
    assert next(note.payload for note in (next(heard) for _ in range(50)) if note is not None) == "again"
    heard.close()  # type: ignore[attr-defined]


def test_many_threads_share_the_pool(database: Database, alice: UUID, bob: UUID) -> None:
    seen: list[tuple[UUID, UUID]] = []

    def ask(user: UUID) -> None:
        for _ in range(20):
            with database.as_user(user) as conn:
                row = conn.execute("select auth.uid()").fetchone()
                assert row is not None
                seen.append((user, row[0]))

    threads = [threading.Thread(target=ask, args=(user,)) for user in [alice, bob] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 320
    assert all(asked == got for asked, got in seen)


def test_a_missing_server_is_said() -> None:
    with pytest.raises(DatabaseUnavailable, match="can't be reached"):
        connect("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (psycopg.errors.DiskFull("could not extend file"), DatabaseError, "disk of the database is full"),
        (psycopg.errors.DeadlockDetected("deadlock"), DatabaseError, "Somebody else"),
        (psycopg.OperationalError("connection to server failed: refused"), DatabaseUnavailable, "refused"),
        (psycopg.errors.UniqueViolation("duplicate key"), DatabaseError, "duplicate key"),
        (psycopg.OperationalError(""), DatabaseUnavailable, "can't be reached"),
    ],
)
def test_driver_errors_in_plain_words(error: psycopg.Error, expected: type[DatabaseError], words: str) -> None:
    translated = translate(error)
    assert type(translated) is expected
    assert words in str(translated)


def test_the_schema_speaks_to_people(database: Database, alice: UUID) -> None:
    with pytest.raises(InvalidInput, match="Pick a name first"), database.as_user(alice) as conn:
        conn.execute("do $$ begin raise exception 'Pick a name first'; end $$")


def test_open_database_prepares_everything_and_a_second_time_nothing(server: EmbeddedPostgres) -> None:
    said: list[str] = []
    settings = Settings(_env_file=None, corpuscope_home=server.home)
    with connect(server.dsn("supabase_admin", "postgres")) as conn:  # another test may have made it
        conn.execute("drop database if exists corpuscope with (force)")
    with open_database(settings, on_progress=said.append) as database:
        assert said
        said.clear()
        with open_database(settings, on_progress=said.append) as again, again.as_user(LOCAL_USER) as conn:
            assert conn.execute("select auth.uid()").fetchone() == (LOCAL_USER,)
        assert said == []
        with database.as_owner() as conn:
            assert conn.execute("select count(*) from auth.users where id = %s", (LOCAL_USER,)).fetchone() == (1,)


def test_open_database_takes_another_server(server: EmbeddedPostgres, empty_database: str, alice: UUID) -> None:
    url = server.dsn("supabase_admin", empty_database)
    settings = Settings(_env_file=None, database_url=url)
    with open_database(settings) as database, database.as_user(alice) as conn:
        assert conn.execute("select current_user, auth.uid()").fetchone() == ("authenticated", alice)
        with database.as_worker() as worker:
            assert worker.execute("select current_user").fetchone() == ("corpuscope_worker",)
        with database.pool.connection() as bare, pytest.raises(psycopg.errors.InsufficientPrivilege):
            bare.execute("select * from public.collections")


def test_what_an_administrator_prepared_once_is_worked_with_by_less(
    server: EmbeddedPostgres, empty_database: str
) -> None:
    with connect(server.dsn("supabase_admin", empty_database)) as conn:
        conn.execute("do $$ begin create role dba superuser login; exception when duplicate_object then null; end $$")
    owners = "select distinct tableowner from pg_tables where schemaname in ('public', 'corpuscope')"
    for role in ("dba", "postgres", "dba"):
        settings = Settings(_env_file=None, database_url=server.dsn(role, empty_database))
        with open_database(settings) as database:
            with database.as_worker() as worker, database.as_accounts() as accounts:
                assert worker.execute("select count(*) from public.collections").fetchone() == (0,)
                assert accounts.execute("select count(*) from corpuscope.people").fetchone() == (1,)
            with database.as_owner() as conn:
                assert conn.execute("select current_user").fetchone() == (role,)
                assert conn.execute(owners.encode()).fetchall() == [("postgres",)]


def test_another_server_is_prepared_by_its_administrator_only(server: EmbeddedPostgres, empty_database: str) -> None:
    with connect(server.dsn("supabase_admin", empty_database)) as conn:
        conn.execute("do $$ begin create role stranger login; exception when duplicate_object then null; end $$")
    settings = Settings(_env_file=None, database_url=server.dsn("stranger", empty_database))
    with pytest.raises(DatabaseError, match="stranger may not do that") as caught:
        open_database(settings)
    assert "administrator" in caught.value.hint
