"""Counts of failures, by what is being guessed and by who guesses; whoever fails too often waits."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from psycopg import Connection

from rag.errors import SignInBlocked


def check(conn: Connection[Any], *keys: str) -> None:
    """Raises :class:`SignInBlocked` with the seconds to wait if one of ``keys`` is blocked now."""
    row = conn.execute(
        "select extract(epoch from max(blocked_until) - now()) from corpuscope.throttles"
        " where key = any (%s) and blocked_until > now()",
        [[_hash(key) for key in keys]],
    ).fetchone()
    if row is not None and row[0] is not None:
        raise blocked(float(row[0]))


def blocked(seconds: float) -> SignInBlocked:
    """The refusal, with the time to wait in words."""
    minutes = max(1, math.ceil(seconds / 60))
    return SignInBlocked(retry_after=seconds, hint=f"Try again in {minutes} minute{'' if minutes == 1 else 's'}.")


def note_failure(conn: Connection[Any], key: str, *, limit: int, window_s: float, block_s: float) -> int:
    """Count one failure; how many that makes within ``window_s``. The one with number ``limit`` blocks for ``block_s``.

    Count before looking at the secret and take back when it was right (:func:`clear`, :func:`give_back`): then attempts
    side by side count each other, and a number above ``limit`` has to be refused unseen.
    """
    row = conn.execute(
        """
        insert into corpuscope.throttles as t (key, failures, blocked_until)
        values (%(key)s, 1, case when %(limit)s <= 1 then now() + make_interval(secs => %(block)s) end)
        on conflict (key) do update set
            (failures, first_at, blocked_until) = (
                select n.failures, case when o.over then now() else t.first_at end,
                       case when n.failures >= %(limit)s then
                           case when o.over or t.blocked_until is null then now() + make_interval(secs => %(block)s)
                           else t.blocked_until end
                       end
                from (
                    select coalesce(t.blocked_until <= now(), t.first_at <= now() - make_interval(secs => %(window)s))
                ) as o (over)
                cross join lateral (select case when o.over then 1 else t.failures + 1 end) as n (failures)
            )
        returning failures
        """,
        {"key": _hash(key), "limit": limit, "window": window_s, "block": block_s},
    ).fetchone()
    assert row is not None
    return int(row[0])


def give_back(conn: Connection[Any], key: str, *, limit: int) -> None:
    """Take one count back that was no failure, and the block if it came of that."""
    conn.execute(
        "update corpuscope.throttles set failures = greatest(failures - 1, 0),"
        " blocked_until = case when failures - 1 >= %s then blocked_until end where key = %s",
        [limit, _hash(key)],
    )


def clear(conn: Connection[Any], *keys: str) -> None:
    """Forget the failures of ``keys``."""
    conn.execute("delete from corpuscope.throttles where key = any (%s)", [[_hash(key) for key in keys]])


def _hash(key: str) -> bytes:
    """Keys hold addresses; the table doesn't have to."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
