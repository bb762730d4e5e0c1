"""Sessions: a browser that is signed in. Its cookie holds a token, the database the hash.

A token is replaced now and then. The one before stays good until the new one was seen (an answer can get lost on its
way) and :data:`GRACE` longer, for requests that were under way. Seen later, somebody copied it: the session ends.
``conn`` is from ``Database.as_accounts()``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from rag.auth.identity import Identity
from rag.auth.people import tidy_label
from rag.auth.secret_tokens import hash_token, new_token

Kind = Literal["password", "oidc", "supabase", "guest"]

GRACE = timedelta(seconds=60)
SIGNED_OUT = "signed out"
SIGNED_OUT_EVERYWHERE = "signed out everywhere"
STOLEN = "an old cookie of this session was used again, so somebody may have copied it"

_LOOK = """
select s.id, s.rotated_at, s.expires_at, s.token_hash, s.seen_at, p.user_id, coalesce(p.email, '') as email, p.name,
       p.is_administrator, p.is_guest, s.last_seen_at < now() - interval '1 minute' as is_stale,
       coalesce(s.seen_at <= now() - %(grace)s, false) as is_late, t.renew_at, t.expires_at as tokens_end
from corpuscope.sessions s join corpuscope.people p on p.user_id = s.user_id
left join corpuscope.project_sessions t on t.session_id = s.id
where s.ended_at is null and s.expires_at > now() and s.last_seen_at > now() - %(idle)s and p.disabled_at is null
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that stands, and whose it is. ``expires_at`` is its end in any case.

    Where it holds a Supabase project's tokens, they are due to be renewed at ``renew_at`` and end at ``tokens_end``.
    """

    id: UUID
    identity: Identity
    rotated_at: datetime
    expires_at: datetime
    renew_at: datetime | None = None
    tokens_end: datetime | None = None


def open_session(
    conn: Connection[Any], user_id: UUID, kind: Kind, *, device: str, address: str, lasts: timedelta
) -> tuple[str, Session]:
    """Begin a session: always a new one with a new token, whatever cookie the browser came with."""
    token = new_token()
    row = conn.execute(
        "insert into corpuscope.sessions (user_id, kind, token_hash, seen_at, device, address, expires_at)"
        " values (%s, %s, %s, now(), %s, %s, now() + %s) returning id",
        [user_id, kind, hash_token(token), tidy_label(device, 300), tidy_label(address, 64), lasts],
    ).fetchone()
    conn.execute("update corpuscope.people set last_seen_at = now() where user_id = %s", [user_id])
    session = find_session(conn, row[0], idle=timedelta(days=1)) if row else None
    assert session is not None, "a session for somebody whose account is closed"
    return token, session


def find_by_token(conn: Connection[Any], token: str, *, idle: timedelta) -> Session | None:
    """The session of a cookie's token, unless it ended, expired or rested for ``idle``.

    An old token that comes too late ends the session: let the transaction commit when this returns None.
    """
    hashed = hash_token(token)
    row = _look(conn, "and (s.token_hash = %(hash)s or s.former_hash = %(hash)s)", idle, hash=hashed)
    if row is None:
        return None
    is_current = row["token_hash"] == hashed
    if not is_current and row["is_late"]:
        end(conn, row["id"], STOLEN)
        return None
    if is_current and row["seen_at"] is None:
        conn.execute("update corpuscope.sessions set seen_at = now() where id = %s and seen_at is null", [row["id"]])
    return _noticed(conn, row)


def find_session(conn: Connection[Any], session_id: UUID, *, idle: timedelta, touch: bool = True) -> Session | None:
    """The session with this id, if it still stands. With ``touch`` it counts as a visit (written once a minute)."""
    row = _look(conn, "and s.id = %(id)s", idle, id=session_id)
    if row is None:
        return None
    return _noticed(conn, row) if touch else _session(row)


def _look(conn: Connection[Any], condition: str, idle: timedelta, **values: object) -> DictRow | None:
    cursor = conn.cursor(row_factory=dict_row)
    return cursor.execute((_LOOK + condition).encode(), {"idle": idle, "grace": GRACE, **values}).fetchone()


def _noticed(conn: Connection[Any], row: DictRow) -> Session:
    if row["is_stale"]:
        conn.execute("update corpuscope.sessions set last_seen_at = now() where id = %s", [row["id"]])
        conn.execute("update corpuscope.people set last_seen_at = now() where user_id = %s", [row["user_id"]])
    return _session(row)


def _session(row: DictRow) -> Session:
    identity = Identity(
        row["user_id"],
        row["email"],
        row["name"],
        is_administrator=row["is_administrator"],
        is_guest=row["is_guest"],
        session_id=row["id"],
        expires_at=row["expires_at"],
    )
    return Session(row["id"], identity, row["rotated_at"], row["expires_at"], row["renew_at"], row["tokens_end"])


def rotate(conn: Connection[Any], session_id: UUID) -> str | None:
    """Replace the token; the new one for the cookie. None if that was done just now by a request beside this one.

    A new token that nobody ever came with is replaced itself, and the one before it stays good.
    """
    token = new_token()
    row = conn.execute(
        "update corpuscope.sessions set token_hash = %s, rotated_at = now(), seen_at = null,"
        " former_hash = case when seen_at is null then former_hash else token_hash end"
        " where id = %s and ended_at is null and expires_at > now() and rotated_at < now() - %s returning id",
        [hash_token(token), session_id, GRACE],
    ).fetchone()
    return token if row else None


def end(conn: Connection[Any], session_id: UUID, reason: str = SIGNED_OUT) -> None:
    """End a session; open pages notice within seconds. Nothing happens if it has ended."""
    row = conn.execute(
        "update corpuscope.sessions s set ended_at = now(), end_reason = %s where s.id = %s and s.ended_at is null"
        " returning s.user_id, (select p.email from corpuscope.people p where p.user_id = s.user_id)",
        [reason, session_id],
    ).fetchone()
    if row is None:
        return
    user_id, email = row
    if reason == SIGNED_OUT:
        conn.execute("select corpuscope.note('signed out', subject => %s, actor => %s)", [email, user_id])
    else:
        conn.execute(
            "select corpuscope.note('session ended', subject => %s, detail => jsonb_build_object('reason', %s::text))",
            [email, reason],
        )


def end_others(conn: Connection[Any], user_id: UUID, reason: str, *, keep: UUID | None = None) -> int:
    """End the sessions of a person, all but ``keep``; how many."""
    ended = conn.execute(
        "update corpuscope.sessions set ended_at = now(), end_reason = %s"
        " where user_id = %s and ended_at is null and id is distinct from %s",
        [reason, user_id, keep],
    ).rowcount
    if reason == SIGNED_OUT_EVERYWHERE:  # other reasons have entries of their own
        conn.execute(
            "select corpuscope.note(%s, subject => p.email, actor => p.user_id,"
            " detail => jsonb_build_object('sessions', %s::int)) from corpuscope.people p where p.user_id = %s",
            [reason, ended, user_id],
        )
    return ended


def end_foreign(conn: Connection[Any], auth: Literal["local", "oidc", "supabase"]) -> int:
    """End the sessions that began by another way of signing in, which is switched off now; how many."""
    kinds: dict[str, Kind] = {"local": "password", "oidc": "oidc", "supabase": "supabase"}
    return conn.execute(
        "update corpuscope.sessions set ended_at = now(), end_reason = 'people sign in another way now'"
        " where kind not in (%s, 'guest') and ended_at is null",
        [kinds[auth]],
    ).rowcount


def end_reason(conn: Connection[Any], session_id: UUID) -> str | None:
    """Why a session ended, in words; None while it stands or if nothing is known of it."""
    row = conn.execute(
        "select case when ended_at is not null then end_reason when expires_at <= now() then 'it has expired' end"
        " from corpuscope.sessions where id = %s",
        [session_id],
    ).fetchone()
    return str(row[0]) if row and row[0] else None
