"""The line to the database: what is at its other end, what is between, and what time it is there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from rag.doctor.checkup import Check, fail, ok, warn
from rag.store.database import Database

#: Seconds by which clocks may differ; tokens are judged by them.
_SMALL_SKEW_S, _LARGE_SKEW_S = 3.0, 30.0
_SLOW_MS = 50.0
_PROBES = 3


def check_server(conn: Connection[Any], *, embedded: bool) -> Check:
    """Which Postgres answers, how fast, and whether anybody on the way could read along."""
    began = time.perf_counter()
    for _ in range(_PROBES):
        row = conn.execute("select current_user, current_setting('server_version')").fetchone()
    each_ms = (time.perf_counter() - began) / _PROBES * 1000
    user, version = row if row is not None else ("?", "?")
    where = "embedded" if embedded else f"at {conn.info.host}"
    words = f"Postgres {version.split()[0]}, {where}, answers {user} in {each_ms:.1f} ms."
    if conn.info.server_version < 150000:
        return fail("database", words + " Corpuscope needs Postgres 15 or later.", "Upgrade the server.")
    if not conn.pgconn.ssl_in_use and not _is_near(conn.info.host):
        return warn(
            "database", words + " The connection is not encrypted.", "Put ?sslmode=require behind DATABASE_URL."
        )
    if each_ms > _SLOW_MS:
        return warn(
            "database",
            words + " A page asks several times: that will be felt.",
            "Run the app in the region of the database.",
        )
    return ok("database", words)


def _is_near(host: str) -> bool:
    return not host or host.startswith(("/", "127.")) or host in ("localhost", "::1")


def check_pooler(database: Database, live_updates: str) -> Check:
    """Whether a pooler is between, and whether it is one that Corpuscope treats as it must."""
    host = str(conninfo_to_dict(database.owner_dsn).get("host") or "")
    if not database.can_listen:
        return _judge_transaction_pooler(live_updates)
    if _is_shared_by_transactions(database):
        return fail(
            "pooler",
            "Between here and the server is a pooler that gives every transaction another connection.",
            "Put the session pooler into DATABASE_URL (port 5432), or let this one listen on 6543, as Supabase's does.",
        )
    if host.endswith(".pooler.supabase.com"):
        return ok("pooler", "Session pooler: everything works, LISTEN included.")
    return ok("pooler", "None: the connection is a server's own, LISTEN included.")


def _judge_transaction_pooler(live_updates: str) -> Check:
    words = "Transaction pooler (port 6543): no LISTEN."
    if live_updates == "listen":
        return fail("pooler", words, "LIVE_UPDATES=listen needs port 5432; or choose auto, broadcast or poll.")
    how = "over Realtime, if it is set up, or by looking" if live_updates != "poll" else "by looking"
    return ok("pooler", f"{words} Pages hear of changes {how}. Migrations need port 5432.")


def _is_shared_by_transactions(database: Database) -> bool:
    """Whether a second connection is given the server's process that the first, still open, was given."""
    with database.as_owner() as one, database.as_owner() as other:
        for _ in range(_PROBES):
            with one.transaction():
                first = one.execute("select pg_backend_pid()").fetchone()
            with other.transaction():
                if first == other.execute("select pg_backend_pid()").fetchone():
                    return True
    return False


def check_clock(conn: Connection[Any]) -> Check:
    """The database's clock against this machine's."""
    before = datetime.now(UTC)
    row = conn.execute("select clock_timestamp()").fetchone()
    after = datetime.now(UTC)
    return judge_clocks("clock", "the database", row[0] if row else after, before, after)


def judge_clocks(question: str, whose: str, theirs: datetime, before: datetime, after: datetime) -> Check:
    """``theirs`` was read somewhere between ``before`` and ``after``."""
    skew_s = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if skew_s <= _SMALL_SKEW_S:
        return ok(question, f"The clocks here and of {whose} agree.")
    words = f"The clocks here and of {whose} differ by {skew_s:.0f} s."
    step = "Let this machine's clock be set over the network (NTP): tokens and leases are judged by it."
    return fail(question, words, step) if skew_s > _LARGE_SKEW_S else warn(question, words, step)
