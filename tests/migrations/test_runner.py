"""The migration runner: all or nothing, once, in order, by one at a time, and as the Supabase CLI records it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from rag.errors import MigrationError
from rag.store import bootstrap, migrations
from rag.store.database import connect, prepare
from rag.store.migrations import migrate, pending
from rag.store.postgres import EmbeddedPostgres
from rag.store.statements import split_statements

FIRST = "20300101000000_first.sql"
SECOND = "20300102000000_second.sql"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small migrations."""
    (tmp_path / FIRST).write_text("-- One table\ncreate table public.a (x int);\n\ninsert into public.a values (1);\n")
    (tmp_path / SECOND).write_text("do $$ begin perform 1; end $$; alter table public.a add y text default ';';")
    return tmp_path


@pytest.fixture
def conn(server: EmbeddedPostgres, empty_database: str) -> Iterator[Connection[Any]]:
    """A bootstrapped database as its owner sees it."""
    with connect(server.dsn("supabase_admin", empty_database)) as admin:
        assert bootstrap.bootstrap(admin)
    with connect(server.dsn("postgres", empty_database)) as owner:
        yield owner


def history(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    query = "select version, name, statements from supabase_migrations.schema_migrations order by version"
    return conn.execute(query).fetchall()


def columns(conn: Connection[Any]) -> list[str]:
    query = "select attname from pg_attribute where attrelid = to_regclass('public.a') and attnum > 0 order by attnum"
    return [name for (name,) in conn.execute(query)]


def test_applies_in_order_and_records_what_the_cli_would(conn: Connection[Any], folder: Path) -> None:
    said: list[str] = []
    assert migrate(conn, folder, said.append) == [FIRST, SECOND]
    assert columns(conn) == ["x", "y"]
    assert history(conn) == [
        (
            "20300101000000",
            "first",
            ["-- One table\ncreate table public.a (x int)", "insert into public.a values (1)"],
        ),
        ("20300102000000", "second", ["do $$ begin perform 1; end $$", "alter table public.a add y text default ';'"]),
    ]
    assert [name in message for name, message in zip([FIRST, SECOND], said, strict=True)] == [True, True]


def test_a_rerun_is_a_no_op(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    before = history(conn)
    assert migrate(conn, folder, pytest.fail) == []
    assert history(conn) == before


def test_runs_as_the_owner_that_supabase_has(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    row = conn.execute(
        "select tableowner, r.rolsuper, r.rolbypassrls, r.rolcreaterole from pg_tables"
        " join pg_roles r on rolname = tableowner where tablename = 'a'"
    ).fetchone()
    assert row == ("postgres", False, True, True)


def test_a_failing_migration_leaves_nothing(conn: Connection[Any], folder: Path) -> None:
    (folder / SECOND).write_text("alter table public.a add z int;\n\n-- wrong\nselect nonsense;")
    with pytest.raises(MigrationError, match=r'second\.sql failed at statement 2 of 2 \(select nonsense\).*"nonsense"'):
        migrate(conn, folder)
    assert columns(conn) == ["x"]
    assert [version for version, *_ in history(conn)] == ["20300101000000"]
    (folder / SECOND).write_text("alter table public.a add z int;")
    assert migrate(conn, folder) == [SECOND]


def test_an_edited_migration_is_refused_by_name(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    for edited in ("create table public.a (x bigint)", "", (folder / FIRST).read_text() + "select 2;"):
        (folder / FIRST).write_text(edited)
        with pytest.raises(MigrationError, match=r"first\.sql was edited"):
            pending(conn, folder)


def test_white_space_between_statements_is_no_edit(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    script = (folder / FIRST).read_text()
    (folder / FIRST).write_text("\n" + script.replace("\n\n", "\n \n\t\n") + "\n;\n")
    assert pending(conn, folder) == []
    (folder / FIRST).write_text(script.replace("(x int)", "(x  int)"))
    with pytest.raises(MigrationError):
        pending(conn, folder)


def test_a_history_without_statements_is_trusted(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    conn.execute("update supabase_migrations.schema_migrations set statements = null, name = null")
    assert pending(conn, folder) == []


def test_a_database_of_a_newer_version_is_refused(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    (folder / SECOND).unlink()
    with pytest.raises(MigrationError, match="newer Corpuscope"):
        migrate(conn, folder)


def test_a_removed_migration_is_refused(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    (folder / FIRST).unlink()
    with pytest.raises(MigrationError, match="20300101000000, which this Corpuscope doesn't know"):
        migrate(conn, folder)


def test_a_migration_out_of_order_is_refused(conn: Connection[Any], folder: Path) -> None:
    migrate(conn, folder)
    (folder / "20300101120000_late.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=r"late\.sql is older"):
        migrate(conn, folder)


def test_bad_names_are_refused(conn: Connection[Any], folder: Path) -> None:
    (folder / "20300102000000_again.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match="the same version"):
        migrate(conn, folder)
    (folder / "20300102000000_again.sql").rename(folder / "again.sql")
    with pytest.raises(MigrationError, match="not named"):
        migrate(conn, folder)
    with pytest.raises(MigrationError, match="missing"):
        migrate(conn, folder / "none")


def test_runners_at_once_apply_everything_once(conn: Connection[Any], server: EmbeddedPostgres, folder: Path) -> None:
    (folder / FIRST).write_text("create table public.a (x int); select pg_sleep(0.3);")
    applied: list[list[str]] = []

    def run() -> None:
        with connect(server.dsn("postgres", conn.info.dbname)) as own:
            applied.append(migrate(own, folder))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(applied) == [[], [], [], [FIRST, SECOND]]


def test_a_waiting_runner_says_for_whom(conn: Connection[Any], server: EmbeddedPostgres, folder: Path) -> None:
    said: list[str] = []
    heard = threading.Event()

    def listen(message: str) -> None:
        said.append(message)
        heard.set()

    def run() -> None:
        with connect(server.dsn("postgres", conn.info.dbname)) as own:
            migrate(own, folder, listen)

    with connect(server.dsn("postgres", conn.info.dbname), application_name="a slow one") as holder:
        holder.execute("select pg_advisory_lock(%s)", (bootstrap.SCHEMA_LOCK,))
        waiting = threading.Thread(target=run)
        waiting.start()
        assert heard.wait(20)
        session = holder.info.backend_pid
    waiting.join()
    assert said[0].startswith(f"Waiting for a slow one (session {session}")
    assert len(history(conn)) == 2


def test_settings_of_a_migration_end_with_it(conn: Connection[Any], folder: Path) -> None:
    (folder / FIRST).write_text("set search_path = ''; create table public.a (x int);")
    (folder / SECOND).write_text("alter table a add y text;")
    assert migrate(conn, folder) == [FIRST, SECOND]


def test_our_own_migrations_split_back_into_themselves(server: EmbeddedPostgres, empty_database: str) -> None:
    applied = prepare(server.dsn("supabase_admin", empty_database), server.dsn("postgres", empty_database))
    assert applied == sorted(path.name for path in migrations.FOLDER.glob("*.sql"))
    with connect(server.dsn("postgres", empty_database)) as conn:
        for version, name, statements in history(conn):
            script = (migrations.FOLDER / f"{version}_{name}.sql").read_text()
            assert statements == split_statements(script)
    assert prepare(server.dsn("supabase_admin", empty_database), server.dsn("postgres", empty_database)) == []


def test_the_bootstrap_is_what_supabase_has(conn: Connection[Any], server: EmbeddedPostgres) -> None:
    def one(query: str) -> object:
        row = conn.execute(query.encode()).fetchone()
        return row[0] if row else None

    roles = conn.execute(
        "select rolname, rolcanlogin, rolinherit, rolsuper, rolbypassrls from pg_roles"
        " where rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'postgres') order by 1"
    ).fetchall()
    assert roles == [
        ("anon", False, True, False, False),
        ("authenticated", False, True, False, False),
        ("authenticator", True, False, False, False),
        ("postgres", True, True, False, True),
        ("service_role", False, True, False, True),
    ]
    assert one("show search_path") == '"$user", public, extensions'
    extensions = (
        "select array_agg(extname::text order by extname) from pg_extension where extnamespace = %s::regnamespace"
    )
    assert one(extensions % "'extensions'") == ["pg_trgm", "unaccent", "vector"]
    assert one("select pubname from pg_publication") == "supabase_realtime"
    assert one("select setconfig[1] from pg_db_role_setting where setrole = 'authenticated'::regrole") == (
        "statement_timeout=8s"
    )
    conn.execute("select pgmq.create('jobs')")
    assert one("select pgmq.send('jobs', '{}')") == 1
    conn.execute("create table public.t (id int, by uuid references auth.users (id))")
    conn.execute("create policy p on realtime.messages for select to authenticated using (realtime.topic() = 'x')")
    api_roles = "unnest('{anon,authenticated,service_role}'::name[]) as role"
    grants = f"select has_table_privilege(role, 'public.t', 'select') from {api_roles}"
    assert conn.execute(grants.encode()).fetchall() == [(False,), (False,), (False,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("create table auth.mine (x int)")


def test_the_bootstrap_repeats_itself_after_a_change_only(conn: Connection[Any], server: EmbeddedPostgres) -> None:
    with connect(server.dsn("supabase_admin", conn.info.dbname)) as admin:
        assert not bootstrap.bootstrap(admin)
        admin.execute("comment on schema auth is 'Corpuscope stand-in for Supabase of long ago'")
        assert bootstrap.bootstrap(admin)
        assert not bootstrap.bootstrap(admin)


def test_a_supabase_project_is_left_alone(server: EmbeddedPostgres, empty_database: str) -> None:
    with connect(server.dsn("supabase_admin", empty_database)) as admin:
        admin.execute("create schema auth")
        admin.execute("create function auth.uid() returns uuid language sql as 'select null::uuid'")
        assert not bootstrap.bootstrap(admin)
        assert not bootstrap.is_stand_in(admin)
        assert admin.execute("select to_regnamespace('pgmq')").fetchone() == (None,)


@pytest.mark.parametrize("legacy", [True, False])
def test_claims_are_read_as_supabase_reads_them(conn: Connection[Any], legacy: bool) -> None:
    query = "select auth.uid()::text, auth.role(), auth.email()"
    assert conn.execute(query.encode()).fetchone() == (None, None, None)
    sub = "00000000-0000-0000-0000-00000000000a"
    with conn.transaction():
        conn.execute("select set_config('request.jwt.claims', %s, true)", (f'{{"sub": "{sub}", "role": "r"}}',))
        if legacy:
            conn.execute("select set_config('request.jwt.claim.role', 'old', true)")
        assert conn.execute(query.encode()).fetchone() == (sub, "old" if legacy else "r", None)
    assert conn.execute(query.encode()).fetchone() == (None, None, None)
