"""Access to the database: every statement runs as the person who asked, or as the worker's narrow role.

Connections come from a pool whose login has no rights of its own on the embedded database (``authenticator``); each
transaction takes on a role for itself. A path that forgets to do so gets nothing rather than everything.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from types import TracebackType
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from pgvector.psycopg.vector import register_vector_info
from psycopg import Connection, Notify, sql
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Escaping, ExecStatus, TransactionStatus
from psycopg.types import TypeInfo
from psycopg_pool import ConnectionPool

from rag.errors import DatabaseError, DatabaseUnavailable
from rag.settings import Settings
from rag.store import bootstrap, migrations
from rag.store.postgres import DATABASE, EmbeddedPostgres
from rag.store.refusals import translated

WORKER_ROLE = "corpuscope_worker"
#: Reads and writes accounts and sessions; sees nothing of anybody's documents.
ACCOUNTS_ROLE = "corpuscope_accounts"

_log = logging.getLogger(__name__)

#: A user's id, or the verified claims of a token, of which ``sub`` is that id.
User: TypeAlias = UUID | str | Mapping[str, Any]

Progress = Callable[[str], None]

_POOL_SIZE = 10
_POOL_WAIT_S = 15.0
_USER_LIMIT_S = 8.0
_TRANSACTION_POOLER_PORT = "6543"
#: A remote server that falls silent is noticed within half a minute.
_PATIENCE = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}


class Database:
    """One database and the pools of connections to it; a context manager.

    ``app_dsn`` is the login of user requests, ``owner_dsn`` that of migrations and workers (default: the same).
    Threads may share one object; processes may not.
    """

    def __init__(self, app_dsn: str, owner_dsn: str | None = None, *, server: EmbeddedPostgres | None = None) -> None:
        self.app_dsn = app_dsn
        self.owner_dsn = owner_dsn or app_dsn
        #: Our handle on the embedded server; None when the database is elsewhere.
        self.server = server
        self._pools: dict[str, ConnectionPool[Connection[Any]]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and leave the embedded server (which stops with its last user)."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
        if self.server is not None:
            self.server.close()

    @property
    def pool(self) -> ConnectionPool[Connection[Any]]:
        """Connections for user requests, with no rights until :meth:`as_user`."""
        return self._pool("corpuscope app", self.app_dsn)

    @contextmanager
    def as_user(self, user: User, *, limit_s: float = _USER_LIMIT_S) -> Iterator[Connection[Any]]:
        """One transaction with the rights of ``user``, committed at the end of the block, rolled back on an error.

        A statement may take ``limit_s``. Errors are translated: see :func:`rag.store.refusals.translate`.
        """
        claims = dict(user) if isinstance(user, Mapping) else {"sub": str(user), "role": "authenticated"}
        settings = {"role": "authenticated", "request.jwt.claims": json.dumps(claims)}
        with self._transaction(self.pool, settings, limit_s) as conn:
            yield conn

    @contextmanager
    def as_worker(self, *, limit_s: float = 0) -> Iterator[Connection[Any]]:
        """One transaction with the worker's rights; ``limit_s`` 0 means no limit on a statement."""
        with self._transaction(self._pool("corpuscope worker", self.owner_dsn), {"role": WORKER_ROLE}, limit_s) as conn:
            yield conn

    @contextmanager
    def as_accounts(self) -> Iterator[Connection[Any]]:
        """One transaction with the rights to accounts and sessions, and to nothing else: for signing in."""
        settings = {"role": ACCOUNTS_ROLE}
        with self._transaction(self._pool("corpuscope accounts", self.owner_dsn), settings, _USER_LIMIT_S) as conn:
            yield conn

    @contextmanager
    def as_owner(self) -> Iterator[Connection[Any]]:
        """A connection of the role that owns the tables, in autocommit mode: for migrations and maintenance only."""
        with translated(), connect(self.owner_dsn, application_name="corpuscope owner") as conn:
            yield conn

    @property
    def can_listen(self) -> bool:
        """Whether NOTIFY reaches user connections; a transaction pooler keeps it to itself."""
        return not _is_transaction_pooler(self.app_dsn)

    def listen(
        self, *channels: str, timeout_s: float = 1.0, on_connect: Callable[[], object] = lambda: None
    ) -> Iterator[Notify | None]:
        """Notifications as they come, and None after each ``timeout_s`` without one: then poll.

        Never raises for a lost connection: it is opened again, and ``on_connect`` called each time, since what was
        announced before is lost. Where LISTEN is impossible it only keeps time.
        """
        while _is_transaction_pooler(self.app_dsn):
            time.sleep(timeout_s)
            yield None
        while True:
            try:
                yield from self._listen_once(channels, timeout_s, on_connect)
            except (psycopg.OperationalError, DatabaseUnavailable) as error:
                _log.warning("Listening was interrupted, polling goes on: %s", error)
            time.sleep(timeout_s)
            yield None

    def _listen_once(
        self, channels: Sequence[str], timeout_s: float, on_connect: Callable[[], object]
    ) -> Iterator[Notify | None]:
        with connect(self.app_dsn, application_name="corpuscope listen") as conn:
            for channel in channels:
                conn.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
            on_connect()
            while True:
                # All of a packet, which may hold more than one: what the generator has taken up is lost with it.
                came = list(conn.notifies(timeout=timeout_s, stop_after=1))
                yield from came or (None,)

    @contextmanager
    def _transaction(
        self, pool: ConnectionPool[Connection[Any]], settings: Mapping[str, str], limit_s: float
    ) -> Iterator[Connection[Any]]:
        with translated():
            conn = _begin(pool, {**settings, "statement_timeout": f"{limit_s * 1000:.0f}"})
            try:
                yield conn
                if conn.info.transaction_status == TransactionStatus.INERROR:
                    raise DatabaseError("Nothing was saved: an earlier step of the same transaction had failed.")
                _run(conn, b"commit")
            except BaseException:
                with suppress(psycopg.Error):
                    _run(conn, b"rollback")
                raise
            finally:
                pool.putconn(conn)

    def _pool(self, name: str, dsn: str) -> ConnectionPool[Connection[Any]]:
        with self._lock:
            if name not in self._pools:
                self._pools[name] = self._open_pool(name, dsn)
            return self._pools[name]

    def _open_pool(self, name: str, dsn: str) -> ConnectionPool[Connection[Any]]:
        options = {"autocommit": True, "context": self._adapters, "application_name": name}
        pooler = _is_transaction_pooler(dsn)
        if pooler:
            options["prepare_threshold"] = None
        return ConnectionPool(
            _patient(dsn),
            kwargs=options,
            # Without a login of their own, user requests come with the owner's rights: put them aside.
            configure=_drop_rights if self.app_dsn == self.owner_dsn and not pooler else None,
            min_size=1,
            max_size=_POOL_SIZE,
            timeout=_POOL_WAIT_S,
            name=name,
            open=True,
        )

    @cached_property
    def _adapters(self) -> AdaptersMap:
        """How Python and Postgres values meet, pgvector's included; looked up once for all connections."""
        with connect(self.app_dsn) as conn:
            return _vector_adapters(conn)


def _drop_rights(conn: Connection[Any]) -> None:
    conn.execute("set role anon")


def _begin(pool: ConnectionPool[Connection[Any]], settings: Mapping[str, str]) -> Connection[Any]:
    """A connection with a transaction begun and ``settings`` made for it, in one round trip.

    A connection that died in the pool (the server was restarted) shows here, before any work: take the next.
    """
    for _ in range(pool.max_size):
        conn = pool.getconn()
        try:
            _run(conn, _beginning(conn, settings))
        except psycopg.Error:
            broken = conn.closed
            with suppress(psycopg.Error):
                conn.rollback()
            pool.putconn(conn)
            if not broken:
                raise
        else:
            return conn
    raise DatabaseUnavailable


def _beginning(conn: Connection[Any], settings: Mapping[str, str]) -> bytes:
    """Begins a transaction with these settings. Put together by hand: psycopg.sql takes as long as the server."""
    escaping = Escaping(conn.pgconn)
    return b"begin" + b"".join(
        b"; set local %b = %b" % (escaping.escape_identifier(name.encode()), escaping.escape_literal(value.encode()))
        for name, value in settings.items()
    )


def _run(conn: Connection[Any], command: bytes) -> None:
    """Send a fixed command without the driver's bookkeeping: half the overhead of a short transaction."""
    result = conn.pgconn.exec_(command)
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result)


def connect(dsn: str, *, role: str | None = None, application_name: str = "corpuscope") -> Connection[Any]:
    """A single connection in autocommit mode, as ``role`` if given. Raises :class:`DatabaseUnavailable`."""
    with translated():
        conn = psycopg.connect(
            _patient(dsn),
            autocommit=True,
            application_name=application_name,
            # What one server prepared, the next that a transaction pooler gives doesn't know, or knows as another's.
            prepare_threshold=None if _is_transaction_pooler(dsn) else 5,
        )
        try:
            if role is not None:
                conn.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        except BaseException:
            conn.close()
            raise
    return conn


def _patient(dsn: str) -> str:
    return make_conninfo(dsn, **{**_PATIENCE, **conninfo_to_dict(dsn)})


def _is_transaction_pooler(dsn: str) -> bool:
    return conninfo_to_dict(dsn).get("port") == _TRANSACTION_POOLER_PORT


def _vector_adapters(conn: Connection[Any]) -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    register: dict[str, Callable[[Any, TypeInfo], None]] = {
        "vector": register_vector_info,
        "halfvec": register_halfvec_info,
    }
    # By catalogue, since the login may not look into the schema that holds them.
    rows = conn.execute(
        "select typname, t.oid, typarray from pg_type t join pg_extension e on e.extnamespace = t.typnamespace"
        " where e.extname = 'vector' and typname = any (%s)",
        (list(register),),
    )
    for name, oid, array_oid in rows:
        register[name](adapters, TypeInfo(name, oid, array_oid))
    return adapters


def open_database(settings: Settings, *, on_progress: Progress | None = None) -> Database:
    """The database that ``settings`` name, started if it is ours, with its schema up to date. Safe to call at once.

    Raises :class:`DatabaseError` with what to do.
    """
    if not settings.embedded:
        database = Database(settings.database_url)
        prepare(database.owner_dsn, database.owner_dsn, on_progress=on_progress, auth=settings.auth)
        return database
    server = EmbeddedPostgres(settings.corpuscope_home, on_progress=on_progress).start()
    try:
        return open_embedded(server, on_progress=on_progress)
    except BaseException:
        server.close()
        raise


def open_embedded(server: EmbeddedPostgres, name: str = DATABASE, *, on_progress: Progress | None = None) -> Database:
    """The database ``name`` of a running embedded server, made if it is missing, with its schema up to date."""
    admin = server.dsn("supabase_admin", name)
    try:
        connect(admin).close()
    except DatabaseUnavailable as error:
        if "does not exist" not in str(error):
            raise
        with translated():
            bootstrap.create_database(server.dsn("supabase_admin", "postgres"), name)
    prepare(admin, server.dsn("postgres", name), on_progress=on_progress)
    return Database(server.dsn("authenticator", name), server.dsn("postgres", name), server=server)


def prepare(admin_dsn: str, owner_dsn: str, *, on_progress: Progress | None = None, auth: str = "none") -> list[str]:
    """Bootstrap with ``admin_dsn``, migrate with ``owner_dsn``; the migrations applied. Quick when nothing is due.

    With ``auth`` none there is a local user then, in our stand-in also with others than supabase: until the first
    account takes that one over. A Supabase project's users are made by its Auth.
    """
    with translated():
        with connect(admin_dsn, application_name="corpuscope bootstrap") as conn:
            bootstrap.bootstrap(conn, on_progress)
        with connect(owner_dsn, application_name="corpuscope migrate") as conn:
            if migrations.pending(conn):
                if _is_transaction_pooler(owner_dsn):
                    raise DatabaseError(
                        "The schema must be updated, and the transaction pooler can't do that.",
                        hint="Put the session pooler's port, 5432, into DATABASE_URL once.",
                    )
                bootstrap.ensure_pgvector(conn)
            applied = migrations.migrate(conn, on_progress=on_progress)
            if auth == "none" or (auth != "supabase" and bootstrap.is_stand_in(conn)):
                bootstrap.ensure_local_user(conn)
            return applied
