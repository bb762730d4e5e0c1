"""Brings the schema up to date and keeps the history that the Supabase CLI keeps, so that either may go on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from rag.errors import MigrationError
from rag.store import default_grants
from rag.store.bootstrap import SCHEMA_LOCK
from rag.store.statements import split_statements

FOLDER = Path(__file__).resolve().parents[2] / "migrations"

_FILE_NAME = re.compile(r"^([0-9]+)_(.*)\.sql$")
_POLL_S = 0.1
_TELL_AFTER_S = 3.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Migration:
    """One file of the folder."""

    version: str
    name: str
    path: Path

    @property
    def script(self) -> str:
        return self.path.read_text(encoding="utf-8")


def migrate(conn: Connection[Any], folder: Path = FOLDER, on_progress: Progress | None = None) -> list[str]:
    """Apply what is missing, each migration in one transaction; the file names of those applied.

    ``conn`` is in autocommit mode and belongs to the role that will own the tables. Runners wait for one another.
    Raises :class:`MigrationError` naming the file when one fails, was edited after it was applied, or is unknown.
    """
    if not pending(conn, folder):
        return []
    tell = on_progress or (lambda _message: None)
    with _schema_lock(conn, tell):
        waiting = pending(conn, folder)  # another runner may have been faster
        with _as_owner(conn) if waiting else nullcontext():
            if waiting:
                _create_history(conn)
            for migration in waiting:
                tell(f"Updating the database: {migration.path.name}…")
                _apply(conn, migration)
    return [migration.path.name for migration in waiting]


def pending(conn: Connection[Any], folder: Path = FOLDER) -> list[Migration]:
    """The migrations of ``folder`` that the database lacks, oldest first. Raises as :func:`migrate` does."""
    known = _read_folder(folder)
    applied = _read_history(conn)
    _refuse_unknown(known, applied)
    for migration in known:
        statements = applied.get(migration.version)
        if statements and not _is_unedited(migration.script, statements):
            raise MigrationError(
                f"{migration.path.name} was edited after it was applied to this database.",
                hint="Restore the file, and put the change into a new migration.",
            )
    waiting = [migration for migration in known if migration.version not in applied]
    if waiting and applied and waiting[0].version < max(applied):
        raise MigrationError(
            f"{waiting[0].path.name} is older than the newest migration of this database, {max(applied)}.",
            hint="Give the file a newer version.",
        )
    return waiting


def _read_folder(folder: Path) -> list[Migration]:
    if not folder.is_dir():
        raise MigrationError(f"The folder of the migrations is missing: {folder}.", hint="Install Corpuscope again.")
    found: dict[str, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named <version>_<name>.sql.")
        version, name = match.groups()
        if version in found:
            raise MigrationError(f"{path.name} and {found[version].path.name} have the same version.")
        found[version] = Migration(version, name, path)
    return sorted(found.values(), key=lambda migration: migration.version)


def _read_history(conn: Connection[Any]) -> dict[str, list[str] | None]:
    row = conn.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone()
    if row is None or row[0] is None:
        return {}
    rows = conn.execute("select version, statements from supabase_migrations.schema_migrations order by version")
    return dict(rows.fetchall())


def _refuse_unknown(known: Sequence[Migration], applied: dict[str, list[str] | None]) -> None:
    unknown = sorted(applied.keys() - {migration.version for migration in known})
    if not unknown:
        return
    if not known or unknown[0] > known[-1].version:
        raise MigrationError(
            f"This database was made by a newer Corpuscope: it has migration {unknown[-1]}.",
            hint="Update Corpuscope, then start it again.",
        )
    raise MigrationError(
        f"This database has migration {unknown[0]}, which this Corpuscope doesn't know.",
        hint="Was a migration file removed or renamed? Restore it.",
    )


def _is_unedited(script: str, statements: Sequence[str]) -> bool:
    """Whether ``script`` consists of ``statements`` with nothing but white space and semicolons between them."""
    position = 0
    for statement in statements:
        begin = script.find(statement, position)
        if begin < 0 or script[position:begin].strip().strip(";").strip():
            return False
        position = begin + len(statement)
    return not re.sub(r"[\s;]+", "", script[position:])


@contextmanager
def _schema_lock(conn: Connection[Any], tell: Progress) -> Iterator[None]:
    """Hold the session's advisory lock; say who has it when that takes long."""
    started, told = time.monotonic(), False
    while not _answers_yes(conn, "select pg_try_advisory_lock(%s)"):
        if not told and time.monotonic() - started > _TELL_AFTER_S:
            tell(f"Waiting for {_find_holder(conn)}, which is changing the same database…")
            told = True
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        if not conn.closed:
            _answers_yes(conn, "select pg_advisory_unlock(%s)")


def _answers_yes(conn: Connection[Any], query: str) -> bool:
    row = conn.execute(query.encode(), (SCHEMA_LOCK,)).fetchone()
    return row is not None and row[0] is True


def _find_holder(conn: Connection[Any]) -> str:
    row = conn.execute(
        "select a.pid, a.application_name, a.backend_start from pg_locks l join pg_stat_activity a using (pid)"
        " where l.locktype = 'advisory' and l.granted and l.objsubid = 1"
        " and (l.classid::bigint << 32 | l.objid::bigint) = %s",
        (SCHEMA_LOCK,),
    ).fetchone()
    if row is None:
        return "another start"
    pid, application, since = row
    return f"{application or 'a session'} (session {pid}, there since {since:%H:%M:%S})"


@contextmanager
def _as_owner(conn: Connection[Any]) -> Iterator[None]:
    """Let a superuser work as the role that owns the schema, at first `postgres`, so that this one can do with less.

    Else what an administrator makes once would be theirs, and nobody with fewer rights could work with it.
    """
    row = conn.execute(
        "select coalesce((select nspowner::regrole::text from pg_namespace where nspname = 'corpuscope'), 'postgres')"
        " from pg_roles where rolname = current_user and rolsuper and to_regrole('postgres') is not null"
    ).fetchone()
    if row is None:
        yield
        return
    conn.execute(f"set role {row[0]}".encode())  # quoted by regrole where it has to be
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("reset role")


def _create_history(conn: Connection[Any]) -> None:
    # The Supabase CLI's own statements (its pkg/migration/history.go).
    with conn.transaction():
        conn.execute("create schema if not exists supabase_migrations")
        conn.execute(
            "create table if not exists supabase_migrations.schema_migrations (version text not null primary key)"
        )
        conn.execute("alter table supabase_migrations.schema_migrations add column if not exists statements text[]")
        conn.execute("alter table supabase_migrations.schema_migrations add column if not exists name text")


def _apply(conn: Connection[Any], migration: Migration) -> None:
    statements = split_statements(migration.script)
    with conn.transaction(), default_grants.set_aside(conn):
        for number, statement in enumerate(statements, start=1):
            try:
                conn.execute(statement.encode(), prepare=False)
            except psycopg.Error as error:
                raise MigrationError(
                    f"{migration.path.name} failed at statement {number} of {len(statements)}"
                    f" ({_first_line(statement)}): {error.diag.message_primary or error}.",
                    hint="Nothing of this file was applied.",
                ) from error
        conn.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
            (migration.version, migration.name, statements),
        )
    conn.execute("reset all")


def _first_line(statement: str) -> str:
    lines = (line.strip() for line in statement.splitlines())
    return next((line for line in lines if line and not line.startswith("--")), "a comment")[:80]
