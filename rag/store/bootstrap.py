"""Makes a plain Postgres look like a fresh Supabase project, and gives one person a user without sign-in."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from rag.errors import DatabaseError

LOCAL_USER = UUID("00000000-0000-0000-0000-000000000001")
LOCAL_EMAIL = "local@corpuscope"

_STAMP = "Corpuscope stand-in for Supabase"
#: Held while the schema of a database is made or changed, by the bootstrap and by the migrations alike.
SCHEMA_LOCK = 4_857_342_119_001

_OLDEST_SERVER = 150000
_OLDEST_PGVECTOR = (0, 7)


def bootstrap(conn: Connection[Any], on_progress: Callable[[str], None] | None = None) -> bool:
    """Bring the stand-in up to date; True if that changed anything. A real Supabase project is left alone.

    Raises :class:`DatabaseError` when the server is too old, lacks pgvector, or ``conn``'s user may not do this.
    """
    if not is_pending(conn):
        return False
    if on_progress is not None:
        on_progress("Preparing the database…")
    _require_server(conn)
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        if not is_pending(conn):
            return False
        _require_superuser(conn)
        conn.execute(_script().encode())
        _install_queues(conn)
        conn.execute(sql.SQL("comment on schema auth is {}").format(sql.Literal(_stamp())))
    _require_pgvector(conn)
    return True


def is_pending(conn: Connection[Any]) -> bool:
    """Whether the stand-in is missing or older than this Corpuscope; False on a real Supabase project."""
    row = conn.execute(
        "select to_regprocedure('auth.uid()') is not null,"
        " obj_description(to_regnamespace('auth')::oid, 'pg_namespace')"
    ).fetchone()
    present, comment = row if row is not None else (False, None)
    ours = str(comment or "").startswith(_STAMP)
    return not present or (ours and comment != _stamp())


def is_stand_in(conn: Connection[Any]) -> bool:
    """Whether ``auth`` is ours rather than a Supabase project's."""
    row = conn.execute("select obj_description(to_regnamespace('auth')::oid, 'pg_namespace')").fetchone()
    return row is not None and str(row[0] or "").startswith(_STAMP)


def ensure_local_user(conn: Connection[Any]) -> None:
    """Give the person who works without sign-in a row in ``auth.users`` and an account, which is an administrator's.

    Where people sign in, the first of them takes this account over, and with it what was made before.
    """
    ensure_user(conn, LOCAL_USER, LOCAL_EMAIL)
    if conn.execute("select 1 from corpuscope.people where user_id = %s", (LOCAL_USER,)).fetchone():
        return
    conn.execute(
        "select corpuscope.add_person(%s, as_administrator => true, id => %s)"
        " where not exists (select from corpuscope.people where user_id = %s)",
        (LOCAL_EMAIL, LOCAL_USER, LOCAL_USER),
    )


def ensure_user(conn: Connection[Any], user: UUID, email: str) -> None:
    """Add a row to ``auth.users`` if it is missing.

    Supabase Auth cannot list users whose token columns are null: where those columns exist, they get ''.
    """
    if conn.execute("select 1 from auth.users where id = %s", (user,)).fetchone():
        return
    values: dict[str, object] = {"id": user, "aud": "authenticated", "role": "authenticated", "email": email}
    tokens = conn.execute(
        "select attname from pg_attribute where attrelid = 'auth.users'::regclass and not attisdropped"
        " and attname in ('confirmation_token', 'recovery_token', 'email_change', 'email_change_token_new')"
    )
    values |= {name: "" for (name,) in tokens}
    conn.execute(
        sql.SQL("insert into auth.users ({}) values ({}) on conflict (id) do nothing").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        ),
        values,
    )


@functools.cache
def _script() -> str:
    return files("rag.store").joinpath("bootstrap.sql").read_text(encoding="utf-8")


@functools.cache
def _stamp() -> str:
    return f"{_STAMP} {hashlib.sha256(_script().encode()).hexdigest()[:16]}"


def _require_server(conn: Connection[Any]) -> None:
    if conn.info.server_version < _OLDEST_SERVER:
        raise DatabaseError(
            f"This server is Postgres {conn.info.server_version // 10000}; Corpuscope needs 15 or later.",
            hint="Upgrade it, or leave DATABASE_URL empty to use the embedded one.",
        )
    if not conn.execute("select 1 from pg_available_extensions where name = 'vector'").fetchone():
        raise DatabaseError(
            "This Postgres has no pgvector.", hint="Install the extension pgvector 0.7 or later on the server."
        )


def _require_superuser(conn: Connection[Any]) -> None:
    row = conn.execute("select current_user, rolsuper from pg_roles where rolname = current_user").fetchone()
    user, allowed = row if row is not None else ("?", False)
    if not allowed:
        raise DatabaseError(
            f"This Postgres was not prepared for Corpuscope, and {user} may not do that.",
            hint="Let an administrator run once, with a superuser in DATABASE_URL: corpuscope migrate",
        )


def ensure_pgvector(conn: Connection[Any]) -> None:
    """Enable pgvector where nobody has: a new Supabase project offers it, and its `postgres` may do that.

    Raises :class:`DatabaseError` when that is refused, or what is there is too old or in another schema.
    """
    if not conn.execute("select 1 from pg_extension where extname = 'vector'").fetchone():
        try:
            conn.execute("create extension if not exists vector with schema extensions")
        except psycopg.Error as error:
            raise DatabaseError(
                f"pgvector is not enabled here: {error.diag.message_primary or error}.",
                hint="Let an administrator run: create extension vector with schema extensions",
            ) from error
    _require_pgvector(conn)


def _require_pgvector(conn: Connection[Any]) -> None:
    row = conn.execute(
        "select extversion, nspname from pg_extension join pg_namespace n on n.oid = extnamespace"
        " where extname = 'vector'"
    ).fetchone()
    version, schema = row if row is not None else ("0", "")
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_PGVECTOR:
        raise DatabaseError(
            f"This Postgres has pgvector {version}; Corpuscope needs 0.7 or later.",
            hint="Install a newer pgvector on the server, then run: alter extension vector update",
        )
    if schema != "extensions":
        raise DatabaseError(
            f"pgvector is in schema {schema}; Corpuscope and Supabase keep it in schema extensions.",
            hint="Let an administrator run: alter extension vector set schema extensions",
        )


def _install_queues(conn: Connection[Any]) -> None:
    """pgmq's own SQL, run as ``postgres``, so that migrations may create queues as they may on Supabase."""
    if conn.execute("select 1 from pg_class where oid = to_regclass('pgmq.meta')").fetchone():
        return
    from pgmq.install import get_embedded_install_sql

    conn.execute("set local role postgres")
    conn.execute(get_embedded_install_sql().encode())
    conn.execute("reset role")


def create_database(admin_dsn: str, name: str) -> None:
    """Create the database ``name`` if it is missing; ``admin_dsn`` leads a superuser to another one."""
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        if conn.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            return
        try:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another start made it at the same moment
