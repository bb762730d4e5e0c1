"""Doctor's questions to the database: what holds, and each failure, made on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from rag.commands import cli_doctor
from rag.commands.cli_output import Output
from rag.doctor.checkup import Check, ask
from rag.doctor.examining import examine, examine_database
from rag.doctor.line_checks import check_pooler, check_server, judge_clocks
from rag.doctor.rights_checks import check_grants, check_roles
from rag.doctor.schedule_checks import last_problem
from rag.doctor.schema_checks import check_migrations
from rag.errors import MigrationError
from rag.settings import Settings, load_settings
from rag.store import bootstrap, migrations
from rag.store.database import Database, connect
from rag.store.postgres import EmbeddedPostgres

Break = Callable[[str], None]


@pytest.fixture
def broken(server: EmbeddedPostgres, database: Database) -> Iterator[Break]:
    """Run a statement as the superuser."""
    name = str(conninfo_to_dict(database.owner_dsn)["dbname"])
    with connect(server.dsn("supabase_admin", name)) as conn:

        def run(statement: str) -> None:
            conn.execute(statement.encode())

        yield run


def settings_of(**values: object) -> Settings:
    return load_settings(None).model_copy(update=values)


def answers(database: Database, **values: object) -> dict[str, Check]:
    with database.as_owner() as conn:
        return {check.question: check for check in examine_database(database, conn, settings_of(**values))}


def test_an_installation_that_holds(database: Database) -> None:
    with database.as_owner() as conn:
        bootstrap.ensure_local_user(conn)
    found = answers(database)
    assert {check.question: check.words for check in found.values() if check.state != "ok"} == {
        "schedule": "Embeddings are left to workers: pg_cron calls no function of Corpuscope's."
    }
    assert next(iter(found)) == "database"
    assert "pgvector 0." in found["pgvector"].words
    assert f"All {len(list(migrations.FOLDER.glob('*.sql')))} are applied" in found["migrations"].words


@pytest.mark.parametrize(
    ("question", "statement", "words", "step"),
    [
        ("pgvector", "alter extension vector set schema public", "in schema public", "set schema extensions"),
        ("queues", "delete from pgmq.meta", "without a queue", "corpuscope migrate"),
        ("queues", "drop schema pgmq cascade", "not installed", "corpuscope migrate"),
        (
            "migrations",
            "delete from supabase_migrations.schema_migrations where version ="
            " (select max(version) from supabase_migrations.schema_migrations)",
            "1 to apply",
            "supabase db push",
        ),
        (
            "migrations",
            "update supabase_migrations.schema_migrations set statements = array['select 1']"
            " where version = (select max(version) from supabase_migrations.schema_migrations)",
            "was edited",
            "Restore the file",
        ),
        (
            "migrations",
            "insert into supabase_migrations.schema_migrations values ('29990101000000', null, 'later')",
            "newer Corpuscope",
            "Update Corpuscope",
        ),
        ("policies", "alter table public.chunks disable row level security", "public.chunks", "enable row level"),
        (
            "policies",
            "create table corpuscope.bare (id int); grant select (id) on corpuscope.bare to anon",
            "corpuscope.bare",
            "enable row level",
        ),
        ("policies", "create table public.bare (id int)", "public.bare", "enable row level"),
        ("policies", "create view api.all_chunks as select * from public.chunks", "api.all_chunks", "security_invoker"),
        ("grants", "grant all on public.chunks to anon", "public.chunks", "revoke"),
        ("channel policies", "alter table realtime.messages disable row level security", "no row level", "support"),
        (
            "channel policies",
            'drop policy "Corpuscope: people hear what they may see" on realtime.messages;'
            'drop policy "Corpuscope: people say that they are there" on realtime.messages',
            "lacks the policies",
            "corpuscope migrate",
        ),
        ("storage policies", "alter table storage.objects disable row level security", "no row level", "support"),
    ],
)
def test_what_fails_is_said_with_the_next_step(
    database: Database, broken: Break, question: str, statement: str, words: str, step: str
) -> None:
    broken(statement)
    check = answers(database)[question]
    assert check.state == "fail"
    assert words in check.words
    assert step in check.next_step


@pytest.mark.parametrize(("kind", "role"), [("tables", "authenticated"), ("functions", "anon")])
def test_what_is_given_by_default(database: Database, broken: Break, kind: str, role: str) -> None:
    broken(f"alter default privileges for role postgres in schema public grant all on {kind} to {role}")
    check = answers(database)["grants"]
    assert (check.state, f"given to {role} by default" in check.words) == ("warn", True)
    assert "alter default privileges" in check.next_step


def test_a_missing_pgvector(database: Database, broken: Break) -> None:
    broken("drop extension vector cascade")
    assert answers(database)["pgvector"].words == "pgvector is not installed."


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("alter role authenticated bypassrls", "Policies don't hold for authenticated"),
        ("alter role authenticator inherit", "all its roles at once"),
        ("grant corpuscope_worker to authenticated", "authenticated → corpuscope_worker"),
        ("revoke anon from postgres", "may not become anon"),
        ("alter role service_role rename to another_role", "Missing: service_role"),
    ],
)
def test_roles_that_get_around_policies(database: Database, broken: Break, statement: str, words: str) -> None:
    # Roles belong to the whole server: within a transaction that is undone.
    with connect(database.owner_dsn.replace("postgres@", "supabase_admin@")) as conn:
        conn.execute("begin")
        conn.execute(statement.encode())
        conn.execute("set local role postgres")
        check = check_roles(conn)
        conn.execute("rollback")
    assert check.state == "fail"
    assert words in check.words


def test_the_superuser_as_login_is_a_warning(server: EmbeddedPostgres, database: Database) -> None:
    name = str(conninfo_to_dict(database.owner_dsn)["dbname"])
    with Database(server.dsn("supabase_admin", name)) as as_superuser:
        assert answers(as_superuser)["roles"].state == "warn"


def test_what_needs_the_migrations_is_not_asked_before(server: EmbeddedPostgres, empty_database: str) -> None:
    with connect(server.dsn("supabase_admin", empty_database)) as conn:
        bootstrap.bootstrap(conn)
    with Database(server.dsn("authenticator", empty_database), server.dsn("postgres", empty_database)) as bare:
        found = answers(bare)
    assert found["migrations"].state == "fail"
    assert {found[question].state for question in ("policies", "grants", "roles", "schedule")} == {"skipped"}


def test_nobody_administers_yet(database: Database, broken: Break) -> None:
    broken("set session_replication_role = replica; update corpuscope.people set is_administrator = false")
    check = answers(database, auth="supabase")["people"]
    assert (check.state, check.next_step) == ("warn", "Start the app and sign in first.")


# A schedule: Supabase's own tables, made here as pg_cron makes them.
_CRON = (
    "create schema cron; create table cron.job (jobid bigint primary key, jobname text, active boolean, command text);"
    "create table cron.job_run_details (jobid bigint, status text, return_message text, start_time timestamptz);"
    "grant usage on schema cron to postgres; grant select on all tables in schema cron to postgres;"
)


@pytest.mark.parametrize(
    ("rows", "state", "words"),
    [
        ("insert into cron.job values (1, 'somebody else''s', true)", "skipped", "left to workers"),
        ("insert into cron.job values (1, null, false, 'select corpuscope.x()')", "warn", "off: select corpuscope.x()"),
        ("insert into cron.job values (1, 'corpuscope-embed', false)", "warn", "Switched off: corpuscope-embed"),
        ("insert into cron.job values (1, 'corpuscope-embed', true)", "fail", "need pg_net, supabase_vault"),
    ],
)
def test_the_schedule(database: Database, broken: Break, rows: str, state: str, words: str) -> None:
    broken(_CRON + rows)
    check = answers(database)["schedule"]
    assert check.state == state
    assert words in check.words


def test_the_last_run_of_the_schedule(database: Database, broken: Break) -> None:
    broken(_CRON + "insert into cron.job values (1, 'corpuscope-embed', true)")
    with database.as_owner() as conn:
        assert last_problem(conn, ["corpuscope-embed"]) == ""
        broken("insert into cron.job_run_details values (1, 'failed', 'no vault', now())")
        assert last_problem(conn, ["corpuscope-embed"]) == "no vault"
        broken("insert into cron.job_run_details values (1, 'succeeded', '1 row', now() + interval '10 s')")
        assert last_problem(conn, ["corpuscope-embed"]) == ""


# The line


def _line(host: str, version: int = 180006, *, encrypted: bool = False) -> SimpleNamespace:
    """A connection as far as it is looked at: no server here is old, or far away."""
    cursor = SimpleNamespace(fetchone=lambda: ("postgres", f"{version // 10000}.6"))
    info = SimpleNamespace(host=host, server_version=version)
    return SimpleNamespace(execute=lambda _query: cursor, info=info, pgconn=SimpleNamespace(ssl_in_use=encrypted))


@pytest.mark.parametrize(
    ("conn", "state"),
    [
        (_line("db.example.org", encrypted=True), "ok"),
        (_line("db.example.org"), "warn"),
        (_line("127.0.0.1"), "ok"),
        (_line("/run/postgresql"), "ok"),
        (_line("/run/postgresql", 140009), "fail"),
    ],
)
def test_the_server_at_the_other_end(conn: psycopg.Connection[object], state: str) -> None:
    assert check_server(conn, embedded=False).state == state


@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-2, "ok"), (8, "warn"), (-8, "warn"), (90, "fail")])
def test_clocks(seconds: int, state: str) -> None:
    now = datetime.now(UTC)
    check = judge_clocks("clock", "the database", now + timedelta(seconds=seconds), now, now)
    assert check.state == state
    if state != "ok":
        assert f"differ by {abs(seconds)} s" in check.words


def test_a_transaction_pooler_is_told_from_the_rest() -> None:
    pooler = Database("postgresql://postgres@aws-0-eu-central-1.pooler.supabase.com:6543/postgres")
    assert "no LISTEN" in check_pooler(pooler, "auto").words
    refused = check_pooler(pooler, "listen")
    assert (refused.state, "5432" in refused.next_step) == ("fail", True)


# The command


def test_a_database_that_is_not_there() -> None:
    settings = settings_of(database_url="postgresql://nobody@127.0.0.1:9/none")
    first, *others = examine(settings)
    assert (first.question, first.state) == ("database", "fail")
    assert "DATABASE_URL" in first.next_step
    assert [check.question for check in others] == ["project"]


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(server: EmbeddedPostgres, database: Database, broken: Break, as_json: bool) -> None:
    settings = settings_of(database_url=database.owner_dsn)
    arguments = SimpleNamespace()
    out = Output(json=as_json, stdout=StringIO(), stderr=StringIO())
    assert cli_doctor.run(arguments, settings, out) == 0  # type: ignore[arg-type]
    broken("grant truncate on public.chunks to anon")
    out = Output(json=as_json, stdout=StringIO(), stderr=StringIO())
    assert cli_doctor.run(arguments, settings, out) == 1  # type: ignore[arg-type]
    assert isinstance(out.stdout, StringIO)
    said = out.stdout.getvalue()
    if as_json:
        result = json.loads(said)
        assert result["fail"] == 1
        assert [check["question"] for check in result["checks"] if check["state"] == "fail"] == ["grants"]
    else:
        assert "FAIL   grants" in said
        assert "→ " in said
        assert "failures: 1" in said


def test_the_embedded_database_of_a_home(home: Path) -> None:
    """Nothing is made in it but the server itself."""
    settings = settings_of(corpuscope_home=home)
    first = next(iter(examine(settings)))
    assert (first.state, "corpuscope migrate" in first.next_step) == ("fail", True)


def test_a_question_that_cannot_be_asked_is_a_failure(database: Database) -> None:
    def refuse() -> Check:
        raise MigrationError("No.", hint="Yes.")

    assert ask("x", refuse) == Check("x", "fail", "No.", "Yes.")
    with connect(database.app_dsn) as conn:  # which may not look into the history
        conn.execute("set role anon")
        found = ask("migrations", lambda: check_migrations(conn))
    assert (found.state, "permission denied" in found.words, "postgres" in found.next_step) == ("fail", True, True)


def test_grants_of_a_fresh_database_are_as_documented(database: Database) -> None:
    with database.as_owner() as conn:
        assert check_grants(conn).state == "ok"
