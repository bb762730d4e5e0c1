"""What is in the database: extensions, migrations, queues, and the people who may begin."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from rag.doctor.checkup import Check, fail, listed, ok, warn
from rag.store import migrations

_OLDEST_PGVECTOR = (0, 7)


def check_pgvector(conn: Connection[Any]) -> Check:
    """That pgvector is new enough and where migrations look for it."""
    row = conn.execute(
        "select e.extversion, n.nspname, a.default_version from pg_extension e"
        " join pg_namespace n on n.oid = e.extnamespace join pg_available_extensions a on a.name = e.extname"
        " where e.extname = 'vector'"
    ).fetchone()
    if row is None:
        return fail("pgvector", "pgvector is not installed.", "create extension vector with schema extensions;")
    version, schema, available = row
    if _parts(version) < _OLDEST_PGVECTOR:
        return fail("pgvector", f"pgvector {version} is too old: 0.7 is needed.", "alter extension vector update;")
    if schema != "extensions":
        return fail("pgvector", f"pgvector is in schema {schema}.", "alter extension vector set schema extensions;")
    if _parts(version) < _parts(available):
        return warn("pgvector", f"pgvector {version}; {available} is there.", "alter extension vector update;")
    return ok("pgvector", f"pgvector {version} in schema extensions.")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def check_queues(conn: Connection[Any]) -> Check:
    """pgmq, by which work is handed to workers."""
    row = conn.execute(
        "select to_regclass('pgmq.meta') is not null, (select extversion from pg_extension where extname = 'pgmq')"
    ).fetchone()
    present, version = row if row is not None else (False, None)
    if not present:
        return fail("queues", "pgmq is not installed.", "Run corpuscope migrate, which installs it.")
    names = [name for (name,) in conn.execute("select queue_name from pgmq.meta order by 1")]
    source = f"pgmq {version}" if version else "pgmq's own SQL"
    if not names:
        return fail("queues", f"{source}, without a queue.", "Run corpuscope migrate.")
    return ok("queues", f"{source}; {len(names)} queues.")


def check_migrations(conn: Connection[Any]) -> Check:
    """Whether all were applied, by whichever of the two runners. Raises what reading their history raises."""
    waiting = [migration.path.name for migration in migrations.pending(conn)]
    if waiting:
        return fail(
            "migrations",
            f"{len(waiting)} to apply: {listed(waiting, 3)}.",
            "Run corpuscope migrate or supabase db push (over port 5432).",
        )
    row = conn.execute("select count(*), max(version) from supabase_migrations.schema_migrations").fetchone()
    count, last = row if row is not None else (0, "")
    return ok("migrations", f"All {count} are applied, {last} last.")


def check_people(conn: Connection[Any], auth: str) -> Check:
    """That somebody may invite the others."""
    row = conn.execute(
        "select count(*), count(*) filter (where is_administrator) from corpuscope.people where disabled_at is null"
    ).fetchone()
    people, administrators = row if row is not None else (0, 0)
    if not administrators:
        step = "Start the app and sign in first." if auth != "none" else "Start the app once."
        return warn("people", f"Nobody administers this installation yet (accounts: {people}).", step)
    return ok("people", f"Accounts: {people}, administrators: {administrators}. AUTH={auth}.")
