"""What Realtime asks the database when somebody joins a private channel: rows tried as that person, and taken back.

As its server does it (lib/realtime/tenants/authorization.ex): two rows of the topic are inserted by the server and
looked for by the person, then the person tries to insert two. The policies are those of the migrations, and real.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection


@dataclass(frozen=True)
class Rights:
    """What a person may do on a channel: hear broadcasts, see who is there, broadcast, and say that they are there."""

    hear: bool = False
    see: bool = False
    send: bool = False
    appear: bool = False


def probe(conn: Connection[Any], role: str, claims: Mapping[str, Any], topic: str) -> Rights:
    """``conn`` is the server's own: a superuser's in autocommit mode. Nothing stays."""
    with conn.transaction(force_rollback=True):
        rows = conn.execute(
            "insert into realtime.messages (topic, extension, private) values (%(t)s, 'broadcast', true),"
            " (%(t)s, 'presence', true) returning id",
            {"t": topic},
        ).fetchall()
        conn.execute(
            "select set_config('realtime.topic', %s, true), set_config('request.jwt.claims', %s, true),"
            " set_config('role', %s, true)",
            [topic, json.dumps(dict(claims)) if claims else "", role],
        )
        seen = _seen(conn, [row[0] for row in rows])
        written = {kind for kind in ("broadcast", "presence") if _may_insert(conn, topic, kind)}
    return Rights("broadcast" in seen, "presence" in seen, "broadcast" in written, "presence" in written)


def _seen(conn: Connection[Any], ids: list[Any]) -> set[str]:
    try:
        with conn.transaction():
            rows = conn.execute("select extension from realtime.messages where id = any (%s)", [ids]).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return set()
    return {row[0] for row in rows}


def _may_insert(conn: Connection[Any], topic: str, extension: str) -> bool:
    try:
        with conn.transaction():
            conn.execute(
                "insert into realtime.messages (topic, extension, private) values (%s, %s, true)", [topic, extension]
            )
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
