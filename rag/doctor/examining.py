"""All questions in their order: what a later one needs is asked before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from psycopg import Connection

from rag.doctor import line_checks, project_checks, rights_checks, schedule_checks, schema_checks
from rag.doctor.checkup import Check, ask, fail, skipped
from rag.doctor.project_line import ProjectLine, project_line
from rag.errors import CorpuscopeError
from rag.settings import Settings
from rag.store.database import Database
from rag.store.postgres import EmbeddedPostgres

Progress: TypeAlias = Callable[[str], None]


def examine(settings: Settings, on_progress: Progress | None = None) -> Iterator[Check]:
    """Every question with its answer, as they come. Nothing is changed; the embedded server is started if need be."""
    try:
        with _open_unchanged(settings, on_progress) as database, database.as_owner() as conn:
            yield from examine_database(database, conn, settings)
    except CorpuscopeError as error:
        if settings.embedded and "does not exist" in str(error):
            yield fail(
                "database", "The embedded database hasn't been made yet.", "Run corpuscope, or corpuscope migrate."
            )
        else:
            yield fail("database", str(error), error.hint)
    yield from examine_project(settings)


def examine_database(database: Database, conn: Connection[Any], settings: Settings) -> Iterator[Check]:
    """The questions that ``conn``, the owner's, answers."""
    yield ask("database", lambda: line_checks.check_server(conn, embedded=settings.embedded))
    yield ask("pooler", lambda: line_checks.check_pooler(database, settings.live_updates))
    yield ask("clock", lambda: line_checks.check_clock(conn))
    yield ask("pgvector", lambda: schema_checks.check_pgvector(conn))
    yield ask("queues", lambda: schema_checks.check_queues(conn))
    migrations = ask("migrations", lambda: schema_checks.check_migrations(conn))
    yield migrations
    for question, check in _AFTER_MIGRATIONS.items():
        if migrations.state == "ok":
            yield ask(question, lambda check=check: check(conn))  # type: ignore[misc]
        else:
            yield skipped(question, "Not before the migrations.")
    if migrations.state == "ok":
        yield ask("people", lambda: schema_checks.check_people(conn, settings.auth))


_AFTER_MIGRATIONS: dict[str, Callable[[Connection[Any]], Check]] = {
    "policies": rights_checks.check_policies,
    "grants": rights_checks.check_grants,
    "roles": rights_checks.check_roles,
    "channel policies": rights_checks.check_channels,
    "storage policies": rights_checks.check_storage_policies,
    "schedule": schedule_checks.check_schedule,
}

_OF_A_PROJECT = ("keys", "sign-in", "exposed schemas", "storage", "functions", "realtime")


def examine_project(settings: Settings) -> Iterator[Check]:
    """The questions that the project's servers answer; one line where there is no project."""
    if not settings.supabase_url:
        yield skipped("project", "SUPABASE_URL isn't set: Auth, Storage, Realtime and functions are not used.")
        return
    with project_line(settings) as line:
        first = ask("project", lambda: project_checks.check_project(line))
        yield first
        if first.state == "fail":
            yield from (skipped(question, "The project doesn't answer.") for question in _OF_A_PROJECT)
            return
        yield from _examine_servers(line, settings)


def _examine_servers(line: ProjectLine, settings: Settings) -> Iterator[Check]:
    yield ask("keys", lambda: project_checks.check_keys(line))
    yield ask("sign-in", lambda: project_checks.check_sign_in(line, settings))
    yield ask("exposed schemas", lambda: project_checks.check_exposed(line))
    yield ask("storage", lambda: project_checks.check_bucket(line, settings))
    yield ask("functions", lambda: project_checks.check_functions(line, settings))
    yield ask("realtime", lambda: project_checks.check_realtime(line, settings))


@contextmanager
def _open_unchanged(settings: Settings, on_progress: Progress | None) -> Iterator[Database]:
    """The database that ``settings`` name as it is, for looking at it: nothing is made in it or brought up to date."""
    if not settings.embedded:
        with Database(settings.database_url) as database:
            yield database
        return
    server = EmbeddedPostgres(settings.corpuscope_home, on_progress=on_progress).start()
    with Database(server.dsn("authenticator"), server.dsn("postgres"), server=server) as database:
        yield database
